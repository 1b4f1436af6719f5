"""Evaluation by named protocols, on the whole evaluation split, with exact counts.

    online    the linear head that was trained with the encoder
    linear    a logistic regression fitted to frozen representations of the whole training split
    knn_<k>   weighted vote of the k nearest training representations by cosine

Accuracies of the same encoder differ by several points between protocols.
"""

import contextlib
import itertools
import os
import time

import numpy as np
import tensorflow as tf

from tfssl import augment, data, encoders, evaluation, memory
from tfssl.callbacks.progress import Progress
from tfssl.errors import TrainingError, UsageError
from tfssl.information.representation import label_information
from tfssl.runner import protocols
from tfssl.storage import networks, rows
from tfssl.text import printable

COPIES = 6  # of representations in memory, with what a classifier makes of them
REPRESENTATIONS = "representations"  # directory in a run of those that do not fit in memory


def evaluate(config, encode, train_source, eval_source, size, title, probe=None):
    """Evaluates an encoder by all protocols of a Config.

    Args:
        config: a `tfssl.Config`.
        encode: result of `batch_function`, images -> h.
        train_source: `Source` that classifiers are fitted to.
        eval_source: `Source` that is scored.
        size: (height, width) of the evaluation crops in pixels.
        title: text for the progress bar.
        probe: `keras.Model`, h -> logits, the online head; None: there is none.

    Returns:
        {protocol: {"correct_top_1", "correct_top_5", "examples", "classes": int, "top_1", "top_5":
        accuracy in [0, 1]}}; for "online" and "linear" also the result of `label_information`,
        unless disabled in the Config.
    """
    test_h, test_labels = labelled(
        *represent(config, encode, eval_source, size, title, config.eval_steps), "eval_split"
    )
    num_classes = train_source.num_classes
    results = {}
    if probe is not None:
        logits = np.asarray(probe(test_h, training=False))
        results["online"] = classified(config, logits, test_labels)
    ks, others = config.neighbours, protocols.registered(config)
    if not (ks or config.linear_probe or others):
        return results
    place = config.model_dir and os.path.join(config.model_dir, REPRESENTATIONS)
    train_h, train_labels = labelled(
        *represent(config, encode, train_source, size, title, place=place), "train_split"
    )
    tell_new_labels(train_source, eval_source, train_labels, test_labels)
    ks = tuple(k for k in ks if k <= len(train_h))
    if len(ks) < len(config.neighbours):
        print(
            f"kNN with k above {len(train_h):,} is left out: no more training images have a label"
        )
    if config.linear_probe:
        protocol = evaluation.Linear()
        with timed(f"{title}: linear classifier on {len(train_h):,} frozen representations"):
            scores = protocol.scores(train_h, train_labels, test_h, num_classes)
        seen = np.unique(train_labels)  # other classes have a score of -inf
        finite(scores[:, seen], "logits")
        results[protocol.name] = informed(config, scores, test_labels)
    if ks:
        with timed(f"{title}: kNN with k = {', '.join(map(str, ks))}"):
            scores = evaluation.knn_scores(
                train_h,
                train_labels,
                test_h,
                k=ks,
                num_classes=num_classes,
                temperature=config.knn_temperature,
            )
        results |= {f"knn_{k}": score(scores[k], test_labels) for k in ks}
    for name, protocol in others.items():
        with timed(f"{title}: {name} on {len(train_h):,} frozen representations"):
            scores = protocols.scores(name, protocol, train_h, train_labels, test_h, num_classes)
        results[name] = score(scores, test_labels)
    rows.remove(train_h)
    return results


def fits(count, dim):
    """Whether representations float32 [count, dim] can be evaluated in memory."""
    return COPIES * count * dim * 4 <= memory.available()


def batch_function(model, size, channels=3):
    """A model as a function float32 [B, *size, channels] -> float32 [B, D], traced once."""
    images = tf.TensorSpec([None, *size, channels], tf.float32)
    return tf.function(
        lambda batch: tf.cast(model(batch, training=False), tf.float32), input_signature=[images]
    )


