"""The decoder of masked autoencoders."""

from typing import Any

import keras
from keras import ops

from tfssl.layers.transformer import (
    EPSILON,
    Shape,
    TransformerBlock,
    dense,
    normal,
    sines,
)

SEEDS_OF_A_BLOCK = 10


@keras.saving.register_keras_serializable(package="tfssl")
class MaskedDecoder(keras.layers.Layer):
    """Predicts the pixels of masked patches from the tokens of the others.

    He et al. 2022, arXiv:2111.06377, section 3, "MAE decoder": the tokens are brought to the
    dimension of the decoder, a learned token takes the place of every masked patch, all get fixed
    positions and pass through blocks. As attention does not depend on the order, the tokens keep
    that in which they come: the visible ones, then the masked ones.

    Args:
        grid: (rows, columns) of the positions, see `Tokens`.
        patch_dim: values of a patch.
        dim: dimension, a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: number of heads.
        first: number of tokens before those of patches.
        seed: integer; equal seeds give equal initial weights.
        **options: of `keras.layers.Layer`.

    Example:

    ```python
    decoder = tfssl.layers.MaskedDecoder((2, 2), patch_dim=12, dim=8, depth=1, heads=2, first=1)
    order = tf.constant([[3, 1, 0, 2]])  # patch 3 is visible, the others are masked
    decoder(tf.zeros((1, 2, 16)), order=order, size=(2, 2)).shape  # (1, 3, 12)
    ```
    """

    def __init__(
        self,
        grid: tuple[int, int],
        patch_dim: int,
        dim: int,
        depth: int,
        heads: int,
        first: int = 1,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.grid, self.patch_dim, self.dim = tuple(grid), patch_dim, dim
        self.depth, self.heads, self.first, self.seed = depth, heads, first, seed

    def build(self, input_shape: Shape) -> None:
        policy, inside = self.dtype_policy, (None, None, self.dim)
        self.embed = dense(self.dim, self.seed, "embed", policy)
        self.embed.build(input_shape)
        self.mask_token = self.add_weight(
            shape=(1, 1, self.dim), initializer=normal(self.seed + 1), name="mask_token"
        )
        self.blocks = [
            TransformerBlock(
                self.heads,
                seed=self.seed + SEEDS_OF_A_BLOCK * (number + 1),
                name=f"block{number + 1}",
                dtype=policy,
            )
            for number in range(self.depth)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm", dtype=policy)
        self.pixels = dense(self.patch_dim, self.seed + 2, "pixels", policy)
        for layer in (*self.blocks, self.norm, self.pixels):
            layer.build(inside)

    def call(
        self, x: Any, order: Any = None, size: Any = None, training: bool | None = None
    ) -> Any:
        """Predicts the masked patches, in their order.

        Args:
            x: tokens of the encoder, float [B, first + v, D]: those of no place, then those of the
                visible patches, in their order.
            order: integers [B, n]: the places of the visible patches, then of the masked ones.
            size: (rows, columns) of the map of patches, of n places.
            training: whether the blocks run in training mode.

        Returns:
            float [B, n - v, patch_dim].
        """
        x = self.embed(x)
        places = ops.reshape(sines(self.grid, *size, self.dim), (-1, self.dim))
        places = ops.take(ops.cast(places, x.dtype), order, axis=0)
        visible = ops.shape(x)[1] - self.first
        masked = ops.cast(self.mask_token, x.dtype) + places[:, visible:]
        shown = x[:, self.first :] + places[:, :visible]
        x = ops.concatenate([x[:, : self.first], shown, masked], axis=1)
        for block in self.blocks:
            x = block(x, training=training)
        return self.pixels(self.norm(x[:, self.first + visible :]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], None, self.patch_dim)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "grid": self.grid,
            "patch_dim": self.patch_dim,
            "dim": self.dim,
            "depth": self.depth,
            "heads": self.heads,
            "first": self.first,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="tfssl")
class Replacement(keras.layers.Layer):
    """Puts a learned vector in place of masked features (Xie et al. 2022, arXiv:2111.09886, 3.1).

    Args:
        seed: integer, of the initial vector.
        **options: of `keras.layers.Layer`.

    Example:

    ```python
    replacement = tfssl.layers.Replacement()
    masked = tf.constant([[[1.0, 0.0]]])
    replacement(tf.zeros((1, 1, 2, 4)), masked=masked).shape  # (1, 1, 2, 4)
    ```
    """

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        self.vector = self.add_weight(
            shape=(input_shape[-1],), initializer=normal(self.seed), name="vector"
        )

    def call(self, x: Any, masked: Any = None) -> Any:
        """[B, h, w, D] -> the same, with the vector where `masked`, [B, h, w], is 1."""
        masked = ops.expand_dims(ops.cast(masked, x.dtype), -1)
        return x * (1 - masked) + ops.cast(self.vector, x.dtype) * masked

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"seed": self.seed}
