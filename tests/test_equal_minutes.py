"""The comparison of methods in equal time: which trainings it makes, from what it tells."""

import importlib
import json
import math
import os

import pytest

from tests.helpers import ROOT

SPEEDS = {"simclr": 100.0, "byol": 50.0, "dcl": 99.0}  # images per second
BEST = {"simclr": "0.4", "byol": "1.2", "dcl": "0.133"}  # rates


@pytest.fixture
def script(monkeypatch):
    """The script, with trainings that are known instead of made; they are in `script.made`."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("equal_minutes")
    script.made = []

    def run(place, *flags, cores, log):
        flag = {name: script.last(flags, name) for name in ("method", "learning_rate", "seed")}
        batch, steps = (int(script.last(flags, f"train_{of}")) for of in ("batch_size", "steps"))
        script.made.append((flag["method"], place.rpartition("/")[2], steps, list(flags)))
        knn = 0.6 if flag["learning_rate"] == BEST[flag["method"]] else 0.5
        seed = 0.02 * int(flag["seed"] or 0)
        return {
            "device": "a processor",
            "global_step": steps,
            "train_seconds": steps * batch / SPEEDS[flag["method"]],
            "images_per_second": SPEEDS[flag["method"]],
            "pretrained": {"knn_20": {"top_1": knn + seed}, "linear": {"top_1": 0.7 + seed}},
        }

    scalars = {"train/supervised_acc": {10: 0.3, 20: 0.4}, "information/effective_rank": {20: 33.4}}
    monkeypatch.setattr(script.runs, "run", run)
    monkeypatch.setattr(script.runs, "scalars", lambda place, tags: scalars)
    return script


def compare(script, out, *words, methods="simclr,byol,dcl"):
    script.main([str(out), f"--methods={methods}", "--minutes=2", "--search_minutes=1", *words])
    return (out / "table.md").read_text()


def test_a_rate_at_which_the_loss_becomes_infinite_is_the_worst_and_recorded(
    script, tmp_path, monkeypatch
):
    run = script.runs.run

    def diverging(place, *flags, cores, log):
        if place.endswith("rate_1.2"):
            (tmp_path / "models" / "byol" / "rate_1.2").mkdir(parents=True)
            (tmp_path / "models" / "byol" / "rate_1.2" / "diagnosis.json").write_text("{}")
            raise SystemExit("the log says why")
        return run(place, *flags, cores=cores, log=log)

    monkeypatch.setattr(script.runs, "run", diverging)
    compare(script, tmp_path, methods="byol")
    records = json.loads((tmp_path / "runs.json").read_text())["byol"]
    assert records["rate_1.2"]["diverged"] and records["rate_1.2"]["accuracy"] == {"knn_20": 0}
    made = len(script.made)
    compare(script, tmp_path, methods="byol")
    assert len(script.made) == made  # not tried again


def test_another_failure_of_a_training_ends_the_comparison(script, tmp_path, monkeypatch, capsys):
    def failing(place, *flags, cores, log):
        raise SystemExit("no memory")

    monkeypatch.setattr(script.runs, "run", failing)
    with pytest.raises(SystemExit, match="no memory"):
        compare(script, tmp_path, methods="byol")
    assert "byol failed: no memory" in capsys.readouterr().out


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_method_gets_its_speed_its_best_rate_and_the_same_minutes(script, tmp_path, jobs):
    table = compare(script, tmp_path, "--same_images=10240", f"--jobs={jobs}")
    made = {(method, name): steps for method, name, steps, _ in script.made}
    names = ["pace", "rate_0.133", "rate_0.4", "rate_1.2", "seed_0", "seed_1", "images_10240"]
    assert sorted(made) == sorted((method, name) for method in SPEEDS for name in names)
    for method, speed in SPEEDS.items():
        assert made[method, "rate_0.4"] == round(60 * speed / 256)
        assert made[method, "seed_1"] == round(120 * speed / 256)
        assert made[method, "images_10240"] == 40
    for method, name, _, flags in script.made:
        assert (script.last(flags, "precision") == "float32") == (name == "pace")
        if name in ("seed_0", "seed_1", "images_10240"):
            assert script.last(flags, "learning_rate") == BEST[method]
            assert script.last(flags, "seed") == ("1" if name == "seed_1" else "0")
            assert script.last(flags, "train_split") is None
        elif name.startswith("rate"):
            assert script.last(flags, "eval_split") == "train[40000:]"
    records = json.loads((tmp_path / "runs.json").read_text())
    cores = len(os.sched_getaffinity(0))
    assert all(of["pace"]["cores"] == cores for of in records.values())
    assert all(of["seed_0"]["cores"] <= math.ceil(cores / jobs) for of in records.values())
    byol = "| BYOL | 1.2 | 50 | 5,888 | 4 | 2 | 71.0 ± 1.0 | 61.0 ± 1.0 | 33 | 70.0 | 60.0 |"
    assert byol in table
    assert "| DCL | 0.133 | 99 | 11,776 | 2 | 2 | 71.0 ± 1.0 |" in table
    assert table.index("| SimCLR |") < table.index("| BYOL |") < table.index("| DCL |")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_accuracies_on_the_same_images_are_of_as_many_as_asked(script, tmp_path):
    table = compare(script, tmp_path)
    assert "| effective rank |\n" in table and "images |\n" not in table
    assert "| BYOL | 1.2 | 50 | 5,888 | 4 | 2 | 71.0 ± 1.0 | 61.0 ± 1.0 | 33 |\n" in table
    script.made.clear()
    table = compare(script, tmp_path, "--same_images=5120")
    assert [(name, steps) for _, name, steps, _ in script.made] == [("images_5120", 20)] * 3
    assert "| effective rank | linear, 5,120 images | kNN-20, 5,120 images |\n" in table
    assert "| 61.0 ± 1.0 | 33 | 70.0 | 60.0 |\n" in table


def test_a_last_point_of_few_steps_is_not_drawn(script):
    curve = [(20, 0.1), (40, 0.2), (41, 0.0)]
    assert script.whole_points(curve) == curve[:2]
    for whole in (curve[:2], curve[:1], [], [(20, 0.1), (30, 0.2)]):
        assert script.whole_points(whole) == whole


def test_what_was_trained_is_not_trained_again(script, tmp_path):
    compare(script, tmp_path, methods="simclr")
    script.made.clear()
    table = compare(script, tmp_path, "--seeds=0,1,2", methods="simclr,byol")
    assert [name for method, name, *_ in script.made if method == "simclr"] == ["seed_2"]
    assert "| SimCLR | 0.4 | 100 | 12,032 | 2 | 3 | 72.0 ± 2.0 |" in table
    with pytest.raises(SystemExit, match="other flags, which differ in --use_blur"):
        script.main([str(tmp_path), "--methods=simclr", "--", "--use_blur"])


def test_small_batches_take_the_rates_that_were_found(script, tmp_path, monkeypatch, capsys):
    small = importlib.import_module("small_batches")
    with pytest.raises(SystemExit):
        small.main([str(tmp_path), "--methods=byol"])
    assert "byol has no rate yet" in capsys.readouterr().err
    compare(script, tmp_path)
    script.made.clear()
    monkeypatch.setitem(BEST, "byol", "0.075")
    small.main([str(tmp_path), "--methods=simclr,byol", "--batches=16,64", "--images=640"])
    assert [(method, name, steps) for method, name, steps, _ in script.made] == [
        (method, f"batch_{size}", 640 // size) for method in ("simclr", "byol") for size in (16, 64)
    ]
    for method, _, _, flags in script.made:
        assert float(script.last(flags, "learning_rate")) * 16 == float(BEST[method]) * (
            16 if method == "byol" else 1
        )
        assert script.last(flags, "learning_rate_scaling") == "sqrt"
    assert "| BYOL | 60.0 | 60.0 |" in (tmp_path / "small_batches.md").read_text()
    assert json.loads((tmp_path / "runs.json").read_text())["byol"]["batch_16"]["steps"] == 40


def test_mistakes(script, tmp_path, capsys):
    for words, expected in (
        (["--methods=simclr,simcrl"], "Received: simcrl"),
        (["--jobs=0"], "Received: 0"),
        (["--", "--seed=3"], "--seed is the script's own to give"),
    ):
        with pytest.raises(SystemExit):
            script.main([str(tmp_path), *words])
        assert expected in capsys.readouterr().err
    assert not script.made and not list(tmp_path.iterdir())
