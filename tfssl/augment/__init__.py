"""Random augmentations of image batches: one draw per image, from stateless seeds."""

from tfssl.augment.functions import view
from tfssl.augment.ops import (
    Crop,
    Op,
    as_float,
    center_crop,
    identity,
    in_blocks,
    on_bytes,
    one_by_one,
)
from tfssl.augment.recipes import (
    View,
    byol,
    domain,
    simclr,
    simclr_view,
    supervised,
    supervised_view,
)

__all__ = [
    "Crop",
    "Op",
    "View",
    "as_float",
    "byol",
    "center_crop",
    "domain",
    "identity",
    "in_blocks",
    "on_bytes",
    "one_by_one",
    "simclr",
    "simclr_view",
    "supervised",
    "supervised_view",
    "view",
]
