"""`--mode=predict`: writes the likeliest classes of every image, by a trained classifier."""

import contextlib
import csv
import io
import os
import tempfile

import numpy as np
from scipy.special import softmax

from tfssl import encoders, evaluation, files
from tfssl.config import ARCHITECTURE, NO_PROBE, STORED, TASKS, sides
from tfssl.errors import UsageError
from tfssl.runner import device, evaluate, sources
from tfssl.storage import export, pretrained, runs

FILE = "predictions.csv"
SHOWN = 5  # classes per image, at most
COUNTED = 10  # classes whose number of images is printed, at most


def predict(config, given):
    """Writes the predictions of a classifier for --eval_split as CSV.

    One row per image, in the order of the split: file, class, probability, then the next likeliest
    classes as class_2, probability_2 to class_5, probability_5. Images are preprocessed as in the
    evaluation of the network, unless flags override it.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.

    Returns:
        The path of the file.

    Raises:
        UsageError: there is no classifier or no images, a flag contradicts the network, or the file
            exists; nothing has been written.
    """
    flag = "checkpoint" if config.checkpoint else "model_dir"
    path = target(config.output, os.path.join(config.model_dir or "", FILE))
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
        evaluate.batch_function(network, size, network.input_shape[-1]),
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
        print(accuracy(logits, labels, places) + seen(learned_from(config, source, file)))
    elif source.num_classes:
        print(
            f"no accuracy: not all classes of {source.name} {source.split} are known to be the "
            "network's"
        )
    print(f"{path}: {len(logits):,} images; {counts(logits, names)}", flush=True)
    return path


def target(output, usual):
    """The path to write to: --output, or the usual one; raises UsageError if it exists."""
    path = output or usual
    if os.path.lexists(path):
        raise UsageError(
            "--output must not exist yet. Received: "
            + (path if output else f"none, which means {path}")
        )
    return path


def check_place(path):
    """Creates the directory of a file; raises UsageError if it is not writable."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"--output must be a path that can be written. Received: {path} ({error.strerror})"
        ) from None


def find(path, flag):
    """Finds a classifier: (path of its file, its description).

    Args:
        path: directory of a finetuned or distilled run, or its classifier.keras.
        flag: name of the flag, for messages.

    Raises:
        UsageError: there is no network, or it is not a classifier.
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
    """The UsageError for a path without a classifier, which says what is there instead."""
    about = None
    with contextlib.suppress(UsageError):
        about = pretrained.find(path).about
    if about and about.get("task") not in TASKS[1:]:
        return UsageError(
            f"--{flag}={path} is an encoder, which has no classes: "
            f"--mode=finetune --checkpoint={path} makes a classifier of it."
        )
    why = "has no network with classes" if os.path.exists(path) else "does not exist"
    return UsageError(
        f"--{flag} must be the directory of a finetuned or distilled run, or its "
        f"{export.CLASSIFIER}, for --mode=predict. Received: {path}, which {why}"
    )


def as_evaluated(config, given, about, file):
    """The Config with the architecture of a network and the settings of its evaluation.

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
    run = runs.recorded(os.path.dirname(file))
    if "dataset" not in given:
        config = config.replace(
            **(dict(dataset="folder") if config.data_dir else its_data(about, run))
        )
    if run and "group_by" not in given and place_of(config) == place_of(run):
        config = config.replace(group_by=run.group_by)
    for name in ("no_data", "no_data_fill"):
        if name in about and name not in given:
            config = config.replace(**{name: about[name]})
    if "seed" in about and "seed" not in given:  # the images of shapes depend on it
        config = config.replace(seed=about["seed"])
    return config.replace(
        image_size=config.image_size or own["image_size"],
        eval_image_size=config.eval_image_size or config.image_size or own["eval_size"],
        eval_crop_proportion=config.eval_crop_proportion or about.get("eval_crop_proportion"),
    )


def its_data(about, run):
    """The dataset that a network was trained on, and the --data_dir of its run."""
    return dict(dataset=about["dataset"], data_dir=run and run.data_dir)


def place_of(config):
    """Where the images of a Config are: (dataset, path)."""
    return config.dataset, config.data_dir and os.path.realpath(os.path.expanduser(config.data_dir))


def learned_from(config, source, file):
    """The number of images of a source that the run of a network learned from; 0: none is known.

    Args:
        config: the `tfssl.Config` of the prediction.
        source: the `Source` of its images.
        file: path of the network.
    """
    run = runs.recorded(os.path.dirname(file))
    if not run or place_of(config) != place_of(run):
        return 0
    with contextlib.redirect_stdout(io.StringIO()):  # what the images are has been told
        split = config.replace(cache_dataset=False)
        learned = sources.load(split, run.train_split, "train_split", source.value_ranges, True)
    if not source.shares_examples_with(learned):
        return 0
    (_, start, stop), (_, first, last) = source.examples, learned.examples
    return min(stop, last) - max(start, first)


def images(config, about):
    """The images to classify as a `Source`: --eval_split, or all images where there is one split.

    Values of more than 8 bits are scaled as for the training of the network.
    """
    split = config.eval_split
    if split is None and config.dataset in STORED:
        splits = sources.splits_of(config)
        split = splits[0] if len(splits) == 1 else None
    return sources.load(config, split, "eval_split", about.get("value_ranges"))


def table(ids, logits, names):
    """The predictions as the text of a CSV file.

    Args:
        ids: list of N strings, the names of the images.
        logits: float [N, C].
        names: list of C strings, the names of the classes.
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
    """The index of each class of a source among the classes of the network.

    Args:
        source: a `Source`.
        names: names of the network's classes; None or empty: unknown.

    Returns:
        int [classes of the source]; None: the source has no labels, or a class that the network
        does not have.
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
    """The accuracy on labelled images, as text; for `places` see `places_of`."""
    known = labels >= 0
    right, total = evaluation.topk_correct(logits[known], places[labels[known]], 1), known.sum()
    return f"accuracy {100 * right / max(1, total):.2f} %: {right:,} of {total:,} images"


def seen(count):
    """What an accuracy is worth if the network has learned from so many of the images, as text."""
    if not count:
        return ""
    return (
        f". The network may have learned from {count:,} of them: --eval_split names images that it "
        "has not seen"
    )


def counts(logits, names):
    """The number of images predicted as each class, as text, the most frequent first."""
    found = np.bincount(logits.argmax(1), minlength=len(names))
    order = [place for place in np.argsort(-found, kind="stable") if found[place]]
    text = ", ".join(f"{names[place]} {found[place]:,}" for place in order[:COUNTED])
    more = len(order) - COUNTED
    return text + (f" and {more:,} more classes" if more > 0 else "")
