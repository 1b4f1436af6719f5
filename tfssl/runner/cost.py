"""What an evaluation will take, measured before it starts, and what of the baseline is worth it.

Nothing is guessed from the size of a network: a few batches are encoded, and parts of the other
work are done, against the clock. Estimates are right to a factor of about 2.
"""

import dataclasses
import time

from tfssl import evaluation
from tfssl.runner import evaluate

SHORT = 60.0  # seconds: what takes less is done without being announced or weighed
BATCHES, LEAST, ENOUGH = 3, 0.5, 2.0  # so many batches are timed for so many seconds, or for ENOUGH

WHOLE, THINNED, NONE = "whole", "thinned", "none"  # how much of the baseline is evaluated


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds that an evaluation takes, by what it does.

    Attributes:
        images: how many are encoded, of both splits.
        encoding: seconds for them.
        linear: for the linear classifier; 0 where there is none.
        knn: for the neighbours, likewise.
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
    """Seconds as text, to the precision of an estimate: 8 s, 3 min, 2.5 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def of_evaluation(config, encode, dim, train_source, eval_source, size):
    """The Cost of `evaluate.evaluate`.

    Args:
        encode: what `evaluate.batch_function` returned.
        dim: dimension of the representations.
        train_source, eval_source, size: as there.
    """
    scored, ks = evaluate.count(config, eval_source), config.neighbours
    wanted = ks or config.linear_probe or config.protocols
    classified = wanted and evaluate.fits(train_source, dim)
    fitted = train_source.num_examples if classified else 0
    images = scored + fitted
    return Cost(
        images=images,
        encoding=images * per_image(config, encode, eval_source, size),
        linear=(
            evaluation.linear_seconds(fitted, dim, train_source.num_classes)
            if fitted and config.linear_probe
            else 0.0
        ),
        knn=evaluation.knn_seconds(fitted, scored, dim, max(ks)) if fitted and ks else 0.0,
    )


def of_encoding(config, encode, source, size, more=0):
    """The Cost of `evaluate.represent`.

    Args:
        encode, source, size: as there.
        more: further images of that size that are encoded.
    """
    images = evaluate.count(config, source) + more
    return Cost(images, images * per_image(config, encode, source, size))


def per_image(config, encode, source, size):
    """Seconds that an evaluation crop takes, from the file to its representation.

    The first batch, which builds the graph, does not count.
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
    return (time.monotonic() - began) / images


def tell(what, cost, more=""):
    """Announces work, unless it is short.

    Args:
        what: the work, in a few words.
        cost: its `Cost`.
        more: what else there is to say.
    """
    if cost.total >= SHORT:
        print(f"{what}: {cost}{more}", flush=True)


def affordable(cost, trained, asked):
    """How much of the baseline is evaluated.

    Args:
        cost: the `Cost` of evaluating one network by all protocols.
        trained: seconds that the training took; None: not known.
        asked: what --eval_baseline says; None: not given, so that the baseline is not to take
            longer than the training did.

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
