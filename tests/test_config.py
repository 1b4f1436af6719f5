"""The table of knobs: every check, every pair of flags, every derived value."""

import copy
import dataclasses
import json
import math
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import tfssl
from tfssl.config import (
    CHOSEN,
    DISTILL,
    FREE,
    LATER,
    METHODS,
    MODES,
    TRANSFER,
    Config,
    default_model_dir,
    differences,
    kind,
    sides,
    value_range,
)
from tfssl.config.modes import SERVING
from tfssl.errors import UsageError

REFUSED = [
    ("temperature", 0.0),
    ("temperature", -1.0),
    ("temperature", float("nan")),
    ("train_batch_size", 1),
    ("train_batch_size", 0),
    ("image_size", 0),
    ("image_size", -32),
    ("learning_rate", -0.1),
    ("weight_decay", -1.0),
    ("train_epochs", 0.0),
    ("train_steps", -1),
    ("flip_p", 1.5),
    ("color_jitter_p", -0.1),
    ("crop_area_min", 0.0),
    ("crop_area_max", 1.5),
    ("width_multiplier", 0.0),
    ("proj_out_dim", 0),
    ("num_proj_layers", 0),
    ("seed", -1),
    ("seed", 2**31),
    ("momentum", 1.0),
    ("eval_batch_size", 0),
    ("knn_k", "20,x"),
    ("knn_k", "0"),
    ("knn_temperature", 0.0),
    ("triplet_margin", -0.1),
    ("cpc_patch", 1),
    ("cpc_stride", 0),
    ("memory_size", -1),
    ("memory_decay", 1.5),
    ("distill_temperature", 0.0),
    ("distill_alpha", 1.5),
    ("label_list", " "),
    ("resnet_depth", 20),
    ("stem", "vgg"),
    ("optimizer", "sgd"),
    ("method", "moco"),
    ("mode", "dream"),
    ("precision", "float64"),
    ("dataset", " "),
    ("train_split", ""),
    ("fine_tune_after_block", 5),
    ("use_blur", "yes"),
    ("seed", 1.5),
    ("resnet_depth", True),
    ("train_steps", True),
    ("temperature", "0.5"),
    ("resnet_depth", 18.0),
    ("knn_k", "1,1"),
    ("knn_k", "20, 020"),
    ("knn_k", "1" * 10),
    ("image_size", "1" * 10),
    ("image_size", "\N{ARABIC-INDIC DIGIT EIGHT}"),
    ("train_epochs", 1e308),
    ("temperature", 1e-320),
    ("learning_rate", -1e308),
    ("train_steps", 2**31),
    ("memory_size", 10**12),
    ("proj_out_dim", 2**63),
    ("num_proj_layers", 101),
    ("se_ratio", 17.0),
    ("sk_ratio", 1e9),
    ("eval_name", "../../up"),
    ("eval_name", "a b"),
    ("eval_name", "/"),
]


@pytest.mark.parametrize("name,value", REFUSED)
def test_bad_values_are_refused_with_the_flag_and_the_value(name, value):
    with pytest.raises(UsageError) as refusal:
        Config(**{name: value})
    message = str(refusal.value)
    assert f"--{name}" in message and str(value) in message and "\n" not in message


@pytest.mark.parametrize(
    "name",
    [
        "train_steps",
        "temperature",
        "knn_k",
        "image_size",
        "use_blur",
        "resnet_depth",
        "mode",
        "dataset",
    ],
)
@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**400), (10**5000, 2), "1" * 5000 + "\0"],
    ids=["5001 digits", "401 digits", "a pair", "text"],
)
def test_numbers_that_python_writes_no_more_are_refused_in_one_line(name, value):
    with pytest.raises(UsageError) as refusal:
        Config(**{name: value})
    message = str(refusal.value)
    assert f"--{name} must be" in message and message.isprintable() and len(message) <= 1000


@pytest.mark.parametrize(
    "name,value",
    [
        ("train_steps", 2**31 - 1),
        ("temperature", 2.0**-126),
        ("temperature", 3.4e38),
        ("weight_decay", -0.0),
        ("learning_rate", 10**22),
        ("num_proj_layers", 100),
        ("knn_k", "1,11"),
        ("eval_name", "validation-2.b_c"),
        ("eval_name", ""),
    ],
)
def test_the_last_values_within_a_range_are_taken(name, value):
    assert getattr(Config(**{name: value}), name) == value


