"""Objectives of self-supervised learning, as pure tensor functions."""

import tensorflow as tf


def nt_xent(z1, z2, temperature, *, normalize=True):
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

    Returns:
        float32 scalar >= 0, computed in float32 whatever the type of the projections:
        log(2N - 1) when all projections are equal, 0 when N = 1.

    Raises:
        ValueError: if `temperature` is not positive, or the projections are not two matrices of
            one shape.
    """
    return _mean_cross_entropy(_pairwise_logits(z1, z2, temperature, normalize))


def nt_xent_with_scalars(z1, z2, temperature, *, normalize=True):
    """`nt_xent` together with what it logs, for the price of a single similarity matrix.

    Takes the arguments of `nt_xent` and raises what it raises.

    Returns:
        A pair: the loss, and a dict of float32 scalars taken over the N x N similarities of view 1
        against view 2 alone, as in google-research/simclr:
        `contrast_acc`, the fraction in [0, 1] of images whose view 2 is the nearest one, and
        `contrast_entropy`, the mean entropy in nats, in [0, log(N)], of the softmax over view 2.
    """
    logits = _pairwise_logits(z1, z2, temperature, normalize)
    return _mean_cross_entropy(logits), _cross_view_scalars(logits)


def regression_loss(prediction, projection):
    """Squared distance between L2-normalised vectors, averaged over the batch.

    Grill et al. 2020, "Bootstrap Your Own Latent", Eq. (2): one direction, equal to
    2 - 2 cos(prediction, projection). BYOL's objective is the sum of both directions, in [0, 8].
    The caller stops the gradient of the projection.

    Args:
        prediction: float [N, D], output of the online network's predictor.
        projection: float [N, D], output of the target network for the other view.

    Returns:
        float32 scalar in [0, 4].

    Raises:
        ValueError: if the arguments are not two matrices of one shape.
    """
    prediction, projection = _float32_pair(prediction=prediction, projection=projection)
    difference = _unit_rows(prediction) - _unit_rows(projection)
    return tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))


def _pairwise_logits(z1, z2, temperature, normalize):
    """Similarities / temperature of all 2N projections, [2N, 2N], -inf with themselves."""
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    z = tf.concat(_float32_pair(z1=z1, z2=z2), axis=0)
    if normalize:
        z = _unit_rows(z)
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    return tf.linalg.set_diag(logits, tf.fill(tf.shape(z)[:1], -float("inf")))


def _mean_cross_entropy(logits):
    n = tf.shape(logits)[0] // 2
    # Both triangles are read, though they hold equal numbers: the positive logit is then the very
    # number that the logsumexp of its row contains, and the loss is exactly 0 for one image.
    positives = tf.concat(
        [tf.linalg.diag_part(logits[:n, n:]), tf.linalg.diag_part(logits[n:, :n])], axis=0
    )
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - positives)


def _cross_view_scalars(logits):
    n = tf.shape(logits)[0] // 2
    log_p = tf.nn.log_softmax(logits[:n, n:])
    hit = tf.equal(tf.argmax(log_p, axis=1, output_type=tf.int32), tf.range(n))
    return {
        "contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
        "contrast_entropy": -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, axis=1)),
    }


def _unit_rows(x):
    return tf.math.l2_normalize(x, axis=1)


def _float32_pair(**named):
    """The two named tensors in float32: half precision overflows at exp(similarity / 0.09)."""
    pair = [tf.convert_to_tensor(x) for x in named.values()]
    shapes = [x.shape for x in pair]
    if any(s.rank != 2 for s in shapes) or not shapes[0].is_compatible_with(shapes[1]):
        names = " and ".join(f"`{name}`" for name in named)
        received = ", ".join(f"{name}.shape={s}" for name, s in zip(named, shapes))
        raise ValueError(f"{names} must be matrices of one shape [N, D]. Received: {received}")
    return [tf.cast(x, tf.float32) for x in pair]
