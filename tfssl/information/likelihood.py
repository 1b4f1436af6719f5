"""Likelihood of a parametric model, its maximum, and the posterior (thesis, section 2.2.1).

A model is a pair of functions, as for `nce.estimate`: `log_density`, from (parameters [P], points
[T, D]) to [T], and `gradient`, its derivative, from the same arguments to [T, P].
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from tfssl.information.discrete import check_shapes, table_of


def log_likelihood(log_density, parameters, data):
    """Log-likelihood l(theta | X), the sum of log P_theta(x) over the data (Definition 2.2.2).

    Its exponential, the likelihood of Definition 2.2.1, underflows for a few hundred points.

    Args:
        log_density: function of a normalised density, discrete or continuous; see above.
        parameters: [P].
        data: [T, D], independent observations.

    Returns:
        float, in nats; -inf if the data are impossible under the model.
    """
    return float(np.sum(log_density(parameters, data)))


def maximum_likelihood(log_density, gradient, start, data, *, tolerance=1e-9):
    """Maximum-likelihood estimate of the parameters (Definition 2.2.3) by L-BFGS.

    The density must be normalised for all parameters; for unnormalised densities see
    `nce.estimate`. The search finds a local maximum over all of R^P, so a variance, for example,
    should be parametrised by its logarithm. If the supremum is reached only as a parameter goes to
    infinity, as for the log-odds of a probability when all observations are equal, a large finite
    value is returned.

    Args:
        log_density, gradient: the model, see above.
        start: [P], the initial parameters.
        data: [T, D].
        tolerance: relative change of the mean log-likelihood at which the search ends.

    Returns:
        float64 [P], the estimate.

    Raises:
        ValueError: `data` is empty.
        RuntimeError: the search did not converge; the likelihood may be unbounded.

    Example:

    ```python
    from tfssl.information.likelihood import maximum_likelihood

    waits = np.array([[0.5], [1.5], [4.0]])  # exponential, with the log of the rate as parameter
    log_density = lambda p, x: p[0] - np.exp(p[0]) * x[:, 0]
    gradient = lambda p, x: 1 - np.exp(p[0]) * x
    found = maximum_likelihood(log_density, gradient, [0.0], waits)
    round(float(np.exp(found[0])), 3)  # 0.5
    ```
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
    """Posterior P(theta | X) = P(X | theta) P(theta) / P(X) on a grid (Definition 2.2.4).

    Args:
        log_likelihoods: [K], `log_likelihood` of the data for each parameter.
        prior: [K], prior probabilities of the parameters.

    Returns:
        float64 [K]; adds up to 1.

    Raises:
        ValueError: `prior` is not a table of probabilities, the shapes differ, or the data are
            impossible under all parameters.
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
    """Finds a local maximum of a smooth objective by L-BFGS-B.

    Args:
        objective: parameters [P] -> (value, gradient [P]).
        start: [P], the initial parameters.
        tolerance: relative change of the value at which the search ends.

    Returns:
        float64 [P].

    Raises:
        RuntimeError: the search did not converge.
    """

    def loss(parameters):
        value, slope = objective(parameters)
        return -value, -np.asarray(slope)

    with np.errstate(over="ignore", invalid="ignore"):  # for unbounded objectives
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
