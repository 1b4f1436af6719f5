"""NT-Xent, the contrastive loss of SimCLR."""

from collections.abc import Sequence

import tensorflow as tf

from tfssl.losses import blockwise
from tfssl.losses.checks import float32_views
from tfssl.losses.tensors import float32_pair, unit_rows

_LEAST = -1e30  # a logit of no weight


def nt_xent(
    z1: tf.Tensor,
    z2: tf.Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    negatives: tf.Tensor | None = None,
) -> tf.Tensor:
    """Normalised temperature-scaled cross-entropy loss (NT-Xent) of two views.

    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations",
    Eq. (1) and Algorithm 1: each of the 2N projections is classified among the 2N - 1 others, with
    the other view of its image as the class; the loss is the mean cross-entropy.

    Differs from google-research/simclr (tf2/objective.py, 383d414): that objective adds the means
    of the two directions, so its value and gradients are twice as large.

    Args:
        z1: float [N, D], projections of view 1, of any float type; need not be normalised.
        z2: float [N, D], projections of view 2, of the same images in the same order.
        temperature: float > 0 by which the similarities are divided.
        normalize: whether the similarity is the cosine; otherwise the inner product.
        negatives: float [K, D], projections of other images as additional negatives for all 2N,
            such as a queue of earlier batches (Chen et al. 2020, arXiv:2006.10029, section 2). No
            gradient flows to them. None for none.

    Returns:
        float32 scalar >= 0, computed in float32 for any type of the projections: log(2N - 1 + K) if
        all projections are equal, 0 if N = 1 and K = 0.

    Raises:
        ValueError: if `temperature` is not positive, the projections are not two matrices of one
            shape, or the negatives are not a matrix with as many columns.

    Example:

    ```python
    z = np.eye(4, dtype="float32")  # orthogonal projections, equal for both views
    loss = tfssl.losses.nt_xent(z, z, temperature=1.0)
    np.isclose(loss, np.log(np.e + 6) - 1)  # True
    ```
    """
    return _mean_cross_entropy(*_pairwise_logits(z1, z2, temperature, normalize, negatives))


