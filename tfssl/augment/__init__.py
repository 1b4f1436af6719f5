"""Random views of images, drawn per image and seeded without state."""

from tfssl.augment.ops import Op, center_crop
from tfssl.augment.recipes import View, simclr_view, supervised_view

__all__ = ["Op", "View", "center_crop", "simclr_view", "supervised_view"]
