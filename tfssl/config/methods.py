"""The table of methods: what the command line needs of each before TensorFlow is loaded.

A new method needs one entry in METHODS, and its class.
"""

from tfssl.config.method import EpochTable, Method, options
from tfssl.config.values import NON_NEGATIVE, POSITIVE, PROBABILITY, at_least

# BYOL: Grill et al. 2020, arXiv:2006.07733, Appendix B and Table 6, as in deepmind-research
# byol/configs/byol.py (f5de0ed), whose presets depend on the length of the training.
BYOL = dict(
    color_jitter_strength=1.0,
    jitter_brightness=0.4,
    jitter_contrast=0.4,
    jitter_saturation=0.2,
    jitter_hue=0.1,
    brightness_mode="additive",
    use_blur=True,
    blur_p=1.0,
    view2_blur_p=0.1,
    view2_solarize_p=0.2,
    input_normalization="imagenet",
    proj_out_dim=256,
    proj_hidden_dim=4096,
    num_proj_layers=2,
    base_target_decay=EpochTable({40: 0.97, 100: 0.99, 300: 0.99, 1000: 0.996}, complement=True),
    lars_form="popular",
    learning_rate=EpochTable({40: 0.45, 100: 0.45, 300: 0.3, 1000: 0.2}),
    weight_decay=EpochTable({40: 1e-6, 100: 1e-6, 300: 1e-6, 1000: 1.5e-6}),
)

CONTRASTIVE = dict(projector="simclr", normalized="flag", passes="together")
ALWAYS_NORMALIZED = {**CONTRASTIVE, "normalized": True}
NETWORK_OF_BYOL = ("proj_out_dim", "proj_hidden_dim", "num_proj_layers")
SGD = dict(optimizer="momentum", weight_decay=1e-4, warmup_epochs=0.0)
SIAMESE = dict(
    defaults=dict(
        **SGD,
        learning_rate=0.05,
        proj_hidden_dim=2048,
        proj_out_dim=2048,
        num_proj_layers=3,
        pred_hidden_dim=512,
    ),
    projector="normalized",
    predictor=True,
    normalized=True,
    passes="apart",
)
EXPANDER = dict(proj_hidden_dim=2048, proj_out_dim=2048, num_proj_layers=3, lars_form="popular")
MULTI_CROP = dict(crop_area_min=0.14, local_crop_area_min=0.05, local_crop_area_max=0.14)
FROZEN = (
    0.01,
    "Share of the training, at its start, in which the prototypes do not change.",
    PROBABILITY,
)
MASKED = (
    "Share of the patches that are masked.",
    (lambda x: 0 < x < 1, "a number between 0 and 1"),
)
CROPS = dict(  # of masked image modelling: only crops and flips, decoupled weight decay
    optimizer="adamw", weight_decay=0.05, num_views=1, color_jitter_p=0.0, grayscale_p=0.0
)

