"""Objectives of self-supervised learning, as pure tensor functions."""

import tensorflow as tf

from tfssl import blockwise


def nt_xent(z1, z2, temperature, *, normalize=True, negatives=None):
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


def nt_xent_with_scalars(z1, z2, temperature, *, normalize=True, negatives=None, in_blocks=False):
    """`nt_xent` together with what it logs, for the price of a single similarity matrix.

    Takes the arguments of `nt_xent` and raises what it raises.

    Args:
        in_blocks: whether the matrix is made a few rows at a time and never held whole
            (`tfssl.blockwise`). The same numbers; the one choice for large batches. N must be
            known when the graph is built.

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


def info_nce(scores):
    """InfoNCE: the cross-entropy of picking out the positive among the candidates of a row.

    van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", Eq. (4);
    the thesis's Eq. (13), with the density ratio f = exp(score). log(candidates) minus it bounds
    mutual information from below (Proposition 7; `tfssl.information.bounds.infonce_bound`).

    Args:
        scores: float [N, M], M >= N; row i scores anchor i with M candidates, of which the i-th is
            its positive.

    Returns:
        float32 scalar >= 0, in nats: log M when all scores of a row are equal.

    Raises:
        ValueError: `scores` is not a matrix with at least as many columns as rows.
    """
    scores = tf.cast(scores, tf.float32)
    rows, columns = scores.shape if scores.shape.rank == 2 else (1, 0)
    if rows is not None and columns is not None and columns < rows:
        raise ValueError("`scores` must be a matrix [N, M] with M >= N. "
                         f"Received: shape {scores.shape}")
    return tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1) - tf.linalg.diag_part(scores))


def distillation_loss(student, teacher, temperature):
    """How far a student's answers are from a teacher's: mean over images, a float32 scalar in nats.

    SimCLRv2's Eq. (2), Chen et al. 2020, arXiv:2006.10029 (the softmaxes are Hinton et al.'s,
    arXiv:1503.02531, whose factor temperature^2 it leaves out): the cross-entropy between
    softmax(teacher / temperature) and softmax(student / temperature). Least, the entropy of the
    former, where the two are equal. No gradient reaches the teacher.

    Args:
        student, teacher: logits, float [N, C].
        temperature: float > 0.

    Raises:
        ValueError: the shapes differ, or temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    student, teacher = _float32_pair(student=student, teacher=teacher)
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=student / temperature))


def triplet_loss(anchor, positive, negative, margin, *, weights=None):
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
    anchor, positive = _float32_pair(anchor=anchor, positive=positive)
    _, negative = _float32_pair(anchor=anchor, negative=negative)
    near = tf.reduce_sum(tf.square(anchor - positive), axis=1)
    far = tf.reduce_sum(tf.square(anchor - negative), axis=1)
    hinge = tf.maximum(near - far + margin, 0.0)
    return tf.reduce_mean(hinge if weights is None else weights * hinge)


def tuple_loss(anchor, positive, negatives):
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
    anchor, positive = _float32_pair(anchor=anchor, positive=positive)
    negatives = tf.cast(negatives, tf.float32)
    if negatives.shape.rank != 3 or not negatives.shape[::2].is_compatible_with(anchor.shape):
        raise ValueError("`negatives` must be [N, K, D] for anchors [N, D]. Received: "
                         f"negatives.shape={negatives.shape}, anchor.shape={anchor.shape}")
    gaps = tf.einsum("nd,nkd->nk", anchor, negatives)
    gaps -= tf.reduce_sum(anchor * positive, axis=1, keepdims=True)
    return tf.reduce_mean(tf.reduce_logsumexp(tf.pad(gaps, [[0, 0], [1, 0]]), axis=1))


def n_pair_loss(anchors, positives, labels=None):
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
    anchors, positives = _float32_pair(anchors=anchors, positives=positives)
    scores = tf.matmul(anchors, positives, transpose_b=True)
    return info_nce(scores if labels is None else without_siblings(scores, labels))


def without_siblings(scores, labels):
    """Scores [N, N] of pairs with -inf where two different ones are of one class.

    Args:
        labels: as for `n_pair_loss`.
    """
    siblings = tf.linalg.set_diag(of_one_class(labels), tf.zeros(tf.shape(scores)[:1], tf.bool))
    return tf.where(siblings, -float("inf"), scores)


def of_one_class(labels):
    """Which images are of one class, bool [N, N]; one without a label, below 0, with itself."""
    labels = tf.convert_to_tensor(labels)
    same = tf.equal(labels[:, None], labels) & tf.greater_equal(labels, 0)
    return same | tf.eye(tf.shape(labels)[0], dtype=tf.bool)


def _comparable(z1, z2, temperature, normalize, negatives):
    """The projections of both views below each other, float32 [2N, D], and the negatives [K, D],
    after the checks."""
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    z = tf.concat(_float32_pair(z1=z1, z2=z2), axis=0)
    negatives = tf.zeros_like(z[:0]) if negatives is None else tf.cast(negatives, tf.float32)
    if negatives.shape.rank != 2 or not negatives.shape[1:].is_compatible_with(z.shape[1:]):
        raise ValueError("`negatives` must be a matrix [K, D] for projections [N, D]. Received: "
                         f"negatives.shape={negatives.shape}, D={z.shape[1]}")
    negatives = tf.stop_gradient(negatives)
    return (_unit_rows(z), _unit_rows(negatives)) if normalize else (z, negatives)


def _pairwise_logits(z1, z2, temperature, normalize, negatives):
    """Similarities / temperature of all 2N projections, [2N, 2N], -inf with themselves; and with
    the negatives, [2N, K]."""
    z, negatives = _comparable(z1, z2, temperature, normalize, negatives)
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    return (tf.linalg.set_diag(logits, tf.fill(tf.shape(z)[:1], -float("inf"))),
            tf.matmul(z, negatives, transpose_b=True) / temperature)


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