OF_OTHER_MODES = [
    ("pretrain", "minutes", 5.0, "plan"),
    ("finetune", "count", 10, "select"),
    ("knn", "by", "random", "select"),
    ("train", "full", True, "doctor"),
    ("plan", "format", "onnx", "export"),
    ("eval", "compare", "runs/B", "report"),
]


@pytest.mark.parametrize("mode,name,value,other", OF_OTHER_MODES)
def test_what_another_mode_alone_reads_is_refused(mode, name, value, other):
    with pytest.raises(UsageError) as refusal:
        Config(mode=mode, checkpoint="x" if mode == "finetune" else None, **{name: value})
    expected = f"--{name} is for --mode={other}. Received: {value} with --mode={mode}"
    assert str(refusal.value) == expected
    assert getattr(Config(mode=other, **{name: value}), name) == value


def test_a_plan_refuses_what_a_pretraining_refuses_in_its_own_name():
    with pytest.raises(UsageError, match="--checkpoint concerns .*; --mode=plan does not take it"):
        Config(mode="plan", checkpoint="runs/x")


@pytest.mark.parametrize("inside", ["photos", "photos/", "photos/runs/one", "./photos/../photos"])
def test_a_run_does_not_write_into_the_folder_of_its_images(inside):
    with pytest.raises(UsageError, match=f"--model_dir must be outside .*Received: {inside} in "):
        Config(dataset="./photos", model_dir=inside)
    assert Config(dataset="./photos", model_dir="photos2").model_dir == "photos2"
    assert Config(dataset="./photos/x.csv", model_dir=inside).model_dir == inside


def test_what_was_received_is_shown_on_one_line():
    with pytest.raises(UsageError) as refusal:
        Config(mode="a\nb\x1b[2J\ud800")
    assert str(refusal.value).endswith(r"Received: a\nb\x1b[2J\ud800")


@pytest.mark.parametrize(
    "low,high", [("crop_area_min", "crop_area_max"), ("blur_sigma_min", "blur_sigma_max")]
)
def test_ranges_must_be_in_order(low, high):
    with pytest.raises(UsageError, match=f"--{low} must not exceed --{high}"):
        Config(**{low: 0.9, high: 0.5})


def test_ranges_of_view_2_must_be_in_order_too():
    with pytest.raises(UsageError, match="--view2_blur_sigma_min must not exceed"):
        Config(view2_blur_sigma_min=3.0)  # above the largest of both views


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


@pytest.mark.parametrize("method", ["npair", "triplet", "cpc"])
def test_methods_without_defaults_of_their_own_take_simclrs(method):
    assert Config(method=method) == Config(method="simclr").replace(method=method)


def test_byol_brings_its_own_defaults():
    """Grill et al. 2020, Appendix B and Table 6; byol/configs/byol.py for 100 epochs."""
    config = Config(method="byol")
    assert (config.color_jitter_strength, config.brightness_mode) == (1.0, "additive")
    assert (config.jitter_brightness, config.jitter_contrast) == (0.4, 0.4)
    assert (config.jitter_saturation, config.jitter_hue) == (0.2, 0.1)
    assert [config.of_view("blur_p", view) for view in (1, 2)] == [1.0, 0.1]
    assert [config.of_view("solarize_p", view) for view in (1, 2)] == [0.0, 0.2]
    assert config.use_blur and config.lars_form == "popular"
    assert (config.proj_hidden_dim, config.proj_out_dim, config.num_proj_layers) == (4096, 256, 2)
    assert config.input_normalization == "imagenet"
    assert (config.learning_rate, config.weight_decay, config.base_target_decay) == (
        0.45,
        1e-6,
        0.99,
    )


@pytest.mark.parametrize(
    "epochs,rate,decay,target_decay",
    [
        (40, 0.45, 1e-6, 0.97),
        (100, 0.45, 1e-6, 0.99),
        (300, 0.3, 1e-6, 0.99),
        (1000, 0.2, 1.5e-6, 0.996),
        (10, 0.45, 1e-6, 0.97),
        (5000, 0.2, 1.5e-6, 0.996),
    ],
)
def test_byols_presets_follow_the_epochs(epochs, rate, decay, target_decay):
    config = Config(method="byol", train_epochs=epochs)
    assert (config.learning_rate, config.weight_decay, config.base_target_decay) == (
        rate,
        decay,
        target_decay,
    )


