"""The supervised contrastive loss."""

import tensorflow as tf

from tfssl.losses.decoupled import cosine_logits
from tfssl.losses.metric import of_one_class
from tfssl.losses.tensors import float32_pair


def supcon(z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor, temperature: float = 0.1) -> tf.Tensor:
    """Supervised contrastive loss (SupCon) of two views.

    Khosla et al. 2020, "Supervised Contrastive Learning", arXiv:2004.11362, Eq. (2), L_out: each of
    the 2N projections is an anchor, and all others with its label, its other view included, are its
    positives. The loss is the mean over the anchors of the mean over the positives of the
    cross-entropy among the 2N - 1 other projections. If all labels differ, it is `nt_xent`.

    Differs from Eq. (2), which sums over the anchors, and from HobbitLong/SupContrast (losses.py,
    66a8fe5), which multiplies by temperature / base_temperature.

    Args:
        z1, z2: float [N, D], projections of two views of the same images in the same order; need
            not be normalised.
        labels: integers [N], the class of each image; negative if unknown (then it differs from all
            others).
        temperature: float > 0.

    Returns:
        float32 scalar >= 0: log(2N - 1) if all projections are equal.

    Raises:
        ValueError: the projections are not two matrices of one shape, `labels` are not N integers,
            or `temperature` is not positive.

    Example:

    ```python
    z = np.eye(2, dtype="float32")[[0, 0, 1, 1]]  # one point for each class
    loss = tfssl.losses.supcon(z, z, labels=[0, 0, 1, 1], temperature=1.0)
    np.isclose(loss, np.log(3 * np.e + 4) - 1)  # True
    ```
    """
    z1, z2 = float32_pair(z1=z1, z2=z2)
    labels = _checked(labels, z1.shape[0])
    logits = cosine_logits(z1, z2, temperature)
    itself = tf.eye(tf.shape(logits)[0], dtype=tf.bool)
    positives = tf.tile(of_one_class(labels), [2, 2]) & ~itself
    others = tf.where(itself, -float("inf"), logits)
    losses = tf.reduce_logsumexp(others, axis=1, keepdims=True) - logits
    weights = tf.cast(positives, tf.float32)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.reduce_mean(tf.reduce_sum(weights * losses, axis=1))


def _checked(labels, n):
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer or not labels.shape.is_compatible_with([n]):
        raise ValueError(
            f"`labels` must be integers [N] for projections [N, D]. Received: {labels.dtype.name}, "
            f"labels.shape={labels.shape}, N={n}"
        )
    return labels
