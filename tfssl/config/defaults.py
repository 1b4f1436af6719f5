"""Defaults that depend on the method or the task, and defaults for older records.

`tfssl.config.options` has the others: those of pretraining with --method=simclr.
"""

from tfssl.config.method import EpochTable
from tfssl.config.methods import METHODS, STANDARD
from tfssl.config.modes import MODES, TASKS

DECIDING = ("method", "mode", "train_mode")  # settings that determine the defaults of others


def default_of(field, config):
    """The default of a setting: a value, or a function of the Config; needs those in DECIDING."""
    of_method = config.facts.defaults.get(field.name, field.default)
    return MODES[config.task].defaults.get(field.name, of_method)


def listed(field, method=STANDARD):
    """A default for the help: the value, or {case: value} by method or task.

    Args:
        field: the dataclass field of a setting.
        method: the method whose default is listed next to the standard one, if it differs.
    """
    name, default = field.name, field.default
    own = METHODS[method].defaults.get(name, default) if method in METHODS else default
    by_method = default if own == default else {STANDARD: default, method: own}
    of_tasks = {task: MODES[task].defaults for task in TASKS}
    if not any(name in of for of in of_tasks.values()):
        return by_method
    return {task: of.get(name, by_method) for task, of in of_tasks.items()}


def by_length(name):
    """Help text about the defaults of a setting that depend on the length of the training."""
    tables = {method: of.defaults.get(name) for method, of in METHODS.items()}
    return "".join(
        f" With {method} {table}."
        for method, table in tables.items()
        if isinstance(table, EpochTable)
    )


# The values of these settings in older records, which lack them.
ABSENT = {
    "reading_rules": 1,
    "max_image_megapixels": 89.0,
    "folder_layout": "auto",
    "max_shared_fraction": 1.0,
    "value_range": "auto",
}

# Likewise for newer settings, whose defaults keep the behaviour of older versions.
LATER = {
    "proj_batch_norm": True,
    "positives": "views",
    "plugin": None,
    "method_options": None,
    "encoder": "resnet",
    "encoder_size": None,
    "input_range": "auto",
    "recipe": None,
    "protocols": None,
    "jit_compile": "off",
    "num_views": 2,
    "local_views": 0,
    "local_size": None,
    "local_crop_area_min": 0.05,
    "local_crop_area_max": 0.25,
    "local_blur_p": None,
    "pred_hidden_dim": None,
    "lars_eeta": 0.001,
    "eval_patches": 1,
}

# Settings whose default leaves them to the device when a run begins: {name: (that default, the
# value of older versions)}. A run goes on with what was chosen.
CHOSEN = {
    "augment_on": ("auto", "host"),
    "jit_compile": ("auto", "off"),
    "steps_per_execution": (0, 1),
}


def without_later(settings):
    """Removes settings in LATER that have their default, so that names of runs do not change."""
    for name, (open_value, older) in CHOSEN.items():
        if settings.get(name) == open_value:
            settings = {**settings, name: older}
    return {
        name: value for name, value in settings.items() if name not in LATER or value != LATER[name]
    }
