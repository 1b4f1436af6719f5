"""Views by kind of images: which trainings scripts/kinds.py makes, and what it tells."""

import importlib

import numpy as np
import pytest

from tests.helpers import ROOT


@pytest.fixture
def script(monkeypatch):
    """The script, with trainings that are known instead of made; they are in `script.made`."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("kinds")
    script.made = []

    def run(place, *flags, cores, log):
        last = script.equal_minutes.last
        script.made.append(list(flags))
        drawing = "--views=drawing" in flags
        accuracy = 0.5 + 0.1 * drawing + 0.02 * int(last(flags, "seed"))
        return {
            "device": "a processor",
            "global_step": int(last(flags, "train_steps")),
            "train_seconds": 1.0,
            "images_per_second": 100.0,
            "pretrained": {name: {"top_1": accuracy} for name in script.PROTOCOLS},
        }

    monkeypatch.setattr(script.equal_minutes.runs, "run", run)
    monkeypatch.setattr(script.equal_minutes.runs, "scalars", lambda place, tags: {})
    return script


def test_every_kind_is_trained_on_as_many_images_and_the_best_is_marked(script, tmp_path):
    pytest.importorskip("matplotlib")
    words = [str(tmp_path), "--datasets=cifar10,cifar10_grey", "--kinds=standard,drawing"]
    script.main([*words, "--images=1280"])
    assert len(script.made) == 2 * 2 * 2
    assert sum("--views=standard" in flags for flags in script.made) == 4
    assert {script.equal_minutes.last(flags, "train_steps") for flags in script.made} == {"10"}
    table = (tmp_path / "table.md").read_text()
    assert "| cifar10, knn_20 | 51.0 ± 1.0 | **61.0** ± 1.0 |" in table
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    script.main([*words, "--images=1280"])
    assert len(script.made) == 8  # from the records
    script.main([str(tmp_path), "--datasets=imagenette", "--kinds=small", "--images=1280"])
    table = (tmp_path / "table.md").read_text()
    assert "| dataset | standard | small | drawing |" in table
    assert "| cifar10, knn_20 | 51.0 ± 1.0 |  | **61.0** ± 1.0 |" in table
    assert "| imagenette, linear |  | **51.0** ± 1.0 |  |" in table


def test_a_package_that_is_missing_leaves_its_dataset_out(script, tmp_path, monkeypatch, capsys):
    def gone():
        raise ImportError("No module named 'gone'")

    assert script.of_arrays(gone)(str(tmp_path)) is None
    assert "gone is left out: No module named 'gone'" in capsys.readouterr().out

    def here():
        return np.zeros((4, 8, 8), np.uint8), np.arange(4), np.array(["train", "test"] * 2)

    assert script.of_arrays(here)(str(tmp_path))[0] == f"--dataset={tmp_path}/here.npz"
    assert sorted(np.load(tmp_path / "here.npz")) == ["images", "labels", "split"]


@pytest.mark.parametrize("words", [["--kinds=xray"], ["--datasets=mine"]])
def test_unknown_names_are_refused(script, tmp_path, words):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), *words])
