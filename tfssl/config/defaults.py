"""Defaults that differ by --method or by what is trained, and what records of old lack.

`tfssl.config.options` has the others: those of pretraining with --method=simclr.
"""

from tfssl.config.methods import METHODS, STANDARD, EpochTable
from tfssl.config.modes import MODES, TASKS

DECIDING = ("method", "mode", "train_mode")  # knobs that say which defaults hold


def default_of(field, config):
    """The default of a knob, or a function of the Config, once those in DECIDING are set."""
    of_method = config.facts.defaults.get(field.name, field.default)
    return MODES[config.task].defaults.get(field.name, of_method)


def listed(field):
    """A default as the help lists it: the value, or {case: value} by method or by task."""
    name, default = field.name, field.default
    own = {method: of.defaults[name] for method, of in METHODS.items() if name in of.defaults}
    by_method = {STANDARD: default, **own} if own else default
    of_tasks = {task: MODES[task].defaults for task in TASKS}
    if not any(name in of for of in of_tasks.values()):
        return by_method
    return {task: of.get(name, by_method) for task, of in of_tasks.items()}


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
    "recipe": None,
    "protocols": None,
}


def without_later(settings):
    """Settings but for knobs that came LATER and do what was done before: for names of old."""
    return {
        name: value for name, value in settings.items() if name not in LATER or value != LATER[name]
    }
