"""InfoNCE, the cross-entropy of the positive among candidates."""

import tensorflow as tf


def info_nce(scores: tf.Tensor) -> tf.Tensor:
    """InfoNCE: the mean cross-entropy of the positive among the candidates of a row.

    van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", Eq. (4);
    the thesis's Eq. (13), with the density ratio f = exp(score). log(candidates) - loss is a lower
    bound on mutual information (Proposition 7; `tfssl.information.bounds.infonce_bound`).

    Args:
        scores: float [N, M], M >= N; row i has the scores of anchor i with M candidates, of which
            the i-th is its positive.

    Returns:
        float32 scalar >= 0, in nats: log M when all scores of a row are equal.

    Raises:
        ValueError: `scores` is not a matrix with at least as many columns as rows.

    Example:

    ```python
    loss = tfssl.losses.info_nce(tf.zeros((4, 8)))
    np.isclose(loss, np.log(8))  # True
    ```
    """
    scores = tf.cast(scores, tf.float32)
    rows, columns = scores.shape if scores.shape.rank == 2 else (1, 0)
    if rows is not None and columns is not None and columns < rows:
        raise ValueError(
            f"`scores` must be a matrix [N, M] with M >= N. Received: shape {scores.shape}"
        )
    return tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1) - tf.linalg.diag_part(scores))
