"""Encoders, networks from images to representations, and adapters for any Keras model."""

from tfssl.encoders.convnexts import convnext
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
from tfssl.encoders.timm import from_timm
from tfssl.encoders.vits import vit

__all__ = [
    "BLOCKS",
    "convnext",
    "copy_all_but_the_stem",
    "first_filters",
    "freeze",
    "from_timm",
    "output_stride",
    "patch_mean",
    "resnet",
    "vit",
    "width",
]