def encoder_function(config, encoder, size):
    """`batch_function` of an encoder, or of its mean over --eval_patches."""
    if config.eval_patches > 1:
        encoder = encoders.patch_mean(encoder, config.eval_patches)
    return batch_function(encoder, size, networks.channels(config))


def patches_of(config):
    """The entry on --eval_patches for a result, which only those with several have."""
    return {"eval_patches": config.eval_patches} if config.eval_patches > 1 else {}


def represent(
    config,
    encode,
    source,
    size,
    title,
    steps=0,
    what="representations",
    place=None,
    unlabelled=False,
):
    """Computes representations float32 [N, D] and labels int64 [N] of a split, in order.

    Those that are too many for the memory are written to `place` and read from there, a
    `np.memmap` that `storage.rows.remove` deletes. After an interruption that goes on.

    Args:
        config: a `tfssl.Config`.
        encode: result of `batch_function`.
        source: the `Source` to encode.
        size: (height, width) of the evaluation crops in pixels.
        title: text for the progress bar.
        steps: integer, number of batches; 0: all.
        what: name of the outputs of `encode`.
        place: directory of those that do not fit in memory; None: they are kept there anyway.
        unlabelled: whether those of images without a label are written too; in memory they
            always are.

    Raises:
        TrainingError: the outputs are not finite, or the data is damaged.
        UsageError: there is no room for them on the disk.
    """
    total = num_batches(config, source, steps)
    count = min(total * config.eval_batch_size, source.num_examples)
    progress = Progress(
        f"{title}: {what} of {source.split}", total, config.eval_batch_size, unit="batches"
    )

    def encoded(start=0):
        _, batches = crops(config, source, size, steps, start)
        for step, batch in enumerate(read(batches, source), start=start + 1):
            h = encode(batch["image"]).numpy()
            yield finite(h, f"{what} of {source.name} {source.split}"), batch["label"].numpy()
            progress(step)

    batches = encoded()
    first = next(batches)
    if place is None or fits(count, first[0].shape[1]):
        hs, labels = zip(first, *batches)
        return np.concatenate(hs), np.concatenate(labels)
    made = store(config, first[0], source, size, count, place, unlabelled)
    rest = encoded(made.blocks) if made.blocks else itertools.chain([first], batches)
    for h, labels in rest:
        wanted = slice(None) if unlabelled else labels >= 0
        made.add(h[wanted], labels[wanted])
    made.note()
    return made.read()


def store(config, first, source, size, count, place, unlabelled):
    """The `Rows` for the representations of `represent`, and tells where they are.

    Args:
        first: those of the first batch.
        count: integer, number of images.
        config, source, size, place, unlabelled: as for `represent`.
    """
    about = {
        "data": data.digest(source.identity),
        "size": list(size),
        "crop": crop_proportion(config, size),
        "batch": config.eval_batch_size,
        "unlabelled": unlabelled,
    }
    made = rows.Rows(place, count, first, about)
    print(
        f"{count:,} x {first.shape[1]:,} numbers are too many for the memory, "
        f"{memory.gib(memory.available())}: kept in {made.directory} meanwhile"
        + (f", where {made.count:,} are already" if made.count else ""),
        flush=True,
    )
    return made


def finite(values, what):
    """Returns the outputs of a network; raises TrainingError if they are not finite."""
    if not np.isfinite(values).all():
        raise TrainingError(
            f"The network has diverged: its {what} are not finite. Train with a "
            "lower --learning_rate, a longer --warmup_epochs, or "
            "--precision=float32."
        )
    return values


def read(batches, source):
    """Iterates over batches; raises TrainingError if the data is damaged."""
    with data.reading(source.name):
        yield from batches


def labelled(values, labels, flag):
    """Selects the labelled rows, and their labels.

    Args:
        values: [N, ...].
        labels: int [N], below 0 for unlabelled images.
        flag: flag of the split, for messages.

    Raises:
        UsageError: no image has a label.
    """
    known = labels >= 0
    if known.all() and len(known):
        return values, labels
    if not known.any():
        looked_at = "images" if flag == "train_split" else "images that --eval_steps allows"
        raise UsageError(
            f"--{flag} must have labels. Received: one in which none of the "
            f"{len(labels):,} {looked_at} has one"
        )
    return values[known], labels[known]