def test_presets_between_two_lengths_lie_between_and_flags_beat_them():
    config = Config(method="byol", train_epochs=math.sqrt(40 * 100), weight_decay=0.5)
    assert config.base_target_decay == pytest.approx(1 - math.sqrt(0.03 * 0.01))
    assert config.weight_decay == 0.5
    assert Config(method="byol", train_epochs=math.sqrt(300 * 1000)).learning_rate == (
        pytest.approx(0.25)
    )


def test_a_setting_of_both_views_holds_for_view_2_unless_it_has_its_own():
    config = Config(grayscale_p=0.7, flip_p=0.1, view2_flip_p=0.9)
    assert [config.of_view("grayscale_p", view) for view in (1, 2)] == [0.7, 0.7]
    assert [config.of_view("flip_p", view) for view in (1, 2)] == [0.1, 0.9]


def test_an_integer_serves_as_a_float():
    assert isinstance(Config(train_epochs=5).train_epochs, float)


@pytest.mark.parametrize(
    "settings,task,trains,evaluates",
    [
        (dict(mode="pretrain"), "pretrain", True, True),
        (dict(mode="eval"), "pretrain", False, True),
        (dict(mode="linear_eval"), "pretrain", False, True),
        (dict(mode="train", train_mode="pretrain"), "pretrain", True, False),
        (dict(mode="train_then_eval", train_mode="pretrain"), "pretrain", True, True),
        (dict(mode="train", train_mode="finetune", checkpoint="run"), "finetune", True, False),
        (dict(mode="finetune", checkpoint="run"), "finetune", True, True),
        (dict(mode="knn", checkpoint="run"), "pretrain", False, True),
        (dict(mode="predict", checkpoint="run"), "pretrain", False, False),
        (dict(mode="distill", teacher="run"), "distill", True, True),
        (dict(mode="train", train_mode="distill", teacher="run"), "distill", True, False),
    ],
)
def test_what_a_mode_does(settings, task, trains, evaluates):
    config = Config(**settings)
    assert (config.task, config.trains, config.evaluates) == (task, trains, evaluates)


def test_finetuning_has_defaults_of_its_own():
    config = Config(mode="finetune", checkpoint="run")
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("momentum", 0.05, 0)
    assert (config.train_epochs, config.train_batch_size, config.warmup_epochs) == (60, 256, 0)
    assert Config(mode="finetune", checkpoint="run", learning_rate=1.0).learning_rate == 1
    assert config.replace(mode="eval", train_mode="finetune").learning_rate == 0.05


def test_distillation_has_defaults_of_its_own():
    config = Config(mode="distill", teacher="run")
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("momentum", 0.1, 1e-4)
    assert (config.checkpoint, config.distill_temperature, config.distill_alpha) == ("none", 1, 1)
    assert config.replace(mode="eval", train_mode="distill").train_batch_size == 256


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(mode="distill"), "--mode=distill needs --teacher"),
        (dict(teacher="run"), "--teacher concerns distillation; --mode=pretrain does not take it"),
        (
            dict(mode="finetune", checkpoint="run", distill_alpha=0.5),
            "--distill_alpha concerns distillation; --mode=finetune does not",
        ),
        (dict(mode="distill", teacher="run", label_fraction=0.1), "needs --distill_alpha below 1"),
        (dict(mode="distill", teacher="run", label_list="list"), "needs --distill_alpha below 1"),
        (
            dict(mode="distill", teacher="run", ft_proj_selector=1),
            "--ft_proj_selector concerns finetuning; distillation does not",
        ),
        (
            dict(mode="finetune", checkpoint="run", label_fraction=0.1, label_list="list"),
            "--label_fraction must not be given with it",
        ),
    ],
)
def test_what_belongs_to_distillation(changes, said):
    with pytest.raises(UsageError, match=said):
        Config(**changes)


