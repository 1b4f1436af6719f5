"""EMP-SSL: many views agree while their batch fills as many dimensions as it can."""

import tensorflow as tf

from tfssl.losses.checks import float32_views, not_negative, positive


def total_coding_rate(z: tf.Tensor, eps: float = 0.2) -> tf.Tensor:
    """Rate for coding the rows of a matrix, which is large if they span many dimensions.

    Tong et al. 2023, "EMP-SSL: Towards Self-Supervised Learning in One Training Epoch",
    arXiv:2304.03977, section 3: R(Z) = 1/2 log det(I + D / (N eps) Z^T Z), after Ma et al. 2007.
    The larger, the less collapsed.

    Args:
        z: float [N, D], rows of about unit length: the rate of equal rows longer than about
            100 is NaN, as float32 cannot hold it.
        eps: float > 0, the paper's epsilon^2, the squared error that the code permits.

    Returns:
        float32 scalar >= 0, in nats: N / 2 log(1 + D / (N eps)) for N orthogonal unit rows, which
        is the most that N <= D unit rows can have.

    Raises:
        ValueError: `z` is not a matrix, or `eps` is not positive.

    Example:

    ```python
    orthogonal, collapsed = np.eye(4, dtype="float32"), np.float32([[1, 0, 0, 0]] * 4)
    round(float(tfssl.losses.total_coding_rate(orthogonal)), 4)  # 3.5835
    round(float(tfssl.losses.total_coding_rate(collapsed)), 4)  # 1.5223
    ```
    """
    positive(eps=eps)
    z = tf.cast(z, tf.float32)
    if z.shape.rank != 2:
        raise ValueError(f"`z` must be a matrix [N, D]. Received: shape {z.shape}")
    return _coding_rates(z, eps)


def emp_ssl(views: list[tf.Tensor], *, eps: float = 0.2, invariance: float = 200.0) -> tf.Tensor:
    """Loss of EMP-SSL: minus the coding rate of each view, minus its cosine with the mean view.

    Tong et al. 2023, arXiv:2304.03977, Eq. (1) to (4), as a loss to be minimised: the mean over the
    views of -`total_coding_rate`, and `invariance` times minus the cosine between the projection of
    each view and the mean of the projections of its image, averaged over views and images. The
    projections are L2-normalised first.

    Differs from lightly 1.6.0, whose loss adds the coding rate, so that minimising it favours
    collapse; tsb0601/EMP-SSL (main.py, 8fc3758) subtracts it as here.

    Args:
        views: list of at least two float [N, D], projections of the views of the same images in the
            same order; need not be normalised.
        eps: float > 0, as for `total_coding_rate`.
        invariance: float >= 0, the paper's lambda.

    Returns:
        float32 scalar, usually negative: at least -`invariance` - D / 2 log(1 + 1 / eps).

    Raises:
        ValueError: `views` are not a list of matrices of one shape, or a number is out of range.

    Example:

    ```python
    z = np.eye(4, dtype="float32")  # orthogonal projections, equal for all views
    round(float(tfssl.losses.emp_ssl([z, z, z])), 4)  # -203.5835
    ```
    """
    positive(eps=eps)
    not_negative(invariance=invariance)
    z = tf.math.l2_normalize(tf.stack(float32_views(views=views, least=2)), axis=2)
    mean = tf.math.l2_normalize(tf.reduce_mean(z, axis=0), axis=1)
    cosine = tf.reduce_mean(tf.reduce_sum(z * mean, axis=2))
    return -tf.reduce_mean(_coding_rates(z, eps)) - invariance * cosine


def _coding_rates(z, eps):
    """Coding rates [...] of matrices [..., N, D]."""
    n, dimensions = z.shape[-2:]
    # The products of either side have the same determinant: the smaller one is quicker.
    rows = n is not None and dimensions is not None and n < dimensions
    gram = tf.matmul(z, z, transpose_a=not rows, transpose_b=rows)
    n, dimensions = (tf.cast(size, tf.float32) for size in tf.unstack(tf.shape(z)[-2:]))
    identity = tf.eye(tf.shape(gram)[-1])
    return 0.5 * tf.linalg.logdet(identity + dimensions / (n * eps) * gram)
