"""The comparison of plans with random search: what it trains, and what its table says."""

import importlib
import os
import re

import pytest

from tests.helpers import ROOT

PLANNED = "--image_size=16\n# 20 ms a step, as measured\n--train_epochs=3\n--seed=0\n"
BEST = "search_01"


@pytest.fixture
def script(monkeypatch):
    """The script, with plans and trainings that are known instead of made."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("plans")
    script.made, script.asked = [], []

    def plan(command, check):
        script.asked.append(command[2:])
        path = script.equal_minutes.last(command, "output")
        with open(path, "w") as file:
            file.write("# a plan\n" + "\n".join(w for w in command[5:]) + "\n" + PLANNED)

    def run(place, *flags, cores, log):
        dataset, name = place.split(os.sep)[-2:]
        script.made.append((dataset, name, list(flags), len(cores)))
        linear = {"plan": 0.61, BEST: 0.63}.get(name, 0.5)
        return {
            "device": "a processor",
            "global_step": 12,
            "train_seconds": 100.0,
            "images_per_second": 10.0,
            "pretrained": {"knn_20": {"top_1": linear - 0.1}, "linear": {"top_1": linear}},
        }

    monkeypatch.setattr(script.subprocess, "run", plan)
    monkeypatch.setattr(script.runs, "run", run)
    monkeypatch.setattr(script.runs, "scalars", lambda place, tags: {})
    return script


def test_the_plan_is_compared_with_the_best_of_a_search_of_equal_minutes(script, tmp_path):
    words = [str(tmp_path), "--datasets=shapes,cifar10", "--runs=3", "--minutes=2", "--jobs=1"]
    script.main(words)
    table = (tmp_path / "table.md").read_text()
    assert "| shapes | linear | 61.0 | 63.0 | 50.0 | -2.0 |" in table
    assert "| cifar10 | kNN-20 | 51.0 | 53.0 | 40.0 | -2.0 |" in table
    assert re.search(r"- shapes: \d+ s for everything, `--image_size=16 --train_epochs=3", table)
    assert (tmp_path / "plans.png").stat().st_size > 5000
    assert len(script.asked) == len(script.made) == 2 * 4
    plans = [asked for asked in script.asked if asked[2].endswith("plan.flags")]
    assert [asked[:2] for asked in script.asked] == [["plan", "--minutes=2"]] * 8
    assert all(asked[3].startswith("--dataset=") and len(asked) == 4 for asked in plans)
    assert all("# 20" not in " ".join(flags) for _, _, flags, _ in script.made)
    script.main(words)
    assert len(script.asked) == len(script.made) == 8  # nothing twice


def test_the_search_draws_the_same_settings_again(script):
    first = script.drawn("imagenette", "search_03")
    assert first == script.drawn("imagenette", "search_03")
    others = {tuple(script.drawn("imagenette", f"search_{number:02}")) for number in range(12)}
    assert len(others) == 12
    for flags in others:
        size = int(script.equal_minutes.last(flags, "image_size"))
        assert size in (32, 48, 64, 96)
        assert int(script.equal_minutes.last(flags, "eval_image_size")) == 1.5 * size
        views = int(script.equal_minutes.last(flags, "num_views"))
        assert script.equal_minutes.last(flags, "train_batch_size") == {2: "256", 4: "128"}[views]


def test_a_training_whose_loss_became_infinite_counts_as_nothing(script, tmp_path, monkeypatch):
    run = script.runs.run

    def diverging(place, *flags, cores, log):
        if place.endswith(BEST):
            os.makedirs(place)
            open(os.path.join(place, script.equal_minutes.DIAGNOSIS), "w").close()
            raise SystemExit("the log says why")
        return run(place, *flags, cores=cores, log=log)

    monkeypatch.setattr(script.runs, "run", diverging)
    script.main([str(tmp_path), "--datasets=shapes", "--runs=2", "--minutes=2"])
    assert "| shapes | linear | 61.0 | 50.0 | 25.0 | +11.0 |" in (tmp_path / "table.md").read_text()
