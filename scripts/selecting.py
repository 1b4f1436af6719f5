"""What are selected labels worth? python scripts/selecting.py OUTPUT_DIR --runs=DIR[,DIR]

Each DIR is a pretraining of which --mode=embed writes the representations of both splits, once. Of
its training images so many as --budgets say are labelled: those that each strategy of
`tfssl.selection` selects, with several seeds. On these labels a linear classifier is fitted to the
frozen representations, and scored on all evaluation images.
"uncertain" begins with the random images of the first budget, and adds for each budget those of the
smallest margin. Writes OUTPUT_DIR/runs.json, what was measured, table.md and table.png.
"""

import argparse
import collections
import glob
import os
import statistics
import sys

import numpy as np
import runs
from equal_minutes import Records, markdown

BUDGETS = "10,40,100,250,1000"
STRATEGIES = ("random", "typical", "coverage", "uncertain")
SEEDLESS = ("coverage",)
L2 = 1e-2  # of the linear classifier; that of the protocol is for many more labels
LINEAR = "linear"


def main(argv):
    options = parse(argv)
    records = Records(os.path.join(options.out, "runs.json"))
    for path in filter(None, options.runs.split(",")):
        measure(options, records, path)
    if not records.all:
        options.parser.error("--runs must name directories of pretrainings. Received: none")
    report(options, records)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    parser.add_argument("--runs", default="", help="directories of pretrainings, comma-separated")
    parser.add_argument("--budgets", default=BUDGETS, help="numbers of labels, ascending")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data_dir", help="of tensorflow_datasets")
    options = parser.parse_args(argv)
    options.parser = parser
    options.budgets = [int(budget) for budget in options.budgets.split(",")]
    if options.budgets != sorted(set(options.budgets)):
        parser.error(f"--budgets must ascend. Received: {options.budgets}")
    return options


def measure(options, records, path):
    """Measures the strategies on the representations of a run; what is recorded stays."""
    settings = runs.read(os.path.join(path, "flags.json"))
    settings = settings.get("config", settings)
    dataset = settings["dataset"].partition("/")[0]
    train, test = (
        representations(options, path, settings, flag) for flag in ("train_split", "eval_split")
    )
    for seed in range(options.seeds):
        for strategy in STRATEGIES:
            if seed and strategy in SEEDLESS:
                continue
            chosen = np.array([], int)
            for budget in options.budgets:
                flags = [f"{len(train[0])} images", f"after {options.budgets[0]}"]
                name = f"{strategy} {budget} {seed}"
                record = records.find(dataset, name, flags)
                if not record:
                    chosen = select(strategy, train, budget, seed, chosen)
                    record = {
                        "flags": flags,
                        "chosen": " ".join(map(str, chosen.tolist())),
                        "classes": len(np.unique(train[1][chosen])),
                        LINEAR: linear(train, test, chosen),
                    }
                    records.add(dataset, name, record)
                    print(f"{dataset} {name}: {100 * record[LINEAR]:.1f}", flush=True)
                chosen = np.array(record["chosen"].split(), int)


def representations(options, path, settings, flag):
    """h and labels of a split, which are computed once."""
    from tfssl.runner.embed import slug

    split = settings[flag] or runs.read(os.path.join(path, "result.json"))[flag]
    embedded = os.path.join(path, "embed")
    before = set(glob.glob(os.path.join(embedded, "*", "embeddings.npz")))
    of_split = [one for one in before if f"-{slug(split)}-" in os.path.dirname(one)]
    if not of_split:
        words = [f"--data_dir={options.data_dir}"] if options.data_dir else []
        runs.run(
            path,
            "--mode=embed",
            f"--eval_split={split}",
            "--embed_points=10",
            *words,
            result="result.json",
        )
        after = set(glob.glob(os.path.join(embedded, "*", "embeddings.npz")))
        of_split = sorted(after - before)
    found = np.load(of_split[0])
    return found["h"], found["labels"]


def select(strategy, train, budget, seed, before):
    """Indices of the images that are labelled, int [budget]."""
    from scipy.special import softmax

    from tfssl import evaluation, selection

    h, labels = train
    if strategy == "random" or (strategy == "uncertain" and not len(before)):
        return selection.uniform(len(h), budget, seed=seed)
    if strategy == "typical":
        return selection.typical(h, budget, seed=seed)
    if strategy == "coverage":
        return selection.coverage(h, budget)
    scores = evaluation.linear_probe(
        h[before], labels[before], h, num_classes=labels.max() + 1, l2=L2
    )
    margins = softmax(scores, axis=1)
    return np.concatenate(
        [before, selection.uncertain(margins, budget - len(before), labelled=before)]
    )


def linear(train, test, chosen):
    """Accuracy of a linear classifier of the chosen images."""
    from tfssl import evaluation

    (h, labels), (test_h, test_labels) = train, test
    scores = evaluation.linear_probe(
        h[chosen], labels[chosen], test_h, num_classes=labels.max() + 1, l2=L2
    )
    return float(np.mean(scores.argmax(axis=1) == test_labels))


def report(options, records):
    """Writes the table and the picture of what is recorded."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for dataset, of in records.all.items():
        for name, record in of.items():
            strategy, budget, _ = name.split()
            found[dataset][strategy, int(budget)].append(record)
    lines = ["`python scripts/selecting.py OUTPUT_DIR --runs=...`", ""]
    for dataset, cells in found.items():
        budgets = sorted({budget for _, budget in cells})
        table = [["labels", *map(str, budgets)]]
        for strategy in STRATEGIES:
            table.append(
                [strategy, *(spread(cells.get((strategy, budget), [])) for budget in budgets)]
            )
        lines += [f"{dataset}, linear, %: mean and standard deviation over the seeds", ""]
        lines += [markdown(table), ""]
    runs.write(os.path.join(options.out, "table.md"), "\n".join(lines))
    draw(os.path.join(options.out, "table.png"), found)


def spread(records):
    values = [100 * record[LINEAR] for record in records]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def draw(path, found):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(found), figsize=(5 * len(found), 4), layout="constrained", squeeze=False
    )
    for axis, (dataset, cells) in zip(axes[0], found.items()):
        for number, strategy in enumerate(STRATEGIES):
            budgets = sorted(budget for of, budget in cells if of == strategy)
            values = [[100 * one[LINEAR] for one in cells[strategy, b]] for b in budgets]
            axis.plot(
                budgets, [statistics.mean(v) for v in values], color=f"C{number}", label=strategy
            )
            axis.fill_between(
                budgets,
                [min(v) for v in values],
                [max(v) for v in values],
                color=f"C{number}",
                alpha=0.2,
                linewidth=0,
            )
        axis.set(title=dataset, xlabel="labels", ylabel="linear, %", xscale="log")
        axis.set_xticks(budgets, [str(budget) for budget in budgets])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
