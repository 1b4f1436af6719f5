"""Pairs of Gaussian vectors whose mutual information is known: what estimators are tried on.

Belghazi et al. 2018, section 4.1; Poole et al. 2019, "On Variational Bounds of Mutual Information",
section 3. Each coordinate of x is correlated with the same coordinate of z and with nothing else.
"""

import math

import tensorflow as tf


def correlation(information, dimension):
    """The correlation of each coordinate at which I(x, z) is so many nats: I = -d/2 log(1 - r^2).

    Args:
        information: float >= 0, nats.
        dimension: of x and of z.

    Returns:
        float in [0, 1).

    Raises:
        ValueError: negative information.
    """
    if information < 0:
        raise ValueError(f"`information` must not be negative. Received: {information}")
    return math.sqrt(-math.expm1(-2 * information / dimension))


def pairs(count, dimension, rho, seed):
    """x and z, float32 [count, dimension] each, standard normal, z = rho x + noise.

    Args:
        rho: float or scalar tensor in [0, 1).
        seed: two integers, or a tensor of two; equal seeds, equal pairs.
    """
    x, noise = tf.unstack(tf.random.stateless_normal([2, count, dimension], seed, alg="philox"))
    return x, rho * x + tf.sqrt(1.0 - rho**2) * noise


def entropy(dimension):
    """H(z) of a standard normal vector, in nats."""
    return 0.5 * dimension * math.log(2 * math.pi * math.e)


def log_density_ratio(x, z, rho):
    """The best critic: log p(x_i, z_j) / (p(x_i) p(z_j)), float [N, M].

    Args:
        x, z: float [N, D] and [M, D].
    """
    gap = tf.reduce_sum((z[None] - rho * x[:, None]) ** 2, axis=2) / (1 - rho**2)
    return 0.5 * (tf.reduce_sum(z**2, axis=1)[None] - gap) - 0.5 * x.shape[1] * tf.math.log(
        1.0 - rho**2
    )
