"""scripts/figures.py: the pictures show the means of the runs, and what varies decides which."""

import argparse
import importlib
import json
import math
import re
import statistics
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from tests.helpers import ROOT
from tfssl.config import Config

pytest.importorskip("matplotlib")


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("figures")


@pytest.fixture
def drawn(figures, monkeypatch):
    """{name: figure} of what a script would save."""
    kept = {}
    monkeypatch.setattr(figures, "save", lambda figure, _, name: kept.update({name: figure}))
    yield kept
    figures.plt.close("all")


def record(top_1, curves=True, points=(0.5, 0.25, 0.125), **settings):
    """A run as runs.json has it."""
    config = Config(**settings)
    return {
        "flags": config.to_dict(),
        "result": {
            "global_step": 3,
            "dataset": "cifar10",
            "pretrained": {name: {"top_1": top_1, "top_5": 1.0} for name in ("online", "knn_20")},
        },
        "curves": {
            "step": [1, 2, 3],
            **{
                f"train/{name}": points
                for name in (
                    "representation_loss" if config.method == "byol" else "contrast_loss",
                    "supervised_loss",
                    "total_loss",
                    "supervised_acc",
                )
            },
        }
        if curves
        else {},
    }


def of_runs(figures, found, protocol="online", smoothing=None, best=4):
    """What the script does with records."""
    records = importlib.import_module("records")
    figures.of_runs(
        [records.Record(**record) for record in found],
        argparse.Namespace(protocol=protocol, smoothing=smoothing, best=best, output_dir=None),
    )


def shown(axis):
    """The lines of an axis that a legend names: {label: values}."""
    return {
        line.get_label(): list(line.get_ydata())
        for line in axis.get_lines()
        if not line.get_label().startswith("_")
    }


def draw(figures, tmp_path, found, *more):
    """Names of the pictures that the script makes."""
    (tmp_path / "runs.json").write_text(json.dumps(found))
    assert figures.main([str(tmp_path / "out"), str(tmp_path / "runs.json"), *more]) == 0
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert all((tmp_path / "out" / name).stat().st_size > 1000 for name in pictures)
    assert [n for n in pictures if n.endswith("png")] == [
        n.replace("pdf", "png") for n in pictures if n.endswith("pdf")
    ]
    return [name.removesuffix(".png") for name in pictures if name.endswith(".png")]


@pytest.mark.slow
def test_what_varies_is_drawn(figures, tmp_path):
    found = [
        record(0.5 + t / 10 + b / 1e4, temperature=t, train_batch_size=b, seed=seed)
        for t in (0.25, 0.5)
        for b in (16, 64)
        for seed in (0, 1)
    ]
    assert draw(figures, tmp_path, found) == ["batch_size", "losses", "steps", "temperature"]


def test_two_methods_are_two_lines_and_their_defaults_are_no_variation(figures, tmp_path):
    found = [
        record(0.4, method=method, train_batch_size=b, curves=False)
        for method in ("simclr", "byol")
        for b in (16, 64)
    ]
    assert draw(figures, tmp_path, found, "--protocol=knn_20") == ["batch_size"]


def test_methods_that_differ_in_nothing_else_are_bars(figures, tmp_path):
    found = [
        record(0.4, method=method, seed=seed, curves=False)
        for method in ("simclr", "npair", "triplet", "cpc")
        for seed in (0, 1)
    ]
    assert draw(figures, tmp_path, found, "--protocol=knn_20") == ["method"]


@pytest.mark.slow
def test_curves_of_byol_are_drawn_unsmoothed_too(figures, tmp_path):
    found = [record(0.4, method="byol", train_batch_size=b) for b in (16, 64)]
    assert draw(figures, tmp_path, found) == ["batch_size", "losses", "steps", "unsmoothed"]


@pytest.mark.slow
def test_without_runs_chapters_2_and_3_are_drawn(tmp_path):
    subprocess.run(
        [sys.executable, "scripts/figures.py", tmp_path, "--image_size=16"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}"
        for name in ("distributions", "augmentation", "entropy")
        for kind in ("png", "pdf")
    }


def test_bars_are_means_and_their_lines_the_spread_of_the_rest(figures):
    figure, axis = figures.plt.subplots()
    points = [(0.25, 512, 80.0), (0.25, 512, 84.0), (1.0, 512, 70.0), (0.25, 1024, 90.0)]
    figures.bars(axis, points, "temperature", "batch size", "")
    assert [bar.get_height() for bar in axis.patches] == [82.0, 70.0, 90.0]
    spreads = [line.get_segments()[0][:, 1] for line in axis.collections]
    assert spreads[0][1] - spreads[0][0] == pytest.approx(2 * statistics.stdev([80, 84]))
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0.25", "1"]


