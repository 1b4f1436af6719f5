"""Settings without an effect are told, and only these: shown by changing them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import flags
from tests.helpers import spared, tiny_config
from tfssl import Config
from tfssl.config import VIEW_FLAGS, effects, idle, kind
from tfssl.runner import optimizers, program, recipes
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
OF_VIEW = [name for row in effects.OF_VIEW for name in row.names]
ALL = {name: 0.5 for name in OF_VIEW if name.endswith("_p")} | {
    name: 0.5
    for row in effects.OF_VIEW
    for name in [row.needs.removeprefix("--").removesuffix(" above 0")]
    if name in FIELDS
}
BESIDE = {
    "standard": {},
    "microscopy": dict(views="microscopy"),
    "byol": dict(method="byol"),
    "all": {**ALL, "use_blur": True},
    "nothing": dict(color_jitter_p=0.0, grayscale_p=0.0, solarize_p=0.0, use_blur=True, blur_p=0.0),
    "no strength": dict(color_jitter_strength=0.0),
    "first view": dict(solarize_p=0.5, view2_solarize_p=0.0, view2_color_jitter_strength=0.0),
    "second view": dict(color_jitter_p=0.0, view2_color_jitter_p=0.5, view2_solarize_p=0.5),
    "one view": dict(method="simmim", use_blur=True, solarize_p=0.5),
}
IMAGES = np.random.default_rng(0).random((64, 8, 8, 3), np.float32)
QUICK = "standard", "microscopy", "second view"


def views(config):
    """The views of a few images, by the flags."""
    made = recipes.views(config, (8, 8))
    return [np.asarray(view(tf.constant(IMAGES), tf.constant([1, 2]))) for view in made]


def other(config, name):
    """Another valid value of a setting, whose effect shows on a few images."""
    of_type, _, choices = kind(FIELDS[name])
    base = name.removeprefix("view2_")
    value = config.of_view(base, 2) if base != name else getattr(config, name)
    if choices:
        return next(choice for choice in choices if choice != value)
    if of_type is bool:
        return not value
    if name.endswith("_p"):
        return 0.6 if value != 0.6 else 0.9
    if name.endswith("_min"):
        return (value + getattr(config, f"{base.removesuffix('_min')}_max")) / 2
    return value * 1.6 + 0.01


@pytest.mark.parametrize("beside", [b if b in QUICK else spared(b) for b in BESIDE])
def test_a_setting_of_augmentation_is_idle_exactly_if_it_changes_no_view(beside):
    config = Config(**BESIDE[beside])
    told, before, wrong = idle(config), views(config), {}
    names = [*OF_VIEW, *(f"view2_{name}" for name in OF_VIEW if f"view2_{name}" in FIELDS)]
    for name in names:
        after = views(config.replace(**{name: other(config, name)}))
        changes = not all(map(np.array_equal, before, after))
        if changes == (name in told):
            wrong[name] = "changes views" if changes else "changes none"
    assert not wrong
    assert set(VIEW_FLAGS.values()) <= set(names)


@pytest.mark.parametrize("optimizer", ["lars", "momentum", "adam", "adamw", "lion", "muon"])
def test_a_setting_of_the_optimizer_is_idle_exactly_if_it_changes_none(optimizer, tmp_path):
    job = plan(tiny_config(tmp_path, optimizer=optimizer))
    model = build_model(job)

    def built(**settings):
        with_them = dataclasses.replace(job, config=job.config.replace(**settings))
        made = optimizers.build(with_them, model).get_config()
        return {k: v for k, v in made.items() if k not in ("name", "learning_rate")}

    for name in ("lars_form", "lars_eeta", "momentum", "adam_beta_2", "clip_norm"):
        settings = {name: 0.5 if name != "lars_form" else "popular"}
        assert (built() == built(**settings)) == (name in idle(job.config)), name


@pytest.mark.parametrize(
    "line,told",
    [
        (["--optimizer=adam", "--lars_eeta=0.02"], "--lars_eeta (needs --optimizer=lars)"),
        (["--encoder=vit_tiny", "--resnet_depth=50"], "--resnet_depth (needs --encoder=resnet)"),
        (["--train_steps=9", "--train_epochs=3"], "--train_epochs (needs --train_steps=0)"),
        (["--blur_p=0.3"], "--blur_p (needs --use_blur)"),
        (
            ["--proj_head_mode=linear", "--num_proj_layers=2"],
            "--num_proj_layers (needs --proj_head_mode=nonlinear)",
        ),
        (["--memory_decay=0.9"], "--memory_decay (needs --memory_size)"),
        (
            ["--views=microscopy", "--color_jitter_strength=0.8"],
            "--color_jitter_strength (needs --color_jitter_p and a strength such as "
            "--jitter_brightness above 0)",
        ),
        (["--use_blur", "--view2_solarize_threshold=0.3"], "(needs --solarize_p above 0 in view 2"),
    ],
)
def test_what_has_no_effect_is_told_with_what_it_needs(line, told, capsys):
    program.print_compatibility(*flags.parse(["run.py", *line]))
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        ["--optimizer=adam", "--adam_beta_2=0.95", "--use_blur", "--blur_p=0.3"],
        ["--method=byol", "--train_steps=9", "--train_epochs=300"],  # its rate depends on them
        ["--mode=finetune", "--checkpoint=run", "--resnet_depth=50"],
        ["--mode=eval", "--model_dir=run", "--lars_eeta=0.02", "--optimizer=adam"],
    ],
    ids=" ".join,
)
def test_what_has_an_effect_or_is_refused_is_not(line, capsys):
    program.print_compatibility(*flags.parse(["run.py", *line]))
    assert "without effect" not in capsys.readouterr().out
