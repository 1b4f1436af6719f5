"""The thesis's figures, of our runs: python scripts/figures.py OUTPUT_DIR [RUNS ...]

RUNS are directories of runs, or runs.json files of collect.py. What they vary decides what is
drawn, each as PNG and PDF: batch_size (Figures 23a and 35), steps (23b), color_jitter (24),
temperature (25), depth, blur, method, losses (26 to 29 and 31 to 34), of BYOL also unsmoothed (30).
Where the thesis has the numbers, its own figure stands to the left. Without RUNS: distributions
(Figures 2 to 4), augmentation (10 to 14) and entropy (15); further flags are run.py's and say of
which images, the embedded ones where no --dataset is given, and with which seed. Needs the `dev`
extra.

    python scripts/figures.py pictures runs/SWEEP --protocol=linear
    python scripts/figures.py pictures --dataset=imagenette/160px-v2 --seed=3
"""

import argparse
import collections
import math
import os
import statistics
import sys

import matplotlib
import numpy as np
import records
import thesis
from runs import METHODS

from tfssl.config import sides
from tfssl.errors import UsageError

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patheffects import withStroke  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

# Okabe and Ito's colours, safe for colour-blind eyes; the first two are those of the thesis's bars.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
LOOKS = {
    "simclr": ("o", 0),
    "byol": ("s", 5),
    "npair": ("^", 2),
    "triplet": ("v", 3),
    "cpc": ("D", 4),
}  # marker, place of the colour
NAMES = {
    "train_batch_size": "batch size",
    "temperature": "temperature",
    "color_jitter_strength": "colour jitter strength",
    "resnet_depth": "ResNet depth",
    "use_blur": "blur",
    "method": "method",
    "dataset": "dataset",
}
PROTOCOLS = {
    "online": "online head",
    "network": "whole network",
    "linear": "linear, frozen encoder",
    "linear_sgd": "linear, by --mode=linear_eval",
}
THESIS = {  # over batch sizes: method -> where its rows are, what they are of, how it is scored
    "simclr": ("figure23", "SimCLR, ResNet-18, CIFAR-10", "online head (Figure 23)"),
    "byol": (16, "BYOL, ResNet-50, Imagenette", "a linear head trained separately (Table 16)"),
}
HALO = [withStroke(linewidth=2, foreground="white")]  # of numbers that a line may pass through
LEAST_SPAN = 8  # points of accuracy that a y-axis shows at least
LOSSES = {
    "train/contrast_loss": "contrastive loss",
    "train/representation_loss": "representation loss",
    "train/supervised_loss": "supervised loss",
    "train/total_loss": "total loss",
}
ACCURACY = "train/supervised_acc"
UNSMOOTHED = {
    "train/supervised_loss": "supervised loss",
    ACCURACY: "top-1 on augmented training images, %",
}
SMOOTHING = 0.6  # the thesis's, its Remark 11
SMOOTHING_OF_BYOL = 1.0  # of its losses, section 10.2.1
TURN = 0.4 * math.pi  # to either side, as in the thesis's code
# Weight, mean and deviation of each normal distribution, and how many draws: those that fit the
# thesis's histograms.
MARKS = ((1 / 2, 3.0, 1.0), (1 / 2, 7.0, 1.0)), 500
HEIGHTS = ((1 / 3, 3.0, 1.0), (1 / 3, 8.0, 1.0), (1 / 3, 14.0, 1.0)), 750
BARS = {
    "color_jitter_strength": "color_jitter",
    "temperature": "temperature",
    "resnet_depth": "depth",
    "use_blur": "blur",
}  # knob -> name of the picture
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "pdf.fonttype": 42,
}


def save(figure, output_dir, name):
    os.makedirs(output_dir, exist_ok=True)
    for kind in ("png", "pdf"):
        metadata = {"CreationDate": None} if kind == "pdf" else None  # equal data, equal file
        figure.savefig(os.path.join(output_dir, f"{name}.{kind}"), metadata=metadata)
    plt.close(figure)
    print(os.path.join(output_dir, f"{name}.png"))


def name_of(knob):
    return NAMES.get(knob, knob)