@pytest.mark.parametrize(
    "names, within",
    (
        (["temperature"], None),
        (["color_jitter_strength", "temperature"], "color_jitter_strength"),
        (["color_jitter_strength", "temperature", "use_blur"], None),
        (["color_jitter_strength", "temperature", "train_batch_size"], "train_batch_size"),
    ),
)
def test_bars_stand_within_the_batch_size_or_the_one_other_knob(figures, names, within):
    assert figures.groups_of(names, "temperature") == within


def test_smoothing_is_tensorboards(figures):
    """Its first value is the first value, and a constant stays one."""
    assert figures.smooth([3.0, 3.0, 3.0], 0.6) == pytest.approx([3.0] * 3)
    assert figures.smooth([1.0, 2.0], 0.6) == pytest.approx([1.0, (0.6 * 0.4 + 0.8) / 0.64])
    assert figures.smooth([1.0, 5.0, 2.0], 0.0) == [1.0, 5.0, 2.0]
    values, mean, expected = [3.0, -1.0, 4.0, 1.0, 5.0], 0.0, []
    for place, value in enumerate(values, 1):  # as TensorBoard has it
        mean = 0.9 * mean + 0.1 * value
        expected.append(mean / (1 - 0.9**place))
    assert figures.smooth(values, 0.9) == pytest.approx(expected)


