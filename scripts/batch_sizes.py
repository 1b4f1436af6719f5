"""SimCLR and BYOL over batch sizes: python scripts/batch_sizes.py OUTPUT_DIR [--sizes=16,64,256]

Runs run.py on flags/batch_sizes.flags for every method and batch size, each in a directory of its
own under --runs, so that the same command again continues where it was stopped. Writes into
OUTPUT_DIR: batch_sizes.csv, one row per run, and batch_sizes.png. Further arguments go to run.py,
such as --data_dir. Needs the `dev` extra.
"""

import argparse
import os

import matplotlib

import runs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

FLAGFILE = os.path.join(runs.ROOT, "flags", "batch_sizes.flags")
METHODS = {"simclr": ("SimCLR", "#0072B2", "o"), "byol": ("BYOL", "#D55E00", "s")}
PROTOCOLS = ("linear", "knn_20")


def row(method, size, directory, more):
    """One run of run.py, as a row of the table."""
    result = runs.run(directory, f"--flagfile={FLAGFILE}", f"--method={method}",
                      f"--train_batch_size={size}", *more)
    epochs = runs.read(os.path.join(directory, "flags.json"))["train_epochs"]
    return {"method": method, "batch_size": size, "epochs": epochs,
            "steps": result["global_step"], "train_seconds": round(result["train_seconds"], 1),
            "examples": result["pretrained"]["linear"]["examples"],
            **{f"{which}_{protocol}_top_1": result[which][protocol]["top_1"]
               for which in ("pretrained", "untrained") for protocol in PROTOCOLS}}


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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("--sizes", default="16,64,256")
    parser.add_argument("--runs", default=os.path.join("runs", "batch_sizes"))
    arguments, more = parser.parse_known_args()
    runs.refuse(parser, more, "model_dir")
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows = []
    for size in sorted(map(int, arguments.sizes.split(",")), reverse=True):
        for method in METHODS:
            directory = os.path.join(arguments.runs, f"{method}-b{size}")
            rows.append(row(method, size, directory, more))
            runs.write_table(rows, os.path.join(arguments.output_dir, "batch_sizes.csv"))
    draw(rows, os.path.join(arguments.output_dir, "batch_sizes.png"))


if __name__ == "__main__":
    main()