@pytest.mark.parametrize(
    "size,expected",
    [
        (32, (32, 32)),
        ("32", (32, 32)),
        ("48x64", (48, 64)),
        ("0", None),
        ("4x0", None),
        ("48x", None),
        ("x48", None),
        ("1x2x3", None),
        ("-3", None),
        ("3.5", None),
    ],
)
def test_sizes_are_a_side_or_height_and_width(size, expected):
    assert sides(size) == expected
    if expected:
        assert sides(Config(image_size=size).image_size) == expected
    else:
        with pytest.raises(UsageError, match="--eval_image_size must be a side in pixels"):
            Config(eval_image_size=size)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("auto", "auto"),
        ("dtype", "dtype"),
        ("0,4095", (0, 4095)),
        ("-1, 0.5", (-1, 0.5)),
        ("", None),
        ("12", None),
        ("0,1,2", None),
        ("a,b", None),
        ("1,1", None),
        ("2,1", None),
        ("0,inf", None),
        ("nan,1", None),
        ("-1e308,1e308", None),
        ("AUTO", None),
    ],
)
def test_ranges_of_values_are_words_or_two_numbers(text, expected):
    assert value_range(text) == expected
    if expected:
        assert Config(value_range=text).value_range == text
    else:
        with pytest.raises(
            UsageError,
            match="--value_range must be auto, dtype, percentiles, ",
        ):
            Config(value_range=text)


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(mode="finetune"), "--mode=finetune needs --checkpoint"),
        (dict(fine_tune_after_block=4), "--fine_tune_after_block concerns finetuning"),
        (dict(checkpoint="run"), "--checkpoint concerns finetuning"),
        (dict(label_fraction=0.1), "--label_fraction concerns finetuning"),
        (dict(label_list="list"), "--label_list concerns finetuning"),
        (dict(stem="keep"), "--stem=keep needs a --checkpoint"),
    ],
)
def test_what_belongs_to_finetuning_alone(changes, said):
    with pytest.raises(UsageError, match=said):
        Config(**changes)


def test_contradicting_modes_are_refused():
    with pytest.raises(UsageError, match="--mode=pretrain contradicts --train_mode=finetune"):
        Config(mode="pretrain", train_mode="finetune")


@pytest.mark.parametrize("method", ["byol", "npair", "triplet", "cpc"])
def test_the_memory_is_simclrs(method):
    with pytest.raises(UsageError, match=f"--memory_size concerns --method=simclr.*={method}"):
        Config(method=method, memory_size=64)


@pytest.mark.parametrize(
    "changes,said",
    [
        (
            dict(color_jitter_strength=3.0),
            "--color_jitter_strength times --jitter_hue must be at most",
        ),
        (
            dict(view2_jitter_hue=0.6, color_jitter_strength=1.0),
            "--view2_color_jitter_strength times",
        ),
    ],
)
def test_the_hue_turns_by_half_a_circle_at_most(changes, said):
    with pytest.raises(UsageError, match=said):
        Config(**changes)


def test_neighbours():
    assert Config(knn_k="5, 20").neighbours == (5, 20)
    assert Config(knn_k="").neighbours == ()


@pytest.mark.parametrize(
    "name,value,text",
    [
        ("knn_k", 20, "20"),
        ("knn_k", (20, 200), "20,200"),
        ("knn_k", [5], "5"),
        ("knn_k", (), ""),
        ("knn_k", np.int64(7), "7"),
        ("image_size", 48, "48"),
        ("image_size", (48, 64), "48x64"),
        ("image_size", [48, 64], "48x64"),
        ("eval_image_size", (48, 64), "48x64"),
        ("eval_image_size", np.int64(48), "48"),
    ],
)
def test_integers_in_python_stand_for_their_text(name, value, text):
    """The record stays text, so that both spellings are one configuration."""
    config = Config(**{name: value})
    assert getattr(config, name) == text and config == Config(**{name: text})
    assert differences(config, Config(**{name: text})) == []


@pytest.mark.parametrize(
    "name,value",
    [
        ("knn_k", (20, "x")),
        ("knn_k", -1),
        ("knn_k", (5, 0)),
        ("knn_k", True),
        ("knn_k", 2.5),
        ("image_size", (48, 64, 3)),
        ("image_size", (0, 4)),
        ("image_size", True),
        ("image_size", 32.0),
        ("eval_image_size", (48.0, 64)),
        ("train_split", (1, 2)),
    ],
)
def test_other_things_in_python_are_refused_in_one_sentence(name, value):
    expected = {
        "knn_k": "different positive integers separated by commas",
        "train_split": "of type str",
    }.get(name, "a side in pixels, or HEIGHTxWIDTH such as 48x64")
    with pytest.raises(UsageError) as refusal:
        Config(**{name: value})
    assert f"--{name} must be {expected}. Received: " in str(refusal.value)


