"""What an evaluation will take, and what of the baseline is worth it: by planted clocks."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import tiny_config
from tfssl.evaluation import knn, linear
from tfssl.runner import cost, pretrain, sources
from tfssl.runner.cost import NONE, THINNED, WHOLE, Cost


def as_finished(model_dir, **changes):
    """The config of the run `finished`, in another directory."""
    return tiny_config(model_dir, information_scalars=True, **changes)


@pytest.mark.parametrize(
    "seconds,trained,asked,extent",
    [
        ((30, 20, 9), 1.0, None, WHOLE),  # under a minute, however short the training
        ((30, 20, 11), 1.0, None, THINNED),
        ((50, 20, 11), 1.0, None, NONE),
        ((300, 60, 20), 380.0, None, WHOLE),
        ((300, 60, 20), 379.0, None, THINNED),
        ((300, 60, 20), 319.0, None, NONE),
        ((300, 60, 0), 319.0, None, NONE),  # without kNN nothing is left that says something
        ((300, 0, 20), 319.0, None, NONE),
        ((1e6, 1e6, 1e6), None, None, WHOLE),  # how long it trained is not known
        ((1e6, 1e6, 1e6), 1.0, True, WHOLE),
        ((1, 1, 1), 1e6, False, NONE),
    ],
)
def test_the_baseline_is_evaluated_as_far_as_it_is_worth_it(seconds, trained, asked, extent):
    encoding, classifier, neighbours = seconds
    assert cost.affordable(Cost(100, encoding, classifier, neighbours), trained, asked) == extent


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0.0, "1 s"),
        (8.4, "8 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (170, "3 min"),
        (3599, "60 min"),
        (3600, "1.0 h"),
        (9000, "2.5 h"),
    ],
)
def test_durations_are_as_precise_as_estimates(seconds, text):
    assert cost.duration(seconds) == text


@pytest.mark.parametrize(
    "expected,text",
    [
        (
            Cost(60_000, 300, 61, 12),
            "about 6 min (representations of 60,000 images 5 min, linear "
            "classifier 1 min, kNN 12 s)",
        ),
        (Cost(2_000, 8), "about 8 s (representations of 2,000 images 8 s)"),
    ],
)
def test_a_cost_says_what_takes_how_long(expected, text):
    assert str(expected) == text


def test_work_is_announced_from_a_minute_on(capsys):
    cost.announce("embed", Cost(10, 59.9))
    assert capsys.readouterr().out == ""
    cost.announce("embed", Cost(10, 60.0), more="; more")
    assert capsys.readouterr().out == (
        "embed: about 1 min (representations of 10 images 1 min); more\n"
    )


class SlowEncoder:
    """An encoder on a clock of its own: a graph of 100 s, then some seconds per image."""

    def __init__(self, seconds):
        self.now, self.seconds, self.sizes = 0.0, seconds, []

    def monotonic(self):
        return self.now

    def __call__(self, images):
        self.now += len(images) * self.seconds + (0 if self.sizes else 100)
        self.sizes.append(len(images))
        return tf.zeros([len(images), 4])


@pytest.mark.parametrize(
    "seconds,split,sizes",
    [
        (0.02, "test[:40]", [16, 16, 8, 16]),  # three batches after the first, around the end
        (0.2, "test[:5]", [5] * 4),
        (0.04, "test[:5]", [5] * 4),  # as many as take half a second
        (0.01, "test[:5]", [5] * 12),
        (0.5, "test[:40]", [16, 16]),  # one batch says enough
    ],
)
def test_seconds_per_image_leave_the_graph_out(seconds, split, sizes, monkeypatch):
    encode = SlowEncoder(seconds)
    monkeypatch.setattr(cost, "time", encode)
    config = tiny_config("run", eval_batch_size=16)
    source = sources.load(config, split, "eval_split")
    assert cost.per_image(config, encode, source, (16, 16)) == pytest.approx(seconds)
    assert encode.sizes == sizes


@pytest.mark.parametrize(
    "changes,expected",
    [
        (dict(), Cost(104, 104, 64 * 4 * 10, 64 * 40 * 5)),
        (dict(linear_probe=False), Cost(104, 104, 0, 64 * 40 * 5)),
        (dict(knn_k=""), Cost(104, 104, 64 * 4 * 10, 0)),
        (dict(knn_k="", linear_probe=False), Cost(40, 40)),
        (dict(eval_steps=1, eval_batch_size=8), Cost(72, 72, 64 * 4 * 10, 64 * 8 * 5)),
    ],
    ids=str,
)
def test_the_cost_of_an_evaluation_is_of_what_it_does(changes, expected, monkeypatch):
    encode = SlowEncoder(1.0)
    monkeypatch.setattr(cost, "time", encode)
    monkeypatch.setattr(cost.evaluation, "linear_seconds", lambda n, dim, c: n * dim * c)
    monkeypatch.setattr(cost.evaluation, "knn_seconds", lambda m, n, dim, k: m * n * k)
    config = tiny_config("run", **changes)
    train, test = (sources.load(config, split) for split in ("train[:64]", "test[:40]"))
    assert cost.of_evaluation(config, encode, 4, train, test, (16, 16)) == expected


def test_seconds_of_a_linear_classifier_are_those_of_its_parts(monkeypatch):
    """Twice the rows, 80 evaluations of which some are timed; twice the side: eightfold."""
    counts = []

    def timed(work):
        counts.append(work())
        return 1.0, counts[-1]

    monkeypatch.setattr(linear, "_timed", timed)
    seconds = linear.linear_seconds(8192, 1024, 10)
    assert seconds == pytest.approx(2 * (1 + 80 / counts[1]) + 8 * 1)
    assert 5 <= counts[1] <= 30  # of the objective, within ten iterations
    assert linear.linear_seconds(100, 8, 200) == pytest.approx(1 + 80 / counts[4] + 1)


def test_seconds_of_neighbours_grow_with_both_splits(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(knn, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
    assert knn.knn_seconds(2 * 8192, 1024, 4, 5) == 2 * 2
    assert knn.knn_seconds(10, 3, 4, 10) == 1


def test_a_baseline_that_would_take_too_long_is_left_out_and_that_is_told(
    finished, trained, monkeypatch, capsys
):
    monkeypatch.setattr(cost, "of_evaluation", lambda *_: Cost(104, 100, 0, 5))
    result = tfssl.run(as_finished(trained))
    assert result["untrained"] is None and not (trained / "untrained.json").exists()
    assert result["pretrained"] == finished[1]["pretrained"]
    said = capsys.readouterr().out
    announced = said.index("evaluation: about 2 min (representations of 104 images")
    assert announced < said.index(": representations of")
    assert said.count("untrained network is left out, as its evaluation would take 2 min") == 2
    assert said.count("--mode=eval --eval_baseline evaluates it completely") == 2  # twice
    tfssl.run(as_finished(trained))
    assert "--mode=eval --eval_baseline" in capsys.readouterr().out  # finished, and told again


@pytest.mark.slow
def test_a_baseline_without_the_linear_classifier_is_told_and_made_whole_when_asked(
    finished, trained, monkeypatch, capsys
):
    monkeypatch.setattr(cost, "of_evaluation", lambda *_: Cost(104, 50, 40, 5))
    result, whole = tfssl.run(as_finished(trained)), finished[1]["untrained"]
    assert result["untrained"] == {name: whole[name] for name in ("online", "knn_5")}
    assert result["pretrained"] == finished[1]["pretrained"]
    said = capsys.readouterr().out
    assert said.count("without the linear classifier, with which it would take 2 min") == 2
    (row,) = (line for line in said.splitlines() if line.startswith("linear, frozen encoder"))
    assert row.split()[3:5] == ["-", "-"]
    again = tfssl.run(as_finished(trained, mode="eval", eval_baseline=True))
    assert again["untrained"] == whole and "left_out" not in again
    assert "and as long for the untrained network" in capsys.readouterr().out
    third = tfssl.run(as_finished(trained, mode="eval"))
    assert third["untrained"] == whole and "left_out" not in third


def test_a_baseline_that_was_asked_for_is_made_whatever_it_takes(finished, trained, monkeypatch):
    monkeypatch.setattr(cost, "of_evaluation", lambda *_: Cost(104, 1e9, 1e9, 1e9))
    result = tfssl.run(as_finished(trained, eval_baseline=True))
    assert result["untrained"] == finished[1]["untrained"]
    assert json.loads((trained / "flags.json").read_text())["eval_baseline"] is True


@pytest.mark.slow
def test_a_run_that_died_between_training_and_baseline_goes_on(finished, trained, monkeypatch):
    class Killed(Exception):
        pass

    def die(*_):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "evaluate_untrained", die)
        with pytest.raises(Killed):
            tfssl.run(as_finished(trained))
    assert not (trained / "result.json").exists()
    seconds = json.loads((trained / "time.json").read_text())["train_seconds"]
    result = tfssl.run(as_finished(trained))
    assert result["train_seconds"] == seconds  # nothing was trained again
    for which in ("pretrained", "untrained"):
        assert result[which] == finished[1][which]
    for one, other in zip(*(tfssl.load_encoder(d).get_weights() for d in (trained, finished[0]))):
        np.testing.assert_array_equal(one, other)
