"""Decoupled contrastive losses: the positive is not among the candidates."""

import tensorflow as tf

from tfssl.losses.checks import at_least_two_rows, positive
from tfssl.losses.tensors import float32_pair, unit_rows


def dcl(z1: tf.Tensor, z2: tf.Tensor, temperature: float = 0.1) -> tf.Tensor:
    """Decoupled contrastive loss (DCL) of two views.

    Yeh et al. 2022, "Decoupled Contrastive Learning", arXiv:2110.06848, Eq. (5) and (6): NT-Xent
    whose denominator leaves the positive out. For each of the 2N projections it is the logarithm of
    the sum of exp(similarity / temperature) over the 2N - 2 projections of other images, minus the
    similarity with the other view over the temperature; similarities are cosines.

    Differs from Eq. (6), which sums over the images and views: this is the mean over the 2N
    projections, as in lightly 1.6.0.

    Args:
        z1, z2: float [N, D], N >= 2, projections of two views of the same images in the same order;
            need not be normalised.
        temperature: float > 0.

    Returns:
        float32 scalar, which can be negative: log(2N - 2) if all projections are equal.

    Raises:
        ValueError: the projections are not two matrices of one shape or are known to be of a
            single image, which has no negatives, or `temperature` is not positive.

    Example:

    ```python
    z = np.eye(4, dtype="float32")  # orthogonal projections, equal for both views
    loss = tfssl.losses.dcl(z, z, temperature=0.5)
    np.isclose(loss, np.log(6) - 1 / 0.5)  # True
    ```
    """
    positives, negatives = _against_other_images(z1, z2, temperature)
    return tf.reduce_mean(tf.reduce_logsumexp(negatives, axis=1) - positives)


def dclw(z1: tf.Tensor, z2: tf.Tensor, temperature: float = 0.1, sigma: float = 0.5) -> tf.Tensor:
    """Decoupled contrastive loss with weighted positives (DCLW) of two views.

    Yeh et al. 2022, arXiv:2110.06848, Eq. (7): as `dcl`, with the positive similarity of each image
    multiplied by the negative von Mises-Fisher weight 2 - exp(s / sigma) / mean(exp(s / sigma)).
    Here s is the cosine of its two views, and the mean is over the batch: the farther apart the
    views of an image, the more it counts. No gradient flows through the weights.

    Args:
        z1, z2, temperature: as for `dcl`.
        sigma: float > 0, the bandwidth of the weights.

    Returns:
        float32 scalar, which can be negative: that of `dcl` if s is the same for all images.

    Raises:
        ValueError: as for `dcl`, or `sigma` is not positive.

    Example:

    ```python
    z = np.eye(4, dtype="float32")
    loss = tfssl.losses.dclw(z, z, temperature=0.5)
    np.isclose(loss, tfssl.losses.dcl(z, z, temperature=0.5))  # True
    ```
    """
    positive(sigma=sigma)
    positives, negatives = _against_other_images(z1, z2, temperature)
    cosines = tf.stop_gradient(temperature * tf.reshape(positives, [2, -1]))
    shares = tf.nn.softmax(cosines / sigma, axis=1)
    weights = 2.0 - shares * tf.cast(tf.shape(cosines)[1], tf.float32)
    return tf.reduce_mean(
        tf.reduce_logsumexp(negatives, axis=1) - tf.reshape(weights, [-1]) * positives
    )


def cosine_logits(z1, z2, temperature):
    """Cosines of all projections of both views over the temperature, float32 [2N, 2N]."""
    positive(temperature=temperature)
    z = unit_rows(tf.concat(float32_pair(z1=z1, z2=z2), axis=0))
    return tf.matmul(z, z, transpose_b=True) / temperature


def _against_other_images(z1, z2, temperature):
    """Logits of the positives, [2N], and of all projections, [2N, 2N], -inf for the same image."""
    z1, z2 = float32_pair(z1=z1, z2=z2)
    at_least_two_rows(z1=z1)
    logits = cosine_logits(z1, z2, temperature)
    n = tf.shape(logits)[0] // 2
    image = tf.tile(tf.range(n), [2])
    positives = tf.tile(tf.linalg.diag_part(logits[:n, n:]), [2])
    return positives, tf.where(image[:, None] == image, -float("inf"), logits)
