"""BYOL through the whole job: what SimCLR's run does, BYOL's does too."""

import os
import shutil

import numpy as np
import pytest

import tfssl
from tests.helpers import (
    BYOL_SETTINGS,
    COLOURS,
    read_scalars,
    run_until_killed,
    tiny_config,
)
from tfssl.callbacks import alarms
from tfssl.runner import recipes
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model, checkpoints_of

SETTINGS = BYOL_SETTINGS


def test_its_scalars_are_there_at_every_step(finished_byol):
    directory, result = finished_byol
    train = read_scalars(directory)
    for name in (
        "total_loss",
        "representation_loss",
        "target_decay",
        "online_target_cosine",
        "supervised_loss",
        "supervised_acc",
        "weight_decay",
        "z_std",
        "target_z_std",
    ):
        assert [step for step, _ in train[f"train/{name}"]] == [1, 2, 3, 4], name
    decays = [value for _, value in train["train/target_decay"]]
    assert decays == pytest.approx(
        [1 - 0.01 * (np.cos(np.pi * k / 4) + 1) / 2 for k in range(4)], abs=1e-6
    )
    assert set(result["pretrained"]) == {"online", "linear", "knn_5"}


@pytest.mark.slow  # targets go on in tests/storage/test_runs_of_0_1.py
def test_a_resumed_run_ends_where_the_straight_one_does(finished_byol, tmp_path):
    run_until_killed(lambda: tfssl.run(tiny_config(tmp_path / "resumed", **SETTINGS)), at_step=3)
    result = tfssl.run(tiny_config(tmp_path / "resumed", **SETTINGS))
    assert result["pretrained"] == finished_byol[1]["pretrained"]
    both = []
    for directory in (finished_byol[0], tmp_path / "resumed"):
        job = plan(tiny_config(directory, **SETTINGS))
        model = build_model(job)
        assert checkpoints_of(job, model).restore_newest() == 4
        both.append([v.numpy() for v in model.target_variables()])
    for a, b in zip(*both):
        np.testing.assert_array_equal(a, b)


def test_the_exported_encoder_is_the_online_one_alone(finished_byol):
    directory, result = finished_byol
    encoder = tfssl.load_encoder(directory)
    assert encoder.count_params() == result["parameters"]["encoder"]
    job = plan(tiny_config(directory, **SETTINGS))
    model = build_model(job)
    checkpoints_of(job, model).restore_newest()
    images = job.eval_source.arrays[0][:4] / np.float32(255)
    np.testing.assert_allclose(encoder(images), model.encoder(images), rtol=1e-4, atol=1e-5)


def test_eval_mode_evaluates_it_again(finished_byol, tmp_path):
    directory, result = shutil.copytree(finished_byol[0], tmp_path / "run"), finished_byol[1]
    again = tfssl.run(
        tfssl.Config(mode="eval", model_dir=str(directory), knn_k="5"),
        given={"mode", "model_dir", "knn_k"},
    )
    assert again["pretrained"] == result["pretrained"]


def test_the_two_views_differ_by_blur_and_solarize():
    first, second = (
        str(recipe.pixels.draw((0, 1), np.zeros([4, 16, 16, 3], np.float32)).keys())
        for recipe in recipes.views(tiny_config("x", **SETTINGS, **COLOURS), (16, 16))
    )
    assert "4_blur" in first and "solarize" not in first  # certain, and never
    assert "maybe_blur" in second and "maybe_solarize" in second


def test_a_simclr_run_is_not_continued_as_byol(finished_byol):
    with pytest.raises(tfssl.UsageError, match="--method=simclr"):
        tfssl.run(tiny_config(finished_byol[0]))


def test_collapse_is_told_once(capsys):
    alarm = alarms.WarnOfCollapse(0, "Sleep.")
    alarm.set_params({"steps": 200})
    for batch in range(200):
        spread = 0.5 if batch == 29 else 0.01
        alarm.on_train_batch_end(batch, {"z_std": spread, "target_z_std": 0.9})
    told = capsys.readouterr().out
    assert told.count("WARNING: collapse at step 80") == 1 == told.count("WARNING")
    assert told.endswith("nearly equal (spread 0.010 of 1). Sleep.\n")


def test_a_spread_that_is_fine_raises_no_alarm(capsys):
    alarm = alarms.WarnOfCollapse(0)
    alarm.set_params({"steps": 200})
    for batch in range(200):
        alarm.on_train_batch_end(batch, {"z_std": 0.3})
    assert not capsys.readouterr().out


def test_equal_seeds_make_equal_targets_unlike_the_online_network(tmp_path):
    models = [build_model(plan(tiny_config(tmp_path, **SETTINGS))) for _ in range(2)]
    followers = [[own for _, own in model.hidden.pairs] for model in models]
    for a, b in zip(*followers, strict=True):
        np.testing.assert_array_equal(a, b)
    kernel, target = (model.weights[0] for model in (models[0].encoder, models[0].target_encoder))
    assert not np.array_equal(kernel, target)
    assert not os.listdir(tmp_path)
