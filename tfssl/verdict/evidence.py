"""What a training is judged by: facts of its views and network, and measures at several steps."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfssl.information import representation

NAN = math.nan
SAME = 0.5 / 255  # mean difference of values in [0, 1] below which two images are the same
FLAT = 0.9  # share of the values of an image that are the median
SIDE = 8  # pixels of the thumbnails by which views are compared


@dataclasses.dataclass(frozen=True)
class Point:
    """Measures at one step of a training. What was not measured is NaN.

    Attributes:
        step: integer, steps made before.
        loss: of training, the mean since the point before.
        z_std: spread of the projections in training, see `tfssl.methods.direction_std`.
        loss_of_views: the method's loss on the held-out views.
        infonce_bound: lower bound in nats, of the held-out views.
        view_retrieval, view_rank, effective_rank, uniformity, alignment, lidar, neighbours_kept: of
            the representations of held-out views, see `tfssl.information.representation`.
    """

    step: int
    loss: float = NAN
    z_std: float = NAN
    loss_of_views: float = NAN
    infonce_bound: float = NAN
    view_retrieval: float = NAN
    view_rank: float = NAN
    effective_rank: float = NAN
    uniformity: float = NAN
    alignment: float = NAN
    lidar: float = NAN
    neighbours_kept: float = NAN

    @classmethod
    def of(cls, step: int, *measured: Mapping[str, float]) -> "Point":
        """The point of a step with what is known by these names; other names are passed over."""
        names = {field.name for field in dataclasses.fields(cls)} - {"step"}
        known = {name: float(value) for one in measured for name, value in one.items()}
        return cls(int(step), **{name: known[name] for name in names & known.keys()})


@dataclasses.dataclass(frozen=True)
class Facts:
    """What holds for a whole training.

    Attributes:
        images: integer, how many images the measures are of, held-out ones unless `held_out` is
            False.
        total_steps: integer, the planned length; None: unknown.
        ceiling: float, log of the candidates of an InfoNCE loss on the held-out views, in nats;
            None: the loss is another one.
        trainable: whether the encoder has weights that are trained.
        moving: whether the moving averages of its normalizations moved; None: it has none.
        classes: integer, how many classes the labels of the held-out images have; None: no labels.
        of_classes: integer, how many there are: of the model's probe, or by the highest label.
        identical: share of the images whose first two views are the same.
        flat: share of the images of whose values 90 % or more are the median of their channel.
        pixel_retrieval, pixel_rank: `view_retrieval` and `view_rank` of the thumbnails; NaN where
            the first two views have different sizes or are constant.
        temperature: float, of the loss; None: it has none.
        method: name of the method.
        compared: whether the loss compares views with each other; False: it is judged by the loss
            of held-out images, as that of MAE is.
        held_out: whether the images are others than those of the training.
    """

    images: int = 0
    total_steps: int | None = None
    ceiling: float | None = None
    trainable: bool = True
    moving: bool | None = None
    classes: int | None = None
    of_classes: int | None = None
    identical: float = 0.0
    flat: float = 0.0
    pixel_retrieval: float = NAN
    pixel_rank: float = NAN
    temperature: float | None = None
    method: str = ""
    compared: bool = True
    held_out: bool = True


@dataclasses.dataclass
class History:
    """What is known of a training so far.

    Attributes:
        facts: `Facts`.
        points: list of `Point`s in the order of their steps.
    """

    facts: Facts = Facts()
    points: list[Point] = dataclasses.field(default_factory=list)

    def add(self, point: Point) -> None:
        """Adds a point; those of its step and later ones, of a training that was cut, go."""
        self.points = [*self.until(point.step - 1).points, point]

    def until(self, step: int) -> "History":
        """The history up to a step."""
        return History(self.facts, [point for point in self.points if point.step <= step])

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable; what is not finite is a string."""
        return {
            "facts": plain(self.facts),
            "points": [plain(point) for point in self.points],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "History":
        """Of the result of `to_dict`.

        Raises:
            ValueError, TypeError, KeyError: it is not such a result.
        """
        points = [Point(**numbers(point)) for point in content["points"]]
        return cls(Facts(**numbers(content["facts"])), points)


def plain(values: Point | Facts) -> dict[str, Any]:
    """{name: value}, numbers that are not finite as strings."""
    return {
        name: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(values).items()
    }


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `plain`."""
    return {
        name: float(value) if value in ("nan", "inf", "-inf") else value
        for name, value in values.items()
    }


def facts_of_views(views: tuple[np.ndarray, ...]) -> dict[str, float]:
    """Properties of the pixels of views.

    Args:
        views: tuple of float [N, H, W, C] in [0, 1], N at least 2; row i of all belongs to the same
            image.

    Returns:
        dict with images, identical, flat, pixel_retrieval and pixel_rank, as in `Facts`.

    Example:

    ```python
    view = np.zeros((4, 16, 16, 3))
    view[:2] = np.random.default_rng(0).random((2, 16, 16, 3))
    facts = tfssl.verdict.facts_of_views((view, view))
    facts["identical"], facts["flat"]  # (1.0, 0.5)
    ```
    """
    first = np.asarray(views[0], np.float32)
    median = np.median(first, axis=(1, 2), keepdims=True)
    usual = np.mean(np.abs(first - median) < 2 * SAME, axis=(1, 2, 3))
    facts = {
        "images": len(first),
        "identical": 0.0,
        "flat": float(np.mean(usual >= FLAT)),
    }
    if len(views) < 2 or np.shape(views[1]) != first.shape:
        return facts
    second = np.asarray(views[1], np.float32)
    facts["identical"] = float(np.mean(np.abs(first - second).mean(axis=(1, 2, 3)) < SAME))
    thumbnails = [thumbnails_of(view) for view in (first, second)]
    centred = [one - thumbnails[0].mean(axis=0) for one in thumbnails]
    if np.ptp(centred[0]) > 2 * SAME:
        retrieval, rank = representation.views_found(*centred)
        facts |= {"pixel_retrieval": retrieval, "pixel_rank": rank}
    return facts


def thumbnails_of(images):
    """Means of about SIDE x SIDE parts of images, [N, parts * C]."""
    rows, columns = (max(1, round(side / SIDE)) for side in images.shape[1:3])
    height, width = (side // part * part for side, part in zip(images.shape[1:3], (rows, columns)))
    parts = images[:, :height, :width].reshape(
        len(images), height // rows, rows, width // columns, columns, -1
    )
    return parts.mean(axis=(2, 4)).reshape(len(images), -1)