def crops(config, source, size, steps=0, start=0):
    """The number of evaluation batches, and the batches.

    Args:
        steps: integer, only so many of the first ones; 0: all.
        start: integer, how many of these are passed over.
    """
    proportion = crop_proportion(config, size)
    batches = data.labelled(
        source,
        lambda image: augment.center_crop(image, size, proportion),
        batch_size=config.eval_batch_size,
        start=start * config.eval_batch_size,
    )
    batches = batches.take(steps - start) if steps else batches
    return num_batches(config, source, steps), batches


def num_batches(config, source, steps=0):
    """The number of evaluation batches of a split, at most `steps` unless that is 0."""
    total = -(-source.num_examples // config.eval_batch_size)
    return min(steps, total) if steps else total


def count(config, source):
    """Number of images of a split to score: all, or those of --eval_steps batches."""
    asked = config.eval_steps * config.eval_batch_size
    return min(asked or source.num_examples, source.num_examples)


def crop_proportion(config, size):
    """Side of the evaluation crop, as a fraction of the image's shorter side."""
    return config.eval_crop_proportion or evaluation.crop_proportion(size)


def tell_new_labels(train_source, eval_source, train_labels, test_labels):
    """Prints how many images to score have a label that no image to learn from has."""
    new = np.setdiff1d(test_labels, train_labels)
    if len(new):
        name = printable(eval_source.classes[new[0]]) if eval_source.classes else new[0]
        print(
            f"{np.isin(test_labels, new).sum():,} of {len(test_labels):,} images of "
            f"{eval_source.name} {eval_source.split} have labels that no image of "
            f"{train_source.split} has, such as {name}: they count as wrong",
            flush=True,
        )


def score(scores, labels):
    """Exact counts of correct labelled images, and accuracies in [0, 1].

    Args:
        scores: float [N, C].
        labels: int [N], below 0 for unlabelled images.

    Raises:
        UsageError: no image has a label.
    """
    return evaluation.accuracies(*labelled(scores, labels, "eval_split"))


def classified(config, logits, labels):
    """The `score` of logits, with their information about the labels."""
    return informed(config, finite(logits, "logits"), labels)


def informed(config, logits, labels):
    """`classified` for logits that may be -inf."""
    logits, labels = labelled(logits, labels, "eval_split")
    information = label_information(logits, labels) if config.information_scalars else {}
    return score(logits, labels) | information


@contextlib.contextmanager
def timed(what):
    """Prints what is being done and, at the end, its duration."""
    start = time.monotonic()
    print(what, end=" ... ", flush=True)
    yield
    print(f"{time.monotonic() - start:.1f} s", flush=True)


NAMES = {
    "online": "online linear head",
    "linear": "linear, frozen encoder",
    "linear_sgd": "linear, SGD, crops",
    "network": "the whole network",
}


def table(columns):
    """A table of accuracies, one row per protocol.

    Args:
        columns: {heading: result of `evaluate`, or None to omit it}; the last one determines the
            rows.
    """
    columns = {name: results for name, results in columns.items() if results}
    if not columns:
        return "no accuracy: none of the requested protocols is available"
    lines = [
        f"{'accuracy, %':26}" + "".join(f"{name:>22}" for name in columns),
        f"{'':26}" + f"{'top-1':>14}{'top-5':>8}" * len(columns),
    ]
    for protocol in list(columns.values())[-1]:
        name = NAMES.get(protocol, protocol.replace("knn_", "kNN, k = "))
        cells = [
            cell(results.get(protocol, {}), k)
            for results in columns.values()
            for k in evaluation.TOP
        ]
        lines.append(f"{name:26}" + "".join(cells))
    return "\n".join(lines)


def cell(scores, k):
    """An accuracy of a table as text; "-": it is missing or not informative."""
    width = 14 if k == 1 else 8
    if not scores or k not in evaluation.telling(scores.get("classes")):
        return f"{'-':>{width}}"
    return f"{100 * scores[f'top_{k}']:{width}.2f}"
