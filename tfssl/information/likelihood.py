"""Likelihood of a parametric model: its value, its maximum, the posterior (thesis, section 2.2.1).

A model is the pair of functions that `nce.estimate` takes too: `log_density`, (parameters [P],
points [T, D]) -> [T], and `gradient`, its derivative, the same arguments -> [T, P].
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from tfssl.information.discrete import check_shapes, table_of


def log_likelihood(log_density, parameters, data):
    """l(theta | X): the sum of log P_theta(x) over the data, in nats (Definition 2.2.2).

    The likelihood of Definition 2.2.1 is its exponential, which underflows on a few hundred points.

    Args:
        log_density: of a density, discrete or continuous, that is normalised.
        parameters: [P].
        data: [T, D], independent observations.

    Returns:
        float; -inf where the model cannot have made the data.
    """
    return float(np.sum(log_density(parameters, data)))


def maximum_likelihood(log_density, gradient, start, data, *, tolerance=1e-9):
    """The parameters under which the data are likeliest (Definition 2.2.3), searched from `start`.

    The density must be normalised for all parameters: the likelihood of an unnormalised one has no
    maximum, which is what `nce.estimate` is for. The search finds a local maximum. It walks over
    all of R^P: a variance, say, is to be given by its logarithm. Where the likelihood comes near
    its bound only as a parameter goes to infinity, as for a probability that is given by its
    log-odds and observations that are all alike, a point far out is returned.

    Args:
        log_density, gradient: the model, see above.
        start: [P], where the search begins.
        data: [T, D].
        tolerance: relative change of the mean log-likelihood at which the search ends.

    Returns:
        float64 [P], the estimate.

    Raises:
        ValueError: no data.
        RuntimeError: the search did not converge; the likelihood may have no bound.

    Example, the rate of exponential waiting times, as its logarithm:

        >>> waits = np.array([[0.5], [1.5], [4.0]])
        >>> found = maximum_likelihood(lambda p, x: p[0] - np.exp(p[0]) * x[:, 0],
        ...                            lambda p, x: 1 - np.exp(p[0]) * x, [0.0], waits)
        >>> round(float(np.exp(found[0])), 3)  # 1 / the mean
        0.5
    """
    if not len(data):
        raise ValueError("`data` must not be empty. Received: 0 examples")

    def mean(parameters):
        return (
            log_likelihood(log_density, parameters, data) / len(data),
            np.mean(gradient(parameters, data), axis=0),
        )

    return maximise(mean, start, tolerance)


def posterior(log_likelihoods, prior):
    """P(theta | X) = P(X | theta) P(theta) / P(X) on a grid of parameters (Definition 2.2.4).

    Args:
        log_likelihoods: [K], `log_likelihood` of the data at each parameter.
        prior: [K], their probabilities before the data are seen.

    Returns:
        float64 [K], which adds up to 1.

    Raises:
        ValueError: the prior is no table of probabilities, the shapes differ, or no parameter could
            have made the data.
    """
    prior, log_likelihoods = table_of(prior, "prior"), np.asarray(log_likelihoods, np.float64)
    check_shapes(log_likelihoods=log_likelihoods, prior=prior)
    evidence = logsumexp(log_likelihoods, b=prior)
    if not np.isfinite(evidence):
        raise ValueError(
            "A parameter of positive prior must give the data positive probability. "
            f"Received: log P(X) = {evidence}"
        )
    return prior * np.exp(log_likelihoods - evidence)


def maximise(objective, start, tolerance=1e-9):
    """The parameters at which a smooth objective is largest near `start`, by L-BFGS-B.

    Args:
        objective: parameters [P] -> (value, gradient [P]).
        start: [P].
        tolerance: relative change of the value at which the search ends.

    Returns:
        float64 [P].

    Raises:
        RuntimeError: the search did not converge.
    """

    def loss(parameters):
        value, slope = objective(parameters)
        return -value, -np.asarray(slope)

    with np.errstate(over="ignore", invalid="ignore"):  # of an objective without a bound
        found = minimize(
            loss,
            np.asarray(start, np.float64),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 2000, "maxfun": 4000, "ftol": tolerance, "gtol": 1e-8},
        )
    if not found.success or not np.isfinite(found.fun):
        raise RuntimeError(f"The search did not converge: {found.message}")
    return found.x