def test_smoothing_by_1_is_the_limit_the_means_so_far(figures):
    values = list(np.random.default_rng(0).normal(size=200))
    whole = figures.smooth(values, 1.0)
    assert whole == pytest.approx([statistics.mean(values[:n]) for n in range(1, 201)])
    gaps = [
        max(abs(near - mean) for near, mean in zip(figures.smooth(values, weight), whole))
        for weight in (0.99, 0.999, 0.9999, 1 - 1e-7)
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[1] < 0.03 and gaps[2] < 0.003
    assert gaps[3] < 3e-6  # the gap is in proportion to 1 - weight


@pytest.mark.parametrize(
    "methods, smoothing, expected, told",
    [
        (["byol"], None, [4.0, 3.0, 2.0], "the 2 best settings, smoothed by 1 (means of all"),
        (["simclr"], None, [4.0, 2.75, 1.3469], "the 2 best settings, smoothed by 0.6"),
        (["simclr", "byol"], None, [4.0, 2.75, 1.3469], "the 4 best settings, smoothed by 0.6"),
        (["byol"], 0.6, [4.0, 2.75, 1.3469], "the 2 best settings, smoothed by 0.6"),
        (["byol"], 0.0, [4.0, 2.0, 0.0], "the 2 best settings, not smoothed"),
    ],
)
def test_losses_are_smoothed_as_in_the_thesis(methods, smoothing, expected, told, figures, drawn):
    found = [
        record(0.4, points=(4.0, 2.0, 0.0), method=method, train_batch_size=b)
        for method in methods
        for b in (16, 64)
    ]
    of_runs(figures, found, smoothing=smoothing)
    figure = drawn["losses"]
    assert figure.get_suptitle().startswith(told)
    for axis in figure.axes[-2:]:  # the supervised and the total loss
        assert len(shown(axis)) == 2 * len(methods)
        for values in shown(axis).values():
            assert values == pytest.approx(expected, abs=1e-4)


def test_losses_of_byol_are_three_charts(figures, drawn):
    """Figures 31a, 31b and 32."""
    of_runs(figures, [record(0.4, method="byol", train_batch_size=b) for b in (16, 64)])
    assert [axis.get_title() for axis in drawn["losses"].axes] == [
        "representation loss",
        "supervised loss",
        "total loss",
    ]


def test_figure_30_is_one_run_of_byol_as_it_is(figures, drawn):
    found = [
        record(0.4, points=points, method=method, train_batch_size=b, seed=seed)
        for method in ("simclr", "byol")
        for b in (16, 64)
        for seed, points in enumerate([(0.5, 0.1, 0.9), (0.2, 0.3, 0.4)])
    ]
    of_runs(figures, found, smoothing=0.9)
    loss, accuracy = drawn["unsmoothed"].axes
    assert shown(loss) == {f"BYOL, batch size {b}": [0.5, 0.1, 0.9] for b in (16, 64)}
    assert list(shown(accuracy).values()) == [pytest.approx([50, 10, 90])] * 2
    drawn.clear()
    of_runs(figures, [run for run in found if run["flags"]["method"] == "simclr"])
    assert "losses" in drawn and "unsmoothed" not in drawn


FIGURE_23 = [71.81, 74.74, 77.40, 78.65, 80.46, 80.49, 81.27]
TABLE_16 = [92.2, 92.4, 92.2, 92.0]


@pytest.mark.parametrize(
    "methods, title, lines",
    [
        (
            ["simclr"],
            "the thesis, online head (Figure 23)",
            {"SimCLR, ResNet-18, CIFAR-10": FIGURE_23},
        ),
        (
            ["byol"],
            "the thesis, a linear head trained separately (Table 16)",
            {"BYOL, ResNet-50, Imagenette": TABLE_16},
        ),
        (
            ["byol", "simclr", "npair"],
            "the thesis",
            {
                "SimCLR, ResNet-18, CIFAR-10,\nonline head (Figure 23)": FIGURE_23,
                "BYOL, ResNet-50, Imagenette,\na linear head "
                "trained separately (Table 16)": TABLE_16,
            },
        ),
    ],
)
def test_over_batch_sizes_the_thesiss_numbers_stand_beside(methods, title, lines, figures, drawn):
    found = [
        record(0.3 + b / 1e3, method=method, train_batch_size=b, curves=False)
        for method in methods
        for b in (16, 64)
    ]
    of_runs(figures, found)
    theirs, ours = drawn["batch_size"].axes
    assert theirs.get_title() == title and ours.get_title() == "here, online head"
    assert told_by_legend(theirs) == {name: pytest.approx(line) for name, line in lines.items()}
    assert list(told_by_legend(ours).values()) == [pytest.approx([31.6, 36.4])] * len(methods)


def told_by_legend(axis):
    """{label: values} of lines with error bars."""
    return {bars.get_label(): list(bars[0].get_ydata()) for bars in axis.containers}


def test_methods_of_which_the_thesis_has_no_series_stand_alone(figures, drawn):
    found = [record(0.4, method="npair", train_batch_size=b, curves=False) for b in (16, 64)]
    of_runs(figures, found)
    assert len(drawn["batch_size"].axes) == 1


@pytest.mark.parametrize(
    "method, knob, values, panels",
    [
        (
            "simclr",
            "temperature",
            (0.5, 1.0),
            ["the thesis, online head (Table 3)", "here, online head"],
        ),
        ("simclr", "use_blur", (False, True), ["here, online head"]),
        ("byol", "color_jitter_strength", (0.5, 1.0), ["here, online head"]),
    ],
)
def test_table_3_stands_beside_runs_of_simclr(method, knob, values, panels, figures, drawn):
    of_runs(figures, [record(0.4, method=method, curves=False, **{knob: v}) for v in values])
    assert [axis.get_title() for axis in drawn[figures.BARS[knob]].axes] == panels


def test_figure_15_is_in_nats_and_bits(figures, drawn):
    figures.entropy(None)
    (axis,) = drawn["entropy"].axes
    p, values = axis.get_lines()[0].get_data()
    assert max(values) == pytest.approx(math.log(2)) and p[np.argmax(values)] == 0.5
    assert values[40] == pytest.approx(-0.2 * math.log(0.2) - 0.8 * math.log(0.8))
    (bits,) = axis.child_axes
    drawn["entropy"].canvas.draw()
    assert bits.get_ylim() == pytest.approx(np.array(axis.get_ylim()) / math.log(2))
    assert (axis.get_ylabel(), bits.get_ylabel()) == ("H(p), nats", "H(p), bits")


def test_marks_have_two_modes_and_heights_three(figures):
    assert figures.modes(figures.MARKS[0]) == pytest.approx([3, 7], abs=0.01)
    assert figures.modes(figures.HEIGHTS[0]) == pytest.approx([3, 8, 14], abs=0.01)


@pytest.mark.parametrize("distance, count", [(0.0, 1), (1.9, 1), (2.1, 2), (5.0, 2), (300.0, 2)])
def test_two_equal_normals_have_two_modes_from_two_deviations_on(distance, count, figures):
    half = distance / 2
    found = figures.modes([(0.5, 10 - half, 1.0), (0.5, 10 + half, 1.0)])
    assert len(found) == count
    for offset in found - 10:  # where the slope is 0: x = d tanh(d x)
        assert offset == pytest.approx(half * math.tanh(half * offset), abs=1e-5)


def test_modes_of_unequal_normals_are_peaks(figures):
    mixture = [(0.7, -1.0, 0.5), (0.1, 2.0, 0.2), (0.2, 2.5, 3.0)]
    found = figures.modes(mixture)
    x = np.linspace(-5, 9, 400_001)
    y = figures.density(mixture, x)
    assert y.sum() * (x[1] - x[0]) == pytest.approx(1, abs=0.01)
    peaks = x[1:-1][(y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])]
    assert len(found) == 2 and found == pytest.approx(peaks, abs=1e-4)


