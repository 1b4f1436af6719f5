"""Bounds in expectation: below the truth for everything, equal where the theory says."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import softmax

from tfssl import information as info
from tfssl.information import bounds, exact
from tfssl.information.discrete import marginal

RNG = np.random.default_rng(0)


def tables(count=20, shape=(3, 4)):
    for _ in range(count):
        yield RNG.dirichlet(np.full(math.prod(shape), 0.7)).reshape(shape)


def ratio(joint):
    """The log density ratio, the best critic."""
    return np.log(joint / np.outer(marginal(joint, 0), marginal(joint, 1)))


def test_the_variational_bound_is_the_information_at_the_conditional_alone():  # Proposition 5
    for joint in tables():
        truth, conditional = info.mutual_information(joint), joint / joint.sum(1, keepdims=True)
        assert exact.variational_bound(joint, conditional) == pytest.approx(truth, abs=1e-12)
        for q in RNG.dirichlet(np.ones(4), size=(5, 3)):
            gap = info.kl_divergence(joint, joint.sum(1, keepdims=True) * q)
            assert exact.variational_bound(joint, q) == pytest.approx(truth - gap, abs=1e-10)
            assert gap > 0
    assert exact.variational_bound(np.full((2, 2), 0.25), np.eye(2)) == -math.inf


def test_donsker_varadhan_falls_short_by_the_divergence_from_gibbs():  # Theorem 3.2.1, equation 6
    for p, q in zip(tables(), tables()):
        truth = info.kl_divergence(p, q)
        for t in RNG.normal(size=(5, *p.shape)):
            gap = info.kl_divergence(p, exact.gibbs(q, t))
            assert exact.donsker_varadhan(p, q, t) == pytest.approx(truth - gap, abs=1e-9)
            assert exact.gibbs(q, t).sum() == pytest.approx(1)


def test_donsker_varadhan_of_a_joint_table_is_its_information():  # Corollary 2
    for joint in tables():
        product = np.outer(marginal(joint, 0), marginal(joint, 1))
        assert exact.donsker_varadhan(joint, product, ratio(joint) + 5) == pytest.approx(
            info.mutual_information(joint)
        )


def by_hand(joint, scores, n):
    """Every positive pair with every draw of n - 1 other x."""
    total, of_x = 0.0, marginal(joint, 0)
    for (i, j), p in np.ndenumerate(joint):
        for others in itertools.product(range(len(of_x)), repeat=n - 1):
            shares = softmax([scores[k, j] for k in (i, *others)])
            total -= p * np.prod(of_x[list(others)]) * np.log(shares[0])
    return total


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_infonce_loss_is_the_mean_over_all_draws(n):
    joint, scores = next(tables()), RNG.normal(size=(3, 4))
    assert exact.infonce_loss(joint, scores, n) == pytest.approx(by_hand(joint, scores, n))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_in_expectation_infonce_is_a_lower_bound_for_every_critic(n):  # Proposition 7
    for joint in tables():
        truth = info.mutual_information(joint)
        for scores in (*RNG.normal(scale=2, size=(5, 3, 4)), ratio(joint)):
            bound = math.log(n) - exact.infonce_loss(joint, scores, n)
            assert bound <= min(truth, math.log(n)) + 1e-12


def test_more_negatives_come_nearer_to_the_information():
    for joint in tables(5):
        values = [math.log(n) - exact.infonce_loss(joint, ratio(joint), n) for n in range(1, 7)]
        assert values[0] == pytest.approx(0, abs=1e-12)
        assert np.all(np.diff(values) > 0) and values[-1] < info.mutual_information(joint)


def test_the_best_critic_is_the_density_ratio_up_to_a_function_of_z():  # equation 14
    for joint in tables():
        best = exact.infonce_loss(joint, ratio(joint), 3)
        shifted = ratio(joint) + RNG.normal(size=4)
        assert exact.infonce_loss(joint, shifted, 3) == pytest.approx(best)
        shifted = ratio(joint) + RNG.normal(size=(3, 1))
        assert exact.infonce_loss(joint, shifted, 3) > best + 1e-6


@pytest.mark.parametrize("n", [2, 3])
def test_the_bound_of_a_batch_has_this_expectation(n):
    """`bounds.infonce_bound` over all batches of n pairs; its negatives are z, not x."""
    joint, scores = next(tables(shape=(2, 2))), RNG.normal(size=(2, 2))
    total = 0.0
    for batch in itertools.product(np.ndindex(2, 2), repeat=n):
        x, z = zip(*batch)
        chance = math.prod(joint[pair] for pair in batch)
        total += chance * float(bounds.infonce_bound(scores[np.ix_(x, z)]))
    assert total == pytest.approx(math.log(n) - exact.infonce_loss(joint.T, scores.T, n), abs=1e-5)


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda: exact.variational_bound(np.eye(2) / 2, np.ones((2, 2))), "Each row of `model`"),
        (lambda: exact.donsker_varadhan([0.5, 0.6], [0.5, 0.5], [0, 0]), "`p` must hold"),
        (lambda: exact.donsker_varadhan([0.5, 0.5], [0.5, 0.5], [0]), "must be of one shape"),
        (lambda: exact.gibbs([0.5, 0.6], [0, 0]), "`q` must hold"),
        (lambda: exact.infonce_loss(np.eye(2) / 2, np.zeros((2, 3)), 2), "must be of one shape"),
        (lambda: exact.infonce_loss(np.eye(2) / 2, np.zeros((2, 2)), 0), "`n` must be at least 1"),
        (lambda: exact.infonce_loss([1.0], [0.0], 2), "`joint` must have two axes"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
