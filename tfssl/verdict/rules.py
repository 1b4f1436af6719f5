"""The rules by which a training is judged, in the order in which they are asked."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    return Verdict("learning", points[-1].step, progress(points, facts))


# Each rule takes the points and the facts and returns (kind, why, advice), or None.


def diverging(points, facts):
    last = points[-1]
    if last.step and not math.isfinite(last.loss) and not math.isfinite(last.view_rank):
        return "diverging", "Loss and representations are not finite.", LOWER_RATE
    losses = [point.loss for point in points if math.isfinite(point.loss)]
    if len(losses) > 1 and last.loss - min(losses) > GROWN * abs(losses[0]):
        return (
            "diverging",
            f"The loss of training has risen from {min(losses):.4g} to {last.loss:.4g}.",
            LOWER_RATE,
        )
    return None


GROWN = 1.0  # times its first value by which a loss has risen from its lowest
LOWER_RATE = "Divide the learning rate by 10 (`learning_rate`), or lengthen its warm-up."


def unusable(points, facts):
    last = points[-1]
    if facts.flat > FLAT_IMAGES and not last.view_rank < LEARNED:
        return (
            "unusable",
            f"{facts.flat:.0%} of the images have one value in most of their pixels.",
            SCALING,
        )
    if facts.classes == 1 < (facts.of_classes or 1):  # a folder of one class may be meant
        return (
            "unusable",
            f"All of the {facts.images} images have the same label, of {facts.of_classes} or more.",
            "Train on images of more kinds; a folder per class, read in order, must be shuffled.",
        )
    seldom_first = last.view_rank < FOUND_EARLY and last.view_retrieval < SELDOM_FIRST
    if facts.compared and seldom_first:
        alike = max(2, round(2 * last.view_rank * facts.images))
        return (
            "unusable",
            "The other view of an image is found among the first, but seldom as the first "
            f"({last.view_retrieval:.1%}): about {alike} images at a time look the same.",
            "Remove duplicates; of a film, take one image of a scene.",
        )
    return None


FLAT_IMAGES = 0.5  # share of images
LEARNED = 0.1  # rank of views, with which even flat images, such as drawings, are well
FOUND_EARLY, SELDOM_FIRST = 0.05, 0.15  # rank and retrieval of views
SCALING = "Check how the images are read and scaled: their values must fill [0, 1]."


def not_learning(points, facts):
    first, last = points[0], points[-1]
    if not facts.trainable:
        return (
            "not_learning",
            "The encoder has no weights that are trained.",
            "Set `encoder.trainable = True` before `compile`.",
        )
    if facts.ceiling and facts.temperature:
        most = facts.ceiling - least_loss(facts.ceiling, facts.temperature)
        if most < TELLS * facts.ceiling:
            return (
                "not_learning",
                f"With a temperature of {facts.temperature:g} the loss cannot tell more than "
                f"{most:.2f} of {facts.ceiling:.2f} nats.",
                "Take a `temperature` of 0.1 to 0.5.",
            )
    if first.step or not last.step or last.z_std < FLAT:  # a collapse is another kind
        return None
    if not facts.compared:
        if last.loss_of_views > (1 - LOWER) * first.loss_of_views:
            return "not_learning", f"{progress(points, facts)} It has not become lower.", LONGER
        return None
    if last.uniformity > EQUAL and last.z_std > SPREAD:
        return (
            "not_learning",
            "In inference mode all images have nearly the same representation, though not in "
            f"training (spread {last.z_std:.2f}): moving averages have not settled.",
            "Train for more steps, or give batch normalizations a lower momentum, such as 0.9.",
        )
    if last.view_rank > BY_CHANCE:
        return (
            "not_learning",
            f"The views of an image find each other by chance (rank {last.view_rank:.2f} of 1).",
            "Check that both views are of the same image, and that they are not too different.",
        )
    if last.view_rank > first.view_rank - BETTER and first.view_rank > SMALL:
        return (
            "not_learning",
            f"The views of an image do not find each other better (rank {last.view_rank:.3f}) than "
            f"before training ({first.view_rank:.3f}).",
            LONGER,
        )
    return None


LONGER = "Train for longer; multiply the learning rate by 10, or divide it (`learning_rate`)."
LOWER = 0.01  # relative fall of the loss of held-out images
TELLS = 0.2  # share of the ceiling that the loss can reach at least
BY_CHANCE = 0.42  # rank of views
SPREAD = 0.3  # of projections that have not collapsed
BETTER = 0.02  # fall of the rank of views
SMALL = 0.04  # rank of views that is hard to improve


def least_loss(ceiling, temperature):
    """NT-Xent of two equal directions among e^ceiling candidates, all others opposite."""
    return math.log1p((math.exp(ceiling) - 1) * math.exp(-2 / temperature))


def collapsing(points, facts):
    first, last = points[0], points[-1]
    if not facts.compared:
        return None
    if last.z_std < FLAT:
        return (
            "collapsing",
            "The projections of all images are nearly equal: their spread is "
            f"{last.z_std:.3f} of 1.",
            COLLAPSED,
        )
    if last.step and last.uniformity > EQUAL and last.view_rank > BY_CHANCE:
        return (
            "collapsing",
            "The representations of all images have nearly the same direction.",
            COLLAPSED,
        )
    if first.effective_rank > 2 and last.effective_rank < FEWER * first.effective_rank:
        return (
            "collapsing",
            f"The representations use {last.effective_rank:.1f} dimensions; those of the untrained "
            f"network used {first.effective_rank:.1f}.",
            COLLAPSED,
        )
    return None


FLAT = 0.05  # spread of projections
EQUAL = -0.01  # uniformity
FEWER = 0.5  # times the effective rank
COLLAPSED = (
    "Check that the predictor and the stopped gradient are there; divide the learning rate by 3 "
    "(`learning_rate`); enlarge the batch."
)


def too_easy(points, facts):
    if not facts.compared:
        return None
    if facts.identical > IDENTICAL:
        return (
            "too_easy",
            f"The two views of {facts.identical:.0%} of the images are the same.",
            STRONGER,
        )
    if facts.pixel_retrieval > BY_PIXELS:
        return (
            "too_easy",
            f"{facts.pixel_retrieval:.0%} of the views find each other by their pixels alone.",
            STRONGER,
        )
    return None


IDENTICAL = 0.5  # share of images
BY_PIXELS = 0.9  # retrieval of views by thumbnails
STRONGER = "Give views that differ more: random crops and colours, as `tfssl.augment.simclr(size)`."


def starved(points, facts):
    last = points[-1]
    if facts.ceiling and last.infonce_bound > REACHED * facts.ceiling:
        return (
            "starved",
            f"The bound on the information of the views, {last.infonce_bound:.2f} nats, is near "
            f"what the loss can tell at most, {facts.ceiling:.2f}.",
            "Double the batch, add a memory (`memory_size`), or give views that differ more.",
        )
    return None


REACHED = 0.9


def improving(points, facts):
    change, what = change_of(points, facts), MEASURED[facts.compared]
    if change is None or change < what.improves:
        return None
    at_end = not facts.total_steps or points[-1].step >= facts.total_steps
    return (
        "improving",
        f"{progress(points, facts)} In the last third of the steps {what.name} fell by "
        f"{change:.{what.digits}%}.",
        "Train for twice as long." if at_end else "",
    )


class Measured(NamedTuple):
    """What tells whether a training becomes better, the lower the better.

    Attributes:
        name: what it is, for messages.
        of: attribute of a `Point`.
        improves, stays: its relative fall in the last third of the steps from which on it improves,
            and up to which it has levelled off.
        digits: of its fall in percent.
    """

    name: str
    of: str
    improves: float
    stays: float
    digits: int


MEASURED = {  # by whether the loss compares views
    True: Measured("their rank", "view_rank", improves=0.15, stays=0.03, digits=0),
    False: Measured("it", "loss_of_views", improves=0.01, stays=0.002, digits=1),
}


def levelled_off(points, facts):
    change, what = change_of(points, facts), MEASURED[facts.compared]
    if change is None or change > what.stays or len(points) < LEAST_POINTS:
        return None
    return (
        "levelled_off",
        f"{progress(points, facts)} In the last third of the steps {what.name} changed by "
        f"{-change:+.{what.digits}%}.",
        "",
    )


LEAST_POINTS = 5


def change_of(points, facts=Facts()):
    """By which share `MEASURED` fell over the last third of the steps so far; or None.

    From the mean of the points in the third before to the last ones; None without such points.
    """
    last = points[-1].step
    values = [(p.step, getattr(p, MEASURED[facts.compared].of)) for p in points]
    before = [value for step, value in values if last / 3 <= step <= last * 2 / 3 and step]
    after = [value for step, value in values if step > last * 2 / 3]
    before, after = before[-2:], after[-2:]
    if not before or not after or not sum(before) > 0:
        return None
    change = 1 - (sum(after) / len(after)) / (sum(before) / len(before))
    return change if math.isfinite(change) else None


def progress(points, facts):
    first, last = points[0], points[-1]
    which = "held-out" if facts.held_out else "training"
    if not (facts.compared and math.isfinite(last.view_retrieval)):
        before = f", {first.loss_of_views:.4g} before training" if not first.step else ""
        return f"The loss of {which} images is {last.loss_of_views:.4g}{before}."
    before = f", {first.view_retrieval:.1%} before training" if not first.step else ""
    return (
        f"Of {which} images {last.view_retrieval:.1%} are found first by another view of them"
        f"{before}."
    )


RULES = (
    *(diverging, unusable, not_learning, collapsing, too_easy, starved),
    *(improving, levelled_off),
)