def accuracy(record, protocol):
    """Top-1 in %, or None."""
    score = record.scores.get(protocol)
    return None if score is None else 100 * score["top_1"]


def protocol_name(protocol):
    k = protocol.removeprefix("knn_")
    return PROTOCOLS.get(protocol, f"kNN, k = {k}")


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def smooth(values, weight):
    """TensorBoard's smoothing: an exponential mean that counts its start as missing, not as 0.

    With a weight of 1 it is its own limit, the mean of all values so far, where TensorBoard's
    formula would divide 0 by 0: a value's share is its weight among the weights so far.
    """
    total, weights, made = 0.0, 0.0, []
    for value in values:
        total, weights = weight * total + value, weight * weights + 1
        made.append(total / weights)
    return made


def smoothing_told(weight):
    told = {0.0: "not smoothed", 1.0: "smoothed by 1 (means of all values so far)"}
    return told.get(weight, f"smoothed by {weight:g}")


# ---------------------------------------------------------------- accuracy over a setting


def bars(axis, points, knob, groups_name, title):
    """Figures 24 and 25: a bar per value and group, a black line for the spread of the others.

    Args:
        points: list of (value, group, accuracy in %).
    """
    cells = collections.defaultdict(list)
    for value, group, score in points:
        cells[value, group].append(score)
    values, groups = (sorted({key[i] for key in cells}) for i in (0, 1))
    width = 0.8 / len(groups)
    for i, group in enumerate(groups):
        at = [
            (place + (i + 0.5) * width - 0.4, cells[value, group])
            for place, value in enumerate(values)
            if cells[value, group]
        ]
        heights = [statistics.mean(scores) for _, scores in at]
        axis.bar(
            [x for x, _ in at],
            heights,
            0.92 * width,
            color=COLOURS[i % len(COLOURS)],
            label=f"{groups_name} {show(group)}" if groups_name else None,
        )
        for (x, scores), height in zip(at, heights):
            axis.errorbar(x, height, spread(scores), color="black", linewidth=1.2)
            axis.annotate(
                f"{height:.1f}",
                (x, height + spread(scores)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    axis.set_xticks(range(len(values)), [show(value) for value in values])
    axis.set(xlabel=name_of(knob), ylabel="top-1, %", title=title)
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.12)
    if groups_name:
        axis.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.08))


def groups_of(names, knob):
    """Within what bars over a knob stand: the batch size, as in the thesis; else the one other knob
    that varies; else nothing, None."""
    others = [name for name in names if name != knob]
    if "train_batch_size" in others:
        return "train_batch_size"
    return others[0] if len(others) == 1 else None


def by_knob(found, names, knob, protocol, output_dir, name):
    """Bars over a knob of all runs, beside those of Table 3, SimCLR's, where it varies that too."""
    within = groups_of(names, knob)
    ours = [
        (
            getattr(record.config, knob),
            within and getattr(record.config, within),
            accuracy(record, protocol),
        )
        for record in found
    ]
    panels = [(ours, within and name_of(within), f"here, {protocol_name(protocol)}")]
    column = records.COLUMNS.get(knob)
    if column in thesis.rows(3)[0] and any(record.config.method == "simclr" for record in found):
        theirs = [
            (row[column], int(row["batch_size"]), 100 * row["top_1_accuracy"])
            for row in thesis.rows(3)
        ]
        panels.insert(0, (theirs, name_of("train_batch_size"), "the thesis, online head (Table 3)"))
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.6), squeeze=False)
    for axis, (points, groups_name, title) in zip(axes[0], panels):
        bars(axis, points, knob, groups_name, title)
    explain(figure)
    save(figure, output_dir, name)


def by_method(found, output_dir):
    """Methods on equal terms: a bar for each accuracy that all of them have."""
    protocols = [
        name
        for name in found[0].scores
        if all(accuracy(record, name) is not None for record in found)
    ]
    points = [
        (METHODS[record.config.method], protocol_name(name), accuracy(record, name))
        for record in found
        for name in protocols
    ]
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    bars(axis, points, "method", "by", "")
    explain(figure)
    save(figure, output_dir, "method")


