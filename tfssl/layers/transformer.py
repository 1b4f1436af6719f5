"""Layers of Vision Transformers, of `keras.ops` alone: they run and load on any Keras backend."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tfssl.layers.activations import gelu

Shape = tuple[int | None, ...]
EPSILON = 1e-6  # of layer normalizations
DEVIATION = 0.02  # of initial weights
POSITIONS = ("sincos", "learned")


def normal(seed):
    return keras.initializers.TruncatedNormal(stddev=DEVIATION, seed=seed)


@keras.saving.register_keras_serializable(package="tfssl")
class Tokens(keras.layers.Layer):
    """Makes a sequence of a map of patches: adds positions, and puts learned tokens in front.

    The grid of the positions is stretched over the map, whatever its size: learned ones by bicubic
    interpolation, as Dosovitskiy et al. 2021, section 3.2, for another resolution; sines and
    cosines by their coordinates. Where map and grid are equal, those are the positions of
    He et al. 2022 (MAE) and Chen et al. 2021 (MoCo v3).

    Args:
        grid: (rows, columns) of the positions.
        class_token: whether a token for the whole image comes first; with learned positions it has
            one, too.
        registers: number of tokens after it, without positions (Darcet et al. 2024,
            arXiv:2309.16588).
        positions: "sincos", fixed, a half of the dimension for each coordinate; or "learned".
        seed: integer; equal seeds give equal initial weights.
        **options: of `keras.layers.Layer`.

    Raises:
        ValueError: unknown positions; when it is built, "sincos" with a dimension that is no
            multiple of 4.

    Example:

    ```python
    tokens = tfssl.layers.Tokens((8, 8), registers=2)
    tokens(tf.zeros((3, 10, 6, 16))).shape  # (3, 63, 16)
    ```
    """

    def __init__(
        self,
        grid: tuple[int, int],
        class_token: bool = True,
        registers: int = 0,
        positions: str = "sincos",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if positions not in POSITIONS:
            raise ValueError(
                f"`positions` must be one of {POSITIONS}. Received: positions={positions!r}"
            )
        self.grid, self.class_token, self.registers = tuple(grid), class_token, registers
        self.positions, self.seed = positions, seed

    @property
    def first(self) -> int:
        """The number of tokens before those of patches."""
        return int(self.class_token) + self.registers

    def build(self, input_shape: Shape) -> None:
        self.dim = input_shape[-1]
        if self.positions == "sincos" and self.dim % 4:
            raise ValueError(
                f"`dim` must be a multiple of 4 with positions='sincos'. Received: {self.dim}"
            )
        rows, columns = self.grid
        self.added = self.learned = self.learned_first = None
        if self.first:
            self.added = self._tokens("tokens", self.first, 1)
        if self.positions == "learned":
            self.learned = self._tokens("positions", rows * columns, 2)
            self.learned_first = (
                self._tokens("position_of_class", 1, 3) if self.class_token else None
            )

    def _tokens(self, name, count, number):
        """A weight of `count` vectors."""
        seed = self.seed + number
        return self.add_weight(shape=(count, self.dim), initializer=normal(seed), name=name)

    def call(self, patches: Any) -> Any:
        return self.with_first(self.of_patches(patches))

    def of_patches(self, patches: Any) -> Any:
        """The tokens of patches with their positions: [B, rows, columns, D] -> [B, n, D]."""
        _, rows, columns, dim = ops.shape(patches)
        placed = patches + ops.cast(self.places(rows, columns), patches.dtype)
        return ops.reshape(placed, (-1, rows * columns, dim))

    def with_first(self, x: Any) -> Any:
        """Puts the learned tokens in front of others: [B, n, D] -> [B, first + n, D]."""
        if self.added is None:
            return x
        added = ops.cast(self.added, x.dtype)
        if self.learned_first is not None:
            place = ops.cast(self.learned_first, x.dtype)
            added = ops.concatenate([added[:1] + place, added[1:]], axis=0)
        added = ops.broadcast_to(added, (ops.shape(x)[0], self.first, self.dim))
        return ops.concatenate([added, x], axis=1)

    def places(self, rows: Any, columns: Any) -> Any:
        """The positions of a map of this size, float32 [rows, columns, D]."""
        if self.learned is None:
            return sines(self.grid, rows, columns, self.dim)
        table = ops.reshape(ops.cast(self.learned, "float32"), (*self.grid, self.dim))
        of_rows, of_columns = cubic(rows, self.grid[0]), cubic(columns, self.grid[1])
        return ops.einsum("rg,ghd,ch->rcd", of_rows, table, of_columns)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, rows, columns, dim = input_shape
        known = rows is not None and columns is not None
        return (batch, rows * columns + self.first if known else None, dim)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "grid": self.grid,
            "class_token": self.class_token,
            "registers": self.registers,
            "positions": self.positions,
            "seed": self.seed,
        }


def centres(count, cells):
    """Where the centres of `count` patches lie among the centres 0, 1, ... of cells, float32."""
    return (ops.arange(count, dtype="float32") + 0.5) * (cells / ops.cast(count, "float32")) - 0.5


def cubic(count, cells):
    """Weights of bicubic interpolation along an axis, float32 [count, cells]; rows sum to 1.

    Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", with a = -1/2. The
    identity if both numbers are equal.
    """
    away = ops.abs(centres(count, cells)[:, None] - ops.arange(cells, dtype="float32"))
    near = (1.5 * away - 2.5) * away * away + 1.0
    far = ((-0.5 * away + 2.5) * away - 4.0) * away + 2.0
    weights = ops.where(away < 1, near, ops.where(away < 2, far, 0.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)


def sines(grid, rows, columns, dim):
    """Sines and cosines of the coordinates of a grid that is stretched over a map.

    Returns:
        float32 [rows, columns, dim]: of the column, then of the row, sines first.
    """
    rates = 10000.0 ** -(np.arange(dim // 4, dtype=np.float32) / (dim // 4))

    def of(count, cells):
        angles = centres(count, cells)[:, None] * rates
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)

    of_row, of_column = of(rows, grid[0]), of(columns, grid[1])
    shape = (rows, columns, dim // 2)
    return ops.concatenate(
        [ops.broadcast_to(of_column[None], shape), ops.broadcast_to(of_row[:, None], shape)], axis=2
    )


@keras.saving.register_keras_serializable(package="tfssl")
class Attention(keras.layers.Layer):
    """Self-attention of several heads (Vaswani et al. 2017, section 3.2.2).

    Queries, keys and values come from one matrix, as in timm. The softmax is computed in float32.

    Args:
        heads: number of heads, a divisor of the dimension.
        seed: integer; equal seeds give equal initial weights.
        **options: of `keras.layers.Layer`.

    Raises:
        ValueError: when it is built, `heads` does not divide the dimension.

    Example:

    ```python
    tfssl.layers.Attention(2)(tf.zeros((3, 7, 16))).shape  # (3, 7, 16)
    ```
    """

    def __init__(self, heads: int, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.seed = heads, seed

    def build(self, input_shape: Shape) -> None:
        dim = input_shape[-1]
        if dim % self.heads:
            raise ValueError(f"`heads` must divide the dimension, {dim}. Received: {self.heads}")
        self.in_head = dim // self.heads
        self.qkv = dense(3 * dim, self.seed + 1, "qkv", self.dtype_policy)
        self.output_layer = dense(dim, self.seed + 2, "output", self.dtype_policy)
        self.qkv.build(input_shape)
        self.output_layer.build(input_shape)

    def call(self, x: Any) -> Any:
        _, n, dim = ops.shape(x)
        q, k, v = self._parts(x)
        mixed = ops.transpose(ops.matmul(self._probabilities(q, k), v), (0, 2, 1, 3))
        return self.output_layer(ops.reshape(mixed, (-1, n, dim)))

    def _parts(self, x):
        """Queries, keys and values: [B, n, D] -> three times [B, heads, n, D / heads]."""
        shape = (-1, ops.shape(x)[1], 3, self.heads, self.in_head)
        # Not by indices, whose gradients are three tensors of the size of the whole.
        return ops.unstack(ops.transpose(ops.reshape(self.qkv(x), shape), (2, 0, 3, 1, 4)), num=3)

    def _probabilities(self, q, k):
        """[B, heads, n, n]: how much each token takes from each."""
        scores = ops.matmul(q * self.in_head**-0.5, ops.transpose(k, (0, 1, 3, 2)))
        return ops.cast(ops.softmax(ops.cast(scores, "float32")), scores.dtype)

    def maps(self, x: Any) -> Any:
        """The attention itself: tokens [B, n, D] -> [B, heads, n, n], whose rows sum to 1."""
        q, k, _ = self._parts(x)
        return self._probabilities(q, k)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"heads": self.heads, "seed": self.seed}


def dense(units, seed, name, policy):
    return keras.layers.Dense(units, kernel_initializer=normal(seed), name=name, dtype=policy)


@keras.saving.register_keras_serializable(package="tfssl")
class TransformerBlock(keras.layers.Layer):
    """Attention, then a perceptron, each of normalized tokens and added to them.

    Dosovitskiy et al. 2021, equations 2 and 3.

    Args:
        heads: number of heads.
        mlp_ratio: hidden units of the perceptron, over the dimension.
        layer_scale: initial factor of each branch, learned for each dimension (Touvron et al. 2021,
            arXiv:2103.17239); None: no factors.
        stochastic_depth: probability that a branch is left out for an image in training
            (Huang et al. 2016, arXiv:1603.09382).
        seed: integer; equal seeds give equal initial weights.
        **options: of `keras.layers.Layer`.

    Example:

    ```python
    tfssl.layers.TransformerBlock(2)(tf.zeros((3, 7, 16))).shape  # (3, 7, 16)
    ```
    """

    def __init__(
        self,
        heads: int,
        mlp_ratio: float = 4.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.heads, self.mlp_ratio, self.seed = heads, mlp_ratio, seed
        self.layer_scale, self.stochastic_depth = layer_scale, stochastic_depth

    def build(self, input_shape: Shape) -> None:
        dim, policy, seed = input_shape[-1], self.dtype_policy, self.seed
        hidden = round(self.mlp_ratio * dim)
        self.norm1, self.norm2 = (
            keras.layers.LayerNormalization(epsilon=EPSILON, name=name, dtype=policy)
            for name in ("norm1", "norm2")
        )
        self.attention = Attention(self.heads, seed=seed, name="attention", dtype=policy)
        self.hidden = dense(hidden, seed + 3, "hidden", policy)
        self.output_layer = dense(dim, seed + 4, "output", policy)
        for layer in (self.norm1, self.norm2, self.attention, self.hidden):
            layer.build(input_shape)
        self.output_layer.build((*input_shape[:-1], hidden))
        self.drop = [
            keras.layers.Dropout(
                self.stochastic_depth, noise_shape=(None, 1, 1), seed=seed + 5 + branch
            )
            for branch in range(2 if self.stochastic_depth else 0)
        ]
        self.scales = [None, None]
        if self.layer_scale is not None:
            self.scales = [
                self.add_weight(
                    shape=(dim,),
                    initializer=keras.initializers.Constant(self.layer_scale),
                    name=f"scale{number}",
                )
                for number in (1, 2)
            ]

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = x + self._branch(0, self.attention(self.norm1(x)), training)
        hidden = gelu(self.hidden(self.norm2(x)), training)
        return x + self._branch(1, self.output_layer(hidden), training)

    def _branch(self, number, x, training):
        """The output of a branch as it is added."""
        scale = self.scales[number]
        x = x if scale is None else x * ops.cast(scale, x.dtype)
        return self.drop[number](x, training=training) if self.drop else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "heads": self.heads,
            "mlp_ratio": self.mlp_ratio,
            "layer_scale": self.layer_scale,
            "stochastic_depth": self.stochastic_depth,
            "seed": self.seed,
        }
