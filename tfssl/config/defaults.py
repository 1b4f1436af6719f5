"""Defaults that depend on the method or the task, and defaults for older records.

`tfssl.config.options` has the others: those of pretraining with --method=simclr.
"""

from tfssl import domains
from tfssl.config.method import EpochTable
from tfssl.config.methods import METHODS, STANDARD
from tfssl.config.modes import MODES, TASKS
from tfssl.config.schema import MORE_VIEW, VIEW, VIEW2

DECIDING = ("method", "mode", "train_mode", "views")  # which determine the defaults of others

# Arguments of `tfssl.augment.simclr_view` whose settings have other names. A range is two settings.
VIEW_FLAGS = {
    "jitter_p": "color_jitter_p",
    "jitter_strength": "color_jitter_strength",
    "brightness": "jitter_brightness",
    "contrast": "jitter_contrast",
    "saturation": "jitter_saturation",
    "hue": "jitter_hue",
}


def default_of(field, config):
    """The default of a setting: a value, or a function of the Config; needs those in DECIDING."""
    if config.views in domains.DOMAINS and of_recipe(field):
        return view_flags(domains.settings(config.views)).get(field.name, field.default)
    of_method = config.facts.defaults.get(field.name, field.default)
    return MODES[config.task].defaults.get(field.name, of_method)


def of_recipe(field):
    """Whether a setting is one of what happens to the pixels of large views."""
    own = field.metadata["group"] in (VIEW, VIEW2, MORE_VIEW)
    return own and not field.name.startswith(("num_views", "local_"))


def view_flags(arguments):
    """Arguments of `tfssl.augment.simclr_view` as {setting: value}."""
    made = {}
    for name, value in arguments.items():
        flag = VIEW_FLAGS.get(name, name)
        if isinstance(value, tuple):
            made |= {f"{flag}_min": value[0], f"{flag}_max": value[1]}
        else:
            made[flag] = value
    return made | ({"use_blur": made["blur_p"] > 0} if "blur_p" in made else {})


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
    "max_similar_fraction": 1.0,
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
    "views": None,
    "flip_up_down_p": 0.0,
    "quarter_turns_p": 0.0,
    "rotate_p": 0.0,
    "rotate_degrees": 15.0,
    "elastic_p": 0.0,
    "elastic_displacement": 0.05,
    "gamma_p": 0.0,
    "gamma_min": 0.7,
    "gamma_max": 1.5,
    "levels_p": 0.0,
    "levels_brightness": 0.2,
    "levels_contrast": 0.4,
    "noise_p": 0.0,
    "noise_deviation": 0.1,
    "speckle_p": 0.0,
    "speckle_deviation": 0.2,
    "channel_dropout_p": 0.0,
    "channel_dropout_share": 0.25,
    "erase_p": 0.0,
    "erase_area_min": 0.02,
    "erase_area_max": 0.33,
    "cutout_p": 0.0,
    "cutout_side": 0.5,
    "protocols": None,
    "jit_compile": "off",
    "shuffle": "blocks",
    "num_views": 2,
    "local_views": 0,
    "local_size": None,
    "local_crop_area_min": 0.05,
    "local_crop_area_max": 0.25,
    "local_blur_p": None,
    "pred_hidden_dim": None,
    "lars_eeta": 0.001,
    "eval_patches": 1,
    "channels": None,
    "export_input": "unit",
    "no_data": None,
    "no_data_fill": 0.0,
    "image_key": None,
    "label_key": None,
    "split_key": None,
    "group_by": None,
    "layer_decay": None,
    "adam_beta_2": 0.999,
    "clip_norm": None,
    "weight_decay_end": None,
    "stop_when": None,
    "report": True,
    "compare": None,
    "minutes": 30.0,
    "dry_run": False,
    "count": 100,
    "by": "typical",
    "logger": None,
    "quiet": False,
    "json": False,
}

# Settings whose default leaves them to the device, or to the images, when a run begins: {name:
# (that default, the value of older versions)}. A run goes on with what was chosen.
CHOSEN = {
    "augment_on": ("auto", "host"),
    "jit_compile": ("auto", "off"),
    "steps_per_execution": (0, 1),
    "shuffle": ("auto", "blocks"),
}


# Of images of other channels than RGB, these are left out, and recorded so, by a run.
NEED_RGB = ("jitter_saturation", "jitter_hue", "grayscale_p")


def without_later(settings):
    """Removes settings in LATER that have their default, so that names of runs do not change."""
    for name, (open_value, older) in CHOSEN.items():
        if settings.get(name) == open_value:
            settings = {**settings, name: older}
    return {
        name: value for name, value in settings.items() if name not in LATER or value != LATER[name]
    }
