"""The table of methods: what the command line needs of each before TensorFlow is loaded.

A new method needs one entry in METHODS, and its class.
"""

import dataclasses
import math
from typing import Literal


class EpochTable:
    """A default that depends on --train_epochs: given values, interpolated between them.

    Linear in the logarithm of the epochs, and constant outside the table.

    Args:
        values: {epochs: value}.
        complement: bool, whether to interpolate log(1 - value), for decay rates close to 1.
    """

    def __init__(self, values, complement=False):
        self.values, self.complement = dict(sorted(values.items())), complement

    def __call__(self, config):
        return self.at(config.train_epochs)

    def at(self, epochs):
        points = list(self.values)
        epochs = min(max(epochs, points[0]), points[-1])
        if epochs in self.values:
            return self.values[epochs]
        low, high = next(pair for pair in zip(points, points[1:]) if epochs < pair[1])
        left, right = self.values[low], self.values[high]
        share = math.log(epochs / low) / math.log(high / low)
        if self.complement:
            return 1 - (1 - left) ** (1 - share) * (1 - right) ** share
        return left + (right - left) * share

    def __str__(self):
        return "by --train_epochs: " + ", ".join(f"{k}: {v}" for k, v in self.values.items())


@dataclasses.dataclass(frozen=True)
class Method:
    """Properties and defaults of a method.

    Attributes:
        path: "MODULE:CLASS" of a built-in method; "" for a plug-in.
        options: dataclass of its options, each a flag and an argument of the class; None: it has
            none, or its arguments are settings in `tfssl.config.options`.
        defaults: {setting: default in pretraining, or a function of the Config} that differ from
            those in `tfssl.config.options`.
        takes: names of settings that other methods refuse.
        projector: method whose projector the --proj_ flags describe; None: it makes its own.
        normalized: whether the loss normalizes projections; "flag": determined by --hidden_norm.
        passes: whether both views pass through the network in one batch, "together", or in
            separate batches, "apart"; None: neither, or unknown.
        crops_only: whether views are only cropped by the input pipeline, as the method augments
            patches of them itself.
        has_target: whether there is a moving-average target network.
    """

    path: str = ""
    options: type | None = None
    defaults: dict = dataclasses.field(default_factory=dict)
    takes: tuple = ()
    projector: Literal["simclr", "byol"] | None = None
    normalized: bool | Literal["flag"] = False
    passes: Literal["together", "apart"] | None = None
    crops_only: bool = False
    has_target: bool = False

    def normalizes(self, hidden_norm):
        """Whether the loss normalizes projections, given --hidden_norm."""
        return hidden_norm if self.normalized == "flag" else self.normalized


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

STANDARD = "simclr"  # the method whose defaults are those in `tfssl.config.options`
METHODS = {
    STANDARD: Method("tfssl.methods.simclr:SimCLR", takes=("memory_size",), **CONTRASTIVE),
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
}
BUILT_IN = tuple(METHODS)  # plug-ins add theirs to METHODS
