"""An encoder whose representation of an image is the mean over patches of it."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfssl import compat
from tfssl.encoders import adapt


def patch_mean(encoder: keras.Layer, patches: int = 16, *, area: float = 0.25) -> "PatchMean":
    """Makes an encoder that averages the representations of patches of an image.

    Tong et al. 2023, "EMP-SSL: Towards Self-Supervised Learning in One Training Epoch",
    arXiv:2304.03977, section 3: methods that learn from small crops represent an image by the mean
    over many of them.

    Differs from the paper: the patches form a regular grid over the image instead of being drawn at
    random, so that the representation is a function of the image.

    Args:
        encoder: a `keras.Layer`, images [B, H, W, C] -> [B, D], [B, h, w, D] or [B, n, D].
        patches: a square number, how many patches.
        area: float in (0, 1], area of a patch as a fraction of that of the image. A patch is
            resized to the size of the image.

    Returns:
        A `keras.Layer`: float [B, H, W, C] in [0, 1] -> float [B, D].

    Raises:
        ValueError: an argument is out of its range.

    Example:

    ```python
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    whole = tfssl.encoders.patch_mean(encoder, patches=9)
    whole(np.zeros((2, 8, 8, 3), "float32")).shape  # (2, 192)
    ```
    """
    return PatchMean(encoder, patches, area)


@keras.saving.register_keras_serializable(package="tfssl")
class PatchMean(keras.Layer):
    """The encoder that `patch_mean` makes.

    Args:
        encoder, patches, area: see `patch_mean`.
        **options: as for `keras.Layer`.
    """

    def __init__(
        self, encoder: keras.Layer, patches: int = 16, area: float = 0.25, **options: Any
    ) -> None:
        super().__init__(**options)
        if not isinstance(encoder, keras.Layer):
            raise ValueError(f"`encoder` must be a keras.Layer. Received: {encoder!r}")
        if isinstance(patches, bool) or patches < 1 or math.isqrt(patches) ** 2 != patches:
            raise ValueError(f"`patches` must be a square number. Received: patches={patches!r}")
        if not 0 < area <= 1:
            raise ValueError(f"`area` must be in (0, 1]. Received: area={area!r}")
        self.encoder, self.patches, self.area = encoder, patches, area
        self.input_range = adapt.resolve_input_range("auto", encoder)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.dim = adapt.build(self.encoder, tuple(input_shape))[-1]
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        images = adapt.scaled(images, self.input_range)
        size = images.shape[1:3]
        tops, lefts, (height, width) = grid(size, math.isqrt(self.patches), self.area)
        patches = tf.stack(
            [images[:, top : top + height, left : left + width] for top in tops for left in lefts]
        )

        def encode(patch):
            resized = tf.image.resize(patch, size, antialias=True)
            h = adapt.pooled(self.encoder(tf.cast(resized, images.dtype), training=training))
            return tf.cast(h, tf.float32)

        h = compat.map_in_turn(encode, patches, tf.float32)
        return tf.reduce_mean(h, axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[0], self.dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "patches": self.patches,
            "area": self.area,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PatchMean":
        config = dict(config)
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"))
        return cls(encoder, **config)


def grid(size, per_side, area):
    """Tops and lefts of the patches, and their (height, width), for images of a size in pixels."""
    height, width = (max(1, round(side * math.sqrt(area))) for side in size)
    tops, lefts = (
        np.linspace(0, full - part, per_side).round().astype(int).tolist()
        if per_side > 1
        else [(full - part) // 2]
        for full, part in zip(size, (height, width))
    )
    return tops, lefts, (height, width)
