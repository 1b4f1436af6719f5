"""Settings that change nothing beside others: they are told where they are given."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tfssl.config.identity import ARCHITECTURE

DECOUPLED = ("adamw", "lion", "muon")  # optimizers with a weight decay of their own
COLOURS = ("jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue")


class Dependent(NamedTuple):
    """Settings with an effect only beside certain values of others.

    Attributes:
        names: the settings.
        needs: what must be given, for messages.
        effective: (value) -> whether they have an effect, where value(name) is the value of another
            setting.
    """

    names: tuple[str, ...]
    needs: str
    effective: Callable[[Callable], bool]


OF_TRAINING = (
    Dependent(
        ("lars_form", "lars_eeta"), "--optimizer=lars", lambda value: value("optimizer") == "lars"
    ),
    Dependent(
        ("momentum",),
        "--optimizer=lars or momentum",
        lambda value: value("optimizer") in ("lars", "momentum"),
    ),
    Dependent(
        ("adam_beta_2",),
        "--optimizer=adam, adamw or muon",
        lambda value: value("optimizer") in ("adam", "adamw", "muon"),
    ),
    Dependent(
        ("weight_decay_end",),
        "--optimizer=adamw, lion or muon",
        lambda value: value("optimizer") in DECOUPLED,
    ),
    Dependent(
        ("train_epochs",),
        "--train_steps=0",
        # Defaults of a method that depend on the epochs are computed from them all the same.
        lambda value: (
            not value("train_steps") or any(map(callable, value("facts").defaults.values()))
        ),
    ),
    Dependent(
        ("checkpoint_epochs",), "--checkpoint_steps=0", lambda value: not value("checkpoint_steps")
    ),
    Dependent(
        ("resnet_depth", "width_multiplier", "stem", "sk_ratio", "se_ratio"),
        "--encoder=resnet",
        lambda value: value("encoder") == "resnet",
    ),
    Dependent(
        ("encoder_size", "input_range"),
        "another --encoder than resnet",
        lambda value: value("encoder") != "resnet",
    ),
)

OF_PRETRAINING = (
    Dependent(("memory_decay",), "--memory_size", lambda value: value("memory_size") > 0),
    Dependent(
        ("proj_hidden_dim", "num_proj_layers"),
        "--proj_head_mode=nonlinear",
        lambda value: value("proj_head_mode") == "nonlinear",
    ),
    Dependent(
        ("proj_out_dim", "proj_batch_norm"),
        "another --proj_head_mode than none",
        lambda value: value("proj_head_mode") != "none",
    ),
)


def _jittered(value, names=COLOURS):
    return value("color_jitter_p") > 0 and any(value(name) > 0 for name in names)


OF_VIEW = (
    Dependent(
        COLOURS,
        "--color_jitter_p and --color_jitter_strength above 0",
        lambda value: value("color_jitter_p") > 0 and value("color_jitter_strength") > 0,
    ),
    Dependent(
        ("color_jitter_strength",),
        "--color_jitter_p and a strength such as --jitter_brightness above 0",
        _jittered,
    ),
    Dependent(
        ("color_jitter_p",),
        "--color_jitter_strength and another strength above 0",
        lambda value: value("color_jitter_strength") > 0 and any(map(value, COLOURS)),
    ),
    Dependent(
        ("brightness_mode",),
        "--color_jitter_p, --color_jitter_strength and --jitter_brightness above 0",
        lambda value: (
            value("color_jitter_strength") > 0 and _jittered(value, ("jitter_brightness",))
        ),
    ),
    Dependent(("blur_p",), "--use_blur", lambda value: value("use_blur")),
    Dependent(("use_blur",), "--blur_p above 0", lambda value: value("blur_p") > 0),
    Dependent(
        ("blur_sigma_min", "blur_sigma_max", "blur_padding"),
        "--use_blur and --blur_p above 0",
        lambda value: value("use_blur") and value("blur_p") > 0,
    ),
    *(
        Dependent(
            names, f"--{probability} above 0", lambda value, name=probability: value(name) > 0
        )
        for probability, names in {
            "solarize_p": ("solarize_threshold",),
            "rotate_p": ("rotate_degrees",),
            "elastic_p": ("elastic_displacement",),
            "gamma_p": ("gamma_min", "gamma_max"),
            "levels_p": ("levels_brightness", "levels_contrast"),
            "noise_p": ("noise_deviation",),
            "speckle_p": ("speckle_deviation",),
            "channel_dropout_p": ("channel_dropout_share",),
            "erase_p": ("erase_area_min", "erase_area_max"),
            "cutout_p": ("cutout_side",),
        }.items()
    ),
)


def idle(config) -> dict[str, str]:
    """The settings of a training that change nothing of it, whatever their value.

    Args:
        config: a `tfssl.Config`.

    Returns:
        {setting: what it needs to have an effect, for messages}.
    """
    if not config.trains:
        return {}
    pretrains = config.task == "pretrain"
    tables = [*OF_TRAINING, *(OF_PRETRAINING if pretrains else ())]
    made = {
        name: row.needs
        for row in tables
        if not row.effective(lambda name: getattr(config, name))
        for name in row.names
        if not (config.loads and name in ARCHITECTURE)  # compared with what is loaded
    }
    return made | dict(_of_views(config)) if pretrains and not config.own_views else made


def _of_views(config) -> Iterator[tuple[str, str]]:
    """The settings of augmentation that change no view, with what they need."""
    fields = type(config).__dataclass_fields__
    for row in OF_VIEW:
        first, second = (
            view <= config.num_views
            and row.effective(lambda name, view=view: config.of_view(name, view))
            for view in (1, 2)
        )
        for name in row.names:
            own = f"view2_{name}" if f"view2_{name}" in fields else None
            replaced = own and getattr(config, own) is not None  # view 2 does not read this one
            if not (first or second and not replaced):
                yield name, row.needs
            if own and not second:
                yield own, f"{row.needs} in view 2"
