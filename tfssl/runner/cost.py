"""Estimates the duration of an evaluation, and decides how much of the baseline to evaluate.

Estimates are measured by encoding a few batches and timing parts of the other computations. They
are accurate to a factor of about 2.
"""

import dataclasses
import time

from tfssl import evaluation
from tfssl.runner import evaluate

SHORT = 60.0  # seconds; shorter work is not announced, and a shorter baseline always evaluated
BATCHES, LEAST, ENOUGH = 3, 0.5, 2.0  # time 3 batches for at least 0.5 s, or batches for 2 s

WHOLE, THINNED, NONE = "whole", "thinned", "none"  # how much of the baseline is evaluated


@dataclasses.dataclass(frozen=True)
class Cost:
    """The estimated duration of an evaluation.

    Attributes:
        images: integer, number of images to encode, of both splits.
        encoding: seconds for encoding.
        linear: seconds for the linear classifier; 0: none.
        knn: seconds for kNN; 0: none.
    """

    images: int
    encoding: float
    linear: float = 0.0
    knn: float = 0.0

    @property
    def total(self):
        return self.encoding + self.linear + self.knn

    def __str__(self):
        parts = [f"representations of {self.images:,} images {duration(self.encoding)}"]
        parts += [f"linear classifier {duration(self.linear)}"] if self.linear else []
        parts += [f"kNN {duration(self.knn)}"] if self.knn else []
        return f"about {duration(self.total)} ({', '.join(parts)})"


def duration(seconds):
    """Formats seconds with the precision of an estimate: 8 s, 3 min, 2.5 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def of_evaluation(config, encode, dim, train_source, eval_source, size):
    """The `Cost` of `evaluate.evaluate`.

    Args:
        config, train_source, eval_source, size: as for `evaluate.evaluate`.
        encode: result of `evaluate.batch_function`.
        dim: integer, dimension of the representations.
    """
    scored, ks = evaluate.count(config, eval_source), config.neighbours
    wanted = ks or config.linear_probe or config.protocols
    fitted = train_source.num_examples if wanted else 0
    images = scored + fitted
    return Cost(
        images=images,
        encoding=images * per_image(config, encode, eval_source, size, images),
        linear=(
            evaluation.linear_seconds(fitted, dim, train_source.num_classes)
            if fitted and config.linear_probe
            else 0.0
        ),
        knn=evaluation.knn_seconds(fitted, scored, dim, max(ks)) if fitted and ks else 0.0,
    )


def of_encoding(config, encode, source, size, more=0):
    """The `Cost` of `evaluate.represent`.

    Args:
        config, encode, source, size: as for `evaluate.represent`.
        more: integer, number of further images of that size.
    """
    images = evaluate.count(config, source) + more
    return Cost(images, images * per_image(config, encode, source, size, images))


def per_image(config, encode, source, size, most=None):
    """Seconds per image, from the file to its representation.

    The first batch, which builds the graph, is not timed.

    Args:
        config, encode, source, size: as for `of_encoding`.
        most: integer, number of images that are enough, however short the time; None: no such
            number.
    """
    _, batches = evaluate.crops(config, source, size)
    began, images = None, 0
    for number, batch in enumerate(batches.repeat()):
        encode(batch["image"]).numpy()
        if began is None:
            began = time.monotonic()
            continue
        images += len(batch["image"])
        if time.monotonic() - began > (LEAST if number >= BATCHES else ENOUGH):
            break
        if most is not None and images >= most:
            break
    return (time.monotonic() - began) / images


def announce(what, cost, more=""):
    """Prints the estimate of work that is not short.

    Args:
        what: name of the work.
        cost: its `Cost`.
        more: text to append.
    """
    if cost.total >= SHORT:
        print(f"{what}: {cost}{more}", flush=True)


def affordable(cost, trained, asked):
    """Decides how much of the baseline to evaluate.

    Args:
        cost: the `Cost` of evaluating one network by all protocols.
        trained: seconds of training; None: unknown.
        asked: --eval_baseline; None: not given, the baseline may take as long as the training.

    Returns:
        WHOLE, THINNED (without the linear classifier) or NONE.
    """
    if asked is not None:
        return WHOLE if asked else NONE
    limit = float("inf") if trained is None else max(SHORT, trained)
    if cost.total <= limit:
        return WHOLE
    if cost.knn and cost.total - cost.linear <= limit:
        return THINNED
    return NONE