def lines(axis, points, colour, marker, label, above=True):
    """Means over a base-2 axis, with the spread of what they are means of.

    Args:
        points: {batch size: accuracies in %}.
        above: where the numbers stand.
    """
    sizes = sorted(points)
    means = [statistics.mean(points[size]) for size in sizes]
    axis.errorbar(
        sizes,
        means,
        [spread(points[size]) for size in sizes],
        color=colour,
        marker=marker,
        markersize=5,
        elinewidth=1.0,
        capsize=2.5,
        label=label,
    )
    for size, mean in zip(sizes, means):
        edge = spread(points[size]) * (1 if above else -1)
        axis.annotate(
            f"{mean:.1f}",
            (size, mean + edge),
            xytext=(0, 5 if above else -5),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=7.5,
            color=colour,
            path_effects=HALO,
        )
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(plt.NullLocator())


def theirs_by_batch_size(methods):
    """The thesis's own lines: [(title, {label: (method, points)})], [] where it has none."""
    known = [method for method in THESIS if method in methods]
    series = {}
    for method in known:
        of, label, head = THESIS[method]
        series[label if len(known) == 1 else f"{label},\n{head}"] = (
            method,
            {int(row["batch_size"]): [100 * row["top_1_accuracy"]] for row in thesis.rows(of)},
        )
    title = f"the thesis, {THESIS[known[0]][2]}" if len(known) == 1 else "the thesis"
    return [(title, series)] if series else []


def by_batch_size(found, protocol, output_dir):
    """Figures 23a and 35: a line for each method, the mean over all else that varies."""
    ours = collections.defaultdict(lambda: collections.defaultdict(list))
    for record in found:
        ours[record.config.method][record.config.train_batch_size].append(
            accuracy(record, protocol)
        )
    panels = theirs_by_batch_size(ours)
    panels.append(
        (
            f"here, {protocol_name(protocol)}",
            {METHODS[method]: (method, points) for method, points in ours.items()},
        )
    )
    figure, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.6), squeeze=False)
    for axis, (title, series) in zip(axes[0], panels):
        for label, (method, points) in series.items():
            marker, place = LOOKS[method]
            lines(
                axis,
                points,
                COLOURS[place],
                marker,
                label,
                above=method == "simclr" or len(series) == 1,
            )
        sizes = sorted({size for _, points in series.values() for size in points})
        axis.set_xticks(sizes)
        axis.set(xlabel="batch size, images", ylabel="top-1, %", title=title)
        at_least(axis, LEAST_SPAN)
        axis.legend(loc="best")
    explain(figure)
    save(figure, output_dir, "batch_size")


def explain(figure):
    figure.supxlabel(
        "mean and standard deviation over the seeds and all else that varies",
        fontsize=7.5,
        color="#666666",
    )


def at_least(axis, span):
    """Widens the y-axis, so that tenths of a point do not look like a trend."""
    low, high = axis.get_ylim()
    wider = max(0, span - (high - low)) / 2 + 0.08 * (high - low)
    axis.set_ylim(low - wider, high + wider)


# ---------------------------------------------------------------- curves over steps


def mean_curve(group, tag):
    """(steps, values) of runs that differ in the seed: the mean where all have a point."""
    curves = [
        dict(zip(record.curves["step"], record.curves[tag]))
        for record in group
        if tag in record.curves
    ]
    if not curves:
        return [], []
    steps = sorted(set.intersection(*map(set, curves)))
    return steps, [statistics.mean(curve[step] for curve in curves) for step in steps]


def curve(axis, group, tag, colour, label, weight, scale=1.0):
    """A smoothed line, and the values themselves as its shadow."""
    steps, values = mean_curve(group, tag)
    values = [scale * value for value in values]
    axis.plot(steps, values, color=colour, alpha=0.22, linewidth=1.0)
    axis.plot(steps, smooth(values, weight), color=colour, label=label)


