"""Gradient checkpointing: less memory for activations, at one more forward pass."""

from collections.abc import Sequence

import keras
import tensorflow as tf


class Rematerialized(keras.Model):
    """A functional model that recomputes activations for the gradient to save memory.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 3: only the outputs
    of segments are kept until the backward pass, which computes the inside of each segment again.
    Layers, weights, outputs, gradients and inference are those of `keras.Model(inputs, outputs)`.
    Moving averages are updated once.

    Args:
        inputs, outputs: Keras tensors, as for a functional `keras.Model`.
        ends: Keras tensors between segments, in order; the whole computation must pass through each
            of them.
        name: name of the model.

    Example:

    ```python
    inputs = keras.Input((8,))
    middle = keras.layers.Dense(16, "relu")(inputs)
    outputs = keras.layers.Dense(4)(middle)
    model = tfssl.layers.Rematerialized(inputs, outputs, ends=[middle])
    model(tf.zeros((2, 8)), training=True).shape  # (2, 4)
    ```
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: keras.KerasTensor,
        ends: Sequence[keras.KerasTensor],
        name: str | None = None,
    ) -> None:
        super().__init__(inputs, outputs, name=name)
        places = [inputs, *ends, outputs]
        segments = [keras.Model(*pair) for pair in zip(places, places[1:])]
        # A closure, as Keras would track models in an attribute and count their layers twice.
        self.segments = lambda: segments

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if not training:
            return super().call(inputs, training=training, mask=mask)
        for segment in self.segments():
            inputs = recomputed(segment, inputs)
        return inputs


def recomputed(segment, inputs):
    """`segment(inputs, training=True)` that keeps only its inputs for the gradient."""
    learned, others = segment.trainable_variables, segment.non_trainable_variables
    if not learned:  # frozen, or nothing to learn in it
        return segment(inputs, training=True)

    # Weights are arguments and new moving averages are results, so that the function has no side
    # effects to repeat, and handles only tensors under `tf.distribute`.
    @keras.remat
    def compute(inputs, *values):
        outputs, moved = segment.stateless_call(
            values[: len(learned)], values[len(learned) :], inputs, training=True
        )
        return outputs, [tf.stop_gradient(value) for value in moved]

    outputs, moved = compute(inputs, *map(tf.convert_to_tensor, learned + others))
    for variable, value in zip(others, moved):
        variable.assign(value)
    return outputs
