"""Gradient checkpointing: memory for the ends of blocks alone, at one more forward pass."""

from collections.abc import Sequence

import keras
import tensorflow as tf


class Rematerialized(keras.Model):
    """A functional model that keeps little of its training pass and computes the rest again.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 3: what is kept until
    the gradient is the ends of segments; the inside of a segment is computed a second time when its
    gradient is due. Layers, weights, outputs and gradients are those of
    `keras.Model(inputs, outputs)`, and so is inference. Moving averages move once: what the second
    computation makes of them is dropped.

    Args:
        inputs, outputs: tensors of Keras, as for a functional `keras.Model`.
        ends: the tensors between, in order, through each of which everything passes: the end of
            one segment and the start of the next.
        name: of the model.
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
        # A closure, because Keras would track the models in an attribute: layers a second time.
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
    """`segment(inputs, training=True)`, of which only the inputs are kept for the gradient."""
    learned, others = segment.trainable_variables, segment.non_trainable_variables
    if not learned:  # frozen, or nothing to learn in it
        return segment(inputs, training=True)

    # Weights are arguments and new moving averages are results: the function has no effect that
    # its second run could repeat, and under `tf.distribute` it meets tensors alone.
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
