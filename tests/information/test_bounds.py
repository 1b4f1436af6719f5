"""Bounds on mutual information: below the truth, equal where they should be."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfssl import losses
from tfssl.information import bounds

RNG = np.random.default_rng(0)


def optimal_scores(n, rho, dimension, rng=RNG):
    """The log density ratio of correlated Gaussians at n pairs, and their information in nats."""
    x = rng.standard_normal((n, dimension))
    z = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal((n, dimension))
    far = ((z[None] - rho * x[:, None]) ** 2).sum(-1) / (2 * (1 - rho**2))
    scores = 0.5 * (z**2).sum(-1)[None] - far - 0.5 * dimension * math.log(1 - rho**2)
    return scores.astype(np.float32), -0.5 * dimension * math.log(1 - rho**2)


def test_infonce_never_exceeds_log_n_and_eq_22_holds():
    for n in (2, 5, 64):
        scores = RNG.normal(scale=5, size=(n, n)).astype(np.float32)
        assert float(bounds.infonce_bound(scores)) <= math.log(n) + 1e-6
        assert float(bounds.infonce_bound(1e4 * np.eye(n))) == pytest.approx(math.log(n), abs=1e-5)
        a, b = RNG.normal(size=(2, n, 7)).astype(np.float32)
        assert float(bounds.infonce_bound(a @ b.T)) == pytest.approx(
            math.log(n) - float(losses.n_pair_loss(a, b)), abs=1e-4
        )


def test_by_hand():
    scores = RNG.normal(size=(6, 6)).astype(np.float32)
    diagonal, others = np.diag(scores), scores[~np.eye(6, dtype=bool)]
    for bound, expected in (
        (bounds.dv_bound, diagonal.mean() - np.log(np.exp(others).mean())),
        (bounds.nwj_bound, diagonal.mean() - np.exp(others - 1).mean()),
        (
            bounds.infonce_bound,
            np.log(6) + np.mean([scores[i, i] - np.log(np.exp(scores[i]).sum()) for i in range(6)]),
        ),
        (
            bounds.jsd_bound,
            -np.log(1 + np.exp(-diagonal)).mean() - np.log(1 + np.exp(others)).mean(),
        ),
    ):
        assert float(bound(scores)) == pytest.approx(float(expected), abs=1e-5)


def test_nwj_is_never_above_dv():
    for _ in range(50):
        scores = RNG.normal(scale=3, size=(8, 8))
        assert float(bounds.nwj_bound(scores)) <= float(bounds.dv_bound(scores)) + 1e-4


@pytest.mark.parametrize("rho,dimension", [(0.5, 2), (0.8, 1), (0.6, 4)])
def test_with_the_best_critic_all_reach_the_truth_from_below(rho, dimension):
    drawn = [optimal_scores(512, rho, dimension) for _ in range(20)]
    truth = drawn[0][1]
    for bound, shift, slack in (
        (bounds.infonce_bound, 0, 0.05),
        (bounds.dv_bound, 0, 0.1),
        (bounds.nwj_bound, 1, 0.1),
    ):
        values = [float(bound(scores + shift)) for scores, _ in drawn]
        error = 3 * np.std(values) / math.sqrt(len(values))
        assert np.mean(values) <= truth + error + 0.01
        assert np.mean(values) == pytest.approx(truth, abs=slack + error)


def test_infonce_saturates_and_the_others_do_not():
    scores, truth = optimal_scores(64, 0.95, 6)
    assert truth > math.log(64) + 2
    assert float(bounds.infonce_bound(scores)) <= math.log(64)
    assert float(bounds.dv_bound(scores)) > math.log(64) + 0.5


def test_barber_agakov_with_the_true_conditional_is_the_information():
    rho, n = 0.7, 200_000
    x = RNG.standard_normal(n)
    z = rho * x + math.sqrt(1 - rho**2) * RNG.standard_normal(n)
    entropy = 0.5 * math.log(2 * math.pi * math.e)

    def log_q(mean, variance):
        return -0.5 * (z - mean) ** 2 / variance - 0.5 * math.log(2 * math.pi * variance)

    truth = -0.5 * math.log(1 - rho**2)
    best = float(bounds.barber_agakov_bound(log_q(rho * x, 1 - rho**2), entropy))
    assert best == pytest.approx(truth, abs=0.01)
    assert float(bounds.barber_agakov_bound(log_q(0.3 * x, 0.9), entropy)) < best


def test_mines_value_is_dvs_and_its_gradient_has_the_averages_denominator():
    scores = tf.Variable(RNG.normal(size=(5, 5)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss, new = bounds.mine_loss(scores, tf.constant(0.7), rate=0.1)
    assert float(loss) == pytest.approx(-float(bounds.dv_bound(scores)), abs=1e-5)
    off = ~np.eye(5, dtype=bool)
    mean = np.exp(scores.numpy())[off].mean()
    average = 0.9 * np.exp(0.7) + 0.1 * mean
    assert float(new) == pytest.approx(np.log(average), abs=1e-5)
    expected = np.where(off, np.exp(scores.numpy()) / 20 / average, -1 / 5)
    np.testing.assert_allclose(tape.gradient(loss, scores), expected, rtol=1e-4)


def test_the_jsd_bound_of_a_critic_that_knows_nothing_is_minus_log_4_and_it_never_exceeds_0():
    assert float(bounds.jsd_bound(np.zeros((5, 5)))) == pytest.approx(-math.log(4))
    assert float(bounds.jsd_bound(200 * np.eye(5) - 100)) == pytest.approx(0, abs=1e-6)
    assert float(bounds.jsd_bound(100 - 200 * np.eye(5))) == pytest.approx(-200)
    for scale in (0.1, 1, 10, 100):
        assert float(bounds.jsd_bound(RNG.normal(scale=scale, size=(7, 7)))) <= 0


def gaussian_jensen_shannon(rho):
    """JS in nats between correlated Gaussians of one dimension and the product, by a grid."""
    x = np.linspace(-8, 8, 801)
    u, v = np.meshgrid(x, x)
    product = np.exp(-(u**2 + v**2) / 2) / (2 * np.pi)
    quadratic = (u**2 - 2 * rho * u * v + v**2) / (1 - rho**2)
    joint = np.exp(-quadratic / 2) / (2 * np.pi * math.sqrt(1 - rho**2))
    mixture = (joint + product) / 2

    def divergence(p):
        kept = p > 1e-300
        return np.sum(p[kept] * np.log(p[kept] / mixture[kept])) * (x[1] - x[0]) ** 2

    return (divergence(joint) + divergence(product)) / 2


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_with_the_best_critic_the_jsd_bound_is_2_js_minus_log_4(rho):
    truth = 2 * gaussian_jensen_shannon(rho) - math.log(4)
    drawn = [optimal_scores(512, rho, 1)[0] for _ in range(20)]
    best = [float(bounds.jsd_bound(scores)) for scores in drawn]
    error = 3 * np.std(best) / math.sqrt(len(best))
    assert np.mean(best) == pytest.approx(truth, abs=error + 0.002)
    for worse in (lambda f: f + 1, lambda f: f - 1, lambda f: 2 * f, lambda f: f / 2):
        others = [float(bounds.jsd_bound(worse(scores))) for scores in drawn]
        assert np.mean(others) < np.mean(best)


JOINT = np.array([[0.3, 0.1, 0.05], [0.02, 0.13, 0.4]])  # p(x, z)
PRODUCT = np.outer(JOINT.sum(axis=1), JOINT.sum(axis=0))


def expected_jsd(critic):
    """The mean of the objective over all batches of two pairs that can be drawn from JOINT."""
    total = 0.0
    for x1, z1 in np.ndindex(JOINT.shape):
        for x2, z2 in np.ndindex(JOINT.shape):
            scores = critic[np.ix_([x1, x2], [z1, z2])]
            total += JOINT[x1, z1] * JOINT[x2, z2] * float(bounds.jsd_bound(scores))
    return total


def test_the_jsd_bound_of_two_pairs_is_2_js_minus_log_4_on_average_and_no_critic_has_more():
    mixture = (JOINT + PRODUCT) / 2
    divergence = 0.5 * sum(np.sum(p * np.log(p / mixture)) for p in (JOINT, PRODUCT))
    best = np.log(JOINT / PRODUCT)
    assert 0.05 < divergence < np.sum(JOINT * best)  # the information is more
    assert expected_jsd(best) == pytest.approx(2 * divergence - math.log(4), abs=1e-5)
    for scale in (0.1, 1.0):
        other = best + scale * RNG.normal(size=best.shape)
        assert expected_jsd(other) < 2 * divergence - math.log(4) - 1e-4


BOUNDS = [bounds.infonce_bound, bounds.dv_bound, bounds.nwj_bound, bounds.jsd_bound]


@pytest.mark.parametrize("bound", BOUNDS)
def test_scores_must_be_square(bound):
    with pytest.raises(ValueError, match="`scores` must be a matrix"):
        bound(np.zeros((3, 4)))