def by_steps(found, names, protocol, weight, output_dir):
    """Figure 23b: the online head on the training images, a line for each batch size."""
    methods = [method for method in METHODS if any(r.config.method == method for r in found)]
    shades = matplotlib.colormaps["viridis"]
    figure, axes = plt.subplots(
        1, len(methods), figsize=(1 + 4.6 * len(methods), 3.6), squeeze=False, sharey=True
    )
    for axis, method in zip(axes[0], methods):
        groups = collections.defaultdict(list)
        for record in found:
            if record.config.method == method:
                groups[record.config.train_batch_size].append(record)
        for i, size in enumerate(sorted(groups)):
            best = max(records.by_setting(groups[size]), key=lambda g: mean_of(g, protocol))
            curve(
                axis,
                best,
                ACCURACY,
                shades(0.92 * i / max(1, len(groups) - 1)),
                f"{size}",
                weight,
                scale=100,
            )
        axis.set_xscale("log")
        axis.set(xlabel="step", title=METHODS[method])
        axis.legend(title="batch size", title_fontsize=8)
    axes[0][0].set_ylabel("online head on augmented\ntraining images, top-1, %")
    if set(names) - {"train_batch_size", "method"}:
        figure.suptitle("the best setting of each batch size", fontsize=9, color="#666666")
    save(figure, output_dir, "steps")


def mean_of(group, protocol):
    return statistics.mean(accuracy(record, protocol) for record in group)


def best_of(found, protocol, count):
    """The settings that score best, each as the list of its runs."""
    return sorted(records.by_setting(found), key=lambda group: -mean_of(group, protocol))[:count]


def losses(groups, names, weight, output_dir):
    """Figures 26 to 29 and 31 to 34: the losses of some settings over the steps."""
    told = smoothing_told(weight)
    charts(
        groups,
        LOSSES,
        names,
        weight,
        output_dir,
        "losses",
        f"the {len(groups)} best settings, {told}" if len(groups) > 1 else told,
    )


def unsmoothed(groups, names, output_dir):
    """Figure 30: how much the curves go up and down, in the first run of each setting."""
    charts(
        [group[:1] for group in groups],
        UNSMOOTHED,
        names,
        0.0,
        output_dir,
        "unsmoothed",
        "a single run of each, not smoothed",
    )


def charts(groups, titles, names, weight, output_dir, name, told):
    """A chart for each tag of which there are curves, and on it a line for each setting.

    Args:
        groups: lists of the runs of a setting.
        titles: {tag: title}.
        told: of all charts, above them.
    """
    tags = [tag for tag in titles if any(tag in r.curves for group in groups for r in group)]
    if not tags:
        return
    figure, axes = plt.subplots(1, len(tags), figsize=(4.2 * len(tags), 3.9), squeeze=False)
    for axis, tag in zip(axes[0], tags):
        for i, group in enumerate(groups):
            curve(
                axis,
                group,
                tag,
                COLOURS[i % len(COLOURS)],
                setting(group, names),
                weight,
                scale=100 if tag == ACCURACY else 1,
            )
        axis.set(title=titles[tag], xlabel="step")
    handles, labels = axes[0][0].get_legend_handles_labels()
    room = 50 * len(tags)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, room // (max(map(len, labels)) + 6)),
    )
    figure.suptitle(told, fontsize=9, color="#666666")
    save(figure, output_dir, name)


def setting(group, names):
    config = group[0].config
    told = ", ".join(
        METHODS[config.method]
        if name == "method"
        else f"{name_of(name)} {show(getattr(config, name))}"
        for name in names
    )
    return told or METHODS[config.method]


def show(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- chapters 2 and 3


def density(mixture, x):
    """Of a mixture of normal distributions, (weight, mean, deviation) of each, at places x [n]."""
    return sum(
        weight * np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        for weight, mean, deviation in mixture
    )


def modes(mixture):
    """Where the density of a mixture, as of `density`, has its peaks: ascending, [n]."""
    _, means, deviations = zip(*mixture)
    step = min(deviations) / 100
    # The density rises up to the least of the means and falls from the largest on.
    x = np.arange(min(means) - step, max(means) + 2 * step, step)
    slope = sum(
        (mean - x) / deviation**2 * density([(weight, mean, deviation)], x)
        for weight, mean, deviation in mixture
    )
    before = np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0))
    return x[before] + step * slope[before] / (slope[before] - slope[before + 1])


