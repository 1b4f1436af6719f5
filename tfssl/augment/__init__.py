"""Random views of images, drawn per image and seeded without state."""

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
from tfssl.augment.recipes import View, simclr_view, supervised_view

__all__ = [
    "Crop",
    "Op",
    "View",
    "as_float",
    "center_crop",
    "identity",
    "in_blocks",
    "on_bytes",
    "one_by_one",
    "simclr_view",
    "supervised_view",
]
