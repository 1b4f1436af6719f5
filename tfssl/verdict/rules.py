"""The rules by which a training is judged; the thresholds are those of results/verdict."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfssl.verdict.evidence import Facts, Point

# In the order in which they are asked: the first that holds is the verdict.
KINDS = {
    "diverging": "the loss or the weights grow without bound",
    "unusable": "the images or views hold too little to learn from",
    "not_learning": "the representation does not become better than that of an untrained network",
    "collapsing": "all images, or all but a few directions, get the same representation",
    "too_easy": "the task is solved without what an encoder is wanted for",
    "starved": "the loss cannot tell more: its bound on the information is reached",
    "improving": "it still becomes better: go on",
    "levelled_off": "it no longer becomes better",
    "learning": "it learns",
}
BROKEN = ("diverging", "unusable", "not_learning", "collapsing", "too_easy")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be said of a training at one step.

    Attributes:
        kind: one of `KINDS`.
        step: integer, the step of the newest point.
        why: a sentence with the numbers that it follows from.
        advice: what to change, a sentence in terms of arguments; "" if nothing.
    """

    kind: str
    step: int
    why: str
    advice: str = ""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Verdict":
        """Of a dict of the attributes; further keys are passed over.

        Raises:
            KeyError: one is missing.
        """
        return cls(*(content[field.name] for field in dataclasses.fields(cls)))

    @property
    def broken(self) -> bool:
        """Whether the training is not worth to go on with as it is."""
        return self.kind in BROKEN

    def __str__(self) -> str:
        return (
            f"{self.kind.replace('_', ' ')}: {self.why}{' ' + self.advice if self.advice else ''}"
        )


def judge(points: Sequence[Point], facts: Facts) -> Verdict:
    """The verdict on a training.

    Args:
        points: in the order of their steps; the first one of the untrained network, at step 0.
        facts: of the training.

    Raises:
        ValueError: there is no point.

    Example:

    ```python
    from tfssl.verdict import Facts, Point, judge

    points = [Point(0, view_retrieval=0.2, view_rank=0.1), Point(50, loss=float("nan"))]
    judge(points, Facts(images=100)).kind  # 'diverging'
    ```
    """
    if not points:
        raise ValueError("`points` must hold at least one point. Received: none")
    for rule in RULES:
        found = rule(list(points), facts)
        if found:
            kind, why, advice = found
            return Verdict(kind, points[-1].step, why, advice)
    return Verdict("learning", points[-1].step, progress(points))


def diverging(points, facts):
    last = points[-1]
    trained = points[1:] or points
    if any(math.isinf(p.loss) for p in points) or (last.step and math.isnan(last.loss)):
        return "diverging", f"The loss is {last.loss}.", LOWER_RATE
    lowest = min(p.loss for p in trained)
    if len(trained) > 1 and last.loss - lowest > GROWN * abs(trained[0].loss):
        return (
            "diverging",
            f"The loss of training has risen from {lowest:.4g} to {last.loss:.4g}.",
            LOWER_RATE,
        )
    return None


GROWN = 1.0  # times its first value by which a loss has risen from its lowest
LOWER_RATE = "Divide the learning rate by 10 (`learning_rate`), or lengthen its warm-up."


def unusable(points, facts):
    if facts.constant > CONSTANT:
        return (
            "unusable",
            f"{facts.constant:.0%} of the images have one value in all of their pixels.",
            "Check how the images are read and scaled: values must fill [0, 1].",
        )
    for share, end in ((facts.black, "lowest"), (facts.white, "highest")):
        if share > CLIPPED:
            return (
                "unusable",
                f"{share:.0%} of all values are the {end} that there is: they were clipped.",
                "Check how the images are read and scaled, as `value_range`.",
            )
    if facts.classes == 1:
        return (
            "unusable",
            "All images have the same label.",
            "Train on images of more kinds; a folder per class in order needs to be shuffled.",
        )
    return None


CONSTANT = 0.5  # share of images
CLIPPED = 0.9  # share of values


def not_learning(points, facts):
    if not facts.trainable:
        return (
            "not_learning",
            "The encoder has no weights that are trained.",
            "Set `encoder.trainable = True` before `compile`.",
        )
    return None


def collapsing(points, facts):
    last = points[-1]
    if last.z_std < FLAT:
        return (
            "collapsing",
            f"The projections of all images are nearly equal: their spread is {last.z_std:.3f} of 1.",
            "Check the predictor and the stopped gradient; divide the learning rate by 3.",
        )
    return None


FLAT = 0.05


def too_easy(points, facts):
    if facts.identical > IDENTICAL:
        return (
            "too_easy",
            f"The two views of {facts.identical:.0%} of the images are the same.",
            "Give views that differ: random crops, colours, as `tfssl.augment.simclr(size)`.",
        )
    return None


IDENTICAL = 0.5


def progress(points):
    first, last = points[0], points[-1]
    return (
        f"Of held-out images, {last.view_retrieval:.1%} are found by another view of them, "
        f"{first.view_retrieval:.1%} before training."
    )


RULES = (diverging, unusable, not_learning, collapsing, too_easy)
