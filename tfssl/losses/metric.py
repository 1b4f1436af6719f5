"""Losses of metric learning: triplet, tuple and N-pair."""

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
    """Triplet loss: a hinge on squared distances with a margin.

    Schroff et al. 2015, "FaceNet", Eq. (3): max(|a - p|^2 - |a - n|^2 + margin, 0); the thesis's
    Eq. (17). It is averaged over the triplets, where the thesis's Eq. (18) adds them, so that the
    scale does not depend on the batch size.

    Args:
        anchor, positive, negative: float [N, D], embeddings of N triplets.
        margin: float >= 0.
        weights: float [N], factors of the triplets in the mean; None: 1 each.

    Returns:
        float32 scalar >= 0.

    Raises:
        ValueError: `margin` is negative, or the matrices differ in shape.

    Example:

    ```python
    anchor, positive, negative = np.float32([[0, 0]]), np.float32([[1, 0]]), np.float32([[0, 1]])
    float(tfssl.losses.triplet_loss(anchor, positive, negative, margin=0.5))  # 0.5
    ```
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
    """The (N+1)-tuple loss: one positive against several negatives.

    Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", Eq. (6); the
    thesis's Eq. (19), averaged over the anchors. With one negative it is the softplus of the
    difference of the two similarities (the thesis's Remark 6, except for its claim of equivalence).

    Args:
        anchor, positive: float [N, D].
        negatives: float [N, K, D], K negatives for each anchor.

    Returns:
        float32 scalar > 0: log(1 + K) when all similarities are equal.

    Raises:
        ValueError: the shapes do not match.

    Example:

    ```python
    anchor = positive = np.zeros((2, 4), "float32")
    loss = tfssl.losses.tuple_loss(anchor, positive, negatives=np.zeros((2, 3, 4)))
    np.isclose(loss, np.log(4))  # True
    ```
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
    """The multi-class N-pair loss: the positives of all other pairs are negatives.

    Sohn 2016, Eq. (7); the thesis's Eq. (20). It is InfoNCE with the scores g(x)^T g(y), so
    log N - loss is the bound I_NCE (Eq. 22).

    Definition 6.2.2 of the thesis has pairs of N different classes. With labels, which may repeat,
    only the positives of other classes are negatives.

    Args:
        anchors, positives: float [N, D]; row i of both is a pair.
        labels: integers [N], the class of each pair, negative if unknown (then it differs from all
            others); None: all classes differ.

    Returns:
        float32 scalar >= 0: log N when all similarities are equal and all classes differ.

    Raises:
        ValueError: the arguments are not two matrices of one shape.

    Example:

    ```python
    z = np.zeros((4, 8), "float32")
    np.isclose(tfssl.losses.n_pair_loss(z, z), np.log(4))  # True
    np.isclose(tfssl.losses.n_pair_loss(z, z, labels=[0, 0, 1, 1]), np.log(3))  # True
    ```
    """
    anchors, positives = float32_pair(anchors=anchors, positives=positives)
    scores = tf.matmul(anchors, positives, transpose_b=True)
    return info_nce(scores if labels is None else without_siblings(scores, labels))


def without_siblings(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Masks the scores of different pairs of one class with -inf.

    Args:
        scores: float [N, N], scores of N pairs.
        labels: as for `n_pair_loss`.

    Returns:
        float [N, N].

    Example:

    ```python
    scores = tf.ones((3, 3))
    tfssl.losses.without_siblings(scores, [7, 7, -1])[0].numpy().tolist()  # [1.0, -inf, 1.0]
    ```
    """
    siblings = tf.linalg.set_diag(of_one_class(labels), tf.zeros(tf.shape(scores)[:1], tf.bool))
    return tf.where(siblings, -float("inf"), scores)


def of_one_class(labels: tf.Tensor) -> tf.Tensor:
    """Compares the classes of all pairs of images.

    Args:
        labels: integers [N]; an image with a negative label only shares a class with itself.

    Returns:
        bool [N, N].

    Example:

    ```python
    same = tfssl.losses.of_one_class([7, 7, -1, -1]).numpy()
    same[0].tolist(), same[2].tolist()  # ([True, True, False, False], [False, False, True, False])
    ```
    """
    labels = tf.convert_to_tensor(labels)
    same = tf.equal(labels[:, None], labels) & tf.greater_equal(labels, 0)
    return same | tf.eye(tf.shape(labels)[0], dtype=tf.bool)
