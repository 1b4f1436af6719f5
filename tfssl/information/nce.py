"""Noise-contrastive estimation of unnormalised densities, by classification of data and noise.

Gutmann and Hyvarinen 2012, "Noise-Contrastive Estimation of Unnormalized Statistical Models"; the
thesis, ch. 4. The log-normaliser is estimated as a parameter, which maximum likelihood cannot do.
"""

import numpy as np
from scipy.special import expit

from tfssl.information.discrete import check_shapes, expectation, table_of
from tfssl.information.likelihood import maximise


def posterior(log_ratio, nu):
    """The probability P(C = 1 | u) that u is data, r_nu(G) = 1 / (1 + nu exp(-G)) (equation 9).

    Args:
        log_ratio: G(u) = log p_m(u) - log p_n(u) (equation 8), an array.
        nu: float > 0, noise examples per data example.

    Returns:
        float64 in [0, 1], of the shape of `log_ratio`.
    """
    check_nu(nu)
    return expit(np.asarray(log_ratio, np.float64) - np.log(nu))


def objective(data_log_ratio, noise_log_ratio):
    """Conditional log-likelihood per data example, (1 / T_d) times equation (11).

    Args:
        data_log_ratio: G of the T_d data examples.
        noise_log_ratio: G of the T_n noise examples; nu = T_n / T_d.

    Returns:
        float <= 0.
    """
    nu = len(noise_log_ratio) / len(data_log_ratio)
    margin = np.log(nu)
    data = -np.logaddexp(0, -(np.asarray(data_log_ratio) - margin))
    noise = -np.logaddexp(0, np.asarray(noise_log_ratio) - margin)
    return float(data.mean() + nu * noise.mean())


def estimate(log_model, gradient, start, data, noise, noise_log_density, *, tolerance=1e-9):
    """Estimates the parameters of an unnormalised model by maximising equation (11).

    Args:
        log_model: (parameters [P], points [T, D]) -> log p_m [T]. One of the parameters is the
            normalising constant, usually log(1 / Z).
        gradient: (parameters [P], points [T, D]) -> [T, P], the derivative of `log_model`.
        start: [P], the initial parameters.
        data: [T_d, D].
        noise: [T_n, D], drawn from a density that is positive wherever that of the data is
            (Theorem 4.1).
        noise_log_density: points -> log p_n [T].
        tolerance: relative change of the objective at which the search ends.

    Returns:
        float64 [P], the estimate.

    Raises:
        ValueError: `data` or `noise` is empty.
        RuntimeError: the search did not converge.
    """
    if not len(data) or not len(noise):
        raise ValueError(
            f"`data` and `noise` must not be empty. Received: {len(data)} and {len(noise)} examples"
        )
    nu = len(noise) / len(data)
    data_noise, noise_noise = noise_log_density(data), noise_log_density(noise)

    def likelihood(parameters):
        of_data = log_model(parameters, data) - data_noise
        of_noise = log_model(parameters, noise) - noise_noise
        # d log h / dG = 1 - h at data, d log(1 - h) / dG = -h at noise.
        slope = (1 - posterior(of_data, nu)) @ gradient(parameters, data) / len(data)
        slope -= posterior(of_noise, nu) @ gradient(parameters, noise) / len(data)
        return objective(of_data, of_noise), slope

    return maximise(likelihood, start, tolerance)


def functional(log_model, p_data, p_noise, nu):
    """J~(f) of section 4.2 on a discrete support, the limit of `objective` for infinite data.

    Theorem 4.1: if P_n is positive wherever P_d is, the only extremum is the maximum f = log P_d,
    which is normalised although f need not be. Where P_n is 0, J~ does not depend on f, so log P_d
    is one of many maxima. Where P_d is 0 and P_n is not, J~ increases as f falls to
    -inf = log P_d.

    Args:
        log_model: f [K], log p_m, not necessarily normalised; may be -inf.
        p_data, p_noise: P_d and P_n, tables [K].
        nu: float > 0, noise examples per data example.

    Returns:
        float <= 0.

    Raises:
        ValueError: `p_data` or `p_noise` is not a table, the shapes differ, or `nu` is not
            positive.
    """
    p_data, p_noise, margin = odds_of_noise(log_model, p_data, p_noise, nu)
    return expectation(p_data, -np.logaddexp(0, margin)) + nu * expectation(
        p_noise, -np.logaddexp(0, -margin)
    )


def functional_gradient(log_model, p_data, p_noise, nu):
    """The derivative of J~ in f: P_d (1 - h) - nu P_n h with h = P(C = 1 | u).

    See `functional` for arguments and errors.

    Returns:
        float64 [K]; 0 at f = log P_d and, where both probabilities are positive, only there.
    """
    p_data, p_noise, margin = odds_of_noise(log_model, p_data, p_noise, nu)
    return p_data * expit(margin) - nu * p_noise * expit(-margin)


def odds_of_noise(log_model, p_data, p_noise, nu):
    """Returns both tables and log(nu P_n) - f, the log-odds that a point is noise."""
    check_nu(nu)
    p_data, p_noise = table_of(p_data, "p_data"), table_of(p_noise, "p_noise")
    log_model = np.asarray(log_model, np.float64)
    check_shapes(log_model=log_model, p_data=p_data, p_noise=p_noise)
    noisy, margin = p_noise > 0, np.full(p_noise.shape, -np.inf)
    margin[noisy] = np.log(nu * p_noise[noisy]) - log_model[noisy]
    return p_data, p_noise, margin


def check_nu(nu):
    if not nu > 0:
        raise ValueError(f"`nu` must be positive. Received: nu={nu}")
