"""Noise-contrastive estimation recovers parameters and the normaliser."""

import numpy as np
import pytest

from tfssl.information import nce


def noise_model(scale):
    """Isotropic noise: (draw, log density)."""
    def draw(rng, count, dimension):
        return scale * rng.standard_normal((count, dimension))

    def log_density(u):
        d = u.shape[1]
        return -0.5 * np.sum(u**2, 1) / scale**2 - d * np.log(scale * np.sqrt(2 * np.pi))

    return draw, log_density


def test_the_posterior_is_bayes_rule():  # equation (9)
    rng = np.random.default_rng(0)
    pm, pn, nu = rng.random(50), rng.random(50), 3.0
    np.testing.assert_allclose(nce.posterior(np.log(pm / pn), nu), pm / (pm + nu * pn))
    assert nce.posterior(np.array([1e5, -1e5]), 2.0).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="`nu` must be positive"):
        nce.posterior(0.0, 0.0)


def test_the_objective_is_equation_11():
    rng = np.random.default_rng(0)
    data, noise = rng.normal(size=20), rng.normal(size=60)
    h = lambda g: 1 / (1 + 3.0 * np.exp(-g))  # noqa: E731 - r_nu with nu = 60 / 20
    expected = np.log(h(data)).sum() + np.log(1 - h(noise)).sum()
    assert nce.objective(data, noise) == pytest.approx(expected / 20)


def fit_gaussian(count, nu=5, seed=0, dimension=3):
    """An unnormalised Gaussian, log p = c - u' L u / 2: its precision L and c."""
    rng = np.random.default_rng(seed)
    root = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.4, 0.9]])
    covariance = root @ root.T
    data = rng.standard_normal((count, dimension)) @ root.T
    draw, log_density = noise_model(1.5)
    rows, columns = np.triu_indices(dimension)
    twice = np.where(rows == columns, 1.0, 2.0)

    def log_model(p, u):
        return p[-1] - 0.5 * (u[:, rows] * u[:, columns] * twice) @ p[:-1]

    def gradient(p, u):
        return np.hstack([-0.5 * u[:, rows] * u[:, columns] * twice, np.ones((len(u), 1))])

    start = np.append(np.eye(dimension)[rows, columns], 0.0)
    found = nce.estimate(log_model, gradient, start, data, draw(rng, nu * count, dimension),
                         log_density)
    precision = np.linalg.inv(covariance)
    true_c = 0.5 * np.linalg.slogdet(precision)[1] - dimension / 2 * np.log(2 * np.pi)
    return np.abs(found[:-1] - precision[rows, columns]).max(), abs(found[-1] - true_c)


def test_a_gaussians_precision_and_normaliser_are_found():
    of_precision, of_constant = fit_gaussian(20_000)
    assert of_precision < 0.1 and of_constant < 0.03


def test_the_error_falls_with_the_root_of_the_sample():
    few, many = ([np.mean([fit_gaussian(count, seed=s)[k] for s in range(6)]) for k in (0, 1)]
                 for count in (500, 8_000))
    for a, b in zip(few, many):  # 16 times the sample: a quarter of the error, give or take
        assert b < 0.5 * a, (few, many)


def test_more_noise_is_better():
    little, much = ([np.mean([fit_gaussian(1_000, nu, seed=s)[k] for s in range(6)])
                     for k in (0, 1)] for nu in (1, 20))
    assert much[0] < little[0] and much[1] < little[1]


def test_independent_components_and_their_normaliser():
    """ICA as in Gutmann and Hyvarinen 2012, section 3: Laplacian sources, an unnormalised model."""
    rng = np.random.default_rng(0)
    dimension, count = 2, 20_000
    mixing = np.array([[1.0, 0.4], [-0.3, 0.8]])
    data = rng.laplace(scale=1 / np.sqrt(2), size=(count, dimension)) @ mixing.T
    draw, log_density = noise_model(1.0)

    def log_model(p, u):  # -sqrt(2) |b_i u|, smoothed near 0 for the search
        return p[-1] - np.sqrt(2) * np.sqrt((u @ p[:4].reshape(2, 2).T)**2 + 1e-4).sum(1)

    def gradient(p, u):
        s = u @ p[:4].reshape(2, 2).T
        slope = -np.sqrt(2) * s / np.sqrt(s**2 + 1e-4)
        return np.hstack([slope[:, :1] * u, slope[:, 1:] * u, np.ones((len(u), 1))])

    start = np.append(np.eye(2).ravel(), 0.0)
    found = nce.estimate(log_model, gradient, start, data, draw(rng, 10 * count, dimension),
                         log_density)
    product = np.abs(found[:4].reshape(2, 2) @ mixing)  # a permutation, where sources are found
    order = np.argmax(product, axis=1)
    assert sorted(order) == [0, 1]
    np.testing.assert_allclose(product[:, order], np.eye(2)[:, np.argsort(order)][:, order],
                               atol=0.05)
    true_c = np.log(np.abs(np.linalg.det(np.linalg.inv(mixing)))) - 2 * np.log(np.sqrt(2))
    assert found[-1] == pytest.approx(true_c, abs=0.05)


def test_refusals():
    with pytest.raises(ValueError, match="must not be empty"):
        nce.estimate(None, None, [0.0], np.zeros((0, 2)), np.zeros((3, 2)), None)
