"""`--mode=predict`: the likeliest classes of every image, by a network that has classes."""

import contextlib
import csv
import io
import os
import tempfile

import numpy as np
from scipy.special import softmax

from tfssl import encoders, evaluation, files
from tfssl.config import ARCHITECTURE, NO_PROBE, TASKS, sides
from tfssl.data import tree
from tfssl.errors import UsageError
from tfssl.runner import device, evaluate, sources
from tfssl.storage import export, pretrained, runs

FILE = "predictions.csv"
SHOWN = 5  # classes of every image, at most
TOLD = 10  # classes whose number of images is printed, at most


def predict(config, given):
    """Writes what a network takes the images of --eval_split for, as CSV; it trains nothing.

    A row for each image, in the order of the split: file, class, probability, and of the next
    likeliest class_2, probability_2 to class_5, probability_5. Images are shown as they were when
    the network was evaluated, unless flags say otherwise.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.

    Returns:
        The path of the file.

    Raises:
        UsageError: no network with classes, no images, a flag that contradicts the network, or a
            file that is there already; nothing has been written.
    """
    flag = "checkpoint" if config.checkpoint else "model_dir"
    path = target(config)
    file, about = find(getattr(config, flag), flag)
    config = as_evaluated(config, given, about, file)
    source, size = images(config, about), sides(config.eval_image_size)
    network = export.load_classifier(
        file, device.resolve_precision(config.precision, device.width_of(about))
    )
    if network.output_shape[-1] != about["classes"]:
        raise UsageError(
            f"--{flag}: {file} is damaged: it says that it has {about['classes']} "
            f"classes, and has {network.output_shape[-1]}."
        )
    check_place(path)
    count = evaluate.count(config, source)
    print(
        f"predictions by {pretrained.described({**about, 'path': file})}, of {about['classes']} "
        f"classes, for {source.name} {source.split}: {count:,} images at {size[0]}x{size[1]} px",
        flush=True,
    )
    logits, labels = evaluate.represent(
        config,
        evaluate.batch_function(network, size),
        source,
        size,
        "predict",
        config.eval_steps,
        "logits",
    )
    names = about.get("class_names") or [str(number) for number in range(about["classes"])]
    files.write_text(path, table(source.ids()[:count], logits, names))
    places = places_of(source, about.get("class_names"))
    if places is not None:
        print(accuracy(logits, labels, places))
    elif source.num_classes:
        print(
            f"no accuracy: not all classes of {source.name} {source.split} are known to be the "
            "network's"
        )
    print(f"{path}: {len(logits):,} images; {counts(logits, names)}", flush=True)
    return path


def target(config):
    """The file to write, or UsageError where it is there."""
    path = config.output or os.path.join(config.model_dir or "", FILE)
    if os.path.lexists(path):
        raise UsageError(
            "--output must not exist yet. Received: "
            + (path if config.output else f"none, which means {path}")
        )
    return path


