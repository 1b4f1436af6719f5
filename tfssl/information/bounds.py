"""Lower bounds on mutual information, in nats, from the scores of a critic.

The scores are a matrix [N, N] with f(x_i, z_j) in row i and column j, for N pairs (x_i, z_i) drawn
jointly. Its diagonal samples the joint distribution, the rest the product of the marginals. The
optimal critic is log p(x, z) / (p(x) p(z)), up to a constant for bounds that are invariant to it.
"""

import math

import tensorflow as tf

from tfssl.losses import info_nce


def infonce_bound(scores):
    """The InfoNCE bound, log N - InfoNCE (Proposition 7; van den Oord et al. 2018).

    It has a low variance, and cannot exceed log N.

    Args:
        scores: float [N, N].

    Returns:
        float32 scalar <= log N.

    Raises:
        ValueError: `scores` is not a square matrix.
    """
    scores = square(scores)
    return tf.math.log(tf.cast(tf.shape(scores)[0], tf.float32)) - info_nce(scores)


def dv_bound(scores):
    """The bound of Donsker and Varadhan, E_joint[f] - log E_product[exp f] (Theorem 3.2.1).

    On a sample it is biased by the logarithm of a mean, and its variance grows exponentially with
    the information.

    Args:
        scores: float [N, N], N at least 2.

    Returns:
        float32 scalar.

    Raises:
        ValueError: as for `infonce_bound`.
    """
    scores = square(scores)
    return tf.reduce_mean(tf.linalg.diag_part(scores)) - log_mean_exp_of_others(scores)


def nwj_bound(scores):
    """The bound of Nguyen, Wainwright and Jordan 2010, E_joint[f] - E_product[exp(f - 1)].

    It is unbiased. The optimal critic is 1 + the log density ratio. It is at most `dv_bound` of the
    same scores.

    Args:
        scores: float [N, N], N at least 2.

    Returns:
        float32 scalar.

    Raises:
        ValueError: as for `infonce_bound`.
    """
    scores = square(scores)
    return tf.reduce_mean(tf.linalg.diag_part(scores)) - tf.exp(
        log_mean_exp_of_others(scores) - 1.0
    )


def jsd_bound(scores):
    """The Jensen-Shannon objective, E_joint[-softplus(-f)] - E_product[softplus(f)].

    Hjelm et al. 2019, "Learning Deep Representations by Mutual Information Estimation and
    Maximization", Eq. (4), after Nowozin et al. 2016. It is a lower bound on 2 JS - log 4, where JS
    in [0, log 2] is the Jensen-Shannon divergence between the joint distribution and the product,
    not on the mutual information itself; both have the same optimal critic, the log density ratio.

    Args:
        scores: float [N, N], N at least 2.

    Returns:
        float32 scalar <= 0.

    Raises:
        ValueError: as for `infonce_bound`.
    """
    scores = square(scores)
    n = tf.cast(tf.shape(scores)[0], tf.float32)
    diagonal, all_pairs = tf.linalg.diag_part(scores), tf.math.softplus(scores)
    of_others = tf.reduce_sum(all_pairs) - tf.reduce_sum(tf.math.softplus(diagonal))
    return -tf.reduce_mean(tf.math.softplus(-diagonal)) - of_others / (n * (n - 1.0))


def barber_agakov_bound(log_q, entropy):
    """The variational bound H(Z) + E[log q(z | x)] (Proposition 5; Barber and Agakov 2003).

    Args:
        log_q: float [N], log q(z_i | x_i) of any conditional density q.
        entropy: H(Z), in nats.

    Returns:
        float32 scalar.
    """
    return entropy + tf.reduce_mean(tf.cast(log_q, tf.float32))


def mine_loss(scores, log_average, rate=0.01):
    """The loss of MINE (Belghazi et al. 2018): -`dv_bound` with a corrected gradient.

    The gradient of the logarithm of the mean over a batch is biased, so its denominator is replaced
    by a moving average over batches.

    Args:
        scores: as for `dv_bound`.
        log_average: float scalar, the logarithm of the moving average of E_product[exp f].
        rate: weight of the new batch in the average, in (0, 1].

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
    weighted = tf.exp(batch - new)  # its gradient: that of the mean, divided by the average
    value = -dv_bound(tf.stop_gradient(scores))
    surrogate = weighted - tf.reduce_mean(tf.linalg.diag_part(scores))
    return surrogate + tf.stop_gradient(value - surrogate), new


def log_mean_exp_of_others(scores):
    """log of the mean of exp(score) over the N (N - 1) off-diagonal pairs."""
    n = tf.shape(scores)[0]
    off = tf.linalg.set_diag(scores, tf.fill([n], -math.inf))
    pairs = tf.cast(n, tf.float32) * tf.cast(n - 1, tf.float32)
    return tf.reduce_logsumexp(off) - tf.math.log(pairs)


def square(scores):
    scores = tf.cast(scores, tf.float32)
    if scores.shape.rank != 2 or not scores.shape[:1].is_compatible_with(scores.shape[1:]):
        raise ValueError(f"`scores` must be a matrix [N, N]. Received: shape {scores.shape}")
    return scores
