"""Are plans good? python scripts/plans.py OUTPUT_DIR [--minutes=4] [--runs=12]

For each dataset: the training that `tfssl plan` chooses for so many minutes, and a random search of
--runs others, each of which may take as long. Their settings are drawn, and `tfssl plan` determines
their epochs alone. Plans are made one after the other on all cores, and so is the training of the
plan itself, whose time is compared with what it promised; the others side by side, by --jobs.

Writes OUTPUT_DIR/table.md; plans.png, all accuracies; and runs.json, what each training gave: one
that is there already is not made again. Further flags of run.py follow after --.
"""

import os
import random
import statistics
import subprocess
import sys
import time

import equal_minutes
import runs

DATASETS = {  # flags, and the shorter side of the images in pixels
    "shapes": (["--dataset=shapes"], 32),
    "cifar10": (["--dataset=cifar10"], 32),
    "imagenette": (["--dataset=imagenette/160px-v2"], 160),
}
SHARES = {32: (16, 20, 24), 160: (32, 48, 64, 96)}  # sizes of views by that side
DRAWN = {
    "width_multiplier": (0.25, 0.5, 1.0),
    "learning_rate": (0.05, 0.15, 0.45),
    "temperature": (0.1, 0.2, 0.5),
    "crop_area_min": (0.1, 0.2, 0.3, 0.5),
    "color_jitter_strength": (0.25, 0.5, 1.0),
    "num_views": (2, 4),
}
BATCH = {2: 256, 4: 128}  # by the number of views
OPTIMIZER = ["--optimizer=momentum", "--weight_decay=5e-4"]
LABELS = {"search_": "random search", "plan": "tfssl plan"}
PROTOCOLS = {"linear": "linear", equal_minutes.KNN: "kNN-20"}


def main(argv):
    options = parse(argv)
    trainings = [(name, run) for name in options.datasets for run in names(options)]
    for name, run in trainings:
        equal_minutes.reported(planned, options, (name, run))
    for name in options.datasets:
        equal_minutes.reported(timed, options, name)
    equal_minutes.side_by_side(options, trained, trainings)
    report(options)


def parse(argv):
    parser = equal_minutes.arguments(__doc__)
    parser.add_argument("--datasets", default=",".join(DATASETS), help="names, comma-separated")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each training")
    parser.add_argument("--runs", type=int, default=12, help="trainings of the search")
    options = equal_minutes.read(parser, argv)
    options.datasets = equal_minutes.chosen(parser, options.datasets, "datasets", DATASETS)
    return options


def names(options):
    """The names of the trainings of a dataset: that of the plan, and those of the search."""
    return ["plan", *(f"search_{number:02}" for number in range(options.runs))]


def drawn(dataset, run):
    """The flags of a training of the search, which depend on its name alone."""
    draw = random.Random(f"{dataset} {run}")
    size = draw.choice(SHARES[DATASETS[dataset][1]])
    found = {name: draw.choice(values) for name, values in DRAWN.items()}
    return [
        *(f"--{name}={value}" for name, value in found.items()),
        f"--image_size={size}",
        f"--eval_image_size={3 * size // 2}",
        f"--train_batch_size={BATCH[found['num_views']]}",
        *OPTIMIZER,
    ]


def planned(options, training):
    """The flags that `tfssl plan` writes for a training, as a list."""
    dataset, run = training
    path = os.path.join(options.models, dataset, f"{run}.flags")
    given = [*DATASETS[dataset][0], *(drawn(dataset, run) if run != "plan" else [])]
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        words = ["plan", f"--minutes={options.minutes:g}", f"--output={path}"]
        command = [sys.executable, os.path.join(runs.ROOT, "run.py"), *words]
        subprocess.run([*command, *given, *options.rest], check=True)
    with open(path) as file:
        return [line.strip() for line in file if line.startswith("--")]


def timed(options, dataset):
    """Makes the training of the plan on all cores, and records how long all of it took."""
    if options.records.of(dataset, "plan"):
        return
    began = time.monotonic()
    record = trained(options, (dataset, "plan"), options.cores)
    record["whole_seconds"] = round(time.monotonic() - began, 1)
    options.records.add(dataset, "plan", record)


def trained(options, training, cores=None):
    """The record of a training."""
    dataset, run = training
    flags = planned(options, training)
    if run == "plan":
        return equal_minutes.train(options, dataset, run, flags, cores)
    return equal_minutes.tried(options, dataset, run, flags)  # a drawn rate may be too high


def report(options):
    """Writes the table and the picture."""
    rows = [["dataset", "protocol", "plan", "best of the search", "median", "difference"]]
    lines = []
    for dataset in options.datasets:
        plan, *others = options.records.of(dataset, "plan") + options.records.of(dataset, "search_")
        lines.append(
            f"- {dataset}: {plan.get('whole_seconds', 0):.0f} s for everything, "
            f"`{' '.join(shown(plan['flags']))}`"
        )
        for protocol, title in PROTOCOLS.items():
            found = [accuracy(one, protocol) for one in others]
            own = accuracy(plan, protocol)
            rows.append(
                [dataset, title, f"{own:.1f}", f"{max(found):.1f}"]
                + [f"{statistics.median(found):.1f}", f"{own - max(found):+.1f}"]
            )
    words = [f"--minutes={options.minutes:g}", f"--runs={options.runs}"]
    text = (
        f"`{equal_minutes.command('plans', options, words)}`\n\nTop-1 accuracies on the test "
        f"images in %. The best of the {options.runs} trainings of the search was chosen on them "
        f"too.\n\n{equal_minutes.markdown(rows)}\n\nThe plans for {options.minutes:g} minutes, and "
        "what they took:\n\n" + "\n".join(lines)
    )
    runs.write(os.path.join(options.out, "table.md"), text)
    draw(os.path.join(options.out, "plans.png"), options)


def accuracy(record, protocol):
    """Top-1 in percent; 0 after a training whose loss became infinite."""
    return 100 * record["accuracy"].get(protocol, 0.0)


def shown(flags):
    """The flags of a plan without those of its evaluation."""
    return [flag for flag in flags if not flag.startswith(("--eval_", "--dataset"))]


def draw(path, options):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    for axis, (protocol, title) in zip(axes, PROTOCOLS.items()):
        for place, dataset in enumerate(options.datasets):
            for prefix, marker, color in (("search_", "o", "C7"), ("plan", "D", "C1")):
                found = options.records.of(dataset, prefix)
                values = [accuracy(one, protocol) for one in found]
                label = None if place else LABELS[prefix]
                axis.plot([place] * len(values), values, marker, color=color, ls="", label=label)
        axis.set_xticks(range(len(options.datasets)), options.datasets)
        axis.set(title=title, ylabel="top-1 accuracy, %", xlim=(-0.5, len(options.datasets) - 0.5))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