def nt_xent_with_scalars(
    z1: tf.Tensor,
    z2: tf.Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    negatives: tf.Tensor | None = None,
    in_blocks: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """`nt_xent` and scalars for logging, from one similarity matrix.

    Args:
        z1, z2, temperature, normalize, negatives: as for `nt_xent`.
        in_blocks: whether to compute a few rows of the matrix at a time
            (`tfssl.losses.blockwise`): the same numbers with less memory, for large batches. N must
            be known when the graph is built.

    Returns:
        A pair: the loss, and a dict of float32 scalars of the N x N similarities of view 1 with
        view 2, as in google-research/simclr: `contrast_acc`, the fraction in [0, 1] of images whose
        view 2 is the most similar one, and `contrast_entropy`, the mean entropy in nats, in
        [0, log(N)], of the softmax over view 2.

    Raises:
        ValueError: as for `nt_xent`.

    Example:

    ```python
    z = np.eye(4, dtype="float32")
    loss, scalars = tfssl.losses.nt_xent_with_scalars(z, z, temperature=1.0)
    float(scalars["contrast_acc"]), round(float(scalars["contrast_entropy"]), 4)  # (1.0, 1.2683)
    ```
    """
    if in_blocks:
        views = float32_pair(z1=z1, z2=z2)
        z, negatives = _comparable(views, temperature, normalize, negatives)
        return blockwise.contrast(*tf.split(z, 2), temperature, negatives=negatives)
    logits, against_negatives = _pairwise_logits(z1, z2, temperature, normalize, negatives)
    return _mean_cross_entropy(logits, against_negatives), _cross_view_scalars(logits)


def multi_view_nt_xent(
    views: Sequence[tf.Tensor],
    temperature: float,
    *,
    normalize: bool = True,
    negatives: tf.Tensor | None = None,
) -> tf.Tensor:
    """NT-Xent of any number of views of each image.

    Shidani et al. 2024, "Poly-View Contrastive Learning", arXiv:2403.05490, the geometric loss: the
    mean, over all ordered pairs of views of an image, of the cross-entropy of the second view
    against the views of the other images, in place of those of one view. The other views of the
    same image are not among the candidates, V (N - 1) + 1 in number. With two views it is
    `nt_xent`. At equal cost, more views of fewer images can be better than two views of many.

    Args:
        views: V >= 2 of float [N, D], projections of the views of the same images in the same
            order; need not be normalised.
        temperature, normalize, negatives: as for `nt_xent`.

    Returns:
        float32 scalar >= 0: log(V (N - 1) + 1 + K) if all projections are equal, 0 if N = 1 and
        K = 0.

    Raises:
        ValueError: there are fewer than two views, or as for `nt_xent`.

    Example:

    ```python
    z = np.eye(4, dtype="float32")  # orthogonal projections, equal for all views
    loss = tfssl.losses.multi_view_nt_xent([z, z, z], temperature=1.0)
    np.isclose(loss, np.log(np.e + 9) - 1)  # True
    ```
    """
    return multi_view_nt_xent_with_scalars(
        views, temperature, normalize=normalize, negatives=negatives
    )[0]


def multi_view_nt_xent_with_scalars(
    views: Sequence[tf.Tensor],
    temperature: float,
    *,
    normalize: bool = True,
    negatives: tf.Tensor | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """`multi_view_nt_xent` and the scalars of `nt_xent_with_scalars`, of the first two views.

    Args:
        views, temperature, normalize, negatives: as for `multi_view_nt_xent`.

    Returns:
        A pair: the loss, and a dict of float32 scalars.

    Raises:
        ValueError: as for `multi_view_nt_xent`.

    Example:

    ```python
    z = np.eye(4, dtype="float32")
    loss, scalars = tfssl.losses.multi_view_nt_xent_with_scalars([z, z, z], temperature=1.0)
    float(scalars["contrast_acc"])  # 1.0
    ```
    """
    views = float32_views(views=views, least=2)
    count = len(views)
    z, negatives = _comparable(views, temperature, normalize, negatives)
    n = tf.shape(z)[0] // count
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    siblings = tf.tile(tf.eye(n, dtype=tf.bool), [count, count])
    # A finite number, as for N = 1 the gradient of log 0 would not be finite.
    others = [tf.where(siblings, _LEAST, logits), tf.matmul(z, negatives, transpose_b=True)]
    others[1] /= temperature
    totals = tf.stack([tf.reduce_logsumexp(part, axis=1) for part in others])
    total = tf.reshape(tf.reduce_logsumexp(totals, axis=0), [count, 1, n])
    by_view = tf.transpose(tf.reshape(logits, [count, n, count, n]), [0, 2, 1, 3])
    losses = tf.nn.softplus(total - tf.linalg.diag_part(by_view))  # [anchor, positive, image]
    of_pairs = tf.linalg.set_diag(tf.reduce_mean(losses, axis=2), tf.zeros([count]))
    loss = tf.reduce_sum(of_pairs) / (count * (count - 1))
    return loss, candidate_scalars(logits[:n, n : 2 * n], tf.range(n))


def _comparable(views, temperature, normalize, negatives):
    """Checks the arguments; stacks views float32 [N, D] as [VN, D], beside negatives [K, D]."""
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    z = tf.concat(views, axis=0)
    negatives = tf.zeros_like(z[:0]) if negatives is None else tf.cast(negatives, tf.float32)
    if negatives.shape.rank != 2 or not negatives.shape[1:].is_compatible_with(z.shape[1:]):
        raise ValueError(
            "`negatives` must be a matrix [K, D] for projections [N, D]. Received: "
            f"negatives.shape={negatives.shape}, D={z.shape[1]}"
        )
    negatives = tf.stop_gradient(negatives)
    return (unit_rows(z), unit_rows(negatives)) if normalize else (z, negatives)


def _pairwise_logits(z1, z2, temperature, normalize, negatives):
    """Logits of all 2N projections, [2N, 2N] with diagonal -inf, and of the negatives, [2N, K]."""
    views = float32_pair(z1=z1, z2=z2)
    z, negatives = _comparable(views, temperature, normalize, negatives)
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    return (
        tf.linalg.set_diag(logits, tf.fill(tf.shape(z)[:1], -float("inf"))),
        tf.matmul(z, negatives, transpose_b=True) / temperature,
    )


def _mean_cross_entropy(logits, against_negatives):
    n = tf.shape(logits)[0] // 2
    # Both triangles are read, though equal up to rounding: the positive logit is then identical to
    # the number in the logsumexp of its row, and the loss of one image is exactly 0.
    positives = tf.concat(
        [tf.linalg.diag_part(logits[:n, n:]), tf.linalg.diag_part(logits[n:, :n])], axis=0
    )
    # Separately, as a concatenated matrix would copy all logits.
    totals = tf.stack([tf.reduce_logsumexp(part, axis=1) for part in (logits, against_negatives)])
    return tf.reduce_mean(tf.reduce_logsumexp(totals, axis=0) - positives)


def _cross_view_scalars(logits):
    n = tf.shape(logits)[0] // 2
    return candidate_scalars(logits[:n, n:], tf.range(n))


def candidate_scalars(logits, positives):
    """Accuracy and mean entropy in nats of the softmax over the candidates of each row.

    Args:
        logits: float32 [N, M], -inf where there is no candidate.
        positives: int32 [N], the column of the positive in each row.

    Returns:
        A dict of float32 scalars, `contrast_acc` and `contrast_entropy`.
    """
    log_p = tf.nn.log_softmax(logits)
    hit = tf.equal(tf.argmax(log_p, axis=1, output_type=tf.int32), positives)
    return {
        "contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
        "contrast_entropy": -tf.reduce_mean(
            tf.reduce_sum(tf.math.multiply_no_nan(log_p, tf.exp(log_p)), axis=1)
        ),
    }
