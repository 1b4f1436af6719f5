"""Does more information between views make better representations?

    python scripts/information_vs_accuracy.py OUTPUT_DIR [--strengths=0,0.5,1,1.5,2] [--seeds=0,1]

Runs run.py for every strength of the augmentation and every seed, each in a directory of its own
under --runs, so that the same command again continues where it was stopped. The strength scales
the largest crop's loss (--crop_area_min = 1 - 0.92 x strength, from 0.08 on at strength 1 and
above) and the colours (--color_jitter_strength = strength, with probability 0.8, --grayscale_p =
0.2 x strength, at most 1): 0 leaves only flips, so that the views share almost all there is, 1 is
SimCLR's. Tian et al. 2020, "What Makes for Good Views for Contrastive Learning?", expect accuracy
to rise as the shared information falls, and to fall when too little is left: a U upside down.
Writes into OUTPUT_DIR: information_vs_accuracy.csv, one row per run, and
information_vs_accuracy.png. Further arguments go to run.py, such as --flagfile, --dataset or
--train_steps. Needs the `dev` extra.
"""

import argparse
import itertools
import os
import statistics

import matplotlib
import runs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SCALARS = ("infonce_bound", "infonce_ceiling", "alignment", "uniformity", "effective_rank")
LAST = 0.1  # share of the training at its end over which the bound is averaged


def flags_of(strength):
    """The augmentation of a strength, 0 or more."""
    return (
        f"--crop_area_min={max(0.08, 1 - 0.92 * strength):.4g}",
        f"--color_jitter_strength={strength:g}",
        f"--grayscale_p={min(1.0, 0.2 * strength):.4g}",
    )


def at_the_end(points):
    """Mean of a scalar, {step: value}, over the last tenth of the training."""
    since = (1 - LAST) * max(points)
    return statistics.mean(value for step, value in points.items() if step > since)


def row(strength, seed, directory, more):
    """One run of run.py, as a row of the table."""
    result = runs.run(directory, *more, *flags_of(strength), f"--seed={seed}")
    points = runs.scalars(directory, tuple(f"information/{name}" for name in SCALARS))
    scores = {name: value for name, value in result["pretrained"].items() if name != "online"}
    return {
        "strength": strength,
        "seed": seed,
        "steps": result["global_step"],
        **{name: round(at_the_end(points[f"information/{name}"]), 4) for name in SCALARS},
        "examples": next(iter(scores.values()))["examples"],
        **{f"{protocol}_top_1": values["top_1"] for protocol, values in scores.items()},
        "label_information": scores.get("linear", {}).get("information_bound"),
    }


def means(rows, *names):
    """The means over seeds of some columns, a tuple per strength, in their order."""
    for strength in sorted({r["strength"] for r in rows}):
        of = [r for r in rows if r["strength"] == strength]
        yield tuple(statistics.mean(r[name] for r in of) for name in names)


def draw(rows, path):
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), constrained_layout=True, sharey=True)
    protocols = [name for name in rows[0] if name.endswith("_top_1")]
    for axis, key, label in (
        (axes[0], "infonce_bound", "InfoNCE bound, nats"),
        (axes[1], "strength", "strength of the augmentation"),
    ):
        for protocol, colour, marker in zip(protocols, ("#0072B2", "#D55E00", "#009E73"), "os^"):
            axis.plot(
                [r[key] for r in rows],
                [100 * r[protocol] for r in rows],
                marker,
                color=colour,
                markersize=4,
                alpha=0.5,
            )
            line = [(x, 100 * y) for x, y in means(rows, key, protocol)]  # the path shows
            axis.plot(
                *zip(*line), color=colour, label=protocol.removesuffix("_top_1").replace("_", " ")
            )
        axis.set(xlabel=label)
        axis.grid(alpha=0.3)
    for strength, bound, top in means(rows, "strength", "infonce_bound", protocols[0]):
        axes[0].annotate(
            f"{strength:g}",
            (bound, 100 * top),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes[0].axvline(
        rows[0]["infonce_ceiling"], color="#999999", linestyle=":", label="ceiling, log(2N - 1)"
    )
    axes[0].set(ylabel="top-1, %")
    axes[0].margins(y=0.15)
    axes[0].legend(fontsize=8)
    axes[1].set_title("a dot per seed, lines through the means", fontsize=9)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("--strengths", default="0,0.5,1,1.5,2")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--runs", default=os.path.join("runs", "information_vs_accuracy"))
    arguments, more = parser.parse_known_args()
    runs.refuse(parser, more, "model_dir", "seed")
    strengths = sorted(map(float, arguments.strengths.split(",")))
    if strengths[0] < 0:
        parser.error(f"--strengths must not be negative. Received: {arguments.strengths}")
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows = []
    for seed, strength in itertools.product(map(int, arguments.seeds.split(",")), strengths):
        directory = os.path.join(arguments.runs, f"strength-{strength:g}-seed{seed}")
        rows.append(row(strength, seed, directory, more))
        runs.write_table(rows, os.path.join(arguments.output_dir, "information_vs_accuracy.csv"))
    draw(rows, os.path.join(arguments.output_dir, "information_vs_accuracy.png"))


if __name__ == "__main__":
    main()
