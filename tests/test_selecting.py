"""The measure of what selected labels are worth, on representations that are known."""

import importlib
import json

import numpy as np
import pytest

from tests.helpers import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("selecting")


@pytest.fixture
def run(tmp_path):
    """A run whose representations are four clusters, each a class, of unequal sizes."""
    rng = np.random.default_rng(0)
    directory = tmp_path / "run"
    for split, count in (("train", 200), ("test", 80)):
        labels = rng.choice(4, count, p=[0.7, 0.1, 0.1, 0.1])
        h = np.eye(4)[labels] + 0.1 * rng.normal(size=(count, 4))
        place = directory / "embed" / f"step3-data-{split}-8x8"
        place.mkdir(parents=True)
        np.savez(place / "embeddings.npz", h=h, labels=labels)
    settings = {"dataset": "data/plain", "train_split": "train", "eval_split": None}
    (directory / "flags.json").write_text(json.dumps(settings))
    (directory / "result.json").write_text(json.dumps({"eval_split": "test"}))
    return directory


def test_typical_images_are_of_all_clusters_and_what_was_measured_stays(script, run, tmp_path):
    words = [str(tmp_path / "out"), f"--runs={run}", "--budgets=4,8", "--seeds=3"]
    script.main(words)
    found = json.loads((tmp_path / "out" / "runs.json").read_text())["data"]
    assert len(found) == 3 * 3 * 2 + 2  # k-center once
    for seed in range(3):
        typical = found[f"typical 4 {seed}"]
        assert typical["classes"] == 4 and typical["linear"] > 0.95
        assert found[f"random 4 {seed}"]["classes"] <= 4
        first, then = (found[f"uncertain {n} {seed}"]["chosen"].split() for n in (4, 8))
        assert then[:4] == first == found[f"random 4 {seed}"]["chosen"].split()
        assert len(set(then)) == 8
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| labels | 4 | 8 |" in table and "| typical | " in table and " ± " in table
    assert (tmp_path / "out" / "table.png").stat().st_size > 10_000
    before = (tmp_path / "out" / "runs.json").stat().st_mtime_ns
    script.main(words)
    assert (tmp_path / "out" / "runs.json").stat().st_mtime_ns == before


def test_mistakes(script, tmp_path, capsys):
    for words, expected in ((["--budgets=40,10"], "must ascend"), ([], "Received: none")):
        with pytest.raises(SystemExit):
            script.main([str(tmp_path), *words])
        assert expected in capsys.readouterr().err
