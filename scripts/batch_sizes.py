"""SimCLR and BYOL over batch sizes: python scripts/batch_sizes.py OUTPUT_DIR [--sizes=16,64,256]

Runs run.py on flags/batch_sizes.flags for every method and batch size, each in a directory of its
own under --runs, so that the same command again continues where it was stopped. Writes into
OUTPUT_DIR: batch_sizes.csv, one row per run, and batch_sizes.png. Further arguments go to run.py,
such as --data_dir. Needs the `dev` extra.
"""

import argparse
import csv
import json
import os
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
METHODS = {"simclr": ("SimCLR", "#0072B2", "o"), "byol": ("BYOL", "#D55E00", "s")}
PROTOCOLS = {"linear": "-", "knn_20": "--"}
COLUMNS = ("method", "batch_size", "epochs", "steps", "train_seconds", "examples",
           *(f"{which}_{protocol}_top_1" for which in ("pretrained", "untrained")
             for protocol in PROTOCOLS))


def run(method, size, directory, more):
    """One run of run.py, in view; returns its row."""
    command = [sys.executable, os.path.join(ROOT, "run.py"),
               f"--flagfile={os.path.join(ROOT, 'flags', 'batch_sizes.flags')}",
               f"--method={method}", f"--train_batch_size={size}", f"--model_dir={directory}",
               *more]
    subprocess.run(command, check=True)
    with open(os.path.join(directory, "result.json")) as file:
        result = json.load(file)
    with open(os.path.join(directory, "flags.json")) as file:
        settings = json.load(file)
    return row(method, size, settings, result)


def row(method, size, settings, result):
    return dict(zip(COLUMNS, (
        method, size, settings["train_epochs"], result["global_step"],
        round(result["train_seconds"], 1), result["pretrained"]["linear"]["examples"],
        *(result[which][protocol]["top_1"] for which in ("pretrained", "untrained")
          for protocol in PROTOCOLS)), strict=True))


def write(rows, path):
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def draw(rows, path):
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), constrained_layout=True, sharex=True)
    for axis, (protocol, title) in zip(axes, (("linear", "linear, frozen encoder"),
                                              ("knn_20", "kNN, k = 20"))):
        for method, (name, colour, marker) in METHODS.items():
            points = sorted((r["batch_size"], 100 * r[f"pretrained_{protocol}_top_1"])
                            for r in rows if r["method"] == method)
            axis.plot(*zip(*points), color=colour, marker=marker, label=name)
            for x, y in points:
                axis.annotate(f"{y:.1f}", (x, y), xytext=(0, 6), textcoords="offset points",
                              ha="center", fontsize=8, color=colour)
        untrained = [100 * r[f"untrained_{protocol}_top_1"] for r in rows]
        axis.axhline(sum(untrained) / len(untrained), color="#999999", linestyle=":",
                     label="untrained")
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted({r["batch_size"] for r in rows}))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.set(title=title, xlabel="batch size, images", ylabel="top-1, %")
        axis.margins(y=0.15)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower left", fontsize=8)
    figure.suptitle(f"CIFAR-10, a fifth of the training split, {rows[0]['epochs']:g} epochs, "
                    "ResNet-18 x0.25")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir")
    parser.add_argument("--sizes", default="16,64,256,1024")
    parser.add_argument("--runs", default=os.path.join("runs", "batch_sizes"))
    arguments, more = parser.parse_known_args()
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows = []
    for size in sorted(map(int, arguments.sizes.split(",")), reverse=True):
        for method in METHODS:
            directory = os.path.join(arguments.runs, f"{method}-b{size}")
            rows.append(run(method, size, directory, more))
            write(rows, os.path.join(arguments.output_dir, "batch_sizes.csv"))
    draw(rows, os.path.join(arguments.output_dir, "batch_sizes.png"))


if __name__ == "__main__":
    main()