def other_value(field):
    """A valid value of a knob that is not its default."""
    of_type, _, choices = kind(field)
    default = getattr(Config(), field.name)
    if choices:
        return next(c for c in choices if c not in (default, "finetune", "distill", "keep"))
    if of_type is bool:
        return not default
    if of_type is str:
        number = field.name == "knn_k" or field.name.endswith(
            ("image_size", "encoder_size", "local_size")
        )
        ranges = {
            "value_range": "0,4095",
            "input_range": "0,255",
            "no_data": "0",
            "data_service": "node2:5050",
            "input_normalization": "0.5/0.2",
            "views": "drawing",
        }
        return "7" if number else ranges.get(field.name, "other")
    return {
        "crop_area_max": 0.9,
        "crop_area_min": 0.5,
        "local_crop_area_min": 0.1,
        "local_crop_area_max": 0.4,
        "local_blur_p": 0.1,
        "eval_patches": 4,
        "crop_aspect_min": 0.5,
        "blur_sigma_min": 0.2,
        "solarize_threshold": 0.3,
        "blur_p": 0.1,
        "flip_p": 0.1,
        "batch_norm_decay": 0.8,
        "color_jitter_p": 0.1,
        "grayscale_p": 0.1,
        "solarize_p": 0.1,
        "momentum": 0.5,
        "eval_crop_proportion": 0.5,
        "base_target_decay": 0.5,
        "label_fraction": 0.5,
        "max_bad_fraction": 0.5,
        "max_shared_fraction": 0.5,
        "embed_points": 11,
        "memory_decay": 0.5,
        "distill_alpha": 0.5,
        "jitter_hue": 0.3,
        "color_jitter_strength": 1.5,
        "gamma_min": 0.5,
        "erase_area_max": 0.5,
    }.get(field.name.removeprefix("view2_"), valid(field, of_type(4)))


def valid(field, value):
    """The value, or a fraction that a setting accepts instead."""
    check = field.metadata["check"]
    return value if check is None or check[0](value) else type(value)(0.3)


TASKS = [  # what is trained, in each spelling; None takes back what others need
    dict(mode="pretrain", train_mode=None, checkpoint=None, teacher=None),
    dict(mode="finetune", train_mode=None, checkpoint="run", teacher=None),
    dict(mode="distill", train_mode=None, checkpoint=None, teacher="run"),
    dict(mode="train", train_mode="finetune", checkpoint="none", teacher=None),
    dict(mode="train_then_eval", train_mode="distill", checkpoint=None, teacher="run"),
    dict(mode="eval", train_mode="pretrain", checkpoint=None, teacher=None),
]
FREELY = [
    field
    for field in dataclasses.fields(Config)
    if field.name not in {name for task in TASKS for name in task}
]


@st.composite
def some_knobs(draw):
    """A random subset of the knobs: other values, SimCLR's defaults, or None."""
    fields = draw(st.lists(st.sampled_from(FREELY), max_size=8, unique_by=lambda f: f.name))
    values = {f.name: draw(st.sampled_from((other_value(f), f.default, None))) for f in fields}
    if values.get("method", "") is None:  # which is no method
        del values["method"]
    method = {"method": draw(st.sampled_from(list(METHODS)))} if draw(st.booleans()) else {}
    return values | method | draw(st.sampled_from([{}, *TASKS]))


def made(settings):
    """What a Config of these settings is, or why there is none."""
    try:
        return Config(**settings)
    except UsageError as error:
        return str(error)


@hypothesis.settings(max_examples=150, derandomize=True, database=None, deadline=None)
@hypothesis.given(some_knobs(), some_knobs())
def test_a_replacement_is_as_if_it_had_been_asked_for_at_once(first, changes):
    together = {**first, **changes}
    config, expected = made(first), made(together)
    hypothesis.assume(isinstance(config, Config))
    try:
        replaced = config.replace(**changes)
    except UsageError as error:
        assert str(error) == expected
        return
    assert replaced == expected
    assert replaced.asked == expected.asked
    assert replaced.asked == {name for name, value in together.items() if value is not None}


