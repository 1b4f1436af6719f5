"""Figures of timm's networks to test against: python scripts/golden_timm.py vit|convnext OUTPUT.npz

Needs torch and timm (tried with 2.15 and 1.0.31), not TensorFlow. For each case of FAMILIES the
file has "CASE/weights/NAME", a state dict of random weights as timm names them, "CASE/images"
[B, H, W, 3] and "CASE/h" [B, D], what timm computes from them in inference mode.
"""

import sys

FAMILIES = {  # (timm's class, its arguments, those of each case, shape of the images)
    "vit": (
        "VisionTransformer",
        dict(img_size=12, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=0),
        {
            "token": {},
            "mean": dict(global_pool="avg", class_token=False),
            "registers": dict(reg_tokens=2, no_embed_class=False, init_values=0.5),
        },
        (3, 3, 12, 12),
    ),
    "convnext": (
        "ConvNeXt",
        dict(depths=(2, 1, 1, 1), dims=(8, 12, 12, 16), num_classes=0),
        # whether the perceptrons are convolutions, as in timm's smaller sizes
        {"linear": {}, "convolutions": dict(conv_mlp=True)},
        (2, 3, 32, 64),
    ),
}


def main(family, path):
    import numpy as np
    import timm
    import torch

    name, common, cases, shape = FAMILIES[family]
    figures = {}
    for number, (case, options) in enumerate(cases.items()):
        torch.manual_seed(number)
        model = getattr(timm.models, name)(**common, **options).eval()
        with torch.no_grad():
            for weights in model.parameters():  # so that no two are equal, nor any of them 0
                weights.copy_(0.3 * torch.randn(weights.shape))
            images = torch.rand(*shape)
            figures[f"{case}/h"] = model(images).numpy()
        figures[f"{case}/images"] = images.permute(0, 2, 3, 1).numpy()
        for name_of, weights in model.state_dict().items():
            figures[f"{case}/weights/{name_of}"] = weights.numpy()
    np.savez_compressed(path, **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
