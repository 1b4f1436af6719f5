"""Do bfloat16 and float32 learn equally? python scripts/precision.py OUTPUT_DIR

Runs run.py on flags/precision.flags in both precisions with equal seeds, each in a directory of its
own under --runs, so that the same command again continues where it was stopped. Writes into
OUTPUT_DIR: precision.csv, one row per run; curves.csv, their losses; precision.png. Further
arguments go to run.py, such as --data_dir. Needs the `dev` extra.
"""

import argparse
import os
import statistics

import matplotlib
import runs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

FLAGFILE = os.path.join(runs.ROOT, "flags", "precision.flags")
PRECISIONS = {"mixed_bfloat16": "#0072B2", "float32": "#D55E00"}
PROTOCOLS = {"knn_20": "kNN, k = 20", "linear": "linear, frozen encoder", "online": "online head"}
LOSS = "train/contrast_loss"


def row(precision, seed, directory, more):
    """One run of run.py, as a row of the table."""
    result = runs.run(
        directory, f"--flagfile={FLAGFILE}", f"--precision={precision}", f"--seed={seed}", *more
    )
    return {
        "precision": precision,
        "seed": seed,
        "steps": result["global_step"],
        "train_seconds": round(result["train_seconds"], 1),
        "examples": result["pretrained"]["linear"]["examples"],
        **{protocol: result["pretrained"][protocol]["top_1"] for protocol in PROTOCOLS},
    }


def draw(rows, losses, path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), constrained_layout=True)
    for (precision, seed), points in losses.items():
        left.plot(
            *zip(*points),
            color=PRECISIONS[precision],
            linewidth=0.8,
            label=precision if seed == rows[0]["seed"] else None,
        )
    left.set(xlabel="step", ylabel="contrast loss", title="training, one line per seed")
    left.legend(fontsize=8)
    for place, protocol in enumerate(PROTOCOLS):
        for offset, (precision, colour) in zip((-0.08, 0.08), PRECISIONS.items()):
            values = [100 * r[protocol] for r in rows if r["precision"] == precision]
            right.plot([place + offset] * len(values), values, "o", color=colour, alpha=0.6)
            right.plot(place + offset, statistics.mean(values), "_", color=colour, markersize=18)
    right.set_xticks(range(len(PROTOCOLS)), PROTOCOLS.values())
    right.set(ylabel="top-1, %", title="test split, a dot per seed, their mean as a bar")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", default=os.path.join("runs", "precision"))
    arguments, more = parser.parse_known_args()
    runs.refuse(parser, more, "model_dir", "seed")
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows, losses = [], {}
    for seed in map(int, arguments.seeds.split(",")):
        for precision in PRECISIONS:
            directory = os.path.join(arguments.runs, f"{precision}-seed{seed}")
            rows.append(row(precision, seed, directory, more))
            losses[precision, seed] = sorted(runs.scalars(directory)[LOSS].items())
    runs.write_table(rows, os.path.join(arguments.output_dir, "precision.csv"))
    runs.write_table(
        [
            {"precision": precision, "seed": seed, "step": step, "contrast_loss": value}
            for (precision, seed), points in losses.items()
            for step, value in points
        ],
        os.path.join(arguments.output_dir, "curves.csv"),
    )
    draw(rows, losses, os.path.join(arguments.output_dir, "precision.png"))
    for protocol, title in PROTOCOLS.items():
        for precision in PRECISIONS:
            values = [100 * r[protocol] for r in rows if r["precision"] == precision]
            spread = f", standard deviation {statistics.stdev(values):.2f}" if values[1:] else ""
            print(f"{title}: {precision} {statistics.mean(values):.2f}{spread}")


if __name__ == "__main__":
    main()
