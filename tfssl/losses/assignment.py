"""SwAV: views predict the assignments of each other to prototypes."""

import tensorflow as tf

from tfssl.losses.checks import at_least_one, float32_views, positive


def sinkhorn(scores: tf.Tensor, *, epsilon: float = 0.05, iterations: int = 3) -> tf.Tensor:
    """Soft assignments to prototypes that use all prototypes equally, by Sinkhorn-Knopp.

    Caron et al. 2020, "Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments", arXiv:2006.09882, Eq. (3) to (5) and the listing of Appendix A.1: exp(scores /
    epsilon), of which in turn the columns are scaled to equal sums and the rows to a sum of 1.

    Differs from the listing, which overflows for scores of 88 epsilon: the logarithms are computed.

    Args:
        scores: float [N, K], similarities of N features with K prototypes.
        epsilon: float > 0; the smaller, the harder the assignments.
        iterations: int >= 1.

    Returns:
        float32 [N, K] >= 0. Each row sums to 1; each column sums to N / K in the limit of many
        iterations. Gradients flow; SwAV stops them.

    Raises:
        ValueError: `scores` is not a matrix, or a number is out of range.

    Example:

    ```python
    scores = np.float32([[1.0, 0.0], [0.9, 0.0]])  # both are most similar to prototype 0
    codes = tfssl.losses.sinkhorn(scores, iterations=100)
    [[round(float(code), 2) for code in row] for row in codes]  # [[0.73, 0.27], [0.27, 0.73]]
    ```
    """
    positive(epsilon=epsilon)
    at_least_one(iterations=iterations)
    scores = tf.cast(scores, tf.float32)
    if scores.shape.rank != 2:
        raise ValueError(f"`scores` must be a matrix [N, K]. Received: shape {scores.shape}")
    log_q = scores / epsilon
    for _ in range(int(iterations)):
        log_q -= tf.reduce_logsumexp(log_q, axis=0, keepdims=True)
        log_q -= tf.reduce_logsumexp(log_q, axis=1, keepdims=True)
    return tf.exp(log_q)


def swav(
    large: list[tf.Tensor],
    small: list[tf.Tensor] | tuple[tf.Tensor, ...] = (),
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    queued: list[tf.Tensor] | None = None,
) -> tf.Tensor:
    """Swapped prediction of assignments to prototypes, the loss of SwAV.

    Caron et al. 2020, arXiv:2006.09882, Eq. (2) and (6): from the scores of each large view,
    `sinkhorn` computes codes, and every other view, large or small, predicts them: the
    cross-entropy between the codes and softmax(scores / temperature). No gradient flows through
    the codes.

    Differs from Eq. (6), which sums over the pairs of views: as in facebookresearch/swav
    (main_swav.py, 06b1b7c), they are averaged.

    Args:
        large: list of float [N, K], scores of the large views: similarities of the features with
            the prototypes.
        small: list of float [N, K], scores of the small views of the same images.
        temperature: float > 0, of the predictions.
        epsilon, iterations: as for `sinkhorn`.
        queued: for each large view, float [M, K], scores of features of earlier batches. They take
            part in `sinkhorn`, so that small batches can use all prototypes, and are then left out.
            None for none.

    Returns:
        float32 scalar >= 0, in nats.

    Raises:
        ValueError: the scores are not lists of matrices of one shape, there are fewer than two
            views or none is large, `queued` does not fit, or a number is out of range.

    Example:

    ```python
    scores = np.eye(4, dtype="float32")  # each image is most similar to a prototype of its own
    loss = tfssl.losses.swav([scores, scores], temperature=0.1)
    round(float(loss), 4)  # 0.0001
    ```
    """
    positive(temperature=temperature)
    large = float32_views(large=large)
    views = float32_views(large=large, small=small, least=2)
    queued = [large[0][:0]] * len(large) if queued is None else _queued(queued, large)
    codes = [
        sinkhorn(tf.concat([older, own], axis=0), epsilon=epsilon, iterations=iterations)
        for older, own in zip(queued, large)
    ]
    codes = [tf.stop_gradient(code[-tf.shape(large[0])[0] :]) for code in codes]
    return mean_over_pairs(codes, [view / temperature for view in views])


def mean_over_pairs(targets, logits):
    """Mean cross-entropy over all pairs of a target t and a view v with t != v.

    Args:
        targets: list of float32 [N, K], distributions.
        logits: list of float32 [N, K].

    Returns:
        float32 scalar.
    """
    total, pairs = 0.0, 0
    for v, view in enumerate(logits):
        others = [target for t, target in enumerate(targets) if t != v]
        if others:
            # The cross-entropy is linear in the targets: one softmax per view serves all of them.
            mean = tf.add_n(others) / len(others)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels=mean, logits=view)
            total += len(others) * tf.reduce_mean(losses)
            pairs += len(others)
    return total / pairs


def _queued(queued, large):
    queued = float32_views(queued=queued)
    prototypes = large[0].shape[1:]
    if len(queued) != len(large) or not queued[0].shape[1:].is_compatible_with(prototypes):
        raise ValueError(
            "`queued` must be a matrix [M, K] for each of the large views [N, K]. Received: "
            f"{len(queued)} of shape {queued[0].shape} for {len(large)} of shape {large[0].shape}"
        )
    return queued
