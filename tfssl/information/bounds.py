"""Lower bounds on mutual information, in nats, from the scores of a critic.

The scores are a matrix [N, N]: row i, column j is f(x_i, z_j) for N pairs (x_i, z_i) drawn jointly.
Its diagonal is the joint distribution, the rest the product of the marginals. A larger f is a
larger density ratio: the best critics are log p(x, z) / (p(x) p(z)), plus a constant where the
bound does not see it.
"""

import math

import tensorflow as tf

from tfssl.losses import info_nce


def infonce_bound(scores):
    """log N - InfoNCE (Proposition 7; van den Oord et al. 2018): low variance, at most log N.

    Args:
        scores: float [N, N].

    Returns:
        float32 scalar <= log N.

    Raises:
        ValueError: the scores are not a square matrix.
    """
    scores = square(scores)
    return tf.math.log(tf.cast(tf.shape(scores)[0], tf.float32)) - info_nce(scores)


def dv_bound(scores):
    """Donsker and Varadhan (Theorem 3.2.1): E_joint[f] - log E_product[exp f]; no ceiling.

    On a sample it is a bound in expectation only up to the bias of the logarithm of a mean, and
    its variance grows exponentially with the information.

    Args, Raises: as for `infonce_bound`. N is at least 2.

    Returns:
        float32 scalar.
    """
    scores = square(scores)
    return tf.reduce_mean(tf.linalg.diag_part(scores)) - log_mean_exp_of_others(scores)


def nwj_bound(scores):
    """Nguyen, Wainwright and Jordan 2010: E_joint[f] - E_product[exp(f - 1)]; unbiased.

    Its best critic is 1 + the log density ratio. Never above `dv_bound` of the same scores.

    Args, Raises: as for `dv_bound`.

    Returns:
        float32 scalar.
    """
    scores = square(scores)
    return tf.reduce_mean(tf.linalg.diag_part(scores)) - tf.exp(
        log_mean_exp_of_others(scores) - 1.0
    )


def barber_agakov_bound(log_q, entropy):
    """H(Z) + E[log q(z | x)] (Proposition 5; Barber and Agakov 2003).

    Args:
        log_q: float [N], log q(z_i | x_i) of any conditional density q.
        entropy: H(Z) in nats, which must be known.

    Returns:
        float32 scalar.
    """
    return entropy + tf.reduce_mean(tf.cast(log_q, tf.float32))


def mine_loss(scores, log_average, rate=0.01):
    """What MINE minimises (Belghazi et al. 2018): - DV, with the gradient's bias corrected.

    The gradient of the logarithm of a batch's mean is biased. Its denominator is replaced by a
    moving average over batches; the value is that of - `dv_bound`.

    Args:
        scores: as for `dv_bound`.
        log_average: float scalar, the logarithm of the moving average of E_product[exp f].
        rate: share of the new batch in the average, in (0, 1].

    Returns:
        (float32 scalar loss, the new log_average).
    """
    scores = square(scores)
    batch = log_mean_exp_of_others(scores)
    new = tf.stop_gradient(
        tf.reduce_logsumexp(
            tf.stack(
                [
                    log_average + math.log1p(-rate) if rate < 1 else tf.constant(-math.inf),
                    batch + math.log(rate),
                ]
            )
        )
    )
    weighted = tf.exp(batch - new)  # its gradient is that of the mean, over the average
    value = -dv_bound(tf.stop_gradient(scores))
    surrogate = weighted - tf.reduce_mean(tf.linalg.diag_part(scores))
    return surrogate + tf.stop_gradient(value - surrogate), new


def log_mean_exp_of_others(scores):
    """log of the mean of exp(score) over the N (N - 1) pairs that were not drawn together."""
    n = tf.shape(scores)[0]
    off = tf.linalg.set_diag(scores, tf.fill([n], -math.inf))
    pairs = tf.cast(n, tf.float32) * tf.cast(n - 1, tf.float32)
    return tf.reduce_logsumexp(off) - tf.math.log(pairs)


def square(scores):
    scores = tf.cast(scores, tf.float32)
    if scores.shape.rank != 2 or not scores.shape[:1].is_compatible_with(scores.shape[1:]):
        raise ValueError(f"`scores` must be a matrix [N, N]. Received: shape {scores.shape}")
    return scores
