"""Do measures without labels rank trainings as accuracies do?

    python scripts/label_free.py OUTPUT_DIR --sweeps=DIR,DIR,...

Each DIR holds finished pretrainings, one directory each, that differ in a setting. For each of them
the measures of `tfssl.information.representation` are computed on held-out images, whose labels are
not used: on the views that the training had, and on four views that are the same for all (SimCLR's,
at the size of the training). Writes OUTPUT_DIR/runs.json, what was measured: a training that is
there already is not measured again; table.md, Spearman's rank correlation of each measure with each
accuracy, by sweep; and table.png.
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
from scipy import stats

# {measure: 1 if a better training should have more of it, -1 if less, by its paper}
MEASURES = {
    "effective_rank": 1,
    "lidar": 1,
    "spectrum_decay": -1,
    "uniformity": -1,
    "alignment": -1,
    "view_retrieval": 1,
    "loss_of_views": -1,
}
OWN, COMMON = "own", "common"  # views
PROTOCOLS = ("knn_20", "linear")
LEAST = 4  # trainings of a sweep


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    parser.add_argument("--sweeps", default="", help="directories of trainings, comma-separated")
    parser.add_argument("--images", type=int, default=1000, help="held-out images, at most")
    options = parser.parse_args(argv)
    records = Records(os.path.join(options.out, "runs.json"))
    for sweep in filter(None, options.sweeps.split(",")):
        measure(records, sweep, options.images)
    if not records.all:
        parser.error("--sweeps must name directories of finished trainings. Received: none")
    report(options, records)


def measure(records, sweep, images):
    """Measures the trainings of a sweep that have not been."""
    name = "/".join(os.path.normpath(sweep).split(os.sep)[-2:])
    for path in sorted(glob.glob(os.path.join(sweep, "*", "result.json"))):
        run = os.path.basename(os.path.dirname(path))
        accuracies = runs.scores(runs.read(path))
        there = [protocol for protocol in PROTOCOLS if protocol in accuracies]
        if run in records.all.get(name, {}) or not there:
            continue
        record = measured(os.path.dirname(path), images)
        record["accuracy"] = {protocol: accuracies[protocol]["top_1"] for protocol in there}
        records.add(name, run, record)
        print(f"{name} {run}: measured", flush=True)


def measured(directory, images):
    """{"own": {measure: number}, "common": {...}} of a finished pretraining."""
    from tfssl import augment
    from tfssl.callbacks.measures import Information, scores_of
    from tfssl.runner import job as jobs
    from tfssl.runner import pretrain, recipes
    from tfssl.storage import runs as storage

    config = storage.recorded(directory).replace(model_dir=directory)
    job = jobs.plan(config)
    model, _, _ = pretrain.restored(job)
    view = augment.simclr(job.size, recipes.channels_of(config))
    information = Information(
        batches_of(job.eval_source, recipes.trained(config, job.size), config, images),
        num_batches=images,
    )
    information.set_model(model)
    h = [
        [np.asarray(model.encode(view, training=False)) for view in batch["views"]]
        for batch in batches_of(job.eval_source, (view,) * 4, config, images)
    ]
    return {
        OWN: known(information.measure()),
        COMMON: known(scores_of([np.concatenate(view) for view in zip(*h)])),
    }


def batches_of(source, views, config, images):
    """Views of the first images of a source, in batches as those of the training."""
    from tfssl import data

    batch_size = min(config.train_batch_size, images, source.num_examples)
    count = min(images, source.num_examples) // batch_size
    return data.views(source, views, batch_size=batch_size, seed=0, stop_step=count)


def known(measures):
    return {name: measures[name] for name in MEASURES if np.isfinite(measures.get(name, np.nan))}


# Report ------------------------------------------------------------------------------------------


def report(options, records):
    """Writes the table and the picture of all trainings that are recorded."""
    sweeps = {name: of for name, of in sorted(records.all.items()) if len(of) >= LEAST}
    parts, means = [], collections.defaultdict(list)
    for protocol in PROTOCOLS:
        table = [
            ["measure, views", *(f"{name} ({len(of)})" for name, of in sweeps.items()), "mean"]
        ]
        for measure in MEASURES:
            for views in (OWN, COMMON):
                rhos = [agreement(of.values(), measure, views, protocol) for of in sweeps.values()]
                told = [rho for rho in rhos if rho is not None]
                if told:
                    means[protocol].append((statistics.mean(told), measure, views))
                    cells = ["" if rho is None else f"{rho:+.2f}" for rho in rhos]
                    mean = f"{statistics.mean(told):+.2f}"
                    table.append([f"{measure}, {views}", *cells, mean])
        parts.append(f"## {protocol}\n\n{markdown(table)}")
    text = (
        f"`python scripts/label_free.py {options.out} --images={options.images}`\n\n"
        "Spearman's rank correlation of each measure with the accuracy, within each sweep (number "
        "of trainings in brackets); the sign is turned where less should be better (spectrum_decay,"
        " uniformity, alignment, loss_of_views), so that +1 is a perfect ranking.\n\n"
    )
    runs.write(os.path.join(options.out, "table.md"), text + "\n\n".join(parts))
    if means:
        draw(os.path.join(options.out, "table.png"), means)


def agreement(records, measure, views, protocol):
    """Spearman's correlation with an accuracy, positive if as expected; None: cannot be told."""
    pairs = [
        (MEASURES[measure] * one[views][measure], one["accuracy"][protocol])
        for one in records
        if measure in one[views] and protocol in one["accuracy"]
    ]
    if len(pairs) < LEAST or any(len(set(side)) == 1 for side in zip(*pairs)):
        return None
    return float(stats.spearmanr(*zip(*pairs)).statistic)


def draw(path, means):
    """The mean correlations as bars, one panel for each protocol."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(means), figsize=(11, 5), layout="constrained", sharex=True)
    for axis, (protocol, of) in zip(np.atleast_1d(axes), means.items()):
        of = sorted(of)
        colours = ["C0" if views == OWN else "C1" for _, _, views in of]
        axis.barh(
            [f"{measure}, {views}" for _, measure, views in of],
            [m for m, _, _ in of],
            color=colours,
        )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlim(-1, 1)
        axis.set_title(f"rank correlation with {protocol}", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
