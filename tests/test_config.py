"""The table of knobs: every check, every pair of flags, every derived value."""

import dataclasses

import pytest

from tfssl.config import FREE, Config, default_model_dir, differences, kind
from tfssl.errors import UsageError

REFUSED = [
    ("temperature", 0.0), ("temperature", -1.0), ("temperature", float("nan")),
    ("train_batch_size", 1), ("train_batch_size", 0), ("image_size", 0), ("image_size", -32),
    ("learning_rate", -0.1), ("weight_decay", -1.0), ("train_epochs", 0.0), ("train_steps", -1),
    ("flip_p", 1.5), ("color_jitter_p", -0.1), ("crop_area_min", 0.0), ("crop_area_max", 1.5),
    ("width_multiplier", 0.0), ("proj_out_dim", 0), ("num_proj_layers", 0), ("seed", -1), ("seed", 2**31),
    ("momentum", 1.0), ("eval_batch_size", 0), ("knn_k", "20,x"), ("knn_k", "0"),
    ("knn_temperature", 0.0), ("resnet_depth", 20), ("stem", "vgg"), ("optimizer", "sgd"),
    ("method", "moco"), ("mode", "predict"), ("precision", "float64"), ("dataset", " "),
    ("train_split", ""), ("fine_tune_after_block", 5), ("use_blur", "yes"), ("seed", 1.5),
    ("resnet_depth", True), ("train_steps", True), ("temperature", "0.5"),
]


@pytest.mark.parametrize("name,value", REFUSED)
def test_bad_values_are_refused_with_the_flag_and_the_value(name, value):
    with pytest.raises(UsageError) as refusal:
        Config(**{name: value})
    message = str(refusal.value)
    assert f"--{name}" in message and str(value) in message and "\n" not in message


@pytest.mark.parametrize("low,high", [("crop_area_min", "crop_area_max"),
                                      ("blur_sigma_min", "blur_sigma_max")])
def test_ranges_must_be_in_order(low, high):
    with pytest.raises(UsageError, match=f"--{low} must not exceed --{high}"):
        Config(**{low: 0.9, high: 0.5})


def test_every_knob_has_a_group_and_a_help_text():
    for field in dataclasses.fields(Config):
        assert field.metadata["group"] and len(field.metadata["help"]) > 10, field.name


def test_defaults_are_the_recipe_of_table_4():
    config = Config()
    assert (config.resnet_depth, config.train_batch_size, config.temperature) == (18, 512, 0.25)
    assert (config.color_jitter_strength, config.use_blur) == (0.25, False)
    assert config.optimizer == "lars"
    assert (config.learning_rate, config.weight_decay, config.train_epochs) == (1.0, 1e-4, 100)
    assert (config.warmup_epochs, config.num_proj_layers, config.proj_out_dim) == (10, 3, 128)


def test_an_integer_serves_as_a_float():
    assert isinstance(Config(train_epochs=5).train_epochs, float)


@pytest.mark.parametrize("settings,task,trains,evaluates", [
    (dict(mode="pretrain"), "pretrain", True, True),
    (dict(mode="eval"), "pretrain", False, True),
    (dict(mode="train", train_mode="pretrain"), "pretrain", True, False),
    (dict(mode="train_then_eval", train_mode="pretrain"), "pretrain", True, True),
    (dict(mode="train", train_mode="finetune"), "finetune", True, False),
    (dict(mode="finetune"), "finetune", True, True),
])
def test_what_a_mode_does(settings, task, trains, evaluates):
    config = Config(**settings)
    assert (config.task, config.trains, config.evaluates) == (task, trains, evaluates)


def test_contradicting_modes_are_refused():
    with pytest.raises(UsageError, match="--mode=pretrain contradicts --train_mode=finetune"):
        Config(mode="pretrain", train_mode="finetune")


def test_neighbours():
    assert Config(knn_k="5, 20").neighbours == (5, 20)
    assert Config(knn_k="").neighbours == ()


def other_value(field):
    """A valid value of a knob that is not its default."""
    of_type, _, choices = kind(field)
    if choices:
        return next(c for c in choices if c != field.default and c != "finetune")
    if of_type is bool:
        return not field.default
    if of_type is str:
        return "7" if field.name == "knn_k" else "other"
    return {"crop_area_max": 0.9, "crop_area_min": 0.5, "crop_aspect_min": 0.5,
            "blur_sigma_min": 0.2, "solarize_threshold": 0.3, "blur_p": 0.1, "flip_p": 0.1,
            "batch_norm_decay": 0.8, "color_jitter_p": 0.1, "grayscale_p": 0.1,
            "solarize_p": 0.1, "momentum": 0.5, "eval_crop_proportion": 0.5}.get(
                field.name, of_type(4))


CHANGEABLE = [f for f in dataclasses.fields(Config) if f.name != "method"]  # there is one method


@pytest.mark.parametrize("field", CHANGEABLE, ids=lambda f: f.name)
def test_free_knobs_alone_leave_the_run_the_same(field):
    changed = Config(**{field.name: other_value(field)})
    same_run = field.name in FREE
    assert differences(Config(), changed) == ([] if same_run else [field.name])
    assert (default_model_dir(Config()) == default_model_dir(changed)) == same_run
