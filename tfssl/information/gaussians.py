"""Pairs of Gaussian vectors with known mutual information, to test estimators.

Belghazi et al. 2018, section 4.1; Poole et al. 2019, "On Variational Bounds of Mutual Information",
section 3. Each coordinate of x is correlated only with the same coordinate of z.
"""

import math

import tensorflow as tf


def correlation(information, dimension):
    """The correlation r of the coordinates for an information I(x, z) = -d/2 log(1 - r^2).

    Args:
        information: float >= 0, in nats.
        dimension: dimension d of x and of z.

    Returns:
        float in [0, 1).

    Raises:
        ValueError: `information` is negative.
    """
    if information < 0:
        raise ValueError(f"`information` must not be negative. Received: {information}")
    return math.sqrt(-math.expm1(-2 * information / dimension))


def pairs(count, dimension, rho, seed):
    """Draws standard normal x and z = rho x + noise, float32 [count, dimension] each.

    Args:
        count: number of pairs.
        dimension: dimension of x and of z.
        rho: float or scalar tensor in [0, 1).
        seed: two integers; equal seeds give equal pairs.
    """
    x, noise = tf.unstack(tf.random.stateless_normal([2, count, dimension], seed, alg="philox"))
    return x, rho * x + tf.sqrt(1.0 - rho**2) * noise


def entropy(dimension):
    """Entropy of a standard normal vector, in nats."""
    return 0.5 * dimension * math.log(2 * math.pi * math.e)


def log_density_ratio(x, z, rho):
    """The optimal critic log p(x_i, z_j) / (p(x_i) p(z_j)), float [N, M].

    Args:
        x, z: float [N, D] and [M, D].
    """
    gap = tf.reduce_sum((z[None] - rho * x[:, None]) ** 2, axis=2) / (1 - rho**2)
    return 0.5 * (tf.reduce_sum(z**2, axis=1)[None] - gap) - 0.5 * x.shape[1] * tf.math.log(
        1.0 - rho**2
    )
