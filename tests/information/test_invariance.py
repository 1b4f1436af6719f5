"""Proposition 4 for continuous variables: what can be undone changes no information, the rest does.

By quadrature of the densities, and by estimators that are trained on what the maps have made.
"""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import costly, spared
from tfssl.information import gaussians
from tfssl.information.critics import Concatenated
from tfssl.information.estimators import CriticEstimator

TRUTH = 1.0


def bent(z):
    """z + z^3, which grows everywhere; `straight` undoes it."""
    return z + z**3


def straight(w):
    return 2 / math.sqrt(3) * np.sinh(np.arcsinh(1.5 * math.sqrt(3) * w) / 3)


def density(x, z, rho):
    """Of standard normal x and z with this correlation, [len(x), len(z)]."""
    far = (x[:, None] ** 2 - 2 * rho * x[:, None] * z + z**2) / (1 - rho**2)
    return np.exp(-0.5 * far) / (2 * math.pi * math.sqrt(1 - rho**2))


def integrals(p, x, z):
    """I(X, Z) and h(X) of a density on a grid [X, Z], in nats."""
    p = p * (x[1] - x[0]) * (z[1] - z[0])
    of_x, of_z = p.sum(axis=1), p.sum(axis=0)
    assert p.sum() == pytest.approx(1, abs=1e-3)  # the grid holds all of it
    there = p > 0
    shared = np.sum(p[there] * np.log((p / np.outer(of_x, of_z))[there]))
    of_x = of_x[of_x > 0]
    return shared, -np.sum(of_x * np.log(of_x / (x[1] - x[0])))


@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_the_density_after_a_homeomorphism_has_the_same_information(rho):
    """By the change of variables of the proof. The entropies do change."""
    truth = -0.5 * math.log(1 - rho**2)
    x, z = np.linspace(-6, 6, 400), np.linspace(-6, 6, 410)
    shared, entropy = integrals(density(x, z, rho), x, z)
    assert shared == pytest.approx(truth, abs=1e-6)
    assert entropy == pytest.approx(gaussians.entropy(1), abs=1e-6)
    y, w = np.linspace(-60, 60, 3000), np.linspace(-60, 60, 1800)  # sinh(x) and z + z^3
    of_x, of_z = np.arcsinh(y), straight(w)
    p = density(of_x, of_z, rho) / np.sqrt(1 + y**2)[:, None] / (1 + 3 * of_z**2)
    shared, entropy = integrals(p, y, w)
    assert shared == pytest.approx(truth, abs=2e-3)
    assert entropy > gaussians.entropy(1) + 0.2


def test_what_undoes_the_map_does():
    z = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(straight(bent(z)), z, atol=1e-12)


def of_absolute(rho):
    """I(|x|, z): both signs of x come to one density."""
    x, z = np.linspace(0.005, 6.005, 601), np.linspace(-6, 6, 600)
    return integrals(density(x, z, rho) + density(-x, z, rho), x, z)[0]


def same(x, z):
    return x, z


def sinh_and_bent(x, z):
    return tf.sinh(x), bent(z) / 10


def cube_and_exp(x, z):
    return x**3, tf.exp(z)


def absolute(x, z):
    return tf.abs(x), z


def first_coordinate(x, z):
    return x[:, :1], z


def estimate(kind, change, dimension, steps=900, batch=64):
    """The bound of a trained critic on ten batches of new pairs: mean, three standard errors."""
    rho = gaussians.correlation(TRUTH, dimension)

    def pairs(count, seed):
        return change(*gaussians.pairs(count, dimension, rho, seed))

    x, z = pairs(2, [0, 0])
    model = CriticEstimator(Concatenated(x.shape[1], z.shape[1], hidden=(32, 32)), kind)
    model((x, z))
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate), jit_compile=False)
    model.optimizer.build(model.trainable_variables)

    @tf.function
    def learn():
        for step in tf.range(steps):
            model.learn(*pairs(batch, [1, step]))

    learn()
    values = [float(model.bound(*pairs(512, [99, i]))) for i in range(10)]
    return np.mean(values), 3 * np.std(values, ddof=1) / math.sqrt(len(values))


@pytest.mark.parametrize(
    "kind,change",
    [costly("infonce", sinh_and_bent), spared("nwj", sinh_and_bent), ("infonce", cube_and_exp)],
)
def test_a_trained_bound_finds_as_much_after_a_homeomorphism(kind, change):
    """As much as the Gaussians shared, within 0.12 nats below and the sampling error above."""
    found, error = estimate(kind, change, 1)
    assert TRUTH - 0.12 < found <= TRUTH + error


@pytest.mark.parametrize(
    "kind,change,dimension,left",
    [
        ("infonce", absolute, 1, of_absolute(gaussians.correlation(TRUTH, 1))),
        ("nwj", first_coordinate, 2, TRUTH / 2),
    ],
    ids=["absolute", "first_coordinate"],
)
def test_a_map_that_cannot_be_undone_loses_information(kind, change, dimension, left):
    """|x| forgets the sign; one of two coordinates keeps half. What is left is known, and found."""
    assert left < TRUTH - 0.3
    found, error = estimate(kind, change, dimension)
    assert left - 0.1 < found <= left + error