@pytest.mark.parametrize("method", METHODS)
def test_another_method_brings_its_defaults(method):
    assert Config().replace(method=method) == Config(method=method)
    assert Config(method="byol").replace(method=method) == Config(method=method)


def test_a_value_that_was_asked_for_stays_where_it_is_the_default_too():
    asked = Config(learning_rate=1.0, use_blur=False, train_epochs=100)
    assert asked == Config() and hash(asked) == hash(Config())
    assert asked.asked == {"learning_rate", "use_blur", "train_epochs"}
    replaced = asked.replace(method="byol")
    assert (replaced.learning_rate, replaced.use_blur) == (1.0, False)
    assert replaced.color_jitter_strength == 1.0 and replaced.weight_decay == 1e-6
    tuned = asked.replace(mode="finetune", checkpoint="run")
    assert (tuned.train_epochs, tuned.learning_rate, tuned.train_batch_size) == (100, 1.0, 256)


def test_a_value_is_taken_back_by_none():
    config = Config(method="byol", learning_rate=7.0, proj_hidden_dim=8)
    assert config.replace(learning_rate=None, proj_hidden_dim=None) == Config(method="byol")


def test_defaults_that_follow_the_epochs_follow_them_again():
    config = Config(method="byol", train_epochs=40.0)
    assert config.base_target_decay == 0.97
    assert config.replace(train_epochs=1000).base_target_decay == 0.996


@hypothesis.settings(max_examples=100, derandomize=True, database=None, deadline=None)
@hypothesis.given(some_knobs())
def test_a_record_asks_for_every_value(settings):
    config = made(settings)
    hypothesis.assume(isinstance(config, Config))
    record = json.loads(json.dumps(config.to_dict()))
    read = Config(**record)
    assert read == config == config.explicit() and read.to_dict() == config.to_dict()
    assert read.asked == {name for name, value in record.items() if value is not None}
    assert read.asked == config.explicit().asked >= config.asked
    assert default_model_dir(read, {}) == default_model_dir(config, {})


def test_a_record_keeps_its_values_with_another_method():
    there = Config(**Config(model_dir="run").to_dict())
    other = there.replace(method="byol")
    assert (other.learning_rate, other.use_blur, other.lars_form) == (1.0, False, "classic")
    assert other.method == "byol" and other.model_dir == "run"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda c: c.replace()])
def test_copies_remember_what_was_asked_for(duplicate):
    config = Config(temperature=0.25, learning_rate=1.0)
    assert duplicate(config) == config
    assert duplicate(config).asked == {"temperature", "learning_rate"}
    assert duplicate(config).replace(method="byol").learning_rate == 1.0


def test_a_config_of_another_process_remembers_too():
    config = pickle.loads(pickle.dumps(Config(temperature=0.5)))
    assert config.asked == {"temperature"} and config.replace(method="byol").use_blur


def test_a_setting_that_there_is_not_is_refused():
    with pytest.raises(TypeError, match="temprature"):
        Config(temprature=1.0)
    with pytest.raises(TypeError, match="temprature"):
        Config().replace(temprature=1.0)


def test_what_was_asked_for_is_no_part_of_what_is_recorded():
    config = Config(temperature=0.5)
    assert "asked" not in config.to_dict() and "asked" not in repr(config)
    assert list(config.to_dict()) == [field.name for field in dataclasses.fields(Config)]


def test_a_function_is_no_value():
    with pytest.raises(UsageError, match="--learning_rate must be of type float"):
        Config(learning_rate=lambda config: 1.0)


@pytest.mark.parametrize("given", [dict(optimizer="lars"), dict(learning_rate=0.05)])
def test_the_network_of_a_checkpoint_leaves_the_training_as_it_was(given):
    """LARS of a finetuned BYOL is the classic one, as it always was."""
    from tfssl.storage import networks, pretrained

    about = networks.describe(Config(method="byol"), "cifar", (32, 32), step=1)
    config = Config(mode="finetune", checkpoint="run", **given)
    adopted = pretrained.adopt(config, config.asked, about, "run")
    assert (adopted.method, adopted.proj_hidden_dim, adopted.stem) == ("byol", 4096, "cifar")
    assert differences(adopted, config) == [
        "view2_blur_p",
        "view2_solarize_p",
        "stem",
        "input_normalization",
        "method",
        "proj_out_dim",
        "proj_hidden_dim",
        "num_proj_layers",
    ]


