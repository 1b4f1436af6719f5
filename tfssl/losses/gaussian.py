"""LeJEPA's regularisation: projections that are distributed as an isotropic Gaussian."""

import numpy as np
import tensorflow as tf

from tfssl.losses.checks import at_least_one, positive


def epps_pulley(samples: tf.Tensor, *, t_max: float = 5.0, num_points: int = 17) -> tf.Tensor:
    """Epps-Pulley statistic of the difference between samples and a standard normal distribution.

    Balestriero & LeCun 2025, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the
    Heuristics", arXiv:2511.08544, section 4.2.3 and Algorithm 1: N times the integral of
    |phi(t) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) over t, where phi(t) is the mean of exp(i t x) over the
    samples x, by the trapezoidal rule at `num_points` equidistant points in [-t_max, t_max].

    Differs from rbalestr-lab/lejepa (eddffdd), which integrates over [-3, 3] at 33 points:
    `t_max=3, num_points=33` here. The rule takes samples that differ by a multiple of
    pi (num_points - 1) / t_max, which is 10.05 by default, for equal ones.

    Args:
        samples: float [N] or [N, S], N samples of one or of S variables.
        t_max: float > 0, where the integral is cut off.
        num_points: odd int >= 3.

    Returns:
        float32 scalar or [S], >= 0. For samples of a standard normal distribution it is
        sqrt(2 pi) (1 - 1 / sqrt(3)) = 1.06 on average for any N; if all are 0, it is 0.409 N.

    Raises:
        ValueError: `samples` is neither a vector nor a matrix, or a number is out of range.

    Example:

    ```python
    normal = tf.random.stateless_normal([1000], seed=[0, 1], alg="philox")
    float(tfssl.losses.epps_pulley(normal)) < 5  # True
    round(float(tfssl.losses.epps_pulley(0.0 * normal)), 1)  # 408.9
    ```
    """
    positive(t_max=t_max)
    if num_points < 3 or num_points % 2 != 1:
        raise ValueError(
            f"`num_points` must be an odd integer of at least 3. Received: num_points={num_points}"
        )
    samples = tf.cast(samples, tf.float32)
    if samples.shape.rank not in (1, 2):
        raise ValueError(f"`samples` must be [N] or [N, S]. Received: shape {samples.shape}")
    t, weights = _half_of_the_rule(t_max, num_points)
    angles = samples[..., None] * t
    real, imaginary = (tf.reduce_mean(wave(angles), axis=0) for wave in (tf.cos, tf.sin))
    distances = tf.square(real - np.exp(-0.5 * t**2)) + tf.square(imaginary)
    return tf.cast(tf.shape(samples)[0], tf.float32) * tf.reduce_sum(distances * weights, axis=-1)


def sigreg(
    z: tf.Tensor,
    seed: tf.Tensor,
    *,
    num_slices: int = 256,
    t_max: float = 5.0,
    num_points: int = 17,
) -> tf.Tensor:
    """Sketched isotropic Gaussian regularisation (SIGReg), the regulariser of LeJEPA.

    Balestriero & LeCun 2025, arXiv:2511.08544, Algorithm 1: the mean of `epps_pulley` over the
    projections of `z` on random directions. It is least where the rows of `z` are distributed as a
    standard normal distribution. Draw other directions at every step.

    Args:
        z: float [N, D], projections of one view.
        seed: two integers that determine the directions; the same for all replicas.
        num_slices: int >= 1, the number of directions.
        t_max, num_points: as for `epps_pulley`.

    Returns:
        float32 scalar >= 0. It grows in proportion to N where `z` is not normal.

    Raises:
        ValueError: `z` is not a matrix, `seed` is not two integers, or a number is out of range.

    Example:

    ```python
    z = tf.random.stateless_normal([512, 16], seed=[0, 1], alg="philox")
    float(tfssl.losses.sigreg(z, seed=[0, 2])) < 2  # True
    float(tfssl.losses.sigreg(0.1 * z, seed=[0, 2])) > 100  # True
    ```
    """
    at_least_one(num_slices=num_slices)
    z, seed = tf.cast(z, tf.float32), tf.convert_to_tensor(seed)
    if z.shape.rank != 2:
        raise ValueError(f"`z` must be a matrix [N, D]. Received: shape {z.shape}")
    if not seed.dtype.is_integer or not seed.shape.is_compatible_with([2]):
        raise ValueError(f"`seed` must be two integers. Received: seed={seed}")
    slices = tf.matmul(z, _unit_columns([tf.shape(z)[1], num_slices], seed))
    return tf.reduce_mean(epps_pulley(slices, t_max=t_max, num_points=num_points))


def _unit_columns(shape, seed):
    """Random directions, float32 of a shape [D, S], the same on all devices and in XLA.

    `tf.random.stateless_normal` is not: of the same bits, XLA makes other numbers.
    """
    bits = tf.random.stateless_uniform([2, *shape], seed, None, None, tf.int32, alg="philox")
    of_24 = tf.cast(tf.bitwise.bitwise_and(bits, 2**24 - 1), tf.float32)
    radius, turn = tf.unstack((of_24 + 0.5) * 2.0**-24)
    normal = tf.sqrt(-2.0 * tf.math.log(radius)) * tf.cos(2.0 * np.pi * turn)  # Box and Muller
    return tf.math.l2_normalize(normal, axis=0)


def _half_of_the_rule(t_max, num_points):
    """Points t > 0 and their weights, with the window: the integrand is even, and 0 at t = 0."""
    t = np.linspace(-t_max, t_max, int(num_points))[int(num_points) // 2 + 1 :].astype(np.float32)
    weights = 2.0 * t[0] * np.exp(-0.5 * t**2)
    weights[-1] /= 2.0
    return t, weights.astype(np.float32)
