"""The losses of BYOL and of SimSiam."""

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


def negative_cosine(p: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """Minus the mean cosine of the rows of two matrices, the loss of SimSiam for one direction.

    Chen & He 2021, "Exploring Simple Siamese Representation Learning", arXiv:2011.10566, Eq. (1).
    SimSiam's objective (Eq. 4) is the mean of both directions, in [-1, 1]. The caller must stop the
    gradient of `z`. `regression_loss` is 2 plus twice this loss.

    Args:
        p: float [N, D], output of the predictor for one view.
        z: float [N, D], projections of the other view.

    Returns:
        float32 scalar in [-1, 1].

    Raises:
        ValueError: the arguments are not two matrices of one shape.

    Example:

    ```python
    p, z = np.float32([[2, 0], [0, 1]]), np.float32([[1, 0], [1, 0]])
    round(float(tfssl.losses.negative_cosine(p, z)), 4)  # -0.5
    ```
    """
    p, z = float32_pair(p=p, z=z)
    return -tf.reduce_mean(tf.reduce_sum(unit_rows(p) * unit_rows(z), axis=1))
