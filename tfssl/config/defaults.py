"""Defaults that differ by --method or by what is trained, and what records of old lack.

The table in `tfssl.config.options` has the others: those of pretraining with --method=simclr. A new
method is one entry of METHODS.
"""

import dataclasses
import math


class EpochTable:
    """A default that follows --train_epochs: the given values, and between them, interpolated.

    Interpolation is linear over the logarithm of the epochs; outside the table its ends hold.

    Args:
        values: {epochs: value}.
        complement: interpolate the logarithm of 1 - value, for decay rates close to 1.
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
    """What is known of a method before it, and TensorFlow, are loaded.

    Attributes:
        defaults: {knob: its default in pretraining, or a function of the Config}, where it is not
            the one in the table.
        takes: names of the knobs that are refused with methods that do not take them.
        options: of a method that a plug-in registered, the dataclass of its options, or None.
    """

    defaults: dict = dataclasses.field(default_factory=dict)
    takes: tuple = ()
    options: type | None = None


# BYOL: Grill et al. 2020, arXiv:2006.07733, Appendix B and Table 6, as in deepmind-research
# byol/configs/byol.py (f5de0ed), whose presets follow the length of the training.
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

STANDARD = "simclr"  # the method whose defaults are those of the table
METHODS = {
    STANDARD: Method(takes=("memory_size",)),
    "byol": Method(BYOL),
    "npair": Method(takes=("positives",)),
    "triplet": Method(takes=("positives",)),
    "cpc": Method(),
}

# By what is trained; a method's are those of pretraining, which these come before.
BY_TASK = {
    "pretrain": {},
    "finetune": dict(
        optimizer="momentum",
        learning_rate=0.05,
        warmup_epochs=0.0,
        weight_decay=0.0,
        train_batch_size=256,
        train_epochs=60.0,
    ),
    "distill": dict(
        optimizer="momentum",
        learning_rate=0.1,
        warmup_epochs=5.0,
        weight_decay=1e-4,
        train_batch_size=256,
        train_epochs=100.0,
        checkpoint="none",
    ),
}
TASKS = tuple(BY_TASK)
DECIDING = ("method", "mode", "train_mode")  # knobs that say which defaults hold


def default_of(field, config):
    """The default of a knob, or a function of the Config, once those in DECIDING are set."""
    of_method = METHODS[config.method].defaults.get(field.name, field.default)
    return BY_TASK[config.task].get(field.name, of_method)


def listed(field):
    """A default as the help lists it: the value, or {case: value} by method or by task."""
    name, default = field.name, field.default
    own = {method: of.defaults[name] for method, of in METHODS.items() if name in of.defaults}
    by_method = {STANDARD: default, **own} if own else default
    if not any(name in of for of in BY_TASK.values()):
        return by_method
    return {task: of.get(name, by_method) for task, of in BY_TASK.items()}


def by_length(name):
    """The defaults of a knob that follow the length of the training, as a part of its help text."""
    tables = {method: of.defaults.get(name) for method, of in METHODS.items()}
    return "".join(
        f" With {method} {table}."
        for method, table in tables.items()
        if isinstance(table, EpochTable)
    )


def as_standard():
    """The methods that have no defaults of their own, in words."""
    *some, last = (name for name, of in METHODS.items() if name != STANDARD and not of.defaults)
    return " and ".join(filter(None, (", ".join(some), last)))


# What a record that lacks one of these knobs means: it was written before there was one.
ABSENT = {
    "reading_rules": 1,
    "max_image_megapixels": 89.0,
    "folder_layout": "auto",
    "max_shared_fraction": 1.0,
    "value_range": "auto",
}

# The same of knobs that came later still, and what their defaults do: nothing new.
LATER = {
    "proj_batch_norm": True,
    "positives": "views",
    "plugin": None,
    "method_options": None,
    "encoder": "resnet",
    "encoder_size": None,
    "input_range": "auto",
}


def without_later(settings):
    """Settings but for knobs that came LATER and do what was done before: for names of old."""
    return {
        name: value for name, value in settings.items() if name not in LATER or value != LATER[name]
    }
