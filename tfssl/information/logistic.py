"""Logistic regression for labels 0 and 1, and its likelihood (thesis, section 4.1).

The log-odds are theta_0 + theta_1 x_1 + ...; parameters are float [1 + D].
"""

import numpy as np
from scipy.optimize import linprog
from scipy.special import expit

from tfssl.information.likelihood import maximise

# Margins up to this count as 0, for features in [-1, 1] (linprog's tolerance is 1e-7).
MARGIN = 1e-5


def probability(parameters, x):
    """P(Y = 1 | x) = 1 / (1 + exp(-(theta_0 + theta x))) (Definition 4.1.2).

    Args:
        parameters: [1 + D].
        x: [N, D].

    Returns:
        float64 [N], in [0, 1].
    """
    return expit(log_odds(parameters, x))


def log_likelihood(parameters, x, y, weights=None):
    """Conditional log-likelihood per example, (1 / N) times the logarithm of equation (7).

    Args:
        parameters: [1 + D].
        x: [N, D].
        y: [N], labels 0 and 1.
        weights: [N], weights of the examples, at least 0; None: all equal. With the entries of a
            table as examples and their probabilities as weights, this is
            `exact.expected_log_likelihood`, the limit in Remark 3.

    Returns:
        float <= 0, in nats.
    """
    of_each = -np.logaddexp(0, -signs(y) * log_odds(parameters, x))
    return float(np.average(of_each, weights=weights))


def gradient(parameters, x, y, weights=None):
    """The gradient of `log_likelihood`: the mean of (y - p) (1, x).

    Args:
        parameters, x, y, weights: as for `log_likelihood`.

    Returns:
        float64 [1 + D].
    """
    missing = np.asarray(y, np.float64) - probability(parameters, x)
    return np.average(missing[:, None] * with_offset(x), axis=0, weights=weights)


def fit(x, y, *, weights=None, l2=0.0, tolerance=1e-9):
    """Maximises `log_likelihood` - l2 / 2 |theta|^2 (section 4.1.1).

    If a plane separates the labels, possibly with points of both on it, the likelihood has no
    maximum (Albert and Anderson 1984) and `l2` must be positive.

    Args:
        x, y, weights: as for `log_likelihood`.
        l2: float >= 0, the penalty, which includes the offset theta_0.
        tolerance: relative change of the objective at which the search ends.

    Returns:
        float64 [1 + D].

    Raises:
        ValueError: an argument has another shape or other values than described, or `l2` is 0 and
            there is no maximum.
        RuntimeError: the search did not converge.

    Example:

    ```python
    from tfssl.information import logistic

    theta = logistic.fit([[0.0], [0.0], [1.0], [1.0], [1.0]], [0, 1, 0, 1, 1])
    frequencies = logistic.probability(theta, [[0.0], [1.0]])
    frequencies.round(3).tolist()  # [0.5, 0.667]
    ```
    """
    x, y = check(x, y, weights)
    if not l2 >= 0:
        raise ValueError(f"`l2` must be at least 0. Received: l2={l2}")
    if l2 == 0 and is_separable(*present(x, y, weights)):
        raise ValueError(
            "A plane separates the labels: the likelihood has no maximum. "
            "Set `l2` above 0. Received: l2=0"
        )
    basis = whitening(with_offset(x))

    def penalised(coordinates):
        theta = basis @ coordinates
        return (
            log_likelihood(theta, x, y, weights) - 0.5 * l2 * theta @ theta,
            (gradient(theta, x, y, weights) - l2 * theta) @ basis,
        )

    return basis @ maximise(penalised, np.zeros(basis.shape[1]), tolerance)


def is_separable(x, y):
    """Whether a plane separates the labels; some but not all points may lie on it.

    Args:
        x: [N, D].
        y: [N], labels 0 and 1.

    Returns:
        bool; True also for an overlap below 1e-5 of the range of the features.
    """
    x = np.asarray(x, np.float64) - np.mean(x, axis=0)
    scale = np.abs(x).max(axis=0)
    rows = signs(y)[:, None] * with_offset(x / np.where(scale > 0, scale, 1.0))
    found = linprog(-rows.mean(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return bool((rows @ found.x).max() > MARGIN)


def log_odds(parameters, x):
    return with_offset(x) @ np.asarray(parameters, np.float64)


def signs(y):
    """Maps labels 0 and 1 to -1 and 1."""
    return 2 * np.asarray(y, np.float64) - 1


def with_offset(x):
    x = np.asarray(x, np.float64)
    return np.hstack([np.ones((len(x), 1)), x])


def whitening(rows):
    """A matrix [D, R] that makes the columns uncorrelated with mean square 1; R is their rank.

    In these coordinates the search converges equally well for features with large means, unequal
    scales or strong correlations.
    """
    _, values, directions = np.linalg.svd(rows, full_matrices=False)
    there = values > values[0] * max(rows.shape) * np.finfo(np.float64).eps
    return directions[there].T / values[there] * np.sqrt(len(rows))


def present(x, y, weights):
    """The examples with positive weight."""
    there = np.ones(len(y), bool) if weights is None else np.asarray(weights) > 0
    return x[there], y[there]


def check(x, y, weights):
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
        raise ValueError(
            "`x` must be [N, D] and `y` [N], N at least 1. "
            f"Received: x.shape={x.shape}, y.shape={y.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("`x` must be finite. Received: infinity or NaN among it")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"`y` must hold labels 0 and 1. Received: {np.unique(y)[:5].tolist()}")
    if weights is not None:
        check_weights(np.asarray(weights), y.shape)
    return x, y


def check_weights(weights, shape):
    if weights.shape != shape or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            "`weights` must be [N], at least 0 and not all 0. "
            f"Received: shape {weights.shape}, sum {weights.sum():g}"
        )