def sample(mixture, count, seed):
    """Draws of a mixture, [count]."""
    generator = np.random.default_rng(seed)
    weights, means, deviations = map(np.array, zip(*mixture))
    of = generator.choice(len(mixture), count, p=weights)
    return generator.normal(means[of], deviations[of])


def distributions(seed, output_dir):
    """Figures 2 to 4: a distribution of two modes and one of three, simulated."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4))
    simulated(axes[0], *MARKS, seed, "marks of a class in a test", "mark")
    simulated(axes[1], *HEIGHTS, seed, "heights of plants of three species", "height")
    save(figure, output_dir, "distributions")


def simulated(axis, mixture, count, seed, title, name):
    """A histogram of draws, the density that they are of, and its modes."""
    drawn, peaks = sample(mixture, count, seed), modes(mixture)
    axis.hist(drawn, bins=25, density=True, color=COLOURS[0], alpha=0.45, label=f"{count} draws")
    x = np.linspace(min(drawn), max(drawn), 400)
    axis.plot(x, density(mixture, x), color=COLOURS[6], label="density")
    axis.plot(peaks, density(mixture, peaks), "o", color=COLOURS[5], label="modes")
    for peak, height in zip(peaks, density(mixture, peaks)):
        axis.axvline(peak, color=COLOURS[5], linewidth=0.9, linestyle=":")
        axis.annotate(
            f"{peak:.2f}",
            (peak, height),
            xytext=(4, 5),
            textcoords="offset points",
            fontsize=8,
            color=COLOURS[5],
            path_effects=HALO,
        )
    axis.set(title=title, xlabel=name, ylabel="density")
    axis.margins(y=0.12)
    axis.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.08))


def augmented(config):
    """{name: what Figures 10, 11 and 13 show}, float32 [h, w, 3] in [0, 1]: an image, and what is
    done to it."""
    import tensorflow as tf
    import views

    from tfssl.augment import ops

    *_, image = views.images(config, 3)[0]
    size = sides(config.image_size)
    image = tf.image.convert_image_dtype(image, tf.float32)
    image = tf.clip_by_value(ops.center_crop(image[tf.newaxis], size, 1.0)[0], 0, 1)
    seed = [config.seed, 0]
    rotate = ops.rotate((-TURN, TURN))
    degrees = math.degrees(rotate.draw(seed, image[tf.newaxis])["angle"][0])
    turned = tf.constant(views.made(rotate, image, seed))
    crop = views.made(ops.random_resized_crop(size, (0.2, 0.5)), image, seed)
    jitter = views.made(ops.color_jitter(0.8, 0.8, 0.8, 0.2), image, seed)
    return {
        "image": image.numpy(),
        f"rotated by {degrees:.0f}° and flipped": views.made(
            ops.flip_left_right(1.0), turned, seed
        ),
        "random crop": crop,
        "colour jitter": jitter,
    }


def augmentation(config, output_dir):
    """Figures 10 to 14: an image, what is done to it, and the histograms of before and after."""
    pictures = augmented(config)
    image, turned, crop, jitter = pictures
    compared = (image,), (image, turned), (image, crop), (crop, jitter)  # the last as Figure 14
    figure, axes = plt.subplots(
        2, len(pictures), figsize=(2.7 * len(pictures), 4.7), height_ratios=(1.45, 1)
    )
    for (above, below), (name, picture), of in zip(axes.T, pictures.items(), compared):
        above.imshow(picture, interpolation="nearest")
        above.set_axis_off()
        above.set_title(name)
        for which, colour in zip(of, COLOURS):
            values = 255 * np.ravel(pictures[which])
            below.hist(
                values,
                bins=64,
                range=(0, 255),
                color=colour,
                alpha=0.6,
                label=which,
                weights=np.full(values.size, 100 / values.size),
            )
        below.set(xlabel="level", xlim=(0, 255), xticks=(0, 64, 128, 192, 255))
        below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7)
    axes[1][0].set_ylabel("values of all channels, %")
    save(figure, output_dir, "augmentation")


def entropy(output_dir):
    """Figure 15: the entropy of a Bernoulli variable, in nats, and in bits beside."""
    from tfssl import information

    p = np.linspace(0, 1, 201)
    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    axis.plot(p, [information.entropy([x, 1 - x]) for x in p], color=COLOURS[0])
    axis.plot(0.5, math.log(2), "o", color=COLOURS[5])
    axis.annotate(
        f"log 2 = {math.log(2):.3f}",
        (0.5, math.log(2)),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=COLOURS[5],
    )
    axis.set(
        xlabel="p",
        ylabel="H(p), nats",
        title="entropy of a Bernoulli variable",
        xlim=(0, 1),
        ylim=(0, 0.78),
    )
    bits = axis.secondary_yaxis(
        "right", functions=(lambda nats: nats / math.log(2), lambda bits: bits * math.log(2))
    )
    bits.set_ylabel("H(p), bits")
    bits.spines["right"].set_visible(True)
    save(figure, output_dir, "entropy")


def of_theory(words, output_dir):
    """Draws what needs no runs.

    Args:
        words: flags of run.py.

    Raises:
        UsageError: run.py would refuse them.
    """
    import views

    larger = [] if any("image_size" in word for word in words) else ["--image_size=160"]
    config = views.settings([*words, *larger])
    augmentation(config, output_dir)  # first, for a dataset may be refused
    distributions(config.seed, output_dir)
    entropy(output_dir)


# ---------------------------------------------------------------- all of them


def of_runs(found, options):
    """Draws what the runs vary.

    Raises:
        UsageError: not all of them have the accuracy that is asked for.
    """
    protocol, output_dir, smoothing = options.protocol, options.output_dir, options.smoothing
    missing = [record for record in found if accuracy(record, protocol) is None]
    if missing:
        raise UsageError(
            f"--protocol must be one that all runs have: "
            f"{', '.join(missing[0].scores)}. Received: {protocol}"
        )
    names = records.varying(found)
    curves = all(record.curves for record in found)
    if "train_batch_size" in names:
        by_batch_size(found, protocol, output_dir)
        if curves and all(ACCURACY in record.curves for record in found):
            by_steps(
                found, names, protocol, SMOOTHING if smoothing is None else smoothing, output_dir
            )
    elif "method" in names:
        by_method(found, output_dir)
    for knob, name in BARS.items():
        if knob in names:
            by_knob(found, names, knob, protocol, output_dir, name)
    if not curves:
        return
    of_byol = [record for record in found if record.config.method == "byol"]
    if smoothing is None:
        smoothing = SMOOTHING_OF_BYOL if of_byol == found else SMOOTHING
    losses(best_of(found, protocol, options.best), names, smoothing, output_dir)
    if of_byol:
        unsmoothed(best_of(of_byol, protocol, options.best), names, output_dir)


def main(line=None):
    """Draws what a command line asks for; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("runs", nargs="*", help="directories of runs, or runs.json files")
    parser.add_argument(
        "--protocol",
        default="online",
        help="online, linear, knn_20, ... (default: online, as in the thesis)",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        help="of curves, as in TensorBoard, 0 to 1, where 1 gives the means of all "
        "values so far (default, as in the thesis: 0.6, of BYOL's losses 1)",
    )
    parser.add_argument(
        "--best",
        type=int,
        default=4,
        help="settings whose losses are drawn (default: 4, as in the thesis)",
    )
    options, words = parser.parse_known_args(line)
    try:
        if options.smoothing is not None and not 0 <= options.smoothing <= 1:
            raise UsageError(f"--smoothing must be in [0, 1]. Received: {options.smoothing}")
        if options.best < 1:
            raise UsageError(f"--best must be 1 or more. Received: {options.best}")
        plt.rcParams.update(STYLE)
        if options.runs:
            if words:
                raise UsageError(f"figures of runs take no flags of run.py. Received: {words[0]}")
            of_runs(records.load(options.runs), options)
        else:
            of_theory(words, options.output_dir)
    except (UsageError, OSError) as error:
        print(f"figures.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
