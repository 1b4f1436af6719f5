"""BYOL's loss: squared distance of normalised vectors."""

import tensorflow as tf

from tfssl.losses.tensors import float32_pair, unit_rows


def regression_loss(prediction: tf.Tensor, projection: tf.Tensor) -> tf.Tensor:
    """Squared distance between L2-normalised vectors, averaged over the batch.

    Grill et al. 2020, "Bootstrap Your Own Latent", Eq. (2): one direction, equal to
    2 - 2 cos(prediction, projection). BYOL's objective is the sum of both directions, in [0, 8].
    The caller stops the gradient of the projection.

    Args:
        prediction: float [N, D], output of the online network's predictor.
        projection: float [N, D], output of the target network for the other view.

    Returns:
        float32 scalar in [0, 4].

    Raises:
        ValueError: if the arguments are not two matrices of one shape.
    """
    prediction, projection = float32_pair(prediction=prediction, projection=projection)
    difference = unit_rows(prediction) - unit_rows(projection)
    return tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))