STANDARD = "simclr"  # the method whose defaults are those in `tfssl.config.options`
METHODS = {
    STANDARD: Method(
        "tfssl.methods.simclr:SimCLR", takes=("memory_size",), num_views=None, **CONTRASTIVE
    ),
    "byol": Method(
        "tfssl.methods.byol:BYOL",
        defaults=BYOL,
        projector="byol",
        normalized=True,
        passes="apart",
        has_target=True,
    ),
    "npair": Method("tfssl.methods.npair:NPair", takes=("positives",), **CONTRASTIVE),
    "triplet": Method("tfssl.methods.triplet:Triplet", takes=("positives",), **CONTRASTIVE),
    "cpc": Method("tfssl.methods.cpc:CPC", projector="simclr", crops_only=True),
    # Chen & He 2021, section 4.1 and Appendix B.
    "simsiam": Method("tfssl.methods.simsiam:SimSiam", num_views=2, **SIAMESE),
    # Pototzky et al. 2022, section 4: four views.
    "fastsiam": Method(
        "tfssl.methods.simsiam:FastSiam",
        num_views=None,
        **{**SIAMESE, "defaults": {**SIAMESE["defaults"], "num_views": 4}},
    ),
    # Zbontar et al. 2021, section 2.2; the width is that of solo-learn's CIFAR-10 recipe.
    "barlow_twins": Method(
        "tfssl.methods.barlow_twins:BarlowTwins",
        options=options(
            off_diagonal=(0.005, "Weight of the elements off the diagonal.", NON_NEGATIVE)
        ),
        defaults=dict(**EXPANDER, learning_rate=0.2, weight_decay=1.5e-6),
        projector="mlp",
        passes="apart",
    ),
    # Bardes et al. 2022, section 4.2; the width is that of solo-learn's CIFAR-10 recipe.
    "vicreg": Method(
        "tfssl.methods.vicreg:VICReg",
        options=options(
            invariance=(25.0, "Weight of the invariance term.", NON_NEGATIVE),
            variance=(25.0, "Weight of the variance term.", NON_NEGATIVE),
            covariance=(1.0, "Weight of the covariance term.", NON_NEGATIVE),
        ),
        defaults=dict(**EXPANDER, learning_rate=0.2, weight_decay=1e-6),
        projector="mlp",
        passes="apart",
    ),
    # Balestriero & LeCun 2025, section 6.
    "sigreg": Method(
        "tfssl.methods.sigreg:SIGReg",
        options=options(
            weight=(0.05, "Share of the regularization in the loss.", PROBABILITY),
            num_slices=(256, "Number of random directions in a step.", at_least(1)),
        ),
        defaults=dict(
            optimizer="adam",
            learning_rate=1e-3,
            weight_decay=1e-6,
            proj_hidden_dim=2048,
            proj_out_dim=64,
            num_proj_layers=3,
        ),
        projector="mlp",
        passes="together",
        num_views=None,
    ),
    # He et al. 2020, section 3.4; Chen et al. 2020, arXiv:2003.04297, section 3.
    "mocov2": Method(
        "tfssl.methods.mocov2:MoCoV2",
        options=options(
            symmetric=(False, "Queries of both views instead of the first alone.", None),
            bn_groups=(
                1,
                "Groups of images that batch normalization sees one at a time, other ones for the "
                "keys.",
                at_least(1),
            ),
        ),
        defaults=dict(
            **SGD,
            learning_rate=0.03,
            temperature=0.2,
            memory_size=65536,
            memory_decay=0.999,
            proj_hidden_dim=2048,
            proj_out_dim=128,
            num_proj_layers=2,
            proj_batch_norm=False,
        ),
        takes=("memory_size",),
        projector="mlp",
        normalized=True,
        passes="apart",
        has_target=True,
    ),
    # Chen et al. 2021, section 4 and Appendix A (ResNet-50, 100 epochs), whose views are BYOL's.
    "mocov3": Method(
        "tfssl.methods.mocov3:MoCoV3",
        defaults={
            **{name: value for name, value in BYOL.items() if name not in NETWORK_OF_BYOL},
            **dict(learning_rate=0.6, weight_decay=1.5e-6, temperature=1.0, base_target_decay=0.99),
            **dict(proj_hidden_dim=2048, proj_out_dim=256, num_proj_layers=2),
            **dict(pred_hidden_dim=2048, lars_form="popular"),
        },
        projector="normalized",
        predictor=True,
        normalized=True,
        passes="apart",
        has_target=True,
    ),
    # Dwibedi et al. 2021, section 4.1.
    "nnclr": Method(
        "tfssl.methods.nnclr:NNCLR",
        defaults=dict(
            learning_rate=0.3,
            weight_decay=1e-6,
            temperature=0.1,
            memory_size=98304,
            proj_hidden_dim=2048,
            proj_out_dim=256,
            num_proj_layers=3,
            pred_hidden_dim=4096,
        ),
        takes=("memory_size",),
        projector="normalized",
        predictor=True,
        normalized=True,
        passes="apart",
    ),
    # Yeh et al. 2022, section 4.
    "dcl": Method("tfssl.methods.dcl:DCL", defaults=dict(temperature=0.1), **ALWAYS_NORMALIZED),
    "dclw": Method(
        "tfssl.methods.dcl:DCLW",
        options=options(sigma=(0.5, "Width of the weighting of positives.", POSITIVE)),
        defaults=dict(temperature=0.1),
        **ALWAYS_NORMALIZED,
    ),
    # Caron et al. 2020, Appendix A.1 and A.2.
    "swav": Method(
        "tfssl.methods.swav:SwAV",
        options=options(
            num_prototypes=(3000, "Number of prototypes.", at_least(2)),
            epsilon=(0.05, "Of Sinkhorn-Knopp: the smaller, the harder the codes.", POSITIVE),
            iterations=(3, "Iterations of Sinkhorn-Knopp.", at_least(1)),
            frozen_share=FROZEN,
        ),
        defaults=dict(
            **MULTI_CROP,
            local_views=6,
            learning_rate=0.6,
            weight_decay=1e-6,
            lars_form="popular",
            temperature=0.1,
            proj_hidden_dim=2048,
            proj_out_dim=128,
            num_proj_layers=2,
        ),
        takes=("memory_size",),
        projector="mlp",
        normalized=True,
        passes="together",
        num_views=None,
        multi_crop=True,
    ),
    # Caron et al. 2021, section 3.2 and Appendix (ResNet-50).
    "dino": Method(
        "tfssl.methods.dino:DINO",
        options=options(
            num_prototypes=(4096, "Dimension of the output.", at_least(2)),
            teacher_temperature=(0.04, "Temperature of the teacher.", POSITIVE),
            first_teacher_temperature=(
                None,
                "Temperature of the teacher at the start. Not given: --teacher_temperature.",
                POSITIVE,
                float,
            ),
            teacher_temperature_share=(
                0.1,
                "Share of the training in which the temperature of the teacher changes.",
                PROBABILITY,
            ),
            center_momentum=(0.9, "Momentum of the running mean of the teacher.", PROBABILITY),
            frozen_share=FROZEN,
        ),
        defaults=dict(
            **MULTI_CROP,
            **SGD,
            local_views=6,
            learning_rate=0.03,
            temperature=0.1,
            base_target_decay=0.996,
            proj_hidden_dim=2048,
            proj_out_dim=256,
            num_proj_layers=3,
            proj_batch_norm=False,
        ),
        projector="gelu",
        normalized=True,
        passes="together",
        num_views=None,
        multi_crop=True,
        has_target=True,
    ),
    # Tong et al. 2023, section 3 and Appendix A.
    "emp_ssl": Method(
        "tfssl.methods.emp_ssl:EMPSSL",
        options=options(
            eps=(0.2, "Distortion of the coding rate.", POSITIVE),
            invariance=(200.0, "Weight of the agreement of the patches.", NON_NEGATIVE),
        ),
        defaults=dict(
            num_views=20,
            crop_area_min=0.25,
            crop_area_max=0.25,
            learning_rate=0.3,
            weight_decay=1e-4,
            proj_hidden_dim=2048,
            proj_out_dim=512,
            num_proj_layers=2,
        ),
        projector="mlp",
        normalized=True,
        passes="together",
        num_views=None,
    ),
    # Hjelm et al. 2019, section 4 and Appendix A.
    "dim": Method(
        "tfssl.methods.deep_infomax:DeepInfoMax",
        options=options(
            local_weight=(1.0, "Weight of the local objective.", NON_NEGATIVE),
            global_weight=(0.0, "Weight of the global objective.", NON_NEGATIVE),
            estimator=(
                "jsd",
                "Estimator of the information: jsd or infonce.",
                (lambda x: x in ("jsd", "infonce"), "jsd or infonce"),
            ),
        ),
        defaults=dict(
            optimizer="adam",
            learning_rate=4e-4,
            num_views=1,
            proj_hidden_dim=512,
            proj_out_dim=512,
            num_proj_layers=2,
        ),
        projector="mlp",
        num_views=1,
    ),
    # He et al. 2022, Appendix A.1, Table 8; 40 of 800 epochs of warm-up.
    "mae": Method(
        "tfssl.methods.mae:MAE",
        options=options(
            mask_ratio=(0.75, *MASKED),
            decoder_dim=(
                None,
                "Dimension of the decoder, a multiple of 32. Not given: 512, or that of the "
                "encoder if it is smaller.",
                (lambda x: x >= 32 and x % 32 == 0, "a multiple of 32"),
                int,
            ),
            decoder_depth=(8, "Blocks of the decoder.", at_least(1)),
            normalize_patches=(
                True,
                "Predict pixels less the mean of their patch, over its deviation.",
                None,
            ),
        ),
        defaults=dict(
            **CROPS,
            encoder="vit_tiny",
            learning_rate=1.5e-4,
            warmup_epochs=5.0,
            crop_area_min=0.2,
            adam_beta_2=0.95,
        ),
        num_views=1,
        transformer=True,
    ),
    # Xie et al. 2022, section 4.1.
    "simmim": Method(
        "tfssl.methods.simmim:SimMIM",
        options=options(
            mask_ratio=(0.6, *MASKED),
            mask_size=(
                None,
                "Side of the masked squares in pixels, a multiple of that of the patches. Not "
                "given: two patches, or one where these are more than a quarter of the view.",
                at_least(1),
                int,
            ),
        ),
        defaults=dict(**CROPS, learning_rate=1e-4, crop_area_min=0.67),
        num_views=1,
    ),
    # Khosla et al. 2020, section 4.
    "supcon": Method(
        "tfssl.methods.supcon:SupCon",
        defaults=dict(temperature=0.1),
        by_class=True,
        **ALWAYS_NORMALIZED,
    ),
}
BUILT_IN = tuple(METHODS)  # plug-ins add theirs to METHODS
