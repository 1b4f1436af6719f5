"""MoCo's loss: each image against a queue of keys of earlier batches."""

import tensorflow as tf

from tfssl.losses.checks import positive
from tfssl.losses.contrastive import candidate_scalars
from tfssl.losses.tensors import float32_pair, unit_rows


def moco(q: tf.Tensor, k: tf.Tensor, queue: tf.Tensor, temperature: float = 0.2) -> tf.Tensor:
    """InfoNCE of queries with their keys against a queue, the loss of MoCo.

    He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning",
    arXiv:1911.05722, Eq. (1) and Algorithm 1: each query is classified among its own key and the
    keys of the queue, by their cosines. Keys of other images of the batch are no negatives. No
    gradient flows to `k` and `queue`. The default temperature is that of MoCo v2
    (arXiv:2003.04297); the first paper has 0.07.

    Args:
        q: float [N, D], queries, from the network that learns; need not be normalised.
        k: float [N, D], keys: the other views of the same images in the same order, from the
            momentum encoder; need not be normalised.
        queue: float [K, D], keys of earlier batches; need not be normalised.
        temperature: float > 0.

    Returns:
        float32 scalar >= 0: log(K + 1) if all rows are equal, 0 if K = 0.

    Raises:
        ValueError: `q` and `k` are not two matrices of one shape, `queue` is not a matrix with as
            many columns, or `temperature` is not positive.

    Example:

    ```python
    q = k = queue = np.ones((4, 8), "float32")
    np.isclose(tfssl.losses.moco(q, k, queue), np.log(4 + 1))  # True
    ```
    """
    return _mean_cross_entropy(_logits(q, k, queue, temperature))


def moco_with_scalars(
    q: tf.Tensor, k: tf.Tensor, queue: tf.Tensor, temperature: float = 0.2
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """`moco` and scalars for logging, from one matrix of logits.

    Args:
        q, k, queue, temperature: as for `moco`.

    Returns:
        A pair: the loss, and a dict of float32 scalars over the 1 + K candidates of each query, as
        for `nt_xent_with_scalars`: `contrast_acc`, the fraction in [0, 1] of queries that are more
        similar to their own key than to any of the queue, and `contrast_entropy`, the mean entropy
        in nats, in [0, log(1 + K)], of the softmax over the candidates.

    Raises:
        ValueError: as for `moco`.

    Example:

    ```python
    q = k = np.eye(4, dtype="float32")
    loss, scalars = tfssl.losses.moco_with_scalars(q, k, queue=-q)
    float(scalars["contrast_acc"]), round(float(scalars["contrast_entropy"]), 4)  # (1.0, 0.1196)
    ```
    """
    logits = _logits(q, k, queue, temperature)
    last = tf.fill(tf.shape(logits)[:1], tf.shape(logits)[1] - 1)
    return _mean_cross_entropy(logits), candidate_scalars(logits, last)


def _logits(q, k, queue, temperature):
    """Logits of the candidates of each query, float32 [N, K + 1], the positive in the last column.

    `argmax` takes the first of equal logits: collapsed projections have an accuracy of 0.
    """
    positive(temperature=temperature)
    q, k = float32_pair(q=q, k=k)
    queue = tf.cast(queue, tf.float32)
    if queue.shape.rank != 2 or not queue.shape[1:].is_compatible_with(q.shape[1:]):
        raise ValueError(
            "`queue` must be a matrix [K, D] for queries [N, D]. Received: "
            f"queue.shape={queue.shape}, D={q.shape[1]}"
        )
    q, k, queue = unit_rows(q), *(tf.stop_gradient(unit_rows(keys)) for keys in (k, queue))
    positives = tf.reduce_sum(q * k, axis=1, keepdims=True)
    return tf.concat([tf.matmul(q, queue, transpose_b=True), positives], axis=1) / temperature


def _mean_cross_entropy(logits):
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, -1])
