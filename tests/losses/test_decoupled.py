"""DCL and DCLW against a loop of the paper, and their limits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import dcl_loop
from tfssl.losses import dcl, dclw, nt_xent


def random_views(n=6, d=5):
    return np.random.default_rng(0).normal(size=(2, n, d)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("n,d", [(2, 2), (7, 3)])
def test_equals_equation_6(n, d, temperature):
    z1, z2 = random_views(n, d)
    expected = dcl_loop(z1, z2, temperature)
    np.testing.assert_allclose(dcl(z1, z2, temperature), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 5.0])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equals_equation_7(temperature, sigma):
    z1, z2 = random_views()
    expected = dcl_loop(z1, z2, temperature, sigma)
    np.testing.assert_allclose(dclw(z1, z2, temperature, sigma), expected, rtol=2e-5)


@pytest.mark.parametrize("n", [2, 33])
@pytest.mark.parametrize("loss", [dcl, dclw])
def test_equal_projections_leave_the_negatives_alone(loss, n):
    z = np.ones([n, 4])
    np.testing.assert_allclose(loss(z, z), np.log(2 * n - 2) + 1 / 0.1 - 1 / 0.1, rtol=1e-5)


def test_orthogonal_images_with_equal_views():
    z = np.eye(8)
    np.testing.assert_allclose(dcl(z, z, 0.1), np.log(14) - 1 / 0.1, rtol=1e-6)


def test_below_nt_xent_which_has_the_positive_in_the_denominator():
    z1, z2 = random_views()
    for temperature in (0.1, 1.0, 10.0):
        assert dcl(z1, z2, temperature) < nt_xent(z1, z2, temperature)
    # Where the positive is a small part of the denominator there is no difference.
    z1, z2 = np.random.default_rng(1).normal(size=(2, 200, 64)).astype(np.float32)
    np.testing.assert_allclose(dcl(z1, z2, 1.0), nt_xent(z1, z2, 1.0), rtol=1e-3)


def test_weights_are_one_for_a_wide_kernel():
    z1, z2 = random_views()
    np.testing.assert_allclose(dclw(z1, z2, sigma=1e4), dcl(z1, z2), rtol=1e-3)


def test_the_gradient_of_each_positive_is_weighted_and_the_weight_is_a_constant():
    z1, z2 = map(tf.constant, random_views())
    cosine = -tf.keras.losses.cosine_similarity(z1, z2)
    weights = 2 - 6 * tf.nn.softmax(cosine / 0.5)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z1)
        difference = dclw(z1, z2, 0.1, 0.5) - dcl(z1, z2, 0.1)
        positives = tf.reduce_mean((1 - weights) * -tf.keras.losses.cosine_similarity(z1, z2)) / 0.1
    np.testing.assert_allclose(
        tape.gradient(difference, z1), tape.gradient(positives, z1), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("loss", [dcl, dclw])
def test_what_is_refused(loss):
    z1, z2 = random_views()
    with pytest.raises(ValueError, match="`z1` must be projections of at least two images"):
        loss(z1[:1], z2[:1])
    with pytest.raises(ValueError, match="`temperature` must be positive. Received"):
        loss(z1, z2, temperature=0)
    with pytest.raises(ValueError, match="`sigma` must be positive. Received"):
        dclw(z1, z2, sigma=-1)
