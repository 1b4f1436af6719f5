"""SimSiam's negative cosine."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import negative_cosine_loop
from tfssl.losses import negative_cosine, regression_loss


def random_pair(n=6, d=5):
    return np.random.default_rng(0).normal(size=(2, n, d)).astype(np.float32)


@pytest.mark.parametrize("n,d", [(1, 1), (1, 4), (7, 3)])
def test_equals_equation_1(n, d):
    p, z = random_pair(n, d)
    np.testing.assert_allclose(negative_cosine(p, z), negative_cosine_loop(p, z), rtol=1e-5)


def test_from_minus_1_to_1():
    p, _ = random_pair()
    np.testing.assert_allclose(negative_cosine(p, 3 * p), -1, rtol=1e-6)
    np.testing.assert_allclose(negative_cosine(p, -p), 1, rtol=1e-6)
    np.testing.assert_allclose(negative_cosine(np.eye(4), np.eye(4)[::-1]), 0, atol=1e-7)
    assert negative_cosine(p, 0 * p) == 0


def test_the_loss_of_byol_is_2_plus_twice_it():
    p, z = random_pair()
    np.testing.assert_allclose(regression_loss(p, z), 2 + 2 * negative_cosine(p, z), rtol=1e-5)


def test_the_gradient_of_z_is_left_to_the_caller():
    p, z = map(tf.constant, random_pair())
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = negative_cosine(p, z)
    assert np.any(tape.gradient(loss, z) != 0)
