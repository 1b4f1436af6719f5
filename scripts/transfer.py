"""Transfer over resolutions and few labels: python scripts/transfer.py OUTPUT_DIR CHECKPOINT

For every image size and share of the labels: the network of CHECKPOINT finetuned, the same network
from scratch for the same steps, and a linear classifier on the frozen encoder. Each is a run of
run.py under --runs, so the same command again continues where it was stopped. Writes into
OUTPUT_DIR: transfer.csv, one row per run, and transfer.png. Further arguments go to run.py, such as
--dataset and --data_dir. Needs the `dev` extra.
"""

import argparse
import glob
import os

import matplotlib
import runs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

STARTS = {  # how it starts: (name, colour, marker, where its numbers stand)
    "pretrained": ("finetuned", "#D55E00", "o", -13),
    "frozen": ("linear, frozen encoder", "#009E73", "^", 6),
    "scratch": ("from scratch, equal steps", "#0072B2", "s", 6),
}
NETWORK = (
    "resnet_depth",
    "width_multiplier",
    "sk_ratio",
    "se_ratio",
    "input_normalization",
    "stem",
)


def linear_result(directory, epochs, batch):
    """Path of the result of the linear evaluation of so many epochs; others may be there too."""
    for path in glob.glob(os.path.join(directory, "linear_eval", "*", "result.json")):
        result = runs.read(path)
        if (result["linear_epochs"], result["linear_batch_size"]) == (epochs, batch):
            return path


def row(start, size, fraction, labels, arguments, about, more):
    """One run of run.py, as a row of the table.

    Args:
        labels: how many there are, as the finetuned run of this fraction says; frozen encoders see
            as many images as it does.
    """
    common = [f"--image_size={size}", f"--label_fraction={fraction}", *more]
    directory = os.path.join(arguments.runs, f"{start}-{size}-{fraction:g}")
    if start == "frozen":
        epochs = (arguments.steps + 0.5) * arguments.batch / labels  # which are rounded down
        result = runs.run(
            directory,
            "--mode=linear_eval",
            f"--checkpoint={arguments.checkpoint}",
            f"--linear_batch_size={arguments.batch}",
            f"--linear_epochs={epochs}",
            *common,
            result=lambda d: linear_result(d, epochs, arguments.batch),
        )
        scores = result["results"]["linear_sgd"]
    else:
        weights = ["--checkpoint=none", *(f"--{name}={about[name]}" for name in NETWORK)]
        if start == "pretrained":
            weights = [f"--checkpoint={arguments.checkpoint}"]
        result = runs.run(
            directory,
            "--mode=finetune",
            *weights,
            f"--train_batch_size={arguments.batch}",
            f"--train_steps={arguments.steps}",
            *common,
        )
        scores = result["finetuned"]["network"]
    return {
        "start": start,
        "image_size": size,
        "label_fraction": fraction,
        "labels": result["labels"],
        "steps": arguments.steps,
        "batch_size": arguments.batch,
        "dataset": result["dataset"],
        "eval_split": result["eval_split"],
        "examples": scores["examples"],
        "correct_top_1": scores["correct_top_1"],
        "top_1": scores["top_1"],
        "top_5": runs.top_5(scores),
        "train_seconds": round(result["train_seconds"], 1),
    }


def draw(rows, about, path):
    fractions = sorted({r["label_fraction"] for r in rows})
    figure, axes = plt.subplots(
        1,
        len(fractions),
        figsize=(4.8 * len(fractions), 3.8),
        constrained_layout=True,
        squeeze=False,
        sharey=True,
    )
    for axis, fraction in zip(axes[0], fractions):
        for start, (name, colour, marker, place) in STARTS.items():
            chosen = sorted(
                (r["image_size"], 100 * r["top_1"])
                for r in rows
                if (r["start"], r["label_fraction"]) == (start, fraction)
            )
            if chosen:
                axis.plot(*zip(*chosen), color=colour, marker=marker, label=name)
            for x, y in chosen:
                axis.annotate(
                    f"{y:.1f}",
                    (x, y),
                    xytext=(0, place),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=colour,
                )
        labels = next(r["labels"] for r in rows if r["label_fraction"] == fraction)
        axis.set(
            title=f"{labels:,} labels ({100 * fraction:g} %)",
            xlabel="image size, px",
            ylabel="top-1, %" if axis is axes[0][0] else None,
            xticks=sorted({r["image_size"] for r in rows}),
        )
        axis.margins(y=0.15)
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    size = about["image_size"]  # which a checkpoint of google-research/simclr may not say
    at = f" at {'x'.join(map(str, size))} px" if size else ""
    figure.suptitle(f"{about['method']} on {about['dataset']}{at}, then {rows[0]['dataset']}")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("checkpoint")
    parser.add_argument("--sizes", default="32,64,128,160")
    parser.add_argument("--fractions", default="0.01,0.1")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", default=os.path.join("runs", "transfer"))
    arguments, more = parser.parse_known_args()
    runs.refuse(parser, more, "model_dir")
    from tfssl.errors import UsageError  # here: they load TensorFlow
    from tfssl.storage import pretrained

    try:
        about = pretrained.find(arguments.checkpoint).about
    except UsageError as error:
        parser.error(str(error))
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows = []
    for size in map(int, arguments.sizes.split(",")):
        for fraction in map(float, arguments.fractions.split(",")):
            for start in STARTS:
                labels = rows and rows[-1]["labels"]  # the finetuned run comes first
                rows.append(row(start, size, fraction, labels, arguments, about, more))
                runs.write_table(rows, os.path.join(arguments.output_dir, "transfer.csv"))
    draw(rows, about, os.path.join(arguments.output_dir, "transfer.png"))


if __name__ == "__main__":
    main()
