"""Critics score pairs: each entry of the matrix is a function of its own x and z."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfssl.information import bounds, gaussians
from tfssl.information.critics import CRITICS, Bilinear, Concatenated

RNG = np.random.default_rng(0)


def data(n=6, m=5):
    return (RNG.normal(size=(n, 4)).astype(np.float32), RNG.normal(size=(m, 3)).astype(np.float32))


@pytest.mark.parametrize("name", CRITICS)
def test_row_i_column_j_is_the_score_of_x_i_and_z_j(name):
    x, z = data()
    critic = CRITICS[name](4, 3, seed=1)
    scores = critic((x, z)).numpy()
    assert scores.shape == (6, 5) and np.std(scores) > 0
    for i in range(6):
        for j in range(5):
            alone = critic((x[i : i + 1], z[j : j + 1])).numpy()
            np.testing.assert_allclose(alone, [[scores[i, j]]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CRITICS)
def test_the_seed_makes_the_weights(name):
    x, z = data()
    one, same, other = (CRITICS[name](4, 3, seed=seed)((x, z)).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_bilinear_is_x_w_z():
    x, z = data()
    critic = Bilinear(4, 3)
    np.testing.assert_allclose(critic((x, z)), x @ critic.w.kernel.numpy() @ z.T, rtol=1e-5)


def test_concatenated_is_an_mlp_of_both_side_by_side():
    x, z = data()
    critic = Concatenated(4, 3, hidden=(8,), seed=3)
    w1, (w2, b2) = critic.first.kernel.numpy(), critic.rest.get_weights()
    side_by_side = np.concatenate([np.repeat(x, 5, axis=0), np.tile(z, (6, 1))], axis=1)
    expected = np.maximum(side_by_side @ w1, 0) @ w2 + b2
    np.testing.assert_allclose(critic((x, z)), expected.reshape(6, 5), rtol=1e-4, atol=1e-6)


def test_gaussian_pairs_have_the_information_they_are_made_for():
    rho = gaussians.correlation(3.0, 4)
    assert -0.5 * 4 * math.log(1 - rho**2) == pytest.approx(3.0)
    x, z = (values.numpy() for values in gaussians.pairs(50_000, 4, rho, [0, 1]))
    moments = np.cov(x.T, z.T)
    expected = np.block([[np.eye(4), rho * np.eye(4)], [rho * np.eye(4), np.eye(4)]])
    np.testing.assert_allclose(moments, expected, atol=0.03)
    np.testing.assert_array_equal(
        gaussians.pairs(8, 4, rho, [0, 1])[1], gaussians.pairs(8, 4, rho, [0, 1])[1]
    )
    with pytest.raises(ValueError, match="`information` must not be negative"):
        gaussians.correlation(-1.0, 4)


def test_the_log_density_ratio_is_that_of_the_densities():
    from scipy.stats import multivariate_normal

    rho = 0.6
    x, z = (values.numpy() for values in gaussians.pairs(5, 2, rho, [0, 2]))
    covariance = np.block([[np.eye(2), rho * np.eye(2)], [rho * np.eye(2), np.eye(2)]])
    joint, single = multivariate_normal(np.zeros(4), covariance), multivariate_normal(np.zeros(2))
    expected = [
        [joint.logpdf(np.append(a, b)) - single.logpdf(a) - single.logpdf(b) for b in z] for a in x
    ]
    np.testing.assert_allclose(gaussians.log_density_ratio(x, z, rho), expected, atol=1e-4)


def test_nce_of_the_density_ratio_is_infonces_optimum():
    """No critic has a higher InfoNCE bound, in expectation, than the log density ratio."""
    rho = gaussians.correlation(1.0, 2)
    batches = [gaussians.pairs(32, 2, rho, [5, i]) for i in range(100)]

    def mean(critic):
        return np.mean([float(bounds.infonce_bound(critic(x, z))) for x, z in batches])

    best = mean(lambda x, z: gaussians.log_density_ratio(x, z, rho))
    for worse in (
        lambda x, z: 1.5 * gaussians.log_density_ratio(x, z, rho),
        lambda x, z: gaussians.log_density_ratio(x, z, 0.5 * rho),
        lambda x, z: tf.matmul(x, z, transpose_b=True),
    ):
        assert mean(worse) < best
