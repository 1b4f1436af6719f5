"""SimCLRv2's last two steps, with few labels: python scripts/simclrv2.py OUTPUT_DIR PRETRAINED

For every share of the labels and every seed, each a run of run.py under --runs, so that the same
command again continues where it was stopped:

    teacher   the pretrained network, finetuned on the labels from its projector's first layer
    student   a network of --student_width, taught by the teacher on all images, without a label
    both      the same, taught by the teacher and by the labels (--distill_alpha=0.5)
    alone     the same, from scratch, on those labels alone, for as many steps as the student

Writes into OUTPUT_DIR: runs.csv, one row per run; table.md, means and standard deviations over the
seeds; and simclrv2.png. Further arguments go to every run, such as --dataset and --data_dir. Needs
the `dev` extra.
"""

import argparse
import os
import statistics

import matplotlib
import runs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

KINDS = {  # what it is: (name, colour)
    "teacher": ("teacher, finetuned", "#0072B2"),
    "student": ("student of the teacher, no label", "#D55E00"),
    "both": ("student of teacher and labels", "#E69F00"),
    "alone": ("the same network, labels alone", "#777777"),
}


def flags_of(kind, fraction, seed, arguments):
    """What a run is asked for, beside what is common to all."""
    labels = [f"--label_fraction={fraction}", f"--seed={seed}"]
    if arguments.labels:
        labels[0] = "--label_list=" + os.path.join(
            arguments.labels, runs.label_list(arguments.name, fraction, seed)
        )
    short, long = arguments.steps[fraction], f"--train_steps={arguments.student_steps}"
    student = [f"--width_multiplier={arguments.student_width}", "--stem=cifar"]
    teacher = [f"--teacher={os.path.join(arguments.runs, f'teacher-{fraction:g}-{seed}')}"]
    rates = ["--learning_rate=0.1", "--weight_decay=5e-4", "--warmup_epochs=0"]
    return {
        "teacher": [
            "--mode=finetune",
            f"--checkpoint={arguments.pretrained}",
            "--ft_proj_selector=1",
            f"--train_steps={short}",
            f"--learning_rate={arguments.teacher_rate}",
            *labels,
        ],
        "student": ["--mode=distill", *teacher, *student, *rates, long, labels[1]],
        "both": [
            "--mode=distill",
            *teacher,
            *student,
            *rates,
            long,
            "--distill_alpha=0.5",
            *labels,
        ],
        "alone": ["--mode=finetune", "--checkpoint=none", *student, *rates, long, *labels],
    }[kind]


def row(kind, fraction, seed, arguments, more):
    directory = os.path.join(arguments.runs, f"{kind}-{fraction:g}-{seed}")
    result = runs.run(directory, *flags_of(kind, fraction, seed, arguments), *more)
    scores = runs.scores(result)["network"]
    return {
        "kind": kind,
        "label_fraction": fraction,
        "seed": seed,
        "labels": result["labels"],
        "steps": result["global_step"],
        "parameters": sum(result["parameters"].values()),
        "dataset": result["dataset"],
        "eval_split": result["eval_split"],
        "examples": scores["examples"],
        "correct_top_1": scores["correct_top_1"],
        "top_1": scores["top_1"],
        "top_5": runs.top_5(scores),
        "train_seconds": round(result["train_seconds"], 1),
    }


def by_kind(rows, fraction):
    """{kind: accuracies in % over the seeds}, in the order of KINDS."""
    found = {
        kind: [
            100 * r["top_1"] for r in rows if (r["kind"], r["label_fraction"]) == (kind, fraction)
        ]
        for kind in KINDS
    }
    return {kind: values for kind, values in found.items() if values}


