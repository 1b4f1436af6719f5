"""A run as a picture and a table: python scripts/curves.py MODEL_DIR OUTPUT_DIR

Writes into OUTPUT_DIR: curves.png (loss, accuracy of the probe, spread of z over the steps, and the
protocols beside the untrained encoder), curves.csv (the TensorBoard scalars, one row per point) and
result.json and flags.flags, which replays the run. Needs the `dev` extra.
"""

import argparse
import csv
import json
import os
import shutil

import matplotlib
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

PANELS = (("train/contrast_loss", "NT-Xent (both directions)"),
          ("train/supervised_acc", "accuracy of the online head, train"),
          ("train/z_std", "spread of z (0 = collapsed)"))
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito, safe for colour-blind eyes


def scalars(directory):
    """{tag: {step: value}} of the training points of a run."""
    events = EventAccumulator(directory, size_guidance={"tensors": 0}).Reload()
    return {tag: {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
            for tag in events.Tags()["tensors"] if tag.startswith(("train/", "learning_rate"))}


def write_table(series, path):
    steps = sorted(set().union(*series.values()))
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["step", *series])
        for step in steps:
            rows.writerow([step, *(f"{points[step]:.6g}" if step in points else ""
                                   for points in series.values())])


def write_flags(model_dir, output_dir):
    """The run's flagfile without where it was: the directories of one machine."""
    with open(os.path.join(model_dir, "flags.flags")) as file:
        flags = [line for line in file
                 if not line.startswith(("#", "--model_dir=", "--data_dir="))]
    path = os.path.join(output_dir, "flags.flags")
    with open(path, "w") as file:
        file.writelines([f"# Replay: python run.py --flagfile={path}\n", *flags])


def draw(series, result, path):
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6), constrained_layout=True)
    for axis, (tag, title) in zip(axes, PANELS):
        points = series.get(tag, {})
        axis.plot(list(points), list(points.values()), color=BLUE, linewidth=1)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
    bars(axes[3], result)
    figure.suptitle(f"SimCLR on {result['dataset']}, {result['global_step']} steps, "
                    f"{result['precision']}, {result['device']}")
    figure.savefig(path, dpi=110)


def bars(axis, result):
    """Top-1 of every protocol, the untrained encoder beside the pretrained one."""
    names = list(result["pretrained"])
    for offset, (key, colour) in enumerate((("untrained", GREY), ("pretrained", ORANGE))):
        scores = result[key] or {}
        heights = [100 * scores[name]["top_1"] if name in scores else 0 for name in names]
        places = [i + 0.4 * offset for i in range(len(names))]
        drawn = axis.bar(places, heights, 0.38, color=colour, label=key)
        axis.bar_label(drawn, fmt="%.1f", fontsize=8)
    axis.set_xticks([i + 0.2 for i in range(len(names))], names)
    axis.set(title=f"top-1 on {result['eval_split']}, %")
    axis.margins(y=0.25)
    axis.legend(loc="upper right", fontsize=8, ncols=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir")
    parser.add_argument("output_dir")
    arguments = parser.parse_args()
    os.makedirs(arguments.output_dir, exist_ok=True)
    with open(os.path.join(arguments.model_dir, "result.json")) as file:
        result = json.load(file)
    series = scalars(arguments.model_dir)
    write_table(series, os.path.join(arguments.output_dir, "curves.csv"))
    draw(series, result, os.path.join(arguments.output_dir, "curves.png"))
    shutil.copy(os.path.join(arguments.model_dir, "result.json"), arguments.output_dir)
    write_flags(arguments.model_dir, arguments.output_dir)


if __name__ == "__main__":
    main()
