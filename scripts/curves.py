"""A run as a picture and a table: python scripts/curves.py MODEL_DIR OUTPUT_DIR

Writes into OUTPUT_DIR: curves.png (loss, accuracy of the probe, spread of the projections over the
steps, and the protocols beside the untrained encoder), curves.csv (the TensorBoard scalars, one row
per point), result.json, flags.flags, which replays the run, and linear_eval.json where
--mode=linear_eval was run on its last step. Needs the `dev` extra.
"""

import argparse
import csv
import json
import os
import shutil
import sys

import matplotlib
import runs
from runs import METHODS

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Title -> {tag: name in the legend}; a run has one of the first two.
PANELS = {
    "contrastive loss": {"train/contrast_loss": ""},
    "triplet loss, both directions": {"train/triplet_loss": ""},
    "BYOL's loss, both directions": {"train/representation_loss": ""},
    "accuracy of the online head, train": {"train/supervised_acc": ""},
    "spread of projections (0 = collapsed)": {
        "train/z_std": "z",
        "train/target_z_std": "z of the target",
    },
}
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito, safe for colour-blind eyes


def write_table(series, path):
    steps = sorted(set().union(*series.values()))
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["step", *series])
        for step in steps:
            rows.writerow(
                [
                    step,
                    *(
                        f"{points[step]:.6g}" if step in points else ""
                        for points in series.values()
                    ),
                ]
            )


def read(*path):
    with open(os.path.join(*path)) as file:
        return json.load(file)


def write_flags(model_dir, output_dir):
    """The run's flagfile without where it was: the directories of one machine."""
    with open(os.path.join(model_dir, "flags.flags")) as file:
        flags = [line for line in file if not line.startswith(("#", "--model_dir=", "--data_dir="))]
    path = os.path.join(output_dir, "flags.flags")
    with open(path, "w") as file:
        file.writelines([f"# Replay: python run.py --flagfile={path}\n", *flags])


def draw(series, result, method, path):
    panels = {title: tags for title, tags in PANELS.items() if series.keys() & tags.keys()}
    figure, axes = plt.subplots(1, len(panels) + 1, figsize=(16, 3.6), constrained_layout=True)
    for axis, (title, tags) in zip(axes, panels.items()):
        for (tag, name), colour in zip(tags.items(), (BLUE, ORANGE)):
            points = series.get(tag, {})
            axis.plot(list(points), list(points.values()), color=colour, linewidth=1, label=name)
        if len(series.keys() & tags.keys()) > 1:
            axis.legend(fontsize=8)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
    bars(axes[-1], result)
    figure.suptitle(
        f"{METHODS[method]} on {result['dataset']}, {result['global_step']} steps, "
        f"{result['precision']}, {result['device']}"
    )
    figure.savefig(path, dpi=110)


def bars(axis, result):
    """Top-1 of every protocol, the untrained encoder beside the pretrained one."""
    names = [name for key in ("pretrained", "untrained") for name in result[key] or {}]
    names = list(dict.fromkeys(names))
    for offset, (key, colour) in enumerate((("untrained", GREY), ("pretrained", ORANGE))):
        scores = result[key] or {}
        if not scores:
            continue
        heights = [100 * scores[name]["top_1"] for name in names if name in scores]
        places = [i + 0.4 * offset for i, name in enumerate(names) if name in scores]
        drawn = axis.bar(places, heights, 0.38, color=colour, label=key)
        axis.bar_label(drawn, fmt="%.1f", fontsize=8)
    axis.set_xticks([i + 0.2 for i in range(len(names))], names, fontsize=8)
    axis.set(title=f"top-1 on {result['eval_split']}, %")
    axis.margins(y=0.25)
    axis.legend(loc="upper right", fontsize=8, ncols=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir")
    parser.add_argument("output_dir")
    arguments = parser.parse_args()
    path = os.path.join(arguments.model_dir, "result.json")
    result = read(path) if os.path.exists(path) else {}
    if "pretrained" not in result:
        parser.error(
            "MODEL_DIR must be the directory of a finished pretraining. Received: "
            f"{arguments.model_dir}"
        )
    os.makedirs(arguments.output_dir, exist_ok=True)
    shutil.copy(path, arguments.output_dir)
    linear = runs.linear_evaluation(arguments.model_dir, result["global_step"])
    if linear:
        result["pretrained"] |= read(linear)["results"]
        shutil.copy(linear, os.path.join(arguments.output_dir, "linear_eval.json"))
    series = runs.scalars(arguments.model_dir)
    write_table(series, os.path.join(arguments.output_dir, "curves.csv"))
    draw(
        series,
        result,
        read(arguments.model_dir, "flags.json")["method"],
        os.path.join(arguments.output_dir, "curves.png"),
    )
    write_flags(arguments.model_dir, arguments.output_dir)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError, TypeError) as error:  # of files that are torn
        sys.exit(f"curves.py: a file of the run is damaged or missing ({error})")
