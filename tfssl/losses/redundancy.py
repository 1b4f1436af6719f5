"""Barlow Twins and VICReg: the dimensions of a projection must not repeat each other."""

import tensorflow as tf

from tfssl.losses.checks import at_least_two_rows, not_negative, positive
from tfssl.losses.tensors import float32_pair


def barlow_twins(
    z1: tf.Tensor, z2: tf.Tensor, *, off_diagonal: float = 0.005, eps: float = 1e-5
) -> tf.Tensor:
    """Distance of the cross-correlation matrix of two views from the identity.

    Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
    arXiv:2103.03230, Eq. (1) and (2): the sum over the dimensions of (1 - C_ii)^2, plus
    `off_diagonal` times the sum over the pairs of different dimensions of C_ij^2.

    Differs from Algorithm 1 of the paper, which divides by the unbiased standard deviation, so that
    C_ii is at most (N - 1) / N. As in Eq. (2) and in facebookresearch/barlowtwins (main.py,
    8e8d284), the standard deviation is the biased one, and `eps` is added to the variance.

    Args:
        z1, z2: float [N, D], projections of two views of the same images in the same order.
        off_diagonal: float >= 0, the paper's lambda.
        eps: float > 0, added to the variances.

    Returns:
        float32 scalar >= 0: 0 if the views are equal and their dimensions uncorrelated (up to
        `eps`), D if one of them has collapsed to a point.

    Raises:
        ValueError: the projections are not two matrices of one shape, or a number is out of range.

    Example:

    ```python
    z = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])  # two uncorrelated dimensions
    round(float(tfssl.losses.barlow_twins(z, z)), 4)  # 0.0
    round(float(tfssl.losses.barlow_twins(z, 0 * z)), 4)  # 2.0
    ```
    """
    not_negative(off_diagonal=off_diagonal)
    positive(eps=eps)
    z1, z2 = (_standardised(z, eps) for z in float32_pair(z1=z1, z2=z2))
    correlation = tf.matmul(z1, z2, transpose_a=True) / tf.cast(tf.shape(z1)[0], tf.float32)
    on = tf.reduce_sum(tf.square(1.0 - tf.linalg.diag_part(correlation)))
    return on + off_diagonal * _squares_off_diagonal(correlation)


def vicreg(
    z1: tf.Tensor,
    z2: tf.Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    eps: float = 1e-4,
) -> tf.Tensor:
    """Variance-invariance-covariance regularization (VICReg) of two views.

    Bardes et al. 2022, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning", arXiv:2105.04906, Eq. (6) and Algorithm 1: the weighted sum of the terms of
    `vicreg_terms`.

    Differs from facebookresearch/vicreg (main_vicreg.py, 4e12602) and from lightly 1.6.0, which
    halve the variance term: `variance=12.5` here is their 25.

    Args:
        z1, z2, eps: as for `vicreg_terms`.
        invariance, variance, covariance: floats >= 0, the weights of the terms: lambda, mu and nu.

    Returns:
        float32 scalar >= 0.

    Raises:
        ValueError: as for `vicreg_terms`, or a weight is negative.

    Example:

    ```python
    z = np.ones((8, 4), "float32")  # collapsed: only the variance term is left
    round(float(tfssl.losses.vicreg(z, z)), 4)  # 49.5
    ```
    """
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
    not_negative(**weights)
    terms = vicreg_terms(z1, z2, eps)
    return tf.add_n([weights[name] * term for name, term in terms.items()])


def vicreg_terms(z1: tf.Tensor, z2: tf.Tensor, eps: float = 1e-4) -> dict[str, tf.Tensor]:
    """The three terms of VICReg before they are weighted, also for logging.

    Bardes et al. 2022, arXiv:2105.04906, Algorithm 1. `invariance` is the mean squared difference
    of the views (Eq. 5). `variance` is the hinge max(0, 1 - sqrt(variance + eps)), averaged over
    the dimensions (Eq. 1 and 2). `covariance` is the sum of the squared covariances of different
    dimensions, divided by D (Eq. 3 and 4). The last two are sums of both views; variances and
    covariances are unbiased.

    Differs from Eq. (5), which sums the squared differences over the dimensions: as in Algorithm 1
    and the official code, they are averaged.

    Args:
        z1, z2: float [N, D], N >= 2, projections of two views of the same images in the same order.
        eps: float > 0, added to the variances.

    Returns:
        A dict of float32 scalars >= 0: `invariance`, `variance`, which is at most 2, and
        `covariance`.

    Raises:
        ValueError: the projections are not two matrices of one shape or are known to be of a
            single image, or `eps` is not positive.

    Example:

    ```python
    z1, z2 = np.zeros((8, 4), "float32"), np.ones((8, 4), "float32")
    terms = tfssl.losses.vicreg_terms(z1, z2)
    [round(float(terms[name]), 4) for name in terms]  # [1.0, 1.98, 0.0]
    ```
    """
    positive(eps=eps)
    z1, z2 = float32_pair(z1=z1, z2=z2)
    at_least_two_rows(z1=z1)
    spreads = [_variance_and_covariance(z, eps) for z in (z1, z2)]
    variance, covariance = (tf.add_n(both) for both in zip(*spreads))
    return {
        "invariance": tf.reduce_mean(tf.square(z1 - z2)),
        "variance": variance,
        "covariance": covariance,
    }


def _standardised(z, eps):
    z -= tf.reduce_mean(z, axis=0)
    return z * tf.math.rsqrt(tf.reduce_mean(tf.square(z), axis=0) + eps)


def _variance_and_covariance(z, eps):
    """The variance and the covariance term of one view."""
    n, dimensions = (tf.cast(size, tf.float32) for size in tf.unstack(tf.shape(z)))
    z -= tf.reduce_mean(z, axis=0)
    covariance = tf.matmul(z, z, transpose_a=True) / (n - 1.0)
    deviation = tf.sqrt(tf.linalg.diag_part(covariance) + eps)
    return (
        tf.reduce_mean(tf.nn.relu(1.0 - deviation)),
        _squares_off_diagonal(covariance) / dimensions,
    )


def _squares_off_diagonal(matrix):
    # Not the difference of two sums: it would round to less than 0 where nothing is correlated.
    return tf.reduce_sum(tf.square(tf.linalg.set_diag(matrix, tf.zeros_like(matrix[0]))))
