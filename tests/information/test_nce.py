"""Noise-contrastive estimation recovers parameters and the normaliser."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tfssl.information import nce
from tfssl.information.likelihood import maximise

RNG = np.random.default_rng(0)


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
    found = nce.estimate(
        log_model, gradient, start, data, draw(rng, nu * count, dimension), log_density
    )
    precision = np.linalg.inv(covariance)
    true_c = 0.5 * np.linalg.slogdet(precision)[1] - dimension / 2 * np.log(2 * np.pi)
    return np.abs(found[:-1] - precision[rows, columns]).max(), abs(found[-1] - true_c)


def test_a_gaussians_precision_and_normaliser_are_found():
    of_precision, of_constant = fit_gaussian(20_000)
    assert of_precision < 0.1 and of_constant < 0.03


@pytest.mark.slow
def test_the_error_falls_with_the_root_of_the_sample():
    few, many = (
        [np.mean([fit_gaussian(count, seed=s)[k] for s in range(6)]) for k in (0, 1)]
        for count in (500, 8_000)
    )
    for a, b in zip(few, many):  # 16 times the sample: a quarter of the error, give or take
        assert b < 0.5 * a, (few, many)


def test_more_noise_is_better():
    little, much = (
        [np.mean([fit_gaussian(1_000, nu, seed=s)[k] for s in range(6)]) for k in (0, 1)]
        for nu in (1, 20)
    )
    assert much[0] < little[0] and much[1] < little[1]


def test_independent_components_and_their_normaliser():
    """ICA as in Gutmann and Hyvarinen 2012, section 3: Laplacian sources, an unnormalised model."""
    rng = np.random.default_rng(0)
    dimension, count = 2, 20_000
    mixing = np.array([[1.0, 0.4], [-0.3, 0.8]])
    data = rng.laplace(scale=1 / np.sqrt(2), size=(count, dimension)) @ mixing.T
    draw, log_density = noise_model(1.0)

    def log_model(p, u):  # -sqrt(2) |b_i u|, smoothed near 0 for the search
        return p[-1] - np.sqrt(2) * np.sqrt((u @ p[:4].reshape(2, 2).T) ** 2 + 1e-4).sum(1)

    def gradient(p, u):
        s = u @ p[:4].reshape(2, 2).T
        slope = -np.sqrt(2) * s / np.sqrt(s**2 + 1e-4)
        return np.hstack([slope[:, :1] * u, slope[:, 1:] * u, np.ones((len(u), 1))])

    start = np.append(np.eye(2).ravel(), 0.0)
    found = nce.estimate(
        log_model, gradient, start, data, draw(rng, 10 * count, dimension), log_density
    )
    product = np.abs(found[:4].reshape(2, 2) @ mixing)  # a permutation, where sources are found
    order = np.argmax(product, axis=1)
    assert sorted(order) == [0, 1]
    np.testing.assert_allclose(
        product[:, order], np.eye(2)[:, np.argsort(order)][:, order], atol=0.05
    )
    true_c = np.log(np.abs(np.linalg.det(np.linalg.inv(mixing)))) - 2 * np.log(np.sqrt(2))
    assert found[-1] == pytest.approx(true_c, abs=0.05)


def discrete(count=6, nu=2.0):
    """Data and noise, both positive, on so many points."""
    return RNG.dirichlet(np.ones(count)), RNG.dirichlet(np.ones(count)), nu


def test_the_functional_is_the_limit_of_the_objective():  # section 4.2
    p_data, p_noise, nu = discrete()
    f = RNG.normal(size=6)
    ratio = f - np.log(p_noise)
    drawn = RNG.choice(6, 200_000, p=p_data), RNG.choice(6, 400_000, p=p_noise)
    assert nce.functional(f, p_data, p_noise, nu) == pytest.approx(
        nce.objective(*(ratio[d] for d in drawn)), abs=0.01
    )
    h = nce.posterior(ratio, nu)
    assert nce.functional(f, p_data, p_noise, nu) == pytest.approx(
        p_data @ np.log(h) + nu * p_noise @ np.log(1 - h)
    )


def test_the_functionals_gradient_is_its_derivative():
    p_data, p_noise, nu = discrete()
    f = RNG.normal(size=6)
    np.testing.assert_allclose(
        nce.functional_gradient(f, p_data, p_noise, nu),
        approx_fprime(f, nce.functional, 1e-7, p_data, p_noise, nu),
        atol=1e-6,
    )


@pytest.mark.parametrize("nu", [0.2, 1.0, 10.0])
def test_the_functional_is_largest_at_the_log_density_alone(nu):  # Theorem 4.1
    """From wherever f starts, unnormalised; the normalisation comes out by itself."""
    p_data, p_noise, _ = discrete()
    best = nce.functional(np.log(p_data), p_data, p_noise, nu)
    np.testing.assert_allclose(
        nce.functional_gradient(np.log(p_data), p_data, p_noise, nu), 0, atol=1e-12
    )
    for start in RNG.normal(scale=3, size=(10, 6)):
        assert nce.functional(start, p_data, p_noise, nu) < best
        assert np.abs(nce.functional_gradient(start, p_data, p_noise, nu)).max() > 1e-3
        found = maximise(
            lambda f: (
                nce.functional(f, p_data, p_noise, nu),
                nce.functional_gradient(f, p_data, p_noise, nu),
            ),
            start,
            1e-15,
        )
        np.testing.assert_allclose(np.exp(found), p_data, atol=1e-5)
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-5)


def test_the_functional_is_strictly_concave_where_there_is_noise():
    """Its Hessian is -(P_d + nu P_n) h (1 - h), diagonal: there is one stationary point."""
    p_data, p_noise, nu = discrete()
    f = RNG.normal(scale=2, size=6)
    hessian = approx_fprime(f, nce.functional_gradient, 1e-6, p_data, p_noise, nu)
    h = nce.posterior(f - np.log(p_noise), nu)
    np.testing.assert_allclose(hessian, -np.diag((p_data + nu * p_noise) * h * (1 - h)), atol=1e-5)


def test_where_there_is_no_noise_the_log_density_is_not_determined():  # Theorem 4.1's condition
    """P_n = 0 < P_d: J~ is flat in f there, so log P_d is one of infinitely many maxima. As P_n
    goes to 0 the curvature at the maximum does, in proportion."""
    p_data, p_noise, nu = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.4, 0.0]), 2.0
    best = nce.functional(np.log(p_data), p_data, p_noise, nu)
    for there in (-20.0, 0.0, 20.0):
        f = np.log(p_data)
        f[2] = there
        assert nce.functional(f, p_data, p_noise, nu) == best
        assert np.all(np.abs(nce.functional_gradient(f, p_data, p_noise, nu)) < 1e-12)
    curvatures = []
    for little in (1e-2, 1e-4):
        noise = np.array([0.6 - little, 0.4, little])
        curvatures.append(
            -approx_fprime(np.log(p_data), nce.functional_gradient, 1e-6, p_data, noise, nu)[2, 2]
        )
    assert curvatures[0] == pytest.approx(0.5 * nu * 1e-2 / (0.5 + nu * 1e-2), rel=1e-3)
    assert curvatures[1] == pytest.approx(curvatures[0] / 100, rel=0.05)


def test_where_there_are_no_data_the_functional_grows_as_f_falls():
    """P_d = 0 < P_n: the supremum is at f = log 0 alone, which no finite f attains."""
    p_data, p_noise, nu = np.array([0.4, 0.6, 0.0]), np.array([0.3, 0.3, 0.4]), 2.0
    f = np.append(np.log(p_data[:2]), 0.0)
    values = []
    for there in (0.0, -5.0, -10.0, -np.inf):
        f[2] = there
        values.append(nce.functional(f, p_data, p_noise, nu))
    assert values[0] < values[1] < values[2] < values[3] and np.isfinite(values[3])
    assert values[3] == pytest.approx(values[2], abs=1e-4)
    np.testing.assert_allclose(nce.functional_gradient(f, p_data, p_noise, nu), 0, atol=1e-12)


def test_a_point_that_never_happens_may_have_any_value():
    p, f = np.array([0.5, 0.5, 0.0]), np.log([0.5, 0.5, 1.0])
    for there in (0.0, -np.inf):
        f[2] = there
        assert nce.functional(f, p, p, 1.0) == pytest.approx(-2 * np.log(2))
        assert nce.functional_gradient(f, p, p, 1.0).tolist() == [0.0, 0.0, 0.0]


def test_refusals():
    with pytest.raises(ValueError, match="must not be empty"):
        nce.estimate(None, None, [0.0], np.zeros((0, 2)), np.zeros((3, 2)), None)
    with pytest.raises(ValueError, match="`p_noise` must hold probabilities"):
        nce.functional([0.0, 0.0], [0.5, 0.5], [0.5, 0.6], 1.0)
    with pytest.raises(ValueError, match="must be of one shape"):
        nce.functional_gradient([0.0, 0.0], [0.5, 0.5], [1.0], 1.0)
    with pytest.raises(ValueError, match="`nu` must be positive"):
        nce.functional([0.0, 0.0], [0.5, 0.5], [0.5, 0.5], 0.0)
