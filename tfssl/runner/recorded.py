"""What short trainings of SimCLR have come to, for the expectations of `--mode=plan`."""

import math
from typing import NamedTuple

NEAR = 3.0  # times as many views, or as few, are about as many
NONE = "no recorded training of SimCLR is of about as many views"


class Recorded(NamedTuple):
    """A training on two cores.

    Attributes:
        images: what they were.
        views: number of views that it processed.
        network: the width of its ResNet-18, and the size of its views.
        linear, knn: top-1 accuracies on held-out images in %, by the linear classifier and kNN-20.
        where: page of `results/` or of README.
    """

    images: str
    views: float
    network: str
    linear: float
    knn: float
    where: str


RECORDED = (
    Recorded("CIFAR-10, 10 classes", 79_872, "quarter, 16 px", 41.1, 38.1, "results/kinds"),
    Recorded("Imagenette, 10 classes", 79_872, "quarter, 24 px", 48.1, 43.5, "results/kinds"),
    Recorded("textures, 3 classes", 79_872, "quarter, 16 px", 89.4, 87.7, "results/kinds"),
    Recorded("shapes, 10 classes", 120_000, "quarter, 16 px", 57.05, 67.25, "README.md"),
    Recorded("shapes, 10 classes", 240_000, "quarter, 16 px", 71.7, 79.5, "README.md"),
    Recorded("CIFAR-10, 10 classes", 809_472, "quarter, 16 px", 60.6, 59.5, "results/methods"),
    Recorded("CIFAR-10, 10 classes", 1_000_448, "full, 20 px", 72.86, 67.06, "results/cifar10"),
    Recorded(
        "CIFAR-10, 10 classes", 2_100_224, "half, 20 px", 74.15, 71.91, "results/fast_cifar10"
    ),
)


def like(views):
    """The records of about as many views, one line for each dataset, the nearest one."""
    nearest = {}
    for one in sorted(RECORDED, key=lambda one: distance(one, views)):
        if distance(one, views) <= math.log(NEAR):
            nearest.setdefault(one.images, one)
    return [
        f"{one.images}: linear {one.linear:.1f} %, kNN-20 {one.knn:.1f} %, in {one.views:,.0f} "
        f"views ({one.network}; {one.where})"
        for one in nearest.values()
    ]


def distance(one, views):
    """How far a number of views is from that of a record, as the logarithm of their ratio."""
    return abs(math.log(one.views / views))