def check_place(path):
    """Makes the directory of a file, or raises UsageError where it cannot be written."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"--output must be a place that can be written. Received: {path} ({error.strerror})"
        ) from None


def find(path, flag):
    """The network that a flag names, as (path of its file, what the file says of it).

    Args:
        path: directory of a finetuned or distilled run, or its classifier.keras.
        flag: for messages.

    Raises:
        UsageError: there is none, or it has no classes.
    """
    file = os.path.join(path, export.CLASSIFIER) if os.path.isdir(path) else path
    about = os.path.isfile(file) and export.read_about(file)
    if not about or "classes" not in about:
        raise no_classifier(path, flag)
    missing = [name for name in (*ARCHITECTURE, "stem", "dataset", "step") if name not in about]
    missing += [] if about.get("image_size") else ["image_size"]
    if missing:
        raise UsageError(
            f"--{flag}={path} does not say what its network is ({missing[0]} is "
            "missing): it was not written by this version of tfssl."
        )
    return file, about


def no_classifier(path, flag):
    """The UsageError for what is no network with classes: what it is, and what would do."""
    about = None
    with contextlib.suppress(UsageError):
        about = pretrained.find(path).about
    if about and about.get("task") not in TASKS[1:]:
        return UsageError(
            f"--{flag}={path} is an encoder, which has no classes: "
            f"--mode=finetune --checkpoint={path} makes a classifier of it."
        )
    why = "holds no network with classes" if os.path.exists(path) else "does not exist"
    return UsageError(
        f"--{flag} must be the directory of a finetuned or distilled run, or its "
        f"{export.CLASSIFIER}, for --mode=predict. Received: {path}, which {why}"
    )


def as_evaluated(config, given, about, file):
    """The Config with the network of a file, and images seen as when that was evaluated.

    Raises:
        UsageError: a flag contradicts the network.
    """
    if config.probe_dataset:
        raise UsageError(NO_PROBE.format("--mode=predict", config.probe_dataset))
    config = pretrained.adopt(config, given, about, file)
    if config.stem != about["stem"]:
        raise UsageError(
            f"--stem={config.stem} contradicts {file}, whose network has --stem={about['stem']}."
        )
    own = {
        name: "x".join(map(str, about[name]))
        for name in ("image_size", "eval_size")
        if name in about
    }
    own.setdefault("eval_size", own["image_size"])
    flag = "eval_image_size" if config.eval_image_size else "image_size"
    size, smallest = getattr(config, flag), encoders.output_stride(config.stem)
    if size and min(sides(size)) < smallest and config.encoder == "resnet":
        raise UsageError(
            f"--{flag} must be at least {smallest} for --stem={config.stem}. Received: {size}"
        )
    if "dataset" not in given:
        config = config.replace(
            **(dict(dataset="folder") if config.data_dir else its_data(about, file))
        )
    if "seed" in about and "seed" not in given:  # by which shapes draws its images
        config = config.replace(seed=about["seed"])
    return config.replace(
        image_size=config.image_size or own["image_size"],
        eval_image_size=config.eval_image_size or config.image_size or own["eval_size"],
        eval_crop_proportion=config.eval_crop_proportion or about.get("eval_crop_proportion"),
    )


def its_data(about, file):
    """Where the images that a network learned from are: its dataset, and its run's --data_dir."""
    run = runs.recorded(os.path.dirname(file))
    return dict(dataset=about["dataset"], data_dir=run and run.data_dir)


def images(config, about):
    """The images to classify as a `Source`: those of --eval_split, or all of a folder without.

    Values of more than 8 bits are black and white where they were for the network.
    """
    split = config.eval_split
    if split is None and config.dataset == "folder":
        splits = list(tree.read(config.data_dir, config.folder_layout).splits)
        split = splits[0] if len(splits) == 1 else None
    return sources.load(config, split, "eval_split", about.get("value_ranges"))


def table(ids, logits, names):
    """The predictions as the text of a CSV file.

    Args:
        ids: list of text [N], what each image is called.
        logits: float [N, C].
        names: list of text [C], what each class is called.
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :SHOWN]
    text = io.StringIO()
    write = csv.writer(text).writerow
    further = [
        f"{what}_{k}" for k in range(2, order.shape[1] + 1) for what in ("class", "probability")
    ]
    write(["file", "class", "probability", *further])
    for file, row, places in zip(ids, probabilities, order, strict=True):
        pairs = [(names[place], f"{row[place]:.6f}") for place in places]
        write([file, *(cell for pair in pairs for cell in pair)])
    return text.getvalue()


def places_of(source, names):
    """Which class of the network each class of a source is, int [classes of the source].

    Args:
        names: those of the network's classes; None or empty where they are not known.

    Returns:
        None where the source has no labels, or a class that the network does not have by name.
    """
    if not (names and source.num_classes and source.classes):
        return None
    if list(source.classes) == list(names):
        return np.arange(len(names))
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names) or not places.keys() >= set(source.classes):
        return None
    return np.array([places[name] for name in source.classes])


def accuracy(logits, labels, places):
    """How many of the images with labels are right, as text; see `places_of`."""
    known = labels >= 0
    right, total = evaluation.topk_correct(logits[known], places[labels[known]], 1), known.sum()
    return f"accuracy {100 * right / max(1, total):.2f} %: {right:,} of {total:,} images"


def counts(logits, names):
    """How many images were taken for each class, as text, the most frequent first."""
    found = np.bincount(logits.argmax(1), minlength=len(names))
    order = [place for place in np.argsort(-found, kind="stable") if found[place]]
    told = ", ".join(f"{names[place]} {found[place]:,}" for place in order[:TOLD])
    more = len(order) - TOLD
    return told + (f" and {more:,} more classes" if more > 0 else "")
