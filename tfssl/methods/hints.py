"""Type aliases for the signatures of the methods."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Encoder = keras.Layer | Callable[[], keras.Layer]
InputRange = str | tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
Shape = tuple[int | None, ...]

Layers = dict[str, keras.Layer]
Views = tuple[tf.Tensor, ...]  # float32 [B, H, W, C] each, in [0, 1]
Batch = dict[str, Any]  # see `batches.unpack`
Scalars = dict[str, tf.Tensor]
Loss = Callable[[Batch], tuple[tf.Tensor, Scalars]]

Dataset = tf.data.Dataset | tf.distribute.DistributedDataset
