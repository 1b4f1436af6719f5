"""The bench of the verdict: its trainings, that they are broken as it says, and its counts."""

import collections
import dataclasses
import importlib
import json

import numpy as np
import pytest

import tfssl
from tests.helpers import ROOT, spared
from tfssl.verdict import Facts, History, Point


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("verdicts")
    rng = np.random.default_rng(0)

    def some(count):
        return rng.integers(0, 256, (count, 24, 24, 3), np.uint8), np.arange(count) % 10

    monkeypatch.setattr(script, "COMPILED", False)
    monkeypatch.setattr(script.made, "epochs", 1, raising=False)
    monkeypatch.setattr(script.made, "views", {}, raising=False)
    monkeypatch.setattr(script.made, "before", {}, raising=False)
    monkeypatch.setattr(script.made, "images", {"shapes": (some(4200), some(600))}, raising=False)
    return script


def test_half_of_160_trainings_are_sound_and_no_cell_is_in_both_halves(bench):
    runs = bench.plan()
    assert len(runs) == 160 == len({(run.dataset, run.name) for run in runs})
    assert sum(run.sound for run in runs) == 80
    counts = collections.Counter(run.what for run in runs if not run.sound)
    assert set(counts) == set(bench.BROKEN) and set(counts.values()) == {5}
    halves = collections.defaultdict(set)
    for run in runs:
        halves[run.dataset, run.method].add(run.half)
        assert run.method in bench.METHODS and run.dataset in bench.DATASETS
    assert all(len(of) == 1 for of in halves.values())
    assert {kind for _, kinds in bench.BROKEN.values() for kind in kinds} <= {
        *tfssl.verdict.KINDS,
        bench.REFUSED,
    }


def run_of(bench, what, method="simclr"):
    return bench.Run("shapes", method, what, 0)


@pytest.mark.parametrize(
    "what,holds",
    [
        ("as it is", lambda f: f["identical"] == f["flat"] == 0),
        spared("no augmentation", lambda f: f["identical"] == 1),
        ("identical views", lambda f: f["identical"] == 1),
        ("views of different images", lambda f: f["pixel_rank"] > 0.4),
        ("constant images", lambda f: f["flat"] == 1),
        spared("16 bits clipped", lambda f: f["flat"] > 0.9),
    ],
)
def test_views_are_broken_as_the_name_says(bench, what, holds):
    run = run_of(bench, what)
    train, test = bench.images_of(run)
    for images, labels in (train, test):
        (batch,) = bench.views_of(run, images, labels, 128).take(1)
        assert holds(tfssl.verdict.facts_of_views(batch["views"]))


def test_views_are_kept_for_runs_that_share_them(bench):
    run = run_of(bench, "as it is")
    x, y = (part[:256] for part in bench.images_of(run)[0])
    found = list(bench.kept_views(run, x, y, 128, 2).as_numpy_iterator())
    expected = bench.views_of(run, x, y, 128)
    for batch, view in zip(found, [*expected, *expected], strict=True):
        np.testing.assert_array_equal(batch["views"][0], view["views"][0])
        np.testing.assert_array_equal(batch["label"], view["label"])
    assert (found[0]["views"][0] != found[2]["views"][0]).any()
    shorter = bench.kept_views(run_of(bench, "too short"), x, y, 128, 1)
    np.testing.assert_array_equal(next(iter(shorter))["views"][1], found[0]["views"][1])
    assert len(bench.made.views) == 1
    bench.kept_views(run_of(bench, "shuffled labels"), x, y, 128, 1)
    assert len(bench.made.views) == 1


def test_images_are_broken_as_the_name_says(bench):
    (x, _), (x_test, _) = bench.images_of(run_of(bench, "duplicated images"))
    assert len(np.unique(x.reshape(len(x), -1), axis=0)) == 32 and len(x_test) == bench.HELD_OUT
    (x, y), (_, y_test) = bench.images_of(run_of(bench, "one class"))
    assert set(y) == set(y_test) == {3} and len(x) == bench.IMAGES
    (x, _), _ = bench.images_of(run_of(bench, "0 to 255"))
    assert x.dtype == np.float32 and x.max() == 255
    (x, y), _ = bench.images_of(run_of(bench, "shuffled labels"))
    (sound, labels), _ = bench.images_of(run_of(bench, "as it is"))
    assert (x == sound).all() and (y != labels).mean() > 0.8


def test_values_up_to_255_are_refused(bench):
    _, record = bench.made(run_of(bench, "0 to 255"))
    assert record["kind"] == bench.REFUSED and "[0, 1]" in record["said"]


def history(**last):
    points = [Point(32 * n, loss=5.0 - n, z_std=0.9, view_rank=0.3 - 0.02 * n) for n in range(3)]
    points.append(dataclasses.replace(points[-1], step=96, **last))
    return {"history": History(Facts(images=512), points).to_dict()}


def test_counts_are_of_what_the_rules_say_now(bench, tmp_path):
    given = {
        ("shapes", "simclr as it is 0"): history(),
        ("shapes", "simclr shuffled labels 0"): history(z_std=0.0),  # alarmed
        ("shapes", "simsiam no predictor 0"): history(z_std=0.0),
        ("shapes", "byol no predictor 0"): history(),  # missed
        ("shapes", "mocov2 0 to 255 0"): {"kind": "refused", "said": "No."},
    }
    records = collections.defaultdict(dict)
    for (dataset, name), record in given.items():
        records[dataset][name] = {"flags": [], "seconds": 1, **record}
    (tmp_path / "runs.json").write_text(json.dumps(records))
    bench.report(str(tmp_path), bench.Records(str(tmp_path / "runs.json")))
    text = (tmp_path / "table.md").read_text()
    halves = [line for line in text.splitlines() if line.startswith("- The ")]
    told = sum(int(line.split("broken ")[1].split()[0]) for line in halves)
    alarmed = sum(int(line.split("sound ")[1].split()[0]) for line in halves)
    assert (told, alarmed) == (2, 1)
    errors = text.partition("Errors:")[2]
    assert "shapes, simclr shuffled labels 0: collapsing" in errors
    assert "shapes, byol no predictor 0: " in errors and errors.count("- ") == 2
