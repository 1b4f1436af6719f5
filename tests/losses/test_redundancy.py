"""Barlow Twins and VICReg against loops of the papers, and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import barlow_twins_loop, vicreg_loop
from tfssl.losses import barlow_twins, vicreg, vicreg_terms


def random_views(n=6, d=5, scale=1.0):
    z1, noise = np.random.default_rng(0).normal(size=(2, n, d)).astype(np.float32)
    return scale * z1, scale * (z1 + noise)


def whitened(n, d):
    """Columns of mean 0 and biased standard deviation 1 that are uncorrelated."""
    z = np.random.default_rng(1).normal(size=(n, d))
    q, _ = np.linalg.qr(z - z.mean(axis=0))
    return (np.sqrt(n) * q).astype(np.float32)


@pytest.mark.parametrize("off_diagonal", [0.0, 0.005, 1.0])
@pytest.mark.parametrize("n,d", [(2, 1), (6, 5), (4, 9)])
def test_barlow_twins_is_the_distance_of_the_correlations_from_the_identity(n, d, off_diagonal):
    z1, z2 = random_views(n, d)
    expected = barlow_twins_loop(z1, z2, off_diagonal, eps=1e-5)
    loss = barlow_twins(z1, z2, off_diagonal=off_diagonal)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)
    exact = barlow_twins_loop(z1, z2, off_diagonal)  # Eq. (2) has no eps
    np.testing.assert_allclose(loss, exact, rtol=1e-3, atol=1e-4)


def test_barlow_twins_of_equal_and_of_opposite_whitened_views():
    z = whitened(12, 5)
    np.testing.assert_allclose(barlow_twins(z, z), 0, atol=1e-6)
    np.testing.assert_allclose(barlow_twins(z, -z), 4 * 5, rtol=1e-4)
    np.testing.assert_allclose(barlow_twins(z, 0 * z), 5, rtol=1e-6)


def test_barlow_twins_of_dimensions_that_repeat_each_other():
    z = whitened(12, 1)[:, [0, 0, 0]]
    np.testing.assert_allclose(barlow_twins(z, z, off_diagonal=0.1), 0.1 * 3 * 2, rtol=1e-4)


def test_barlow_twins_ignores_the_scale_and_the_mean_of_dimensions():
    z1, z2 = random_views()
    factors, means = np.float32([1, 2, 5, 10, 20]), np.float32([0, 1, -3, 8, 2])
    np.testing.assert_allclose(
        barlow_twins(factors * z1 + means, -2 * z2), barlow_twins(z1, -z2), rtol=1e-3
    )


@pytest.mark.parametrize("n,d", [(2, 1), (6, 5), (4, 9)])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_terms_of_vicreg_are_those_of_algorithm_1(n, d, scale):
    z1, z2 = random_views(n, d, scale)
    terms = vicreg_terms(z1, z2)
    expected = vicreg_loop(z1, z2)
    np.testing.assert_allclose([*terms.values()], expected, rtol=1e-4, atol=1e-6)
    weighted = 2 * expected[0] + 3 * expected[1] + 5 * expected[2]
    loss = vicreg(z1, z2, invariance=2, variance=3, covariance=5)
    np.testing.assert_allclose(loss, weighted, rtol=1e-4)


def test_the_default_weights_of_vicreg_are_25_25_1():
    z1, z2 = random_views(scale=0.5)
    invariance, variance, covariance = vicreg_loop(z1, z2)
    expected = 25 * invariance + 25 * variance + covariance
    np.testing.assert_allclose(vicreg(z1, z2), expected, rtol=1e-5)


def test_vicreg_of_collapsed_and_of_spread_projections():
    collapsed = np.full([8, 4], 3.0)
    terms = vicreg_terms(collapsed, collapsed, eps=0.01)
    np.testing.assert_allclose([*terms.values()], [0, 2 * (1 - 0.1), 0], rtol=1e-6)
    spread = 2 * whitened(8, 4)
    np.testing.assert_allclose(vicreg(spread, spread), 0, atol=1e-6)


def test_covariance_of_dimensions_that_repeat_each_other():
    z = np.sqrt(11 / 12) * whitened(12, 1)[:, [0, 0, 0]]  # of unbiased variance 1
    np.testing.assert_allclose(vicreg_terms(z, 0 * z)["covariance"], 3 * 2 / 3, rtol=1e-5)


def test_the_variance_and_covariance_of_vicreg_ignore_the_mean():
    z1, z2 = random_views()
    terms, moved = vicreg_terms(z1, z2), vicreg_terms(z1 + 7, z2 - 3)
    for name in ("variance", "covariance"):
        np.testing.assert_allclose(moved[name], terms[name], rtol=1e-4)


def test_collapsed_projections_have_no_gradient_of_the_variance():
    """Its root is smooth by eps; without it, the gradient would be NaN."""
    z = tf.ones([8, 4])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = vicreg(z, z)
    np.testing.assert_array_equal(tape.gradient(loss, z), np.zeros([8, 4]))


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_weights_of_vicreg_must_not_be_negative(name):
    with pytest.raises(ValueError, match=f"`{name}` must not be negative. Received: {name}=-1"):
        vicreg(*random_views(), **{name: -1})


def test_what_is_refused():
    z = np.ones([1, 4])
    for call, said in (
        (lambda: barlow_twins(z, z, off_diagonal=-0.1), "`off_diagonal` must not be negative"),
        (lambda: barlow_twins(z, z, eps=0), "`eps` must be positive. Received: eps=0"),
        (lambda: vicreg(z, z), "`z1` must be projections of at least two images. Received"),
        (lambda: vicreg_terms(*random_views(), eps=float("nan")), "`eps` must be positive"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
