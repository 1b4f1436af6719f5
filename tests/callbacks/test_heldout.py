"""Points of label-free measures on fixed views."""

import json
import types

import numpy as np
import pytest

import tfssl
from tests.helpers import read_scalars, run_until_killed, spared
from tests.helpers import tiny_config as config_of
from tfssl import run
from tfssl.callbacks import heldout
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model, held_out, points_of

NAMES = [f"information/{name}" for name in heldout.NAMES]
ALL = {"train_steps": 5, "train_summary_steps": 1, "checkpoint_steps": 2}


def tiny_config(model_dir, **changes):
    return config_of(model_dir, **{"information_scalars": True, **changes})


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    directory = tmp_path_factory.mktemp("straight") / "run"
    run(tiny_config(directory, **ALL))
    return directory


def test_a_run_that_is_continued_has_the_points_of_one_that_was_not_interrupted(straight, tmp_path):
    run_until_killed(lambda: run(tiny_config(tmp_path, **ALL)), at_step=4)
    run(tiny_config(tmp_path, **ALL))
    points, expected = read_scalars(tmp_path), read_scalars(straight)
    for name in set(NAMES) & set(expected):
        assert dict(points[name]) == dict(expected[name]), name
    assert [step for step, _ in expected["information/neighbours_kept"]] == [1, 2, 3, 4, 5]
    judged = (straight / heldout.VERDICT).read_text()
    assert (tmp_path / heldout.VERDICT).read_text() == judged
    assert [point["step"] for point in json.loads(judged)["points"]] == [0, 1, 2, 3, 4, 5]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(straight, tmp_path):
    settings = {**ALL, "eval_baseline": False, "linear_probe": False}
    run_until_killed(lambda: run(tiny_config(tmp_path, **settings)), at_step=1)
    assert list(heldout.remembered(str(tmp_path / heldout.FILE), 9)) == [0]
    run(tiny_config(tmp_path, **settings))
    assert (tmp_path / heldout.VERDICT).read_text() == (straight / heldout.VERDICT).read_text()


def test_the_verdict_is_in_the_result(straight):
    judged = json.loads((straight / heldout.VERDICT).read_text())["verdict"]
    assert judged["step"] == 5 and judged["kind"] in tfssl.verdict.KINDS
    assert json.loads((straight / "result.json").read_text())["verdict"] == judged


@pytest.mark.parametrize("settings,separate", [({}, True), ({"probe_dataset": "shapes"}, False)])
def test_the_verdict_knows_whether_its_images_are_held_out(settings, separate, tmp_path):
    job = plan(tiny_config(tmp_path, **settings))
    (of,) = held_out(job, writer=None, start=0)
    of.set_model(build_model(job))
    of.judged.set_model(of.model)
    of.judged.begin(None)
    assert of.judged.history.facts.held_out == separate


def judged_as(kind, first=3):
    """In place of `judge`: a verdict that begins at a step."""
    return lambda points, facts: tfssl.verdict.Verdict(
        kind if points[-1].step >= first else "learning", points[-1].step, "So it is."
    )


@pytest.mark.parametrize(
    "stop_when,kind,step",
    [
        ("levelled_off", "levelled_off", 4),
        spared("any", "collapsing", 4),
        spared("broken", "levelled_off", 5),
        (None, "collapsing", 5),
    ],
)
def test_two_verdicts_in_a_row_stop_a_training(monkeypatch, tmp_path, stop_when, kind, step):
    monkeypatch.setattr(tfssl.verdict, "judge", judged_as(kind))
    result = run(tiny_config(tmp_path, **ALL, stop_when=stop_when, eval_baseline=False))
    assert result["global_step"] == step == result["verdict"]["step"]
    assert len(read_scalars(tmp_path)["train/total_loss"]) == step


