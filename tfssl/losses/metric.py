"""Losses of metric learning: triplets, tuples and N-pairs."""

import tensorflow as tf

from tfssl.losses.infonce import info_nce
from tfssl.losses.tensors import float32_pair


def triplet_loss(
    anchor: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    margin: float,
    *,
    weights: tf.Tensor | float | None = None,
) -> tf.Tensor:
    """Hinge on squared distances: the negative must be farther than the positive by a margin.

    Schroff et al. 2015, "FaceNet", Eq. (3); the thesis's Eq. (17), averaged over the triplets where
    its Eq. (18) adds them, so that the scale does not depend on the batch.

    Args:
        anchor, positive, negative: float [N, D], embeddings of N triplets.
        margin: float >= 0, alpha of Eq. (17).
        weights: float [N], how much each triplet counts in the mean; None: 1 each.

    Returns:
        float32 scalar >= 0.

    Raises:
        ValueError: a negative margin, or matrices of different shapes.
    """
    if margin < 0:
        raise ValueError(f"`margin` must not be negative. Received: margin={margin}")
    anchor, positive = float32_pair(anchor=anchor, positive=positive)
    _, negative = float32_pair(anchor=anchor, negative=negative)
    near = tf.reduce_sum(tf.square(anchor - positive), axis=1)
    far = tf.reduce_sum(tf.square(anchor - negative), axis=1)
    hinge = tf.maximum(near - far + margin, 0.0)
    return tf.reduce_mean(hinge if weights is None else weights * hinge)


def tuple_loss(anchor: tf.Tensor, positive: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """The (N+1)-tuple loss: one positive against several negatives at once.

    Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", Eq. (6); the
    thesis's Eq. (19), averaged over the anchors. With one negative it is the softplus of the
    difference of the two similarities (Remark 6, but for the equivalence claimed there).

    Args:
        anchor, positive: float [N, D].
        negatives: float [N, K, D], K negatives for each anchor.

    Returns:
        float32 scalar > 0: log(1 + K) when all similarities are equal.

    Raises:
        ValueError: the shapes do not fit.
    """
    anchor, positive = float32_pair(anchor=anchor, positive=positive)
    negatives = tf.cast(negatives, tf.float32)
    if negatives.shape.rank != 3 or not negatives.shape[::2].is_compatible_with(anchor.shape):
        raise ValueError(
            "`negatives` must be [N, K, D] for anchors [N, D]. Received: "
            f"negatives.shape={negatives.shape}, anchor.shape={anchor.shape}"
        )
    gaps = tf.einsum("nd,nkd->nk", anchor, negatives)
    gaps -= tf.reduce_sum(anchor * positive, axis=1, keepdims=True)
    return tf.reduce_mean(tf.reduce_logsumexp(tf.pad(gaps, [[0, 0], [1, 0]]), axis=1))


def n_pair_loss(
    anchors: tf.Tensor, positives: tf.Tensor, labels: tf.Tensor | None = None
) -> tf.Tensor:
    """The multi-class N-pair loss: every other pair's positive is a negative.

    Sohn 2016, Eq. (7); the thesis's Eq. (20). It is InfoNCE with f(x, y) = g(x)^T g(y), so that
    log N minus it is the bound I_NCE (Eq. 22).

    Definition 6.2.2 of the thesis has pairs of N different classes. With labels, which may repeat,
    the negatives of a pair are the positives of the other classes alone.

    Args:
        anchors, positives: float [N, D]; row i of both is a pair.
        labels: integers [N], the class of each pair, below 0 where it is not known, which makes it
            a class of its own; None: no two pairs are of one class.

    Returns:
        float32 scalar >= 0: log N when all similarities are equal and no class is there twice.

    Raises:
        ValueError: the arguments are not two matrices of one shape.
    """
    anchors, positives = float32_pair(anchors=anchors, positives=positives)
    scores = tf.matmul(anchors, positives, transpose_b=True)
    return info_nce(scores if labels is None else without_siblings(scores, labels))


def without_siblings(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Scores [N, N] of pairs with -inf where two different ones are of one class.

    Args:
        labels: as for `n_pair_loss`.
    """
    siblings = tf.linalg.set_diag(of_one_class(labels), tf.zeros(tf.shape(scores)[:1], tf.bool))
    return tf.where(siblings, -float("inf"), scores)


def of_one_class(labels: tf.Tensor) -> tf.Tensor:
    """Which images are of one class, bool [N, N]; one without a label, below 0, with itself."""
    labels = tf.convert_to_tensor(labels)
    same = tf.equal(labels[:, None], labels) & tf.greater_equal(labels, 0)
    return same | tf.eye(tf.shape(labels)[0], dtype=tf.bool)
