"""What the command line knows of a method before TensorFlow is loaded."""

import dataclasses
import math
from typing import Literal

from tfssl.errors import UsageError, told

LOCAL = (
    *("local_views", "local_size", "local_crop_area_min", "local_crop_area_max"),
    "local_blur_p",
)  # settings of multi-crop


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
        num_views: the number of views that it takes; None: any from 2 on.
        multi_crop: whether it takes smaller views too, those of --local_views.
        predictor: whether it has a predictor, which the --pred_ flags describe.
        by_class: whether it learns from labels.
        crops_only: whether views are only cropped by the input pipeline, as the method augments
            patches of them itself.
        transformer: whether its encoder must be a Vision Transformer of tfssl.
        has_target: whether there is a moving-average target network.
    """

    path: str = ""
    options: type | None = None
    defaults: dict = dataclasses.field(default_factory=dict)
    takes: tuple = ()
    projector: Literal["simclr", "byol", "mlp", "normalized", "gelu"] | None = None
    predictor: bool = False
    normalized: bool | Literal["flag"] = False
    passes: Literal["together", "apart"] | None = None
    num_views: int | None = 2
    multi_crop: bool = False
    by_class: bool = False
    crops_only: bool = False
    transformer: bool = False
    has_target: bool = False

    @property
    def settings(self):
        """Names of settings that concern it and not all methods, for the help."""
        names = ["num_views"] if self.num_views is None else []
        names += LOCAL if self.multi_crop else ()
        names += self.takes
        names += ["pred_hidden_dim"] if self.predictor else []
        return names + (["base_target_decay"] if self.has_target else [])

    def normalizes(self, hidden_norm):
        """Whether the loss normalizes projections, given --hidden_norm."""
        return hidden_norm if self.normalized == "flag" else self.normalized


def options(**fields):
    """A dataclass of the options of a method.

    Args:
        **fields: for each, (default, help, check) or (default, help, check, type), with a check as
            in `tfssl.config.values`; None: all values of the type are valid.
    """
    checks = {name: field[2] for name, field in fields.items() if field[2]}

    def refuse(self):
        for name, (valid, expected) in checks.items():
            value = getattr(self, name)
            if value is not None and not valid(value):
                raise UsageError(f"--{name} must be {expected}. Received: {told(value)}")

    return dataclasses.make_dataclass(
        "Options",
        [
            (
                name,
                kinds[0] if kinds else type(default),
                dataclasses.field(default=default, metadata={"help": text}),
            )
            for name, (default, text, _, *kinds) in fields.items()
        ],
        namespace={"__post_init__": refuse},
        frozen=True,
    )
