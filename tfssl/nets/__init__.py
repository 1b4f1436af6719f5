"""Networks: the ResNet encoder, the heads on it, and the faster layers they train with.

This room imports Keras and TensorFlow only. `resnet` and `heads` are written with Keras layers
alone, so that what they build runs and loads on any Keras backend; `norm` and `conv` are the
training-time replacements for two of those layers, `remat` that of the model, and need TensorFlow.
"""

from tfssl.nets.conv import ProductGradientConv2D
from tfssl.nets.heads import byol_head, classifier, first_layers, projector
from tfssl.nets.norm import FusedBatchNormalization
from tfssl.nets.remat import Rematerialized
from tfssl.nets.resnet import (
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
    "FusedBatchNormalization",
    "ProductGradientConv2D",
    "Rematerialized",
    "byol_head",
    "classifier",
    "copy_all_but_the_stem",
    "first_filters",
    "first_layers",
    "freeze",
    "output_stride",
    "projector",
    "resnet",
    "width",
]