def test_samples_follow_their_mixture(figures):
    mixture = ((0.3, 0.0, 1.0), (0.7, 5.0, 2.0))

    def share_below(x):
        return sum(w * scipy.stats.norm(mean, deviation).cdf(x) for w, mean, deviation in mixture)

    drawn = figures.sample(mixture, 5000, seed=3)
    assert scipy.stats.kstest(drawn, share_below).pvalue > 1e-3
    assert list(figures.sample(mixture, 9, seed=3)) == list(figures.sample(mixture, 9, seed=3))
    assert list(figures.sample(mixture, 9, seed=3)) != list(figures.sample(mixture, 9, seed=4))


def test_figures_2_and_3_show_draws_their_density_and_its_modes(figures, drawn):
    figures.distributions(1, None)
    for axis, (mixture, count) in zip(
        drawn["distributions"].axes, (figures.MARKS, figures.HEIGHTS)
    ):
        area = sum(bar.get_height() * bar.get_width() for bar in axis.patches)
        assert area == pytest.approx(1)
        width = axis.patches[0].get_width()
        counts = [bar.get_height() * width * count for bar in axis.patches]
        assert counts == pytest.approx(np.round(counts)) and sum(counts) == pytest.approx(count)
        (marked,) = (line for line in axis.get_lines() if line.get_label() == "modes")
        assert list(marked.get_xdata()) == list(figures.modes(mixture))


def test_figure_10_is_rotated_by_the_angle_that_it_tells_and_then_flipped(figures):
    import tensorflow as tf

    from tfssl.augment import ops

    config = Config(dataset="shapes", train_split="train[:30]", image_size="64", seed=1)
    pictures = figures.augmented(config)
    image, turned, *_ = pictures.values()
    told = int(re.fullmatch(r"rotated by (-?\d+)° and flipped", list(pictures)[1])[1])

    def apart(degrees):
        angle = {"angle": tf.constant([math.radians(degrees)])}
        return np.mean(np.abs(turned[:, ::-1] - ops.rotate().apply(image[None], angle)[0]))

    assert apart(told) < 0.3 * min(apart(0), apart(-told), apart(told + 10))


def test_curves_of_seeds_are_averaged_where_all_have_a_point(figures):
    records = importlib.import_module("records")
    group = [
        records.Record({}, {}, {"step": [1, 2], "train/total_loss": [4.0, 2.0]}),
        records.Record({}, {}, {"step": [2, 3], "train/total_loss": [3.0, 1.0]}),
    ]
    assert figures.mean_curve(group, "train/total_loss") == ([2], [2.5])


@pytest.mark.parametrize(
    "args,said",
    [
        (["nowhere"], "nowhere"),
        (["RUNS", "--protocol=linear"], "--protocol must be one that all"),
        (["RUNS", "--smoothing=1.01"], "--smoothing must be in [0, 1]"),
        (["RUNS", "--smoothing=nan"], "--smoothing must be"),
        (["RUNS", "--best=0"], "--best must be"),
        (["RUNS", "--temperature=1"], "no flags"),
        (["--dataset=folder", "--data_dir=nowhere"], "nowhere"),
        (["--temperature=0"], "--temperature must be a number above 0"),
    ],
)
def test_refusals_are_one_sentence(args, said, figures, tmp_path, capsys):
    (tmp_path / "runs.json").write_text(json.dumps([record(0.5)]))
    args = [word.replace("RUNS", str(tmp_path / "runs.json")) for word in args]
    assert figures.main([str(tmp_path / "out"), *args]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("figures.py: ") and said in refusal.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(figures, tmp_path, capsys):
    (tmp_path / "runs.json").write_text(json.dumps([record(0.5), record(0.5, temperature=0.5)]))
    assert figures.main([str(tmp_path / "runs.json" / "out"), str(tmp_path / "runs.json")]) == 2
    assert capsys.readouterr().err.startswith("figures.py: ")
