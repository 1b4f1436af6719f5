"""scripts/figures.py: the pictures show the means of the runs, and what varies decides which."""

import importlib
import json
import statistics
import subprocess
import sys

import pytest

from tests.test_run import ROOT
from tfssl.config import Config

pytest.importorskip("matplotlib")


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("figures")


def record(top_1, curves=True, **settings):
    """A run as runs.json has it."""
    config = Config(**settings)
    points = [0.5, 0.25, 0.125]
    return {"flags": config.to_dict(), "result": {
        "global_step": 3, "dataset": "cifar10",
        "pretrained": {name: {"top_1": top_1, "top_5": 1.0} for name in ("online", "knn_20")}},
        "curves": {"step": [1, 2, 3], **{f"train/{name}": points for name in (
            "contrast_loss", "supervised_loss", "total_loss", "supervised_acc")}} if curves else {}}


def draw(figures, tmp_path, found, *more):
    """Names of the pictures that the script makes."""
    (tmp_path / "runs.json").write_text(json.dumps(found))
    assert figures.main([str(tmp_path / "out"), str(tmp_path / "runs.json"), *more]) == 0
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert all((tmp_path / "out" / name).stat().st_size > 1000 for name in pictures)
    assert [n for n in pictures if n.endswith("png")] == [
        n.replace("pdf", "png") for n in pictures if n.endswith("pdf")]
    return [name.removesuffix(".png") for name in pictures if name.endswith(".png")]


def test_what_varies_is_drawn(figures, tmp_path):
    found = [record(0.5 + t / 10 + b / 1e4, temperature=t, train_batch_size=b, seed=seed)
             for t in (0.25, 0.5) for b in (16, 64) for seed in (0, 1)]
    assert draw(figures, tmp_path, found) == ["batch_size", "losses", "steps", "temperature"]


def test_two_methods_are_two_lines_and_their_defaults_are_no_variation(figures, tmp_path):
    found = [record(0.4, method=method, train_batch_size=b, curves=False)
             for method in ("simclr", "byol") for b in (16, 64)]
    assert draw(figures, tmp_path, found, "--protocol=knn_20") == ["batch_size"]


def test_methods_that_differ_in_nothing_else_are_bars(figures, tmp_path):
    found = [record(0.4, method=method, seed=seed, curves=False)
             for method in ("simclr", "npair", "triplet", "cpc") for seed in (0, 1)]
    assert draw(figures, tmp_path, found, "--protocol=knn_20") == ["method"]


def test_without_runs_the_second_chapter_is_drawn(tmp_path):
    subprocess.run([sys.executable, "scripts/figures.py", tmp_path, "--image_size=16"], cwd=ROOT,
                   check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "augmentation.png", "augmentation.pdf", "entropy.png", "entropy.pdf"}


def test_bars_are_means_and_their_lines_the_spread_of_the_rest(figures):
    figure, axis = figures.plt.subplots()
    points = [(0.25, 512, 80.0), (0.25, 512, 84.0), (1.0, 512, 70.0), (0.25, 1024, 90.0)]
    figures.bars(axis, points, "temperature", "batch size", "")
    assert [bar.get_height() for bar in axis.patches] == [82.0, 70.0, 90.0]
    spreads = [line.get_segments()[0][:, 1] for line in axis.collections]
    assert spreads[0][1] - spreads[0][0] == pytest.approx(2 * statistics.stdev([80, 84]))
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0.25", "1"]


@pytest.mark.parametrize("names, within", (
    (["temperature"], None),
    (["color_jitter_strength", "temperature"], "color_jitter_strength"),
    (["color_jitter_strength", "temperature", "use_blur"], None),
    (["color_jitter_strength", "temperature", "train_batch_size"], "train_batch_size")))
def test_bars_stand_within_the_batch_size_or_the_one_other_knob(figures, names, within):
    assert figures.groups_of(names, "temperature") == within


def test_smoothing_is_tensorboards(figures):
    """Its first value is the first value, and a constant stays one."""
    assert figures.smooth([3.0, 3.0, 3.0], 0.6) == pytest.approx([3.0] * 3)
    assert figures.smooth([1.0, 2.0], 0.6) == pytest.approx([1.0, (0.6 * 0.4 + 0.8) / 0.64])
    assert figures.smooth([1.0, 5.0, 2.0], 0.0) == [1.0, 5.0, 2.0]


def test_curves_of_seeds_are_averaged_where_all_have_a_point(figures):
    records = importlib.import_module("records")
    group = [records.Record({}, {}, {"step": [1, 2], "train/total_loss": [4.0, 2.0]}),
             records.Record({}, {}, {"step": [2, 3], "train/total_loss": [3.0, 1.0]})]
    assert figures.mean_curve(group, "train/total_loss") == ([2], [2.5])


@pytest.mark.parametrize("args,said", [
    (["nowhere"], "nowhere"), (["RUNS", "--protocol=linear"], "--protocol must be one that all"),
    (["RUNS", "--smoothing=1"], "--smoothing must be"), (["RUNS", "--temperature=1"], "no flags"),
    (["--temperature=0"], "--temperature must be a number above 0")])
def test_refusals_are_one_sentence(args, said, figures, tmp_path, capsys):
    (tmp_path / "runs.json").write_text(json.dumps([record(0.5)]))
    args = [word.replace("RUNS", str(tmp_path / "runs.json")) for word in args]
    assert figures.main([str(tmp_path / "out"), *args]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("figures.py: ") and said in refusal.splitlines()[-1]