def test_a_training_that_was_stopped_stays_so_until_it_is_asked_to_go_on(
    monkeypatch, tmp_path, straight, capsys
):
    monkeypatch.setattr(tfssl.verdict, "judge", judged_as("levelled_off"))
    stopping = tiny_config(tmp_path, **ALL, stop_when="levelled_off")
    result = run(stopping)
    assert "stopped after step 4 of 5, as --stop_when asked" in capsys.readouterr().out
    assert run(stopping) == result
    assert "finished; nothing left to do" in capsys.readouterr().out
    (tmp_path / "result.json").unlink()
    assert run(stopping)["global_step"] == 4
    assert "was stopped after step 4: --stop_when=levelled_off" in capsys.readouterr().out
    monkeypatch.undo()
    assert run(tiny_config(tmp_path, **ALL))["global_step"] == 5
    for one, other in zip(
        *(tfssl.load_encoder(path).get_weights() for path in (tmp_path, straight))
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings,why",
    [
        ({"mode": "finetune", "checkpoint": "none"}, "is for --mode=pretrain, not for"),
        ({"information_scalars": False}, "what --noinformation_scalars does not measure"),
        ({"train_summary_steps": 0}, "what --train_summary_steps=0 does not measure"),
        ({"distribute": "multi_worker"}, "is not for --distribute=multi_worker"),
    ],
)
def test_where_nothing_is_judged_nothing_is_stopped(tmp_path, settings, why):
    with pytest.raises(tfssl.UsageError, match=f"--stop_when .*{why}.* Received: any"):
        tiny_config(tmp_path, stop_when="any", **settings)


def test_neighbours_among_another_number_of_images_are_dropped(tmp_path):
    settings = {"train_steps": 3, "checkpoint_steps": 1, "eval_baseline": False}
    run_until_killed(lambda: run(tiny_config(tmp_path, **settings)), at_step=2)
    heldout.remember(str(tmp_path / heldout.FILE), {1: np.zeros((5, 2), int)})
    run(tiny_config(tmp_path, **settings))
    kept = [step for step, _ in read_scalars(tmp_path)["information/neighbours_kept"]]
    assert kept == [1, 3] and list(heldout.remembered(str(tmp_path / heldout.FILE), 9)) == [2, 3]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"none", b"[]", b'{"facts": {}, "points": [3]}'),
        b'{"facts": {}, "points": [{"step": "a"}], "verdict": {"step": 9}}',
        None,
    ],
)
def test_a_history_that_cannot_be_read_is_empty(tmp_path, content):
    if content is not None:
        (tmp_path / heldout.VERDICT).write_bytes(content)
    assert not heldout.history_of(str(tmp_path), 9).points
    assert heldout.verdict_at(str(tmp_path), 9) == {}


@pytest.mark.slow
def test_a_short_training_has_five_points(tmp_path):
    run(tiny_config(tmp_path, train_steps=44, train_summary_steps=2, eval_baseline=False))
    steps = [step for step, _ in read_scalars(tmp_path)["information/lidar"]]
    assert steps == [10, 20, 30, 40, 44]


@pytest.mark.parametrize("steps,points", [(469, 5), (2000, 15), (3910, 20), (10**6, 20)])
def test_points_take_about_a_fiftieth_of_the_time(steps, points):
    config = types.SimpleNamespace(train_batch_size=64)
    assert points_of(types.SimpleNamespace(total_steps=steps, config=config)) == points


@pytest.mark.parametrize("content", [b"", b"none", None])
def test_without_a_file_that_can_be_read_there_is_no_past(tmp_path, content):
    if content is not None:
        (tmp_path / heldout.FILE).write_bytes(content)
    assert heldout.remembered(str(tmp_path / heldout.FILE), 9) == {}


def test_points_after_the_step_are_left_out(tmp_path):
    history = {step: np.full((5, 2), step) for step in (3, 6, 9)}
    heldout.remember(str(tmp_path / heldout.FILE), history)
    found = heldout.remembered(str(tmp_path / heldout.FILE), 6)
    assert list(found) == [3, 6]
    np.testing.assert_array_equal(found[6], history[6])