def told(values):
    """Mean and, of several, standard deviation."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def table(rows):
    """Means and standard deviations, and what distillation gains over the labels alone by seed."""
    fractions = sorted({r["label_fraction"] for r in rows})
    lines = [
        "| top-1, % | parameters | "
        + " | ".join(f"{100 * fraction:g} % of the labels" for fraction in fractions)
        + " |",
        "| --- | ---: |" + " --- |" * len(fractions),
    ]
    for kind, (name, _) in KINDS.items():
        of_kind = [r for r in rows if r["kind"] == kind]
        if not of_kind:
            continue
        cells = [by_kind(rows, fraction).get(kind) for fraction in fractions]
        lines.append(
            f"| {name} | {of_kind[0]['parameters']:,} | "
            + " | ".join(told(c) if c else "" for c in cells)
            + " |"
        )
    gains = [
        [
            a - b
            for a, b in zip(
                by_kind(rows, fraction).get("student", []), by_kind(rows, fraction).get("alone", [])
            )
        ]
        for fraction in fractions
    ]
    if all(gains):
        lines.append(
            "| what the teacher gains over the labels, by seed | | "
            + " | ".join(", ".join(f"{gain:+.1f}" for gain in by_seed) for by_seed in gains)
            + " |"
        )
    return "\n".join(lines)


def draw(rows, path):
    fractions = sorted({r["label_fraction"] for r in rows})
    figure, axes = plt.subplots(
        1,
        len(fractions),
        figsize=(4.6 * len(fractions), 3.4),
        constrained_layout=True,
        squeeze=False,
        sharex=True,
    )
    for axis, fraction in zip(axes[0], fractions):
        found = by_kind(rows, fraction)
        for place, (kind, values) in enumerate(found.items()):
            axis.barh(place, statistics.mean(values), color=KINDS[kind][1], height=0.7)
            axis.plot(values, [place] * len(values), "o", color="black", markersize=3)
            axis.annotate(
                f"{statistics.mean(values):.1f}",
                (0, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color="white",
                fontsize=9,
            )
        axis.set(
            title=f"{100 * fraction:g} % of the labels",
            xlabel="top-1, % (dots: seeds)",
            yticks=range(len(found)),
            yticklabels=[KINDS[kind][0] for kind in found] if axis is axes[0][0] else [],
        )
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("output_dir")
    parser.add_argument("pretrained", help="a run, or any other --checkpoint with a projector")
    parser.add_argument("--fractions", default="0.01,0.1")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--labels", help="folder of label lists; not given: --label_fraction")
    parser.add_argument("--name", default="cifar10", help="what their names begin with")
    parser.add_argument("--steps", default="100,400", help="of teachers, for each fraction")
    parser.add_argument("--teacher_rate", type=float, default=0.05)
    parser.add_argument("--student_width", type=float, default=0.125)
    parser.add_argument("--student_steps", type=int, default=1000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--runs", default=os.path.join("runs", "simclrv2"))
    arguments, more = parser.parse_known_args()
    runs.refuse(parser, more, "model_dir", "seed")
    fractions = [float(fraction) for fraction in arguments.fractions.split(",")]
    steps = [int(steps) for steps in arguments.steps.split(",")]
    if len(steps) != len(fractions):
        parser.error(
            "--steps must be one number for each of --fractions. Received: "
            f"{arguments.steps} for {arguments.fractions}"
        )
    unknown = set(arguments.kinds.split(",")) - set(KINDS)
    if unknown:
        parser.error(f"--kinds must be of {', '.join(KINDS)}. Received: {arguments.kinds}")
    arguments.steps = dict(zip(fractions, steps))
    os.makedirs(arguments.output_dir, exist_ok=True)
    rows = []
    for seed in map(int, arguments.seeds.split(",")):
        for fraction in fractions:
            for kind in arguments.kinds.split(","):
                rows.append(row(kind, fraction, seed, arguments, more))
                runs.write_table(rows, os.path.join(arguments.output_dir, "runs.csv"))
    runs.write(os.path.join(arguments.output_dir, "table.md"), table(rows))
    draw(rows, os.path.join(arguments.output_dir, "simclrv2.png"))
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
