"""NT-Xent: cross-entropy over the similarities of all pairs of a batch of views."""

import tensorflow as tf

from tfssl.losses import blockwise
from tfssl.losses.tensors import float32_pair, unit_rows


def nt_xent(
    z1: tf.Tensor,
    z2: tf.Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    negatives: tf.Tensor | None = None,
) -> tf.Tensor:
    """Normalised temperature-scaled cross-entropy over all pairs of a batch of views.

    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations",
    Eq. (1) and Algorithm 1: each of the 2N projections must pick out the other view of its own
    image among the 2N - 1 other projections; the loss is the mean over the 2N choices.

    Differs from google-research/simclr (tf2/objective.py, 383d414): that objective adds the means
    of the two directions, so its value and its gradients are twice the ones given here.

    Args:
        z1: float [N, D], projections of view 1, of any float type; need not be normalised.
        z2: float [N, D], projections of view 2, row by row the same images as `z1`.
        temperature: float > 0 by which the similarities are divided.
        normalize: whether similarity is the cosine; the plain inner product otherwise.
        negatives: float [K, D], projections of other images that each of the 2N is contrasted with
            too, such as a memory of earlier batches (Chen et al. 2020, arXiv:2006.10029, section
            2); constants, to which no gradient flows. None for none.

    Returns:
        float32 scalar >= 0, computed in float32 whatever the type of the projections:
        log(2N - 1 + K) when all projections are equal, 0 when N = 1 and K = 0.

    Raises:
        ValueError: if `temperature` is not positive, or the projections are not two matrices of
            one shape, or the negatives no matrix of as many columns.
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
    """`nt_xent` together with what it logs, for the price of a single similarity matrix.

    Takes the arguments of `nt_xent` and raises what it raises.

    Args:
        in_blocks: whether the matrix is made a few rows at a time and never held whole
            (`tfssl.losses.blockwise`). The same numbers; the one choice for large batches. N must
            be known when the graph is built.

    Returns:
        A pair: the loss, and a dict of float32 scalars taken over the N x N similarities of view 1
        against view 2 alone, as in google-research/simclr:
        `contrast_acc`, the fraction in [0, 1] of images whose view 2 is the nearest one, and
        `contrast_entropy`, the mean entropy in nats, in [0, log(N)], of the softmax over view 2.
    """
    if in_blocks:
        z, negatives = _comparable(z1, z2, temperature, normalize, negatives)
        return blockwise.contrast(*tf.split(z, 2), temperature, negatives=negatives)
    logits, against_negatives = _pairwise_logits(z1, z2, temperature, normalize, negatives)
    return _mean_cross_entropy(logits, against_negatives), _cross_view_scalars(logits)


def _comparable(z1, z2, temperature, normalize, negatives):
    """The projections of both views below each other, float32 [2N, D], and the negatives [K, D],
    after the checks."""
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    z = tf.concat(float32_pair(z1=z1, z2=z2), axis=0)
    negatives = tf.zeros_like(z[:0]) if negatives is None else tf.cast(negatives, tf.float32)
    if negatives.shape.rank != 2 or not negatives.shape[1:].is_compatible_with(z.shape[1:]):
        raise ValueError(
            "`negatives` must be a matrix [K, D] for projections [N, D]. Received: "
            f"negatives.shape={negatives.shape}, D={z.shape[1]}"
        )
    negatives = tf.stop_gradient(negatives)
    return (unit_rows(z), unit_rows(negatives)) if normalize else (z, negatives)


def _pairwise_logits(z1, z2, temperature, normalize, negatives):
    """Similarities / temperature of all 2N projections, [2N, 2N], -inf with themselves; and with
    the negatives, [2N, K]."""
    z, negatives = _comparable(z1, z2, temperature, normalize, negatives)
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    return (
        tf.linalg.set_diag(logits, tf.fill(tf.shape(z)[:1], -float("inf"))),
        tf.matmul(z, negatives, transpose_b=True) / temperature,
    )


def _mean_cross_entropy(logits, against_negatives):
    n = tf.shape(logits)[0] // 2
    # Both triangles are read, though they hold equal numbers: the positive logit is then the very
    # number that the logsumexp of its row contains, and the loss is exactly 0 for one image.
    positives = tf.concat(
        [tf.linalg.diag_part(logits[:n, n:]), tf.linalg.diag_part(logits[n:, :n])], axis=0
    )
    # One after the other, because a matrix of both would hold each number twice.
    totals = tf.stack([tf.reduce_logsumexp(part, axis=1) for part in (logits, against_negatives)])
    return tf.reduce_mean(tf.reduce_logsumexp(totals, axis=0) - positives)


def _cross_view_scalars(logits):
    n = tf.shape(logits)[0] // 2
    log_p = tf.nn.log_softmax(logits[:n, n:])
    hit = tf.equal(tf.argmax(log_p, axis=1, output_type=tf.int32), tf.range(n))
    return {
        "contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
        "contrast_entropy": -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, axis=1)),
    }
