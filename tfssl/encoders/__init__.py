"""Encoders, networks from images to representations, and adapters for any Keras model."""

from tfssl.encoders.patches import patch_mean
from tfssl.encoders.resnets import (
    BLOCKS,
    copy_all_but_the_stem,
    first_filters,
    freeze,
    output_stride,
    resnet,
    width,
)

__all__ = [
    "BLOCKS",
    "copy_all_but_the_stem",
    "first_filters",
    "freeze",
    "output_stride",
    "patch_mean",
    "resnet",
    "width",
]
