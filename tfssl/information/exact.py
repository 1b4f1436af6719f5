"""Exact expectations of likelihoods and of the bounds of `bounds`, from tables of probabilities.

All values are in nats. The propositions of the thesis hold for these exactly, and for samples on
average.
"""

import numpy as np
from scipy.special import logsumexp

from tfssl.information.discrete import (
    check_shapes,
    conditional_of,
    entropy,
    expectation,
    marginal,
    table_of,
    table_of_two,
)


def expected_log_likelihood(joint, model):
    """Expected conditional log-likelihood per example, sum P(x, y) log P_theta(y | x).

    It equals -D_KL(Y || Y_theta | X) - H(Y | X) (Remark 3), so its maximum is -H(Y | X), at the
    true conditional. `logistic.log_likelihood` is its sample version, and so is the negative
    cross-entropy of any classifier.

    Args:
        joint: table [X, Y], the distribution of the examples.
        model: [X, Y], P_theta(y | x); each row adds up to 1.

    Returns:
        float <= 0; -inf if the model gives probability 0 to possible examples.

    Raises:
        ValueError: the arguments are not such tables.
    """
    joint = table_of_two(joint)
    with np.errstate(divide="ignore"):
        return expectation(joint, np.log(conditional_of(model, "model", joint.shape)))


def variational_bound(joint, model):
    """The variational bound H(Z) + E_P(x) E_P(z|x)[log Q(z | x)] <= I(X, Z).

    Proposition 5; Barber and Agakov 2003.

    Args:
        joint: table [X, Z].
        model: [X, Z], any Q(z | x); each row adds up to 1.

    Returns:
        float; I(X, Z) if Q is P(z | x), less otherwise, -inf if Q gives probability 0 to possible
        pairs.

    Raises:
        ValueError: the arguments are not such tables.
    """
    return expected_log_likelihood(joint, model) + entropy(marginal(joint, 1))


def donsker_varadhan(p, q, t):
    """The Donsker-Varadhan bound E_P[T] - log E_Q[exp T] <= D_KL(P || Q) (Theorem 3.2.1).

    The gap is D_KL(P || G) (equation 6) with G = `gibbs(q, t)`. It is 0 if P = G, that is,
    T = log P / Q + a constant.

    Args:
        p, q: tables of one shape.
        t: T, finite, of that shape.

    Returns:
        float.

    Raises:
        ValueError: `p` or `q` is not a table, or the shapes differ.
    """
    p, q, t = table_of(p, "p"), table_of(q, "q"), np.asarray(t, np.float64)
    check_shapes(p=p, q=q, t=t)
    return expectation(p, t) - float(logsumexp(t, b=q))


def gibbs(q, t):
    """The Gibbs table G = exp(T) Q / E_Q[exp T] (proof of Theorem 3.2.1).

    Args:
        q: table.
        t: T, finite, of the same shape.

    Returns:
        float64 table of that shape.

    Raises:
        ValueError: `q` is not a table, or the shapes differ.
    """
    q, t = table_of(q, "q"), np.asarray(t, np.float64)
    check_shapes(q=q, t=t)
    return q * np.exp(t - logsumexp(t, b=q))


def infonce_loss(joint, scores, n):
    """The expected InfoNCE loss of a critic (equation 15) with one positive x among n candidates.

    (x*, z) is drawn jointly, and n - 1 other x from the marginal. For any critic, log n - loss is
    at most I(X, Z) (Proposition 7). The loss is minimal if the scores are the log density ratio
    plus any function of z.

    Args:
        joint: table [X, Z].
        scores: [X, Z], finite, log h(x, z).
        n: integer of 1 or more. The sum has X^n Z terms.

    Returns:
        float >= 0.

    Raises:
        ValueError: `joint` does not have two axes, the shapes differ, or `n` is below 1.
    """
    joint, scores = table_of_two(joint), np.asarray(scores, np.float64)
    check_shapes(joint=joint, scores=scores)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: n={n}")
    x, z = joint.shape
    of_x = marginal(joint, 0)
    others = np.indices((x,) * (n - 1)).reshape(n - 1, x ** (n - 1))
    chances = of_x[others].prod(axis=0)
    # [X, X^(n - 1), n, Z]: each positive with each draw of negatives.
    positive = np.broadcast_to(scores[:, None, None], (x, others.shape[1], 1, z))
    negatives = np.broadcast_to(scores[others.T], (x, others.shape[1], n - 1, z))
    losses = logsumexp(np.concatenate([positive, negatives], axis=2), axis=2) - scores[:, None]
    return float(np.einsum("xz,o,xoz->", joint, chances, losses))
