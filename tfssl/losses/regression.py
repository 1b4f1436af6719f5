"""The loss of BYOL."""

import tensorflow as tf

from tfssl.losses.tensors import float32_pair, unit_rows


def regression_loss(prediction: tf.Tensor, projection: tf.Tensor) -> tf.Tensor:
    """Mean squared distance between L2-normalised vectors, the loss of BYOL for one direction.

    Grill et al. 2020, "Bootstrap Your Own Latent", Eq. (2): 2 - 2 cos(prediction, projection).
    BYOL's objective is the sum of both directions, in [0, 8]. The caller must stop the gradient of
    the projection.

    Args:
        prediction: float [N, D], output of the online network's predictor.
        projection: float [N, D], output of the target network for the other view.

    Returns:
        float32 scalar in [0, 4].

    Raises:
        ValueError: if the arguments are not two matrices of one shape.

    Example:

    ```python
    prediction, projection = np.float32([[2, 0]]), np.float32([[0, 1]])
    round(float(tfssl.losses.regression_loss(prediction, projection)), 4)  # 2.0
    ```
    """
    prediction, projection = float32_pair(prediction=prediction, projection=projection)
    difference = unit_rows(prediction) - unit_rows(projection)
    return tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))
