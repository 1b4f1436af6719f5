"""The block of ConvNeXt, of `keras.ops` alone."""

from typing import Any

import keras
from keras import ops

from tfssl.layers.activations import gelu
from tfssl.layers.transformer import EPSILON, Shape, dense, normal


@keras.saving.register_keras_serializable(package="tfssl")
class ConvNeXtBlock(keras.layers.Layer):
    """A depthwise convolution, then a perceptron of each position, added to the input.

    Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545, section 2.6 and Figure 4.

    Args:
        kernel_size: side of the depthwise convolution.
        mlp_ratio: hidden units of the perceptron, over the dimension.
        layer_scale: initial factor of the branch, learned for each dimension; None: no factors.
        stochastic_depth: probability that the branch is left out for an image in training.
        seed: integer; equal seeds give equal initial weights.
        **options: of `keras.layers.Layer`.

    Example:

    ```python
    tfssl.layers.ConvNeXtBlock()(tf.zeros((2, 6, 5, 8))).shape  # (2, 6, 5, 8)
    ```
    """

    def __init__(
        self,
        kernel_size: int = 7,
        mlp_ratio: float = 4.0,
        layer_scale: float | None = 1e-6,
        stochastic_depth: float = 0.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kernel_size, self.mlp_ratio, self.seed = kernel_size, mlp_ratio, seed
        self.layer_scale, self.stochastic_depth = layer_scale, stochastic_depth

    def build(self, input_shape: Shape) -> None:
        dim, policy = input_shape[-1], self.dtype_policy
        hidden = round(self.mlp_ratio * dim)
        self.depthwise = keras.layers.DepthwiseConv2D(
            self.kernel_size,
            padding="same",
            depthwise_initializer=normal(self.seed + 1),
            name="depthwise",
            dtype=policy,
        )
        self.norm = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm", dtype=policy)
        self.hidden = dense(hidden, self.seed + 2, "hidden", policy)
        self.output_layer = dense(dim, self.seed + 3, "output", policy)
        for layer in (self.depthwise, self.norm, self.hidden):
            layer.build(input_shape)
        self.output_layer.build((*input_shape[:-1], hidden))
        self.scale = self.drop = None
        if self.layer_scale is not None:
            initial = keras.initializers.Constant(self.layer_scale)
            self.scale = self.add_weight(shape=(dim,), initializer=initial, name="scale")
        if self.stochastic_depth:
            self.drop = keras.layers.Dropout(
                self.stochastic_depth, noise_shape=(None, 1, 1, 1), seed=self.seed + 4
            )

    def call(self, x: Any, training: bool | None = None) -> Any:
        hidden = self.hidden(self.norm(self.depthwise(x)))
        branch = self.output_layer(gelu(hidden, training))
        branch = branch if self.scale is None else branch * ops.cast(self.scale, branch.dtype)
        return x + (self.drop(branch, training=training) if self.drop else branch)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "kernel_size": self.kernel_size,
            "mlp_ratio": self.mlp_ratio,
            "layer_scale": self.layer_scale,
            "stochastic_depth": self.stochastic_depth,
            "seed": self.seed,
        }
