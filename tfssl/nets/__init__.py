"""Networks: the ResNet encoder, the heads on it, and the batch normalization they train with.

This room imports Keras and TensorFlow only. `resnet` and `heads` are written with Keras layers
alone, so that what they build runs and loads on any Keras backend; `norm` is the training-time
replacement for one of those layers and needs TensorFlow.
"""

from tfssl.nets.heads import byol_head, classifier, first_layers, projector
from tfssl.nets.norm import FusedBatchNormalization
from tfssl.nets.resnet import (
    BLOCKS,
    copy_all_but_the_stem,
    freeze,
    output_stride,
    resnet,
    width,
)

__all__ = [
    "BLOCKS",
    "FusedBatchNormalization",
    "byol_head",
    "classifier",
    "copy_all_but_the_stem",
    "first_layers",
    "freeze",
    "output_stride",
    "projector",
    "resnet",
    "width",
]