@pytest.mark.parametrize("mode", ["finetune", "knn", "embed", "distill"])
@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_of_any_method_is_taken_by_any_mode(method, mode):
    from tfssl.storage import networks, pretrained

    about = networks.describe(Config(method=method), "cifar", (32, 32), step=1)
    taken = {"teacher": "run"} if mode == "distill" else {"checkpoint": "run"}
    config = Config(mode=mode, **taken)
    adopted = pretrained.adopt(config, config.asked, about, "run")
    assert adopted.method == method and adopted.mode == mode


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_can_be_asked_for_is_a_class_that_python_has_too(method):
    from tfssl.runner import build

    made = build.class_of(method)
    assert issubclass(made, tfssl.SelfSupervised) and getattr(tfssl, made.__name__) is made


def test_methods_have_defaults_for_knobs_that_there_are_and_values_that_they_take():
    names = {field.name for field in dataclasses.fields(Config)}
    for method, facts in METHODS.items():
        assert {*facts.defaults, *facts.takes} <= names
        assert Config(method=method).method == method


def test_a_training_goes_on_in_the_order_of_its_images_alone():
    one, streamed = Config(), Config(cache_dataset=False)
    assert differences(one, streamed) == []
    assert differences(one, streamed, goes_on=True) == ["cache_dataset"]
    in_blocks = one.replace(shuffle="blocks")
    assert differences(one, in_blocks) == []
    assert differences(one, in_blocks, goes_on=True) == ["shuffle"]
    larger = {"eval_image_size": "40"}  # for which shapes draws the training images too
    for dataset, differing in (("shapes", ["eval_image_size"]), ("cifar10", [])):
        base = Config(dataset=dataset)
        assert differences(base, base.replace(**larger), goes_on=True) == differing


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda f: f.name)
def test_free_knobs_alone_leave_the_run_the_same(field):
    plain = {
        TRANSFER: dict(mode="finetune", checkpoint="run"),  # which pretraining refuses
        DISTILL: dict(mode="distill", teacher="run"),
    }.get(field.metadata["group"], {})
    plain |= {"mode": name for name, mode in MODES.items() if field.name in mode.own}
    if plain.get("mode") in SERVING:
        plain["data_service"] = "node1:5050"
    if field.name == "positives":  # the other methods refuse it
        plain |= {"method": "npair"}
    elif field.name in ("num_views", "local_views") or field.name.startswith("local_"):
        plain |= {"method": "swav"}
    elif field.name == "pred_hidden_dim":
        plain |= {"method": "simsiam"}
    other = other_value(field)
    if field.name in CHOSEN:  # the default takes the name of what older versions did
        plain[field.name] = CHOSEN[field.name][1]
        others = {"augment_on": "device", "jit_compile": "on", "steps_per_execution": 5}
        other = {**others, "shuffle": "whole"}[field.name]
    base, changed = Config(**plain), Config(**{**plain, field.name: other})
    same_run = field.name in FREE
    differing = differences(base, changed)
    if field.name in ("method", "views"):  # they bring defaults of their own
        assert field.name in differing and len(differing) > 5
    else:
        assert differing == ([] if same_run else [field.name])
    if field.name != "mode":  # whose results are another thing, in another place
        assert (default_model_dir(base, {}) == default_model_dir(changed, {})) == same_run


def test_knobs_that_came_later_leave_the_names_of_runs_as_they_were():
    """So that a run of before is found again by the same command."""
    assert default_model_dir(Config(), {}) == "runs/simclr-cifar10-r18-b512-e899d0e8"
    assert default_model_dir(Config(proj_batch_norm=False), {}) != default_model_dir(Config(), {})
    older = Config(**{name: value for name, (_, value) in CHOSEN.items()})
    assert default_model_dir(older, {}) == default_model_dir(Config(), {})
    assert all(getattr(older, name) == value for name, value in LATER.items())
