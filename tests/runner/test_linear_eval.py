"""--mode=linear_eval: what it trains, what it leaves alone, what it refuses."""

import json
import os
import shutil

import numpy as np
import pytest

import tfssl
from tests.helpers import read_scalars, run_until_killed
from tfssl import Config, UsageError
from tfssl.runner import linear_eval
from tfssl.runner.job import reopen
from tfssl.runner.pretrain import restored

LINEAR = dict(
    linear_epochs=2.0, linear_batch_size=16, checkpoint_steps=3, compile_augmentation=False
)


def classify(directory, **changes):
    settings = {"mode": "linear_eval", "model_dir": str(directory), **LINEAR, **changes}
    return tfssl.run(Config(**settings), given=set(settings))


@pytest.fixture(scope="module")
def pretrained(finished, tmp_path_factory):
    """A copy of the finished pretraining: evaluations are written into it."""
    return shutil.copytree(finished[0], tmp_path_factory.mktemp("runs") / "pretrained")


@pytest.fixture(scope="module")
def evaluated(pretrained):
    return classify(pretrained)


def only(directory):
    """The one directory of linear evaluations of a run."""
    (name,) = os.listdir(directory / "linear_eval")
    return directory / "linear_eval" / name


def test_the_result_is_recorded_with_its_settings_and_exact_counts(pretrained, evaluated):
    scores = evaluated["results"]["linear_sgd"]
    assert scores["examples"] == 40
    assert scores["top_1"] == scores["correct_top_1"] / 40 <= scores["top_5"]
    assert (evaluated["eval_split"], evaluated["train_split"]) == ("test[:40]", "train[:64]")
    assert evaluated["linear_epochs"] == 2 and evaluated["encoder"]["step"] == 4
    assert evaluated["train_seconds"] > 0
    assert json.loads((only(pretrained) / "result.json").read_text()) == evaluated


def test_the_schedule_is_the_protocols(pretrained, evaluated):
    """0.2 x 16/256 at the first step, to 0 along a cosine over 2 epochs of 4 steps."""
    series = read_scalars(only(pretrained))
    expected = [0.0125 * (1 + np.cos(np.pi * k / 8)) / 2 for k in range(1, 9)]
    assert [v for _, v in series["learning_rate"]] == pytest.approx(expected, abs=1e-7)
    assert [step for step, _ in series["train/supervised_loss"]] == list(range(1, 9))
    assert set(read_scalars(only(pretrained) / "eval")) == {
        "eval/linear_sgd_top_1_accuracy",
        "eval/linear_sgd_top_5_accuracy",
    }


def test_the_same_again_does_nothing_and_other_settings_are_kept_apart(
    pretrained, evaluated, capsys
):
    for spelling in (pretrained, f"{pretrained}/", os.path.relpath(pretrained)):
        result = classify(spelling)
        assert result.pop("model_dir") == str(spelling)
        assert result == {key: value for key, value in evaluated.items() if key != "model_dir"}
        assert "nothing left to do" in capsys.readouterr().out
    other = classify(pretrained, linear_learning_rate=0.4)
    assert len(os.listdir(pretrained / "linear_eval")) == 2
    assert other["linear_learning_rate"] == 0.4


@pytest.mark.slow
def test_a_killed_one_ends_where_the_straight_one_does(evaluated, copied):
    run_until_killed(lambda: classify(copied), at_step=5)
    assert not (only(copied) / "result.json").exists()
    assert classify(copied)["results"] == evaluated["results"]
    steps = [step for step, _ in read_scalars(only(copied))["train/total_loss"]]
    assert steps[-5:] == list(range(4, 9))  # from the checkpoint of step 3, not from 0


def test_the_encoder_stays_as_it_is(pretrained):
    config = Config(mode="linear_eval", model_dir=str(pretrained), **LINEAR)
    model, _, _ = restored(reopen(config, {"mode", *LINEAR}))
    seen = []

    def keep(job, learner, *rest):
        seen.append([v.numpy() for v in learner.encoder.variables])
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_eval, "evaluate_and_record", keep)
        classify(pretrained, linear_learning_rate=5.0)
    for before, after in zip(model.encoder.variables, seen[0], strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(linear_batch_size=65), "--linear_batch_size must be at most 64"),
        (dict(eval_split="train[60:70]"), "--eval_split must not share images with --train_split"),
        (dict(width_multiplier=0.5), r"--width_multiplier=0.5 \(there 1.0\)"),
    ],
)
def test_refusals_leave_nothing_behind(pretrained, evaluated, changes, said):
    before = sorted(os.listdir(pretrained / "linear_eval"))
    with pytest.raises(UsageError, match=said):
        classify(pretrained, **changes)
    assert sorted(os.listdir(pretrained / "linear_eval")) == before


def test_there_has_to_be_a_run(tmp_path):
    with pytest.raises(UsageError, match="which holds none"):
        classify(tmp_path)
