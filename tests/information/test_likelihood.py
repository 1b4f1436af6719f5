"""Maximum likelihood against closed forms, and Bayes' rule on a grid."""

import math

import numpy as np
import pytest
from scipy import stats

from tfssl import information as info
from tfssl.information import likelihood

RNG = np.random.default_rng(0)


def gaussian(p, x):
    """Of mean p[0] and standard deviation exp(p[1])."""
    return -p[1] - 0.5 * (x[:, 0] - p[0]) ** 2 * np.exp(-2 * p[1]) - 0.5 * math.log(2 * math.pi)


def gaussian_gradient(p, x):
    scaled = (x[:, 0] - p[0]) ** 2 * np.exp(-2 * p[1])
    return np.stack([(x[:, 0] - p[0]) * np.exp(-2 * p[1]), scaled - 1], axis=1)


def bernoulli(p, x):
    return x[:, 0] * p[0] - np.logaddexp(0, p[0])


def bernoulli_gradient(p, x):
    return x - 1 / (1 + np.exp(-p[0]))


def test_the_log_likelihood_is_the_logarithm_of_the_product():  # Definitions 2.2.1 and 2.2.2
    x = RNG.normal(size=(7, 1))
    product = np.prod(stats.norm(0.3, math.exp(0.2)).pdf(x))
    assert likelihood.log_likelihood(gaussian, [0.3, 0.2], x) == pytest.approx(math.log(product))


def test_a_gaussians_estimates_are_its_samples_moments():  # Definition 2.2.3
    x = RNG.normal(3.0, 0.4, size=(50, 1))
    mean, log_deviation = likelihood.maximum_likelihood(
        gaussian, gaussian_gradient, [0.0, 0.0], x, tolerance=1e-14
    )
    assert mean == pytest.approx(x.mean(), abs=1e-6)
    assert math.exp(2 * log_deviation) == pytest.approx(x.var(), rel=1e-5)  # by N, not by N - 1


def test_a_bernoullis_estimate_is_the_frequency():
    x = np.repeat([[1.0], [0.0]], [3, 7], axis=0)
    found = likelihood.maximum_likelihood(bernoulli, bernoulli_gradient, [2.0], x, tolerance=1e-14)
    assert 1 / (1 + math.exp(-found[0])) == pytest.approx(0.3, abs=1e-6)


def test_the_estimate_is_the_model_of_least_divergence_from_the_data():  # section 2.2.2
    """Per observation the log-likelihood is -D_KL(data || model) - H(data)."""
    p = RNG.dirichlet(np.ones(4))
    x = RNG.integers(0, 4, (200, 1))
    seen = np.bincount(x[:, 0], minlength=4) / 200
    mean = likelihood.log_likelihood(lambda p, x: np.log(p)[x[:, 0]], p, x) / 200
    assert mean == pytest.approx(-info.kl_divergence(seen, p) - info.entropy(seen))

    def categorical(s, x):
        return (s - np.log(np.exp(s).sum()))[x[:, 0]]

    found = likelihood.maximum_likelihood(
        categorical,
        lambda s, x: np.eye(4)[x[:, 0]] - np.exp(s) / np.exp(s).sum(),
        np.zeros(4),
        x,
        tolerance=1e-14,
    )
    np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(), seen, atol=1e-6)


@pytest.mark.parametrize(
    "log_density,gradient,data",
    [
        (
            lambda p, x: p[0] - 0.5 * x[:, 0] ** 2 * np.exp(p[1]),  # its constant is a parameter
            lambda p, x: np.stack([np.ones(len(x)), -0.5 * x[:, 0] ** 2 * np.exp(p[1])], axis=1),
            [0.0, 1.0],
        ),
        (gaussian, gaussian_gradient, [2.0]),  # one point: no deviation is too small
    ],
    ids=["unnormalised", "degenerate"],
)
def test_without_a_maximum_there_is_no_estimate(log_density, gradient, data):
    with pytest.raises(RuntimeError, match="The search did not converge"):
        likelihood.maximum_likelihood(log_density, gradient, [0.0, 0.0], np.array(data)[:, None])


def test_a_start_under_which_the_data_are_impossible_finds_nothing():
    def uniform(p, x):
        """On [0, exp(p)], which does not hold the data."""
        return np.where(x[:, 0] <= np.exp(p[0]), -p[0], -np.inf)

    with pytest.raises(RuntimeError, match="The search did not converge"):
        likelihood.maximum_likelihood(
            uniform, lambda p, x: np.zeros((len(x), 1)), [0.0], np.array([[2.0], [3.0]])
        )


def test_the_posterior_of_a_bernoulli_under_a_beta_prior_is_a_beta():  # Definition 2.2.4
    grid = (np.arange(20_000) + 0.5) / 20_000
    prior = stats.beta(2, 3).pdf(grid)
    ones, zeros = 8, 4
    found = likelihood.posterior(ones * np.log(grid) + zeros * np.log1p(-grid), prior / prior.sum())
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found * 20_000, stats.beta(2 + ones, 3 + zeros).pdf(grid), atol=1e-5)
    assert found @ grid == pytest.approx((2 + ones) / (5 + ones + zeros), abs=1e-6)


def test_the_posterior_is_bayes_rule_and_may_be_found_one_point_at_a_time():  # Theorem 2.1.1
    prior, chances = RNG.dirichlet(np.ones(5)), RNG.random(size=(2, 5))
    both = likelihood.posterior(np.log(chances).sum(axis=0), prior)
    np.testing.assert_allclose(both, prior * chances.prod(0) / (prior @ chances.prod(0)))
    first = likelihood.posterior(np.log(chances[0]), prior)
    np.testing.assert_allclose(likelihood.posterior(np.log(chances[1]), first), both)


def test_the_posterior_of_many_data_does_not_underflow():
    found = likelihood.posterior([-5000.0, -5001.0, -np.inf], [0.25, 0.25, 0.5])
    np.testing.assert_allclose(found, [1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0])


@pytest.mark.parametrize(
    "call,said",
    [
        (
            lambda: likelihood.maximum_likelihood(None, None, [0.0], np.zeros((0, 1))),
            "`data` must not be empty",
        ),
        (lambda: likelihood.posterior([0.0, 0.0], [0.5, 0.6]), "`prior` must hold probabilities"),
        (lambda: likelihood.posterior([0.0], [0.5, 0.5]), "must be of one shape"),
        (lambda: likelihood.posterior([0.0, -np.inf], [0.0, 1.0]), "positive probability"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
