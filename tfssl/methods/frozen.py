"""Parts of a network that do not change at the start of the training."""

import tensorflow as tf


def masked(model, gradients, layer, step, share):
    """The gradients, 0 for the variables of a layer in the first share of the training.

    Args:
        model: the `Learner`.
        gradients: one for each of its trainable variables.
        layer: one of its parts.
        step: integer scalar tensor, number of optimizer steps before this one.
        share: number in [0, 1]. If the length of the training is unknown, nothing is frozen.
    """
    if not model.planned_steps:
        return gradients
    own = {id(v) for v in layer.trainable_variables}
    factor = tf.cast(model.progress(step) >= share, tf.float32)
    return [
        gradient * tf.cast(factor, gradient.dtype)
        if id(variable) in own and gradient is not None
        else gradient
        for gradient, variable in zip(gradients, model.trainable_variables, strict=True)
    ]
