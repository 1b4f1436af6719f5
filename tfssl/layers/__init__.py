"""Heads, and faster layers for training.

`heads` builds models of Keras layers only, which run and load on any Keras backend. `norm` and
`conv` replace two of these layers during training, and `remat` the model; these three need
TensorFlow.
"""

from tfssl.layers.activations import gelu
from tfssl.layers.conv import ProductGradientConv2D
from tfssl.layers.convnext import ConvNeXtBlock
from tfssl.layers.decoder import MaskedDecoder, Replacement
from tfssl.layers.heads import (
    build_head,
    byol_head,
    classifier,
    first_layers,
    mlp,
    projector,
    prototypes,
)
from tfssl.layers.norm import FusedBatchNormalization, synchronized
from tfssl.layers.remat import Rematerialized
from tfssl.layers.transformer import Attention, Tokens, TransformerBlock

__all__ = [
    "Attention",
    "ConvNeXtBlock",
    "FusedBatchNormalization",
    "MaskedDecoder",
    "ProductGradientConv2D",
    "Rematerialized",
    "Replacement",
    "Tokens",
    "TransformerBlock",
    "build_head",
    "byol_head",
    "classifier",
    "first_layers",
    "gelu",
    "mlp",
    "projector",
    "prototypes",
    "synchronized",
]
