"""The Epps-Pulley statistic against its closed form, and what SIGReg's gradients do."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import epps_pulley_loop
from tfssl.losses import epps_pulley, sigreg


def random_samples(n=40, seed=0):
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def closed_form(x):
    """The integral over all t, as for the BHEP test with beta = 1 (Henze and Wagner 1997): the
    window's Fourier transform is sqrt(2 pi) exp(-x^2 / 2)."""
    x = np.float64(x)
    pairs = np.mean(np.exp(-((x[:, None] - x) ** 2) / 2))
    singles = np.mean(np.exp(-(x**2) / 4)) / np.sqrt(2)
    return len(x) * np.sqrt(2 * np.pi) * (pairs - 2 * singles + 1 / np.sqrt(3))


@pytest.mark.parametrize("scale,shift", [(1.0, 0.0), (0.1, 0.0), (1.0, 2.0), (2.0, -1.0)])
def test_a_fine_rule_gives_the_closed_form(scale, shift):
    x = scale * random_samples() + shift
    fine = epps_pulley_loop(x, np.linspace(-12, 12, 4001))
    np.testing.assert_allclose(fine, closed_form(x), rtol=1e-6)
    statistic = epps_pulley(x, t_max=9, num_points=201)
    np.testing.assert_allclose(statistic, closed_form(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t_max,num_points", [(5.0, 17), (3.0, 33), (1.0, 3)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_equals_algorithm_1(t_max, num_points, scale):
    x = scale * random_samples()
    expected = epps_pulley_loop(x, np.linspace(-t_max, t_max, num_points))
    statistic = epps_pulley(x, t_max=t_max, num_points=num_points)
    np.testing.assert_allclose(statistic, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1.5])
def test_17_points_are_enough_for_samples_of_about_unit_variance(scale):
    x = scale * random_samples()
    np.testing.assert_allclose(epps_pulley(x), closed_form(x), rtol=2e-3, atol=2e-3)


def test_samples_that_differ_by_the_period_of_the_rule_are_equal_to_it():
    x = random_samples()
    np.testing.assert_allclose(epps_pulley(x + np.pi * 16 / 5), epps_pulley(x), rtol=1e-3)


@pytest.mark.parametrize("n", [8, 100])
def test_the_mean_of_normal_samples_does_not_depend_on_their_number(n):
    x = np.random.default_rng(0).normal(size=(n, 4000))
    expected = np.sqrt(2 * np.pi) * (1 - 1 / np.sqrt(3))
    statistics = epps_pulley(x)
    assert statistics.shape == [4000]
    np.testing.assert_allclose(tf.reduce_mean(statistics), expected, rtol=0.05)


@pytest.mark.parametrize("n", [1, 40])
def test_the_value_of_collapsed_samples_is_proportional_to_their_number(n):
    expected = np.sqrt(2 * np.pi) * (1 - 2 / np.sqrt(2) + 1 / np.sqrt(3))
    np.testing.assert_allclose(epps_pulley(np.zeros(n)), n * expected, rtol=1e-4)


def test_each_column_is_a_variable_of_its_own():
    x = np.stack([random_samples(seed=0), 3 * random_samples(seed=1)], axis=1)
    both = epps_pulley(x)
    np.testing.assert_allclose(both, [epps_pulley(x[:, 0]), epps_pulley(x[:, 1])], rtol=1e-5)


def test_sigreg_of_one_dimension_is_the_statistic():
    x = random_samples()
    # A direction is +1 or -1, of which the statistic makes no difference.
    np.testing.assert_allclose(sigreg(x[:, None], [0, 0]), epps_pulley(x), rtol=1e-5)


def test_sigreg_is_the_mean_over_unit_directions():
    z = 0.3 * np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    directions = np.random.default_rng(1).normal(size=(3, 20000))
    directions /= np.linalg.norm(directions, axis=0)
    expected = tf.reduce_mean(epps_pulley(z @ directions.astype(np.float32)))
    np.testing.assert_allclose(sigreg(z, [0, 0], num_slices=20000), expected, rtol=5e-3)


def test_the_seed_determines_the_directions():
    z = np.random.default_rng(0).normal(size=(20, 8))
    first, again, other = (float(sigreg(z, seed)) for seed in ([1, 2], (1, 2), [1, 3]))
    assert first == again != other


def test_sigreg_is_least_for_an_isotropic_cloud():
    normal = np.random.default_rng(0).normal(size=(500, 4))
    anisotropic = normal * [2, 1, 1, 0.1]
    for worse in (0.2 * normal, 3 * normal, normal + 1, anisotropic, 0 * normal):
        assert sigreg(worse, [0, 1]) > 5 * sigreg(normal, [0, 1])


@pytest.mark.parametrize(
    "scales,shift",
    [([0.05, 0.05, 0.05], 0.0), ([1.5, 1.0, 0.2], 0.0), ([1.0, 1.0, 1.0], 1.0)],
    ids=["collapsed", "anisotropic", "shifted"],
)
def test_descent_makes_a_cloud_isotropic(scales, shift):
    start = np.random.default_rng(0).normal(size=(128, 3)) * scales + shift
    z = tf.Variable(start, dtype=tf.float32)

    @tf.function
    def step(seed):
        with tf.GradientTape() as tape:
            loss = sigreg(z, seed, num_slices=16)
        z.assign_sub(2.0 * tape.gradient(loss, z))

    for i in range(60):
        step(tf.constant([0, i]))
    spread = np.linalg.eigvalsh(np.cov(z.numpy().T))
    assert 0.8 < spread.min() and spread.max() < 1.3
    assert np.linalg.norm(z.numpy().mean(axis=0)) < 0.1


def test_gradients_of_far_samples_are_bounded():
    """Theorem 4 of the paper: whatever the samples, as those of the characteristic function."""
    x = tf.constant(1e3 * random_samples())
    with tf.GradientTape() as tape:
        tape.watch(x)
        statistic = epps_pulley(x)
    assert np.max(np.abs(tape.gradient(statistic, x))) < 4


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda: epps_pulley(np.zeros([2, 3, 4])), "`samples` must be .* shape \\(2, 3, 4\\)"),
        (lambda: epps_pulley(np.zeros(4), t_max=0), "`t_max` must be positive"),
        (lambda: epps_pulley(np.zeros(4), num_points=16), "`num_points` must be an odd integer"),
        (
            lambda: epps_pulley(np.zeros(4), num_points=1),
            "`num_points` must be an odd",
        ),
        (lambda: sigreg(np.zeros(4), [0, 0]), "`z` must be a matrix"),
        (lambda: sigreg(np.zeros([2, 3]), 7), "`seed` must be two integers. Received"),
        (lambda: sigreg(np.zeros([2, 3]), [0.5, 1.0]), "`seed` must be two integers"),
        (lambda: sigreg(np.zeros([2, 3]), [0, 0], num_slices=0), "`num_slices` must be an integer"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
