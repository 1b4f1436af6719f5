"""Where the thesis's text has a slip: what is printed fails, what is meant holds."""

import math

import numpy as np
import pytest

from tfssl import information as info
from tfssl.information import bounds, exact, logistic, nce
from tfssl.information.discrete import marginal
from tfssl.information.sufficiency import is_minimal, partitions, view_table

RNG = np.random.default_rng(0)


def table(shape=(3, 4)):
    return RNG.dirichlet(np.ones(math.prod(shape))).reshape(shape)


def log_ratio(joint):
    return np.log(joint / np.outer(marginal(joint, 0), marginal(joint, 1)))


def test_logistic_function_negates_the_whole_of_the_log_odds():
    """Section 4.1 prints 1 / (1 + exp(-b0 + b x)); its log-odds are b0 - b x, not b0 + b x."""
    b0, b, x = 0.4, 1.5, RNG.normal(size=9)
    printed = 1 / (1 + np.exp(-b0 + b * x))
    right = logistic.probability([b0, b], x[:, None])
    np.testing.assert_allclose(np.log(right / (1 - right)), b0 + b * x)
    np.testing.assert_allclose(right, np.exp(b0 + b * x) / (1 + np.exp(b0 + b * x)))
    assert np.abs(np.log(printed / (1 - printed)) - (b0 + b * x)).max() > 1


def test_proposition_3_has_its_equality_cases_swapped():
    """Printed: H(X|Y) = 0 where X and Y are independent, H(X|Y) = H(X) where P(x, y) = 0. It is 0
    where X is a function of Y, and H(X) where they are independent."""
    independent = np.outer([0.3, 0.7], [0.4, 0.6])
    h = info.entropy([0.3, 0.7])
    assert info.conditional_entropy(independent, 1) == pytest.approx(h) and h > 0.6
    of_y = np.array([[0.2, 0.0, 0.1], [0.0, 0.7, 0.0]])
    assert info.conditional_entropy(of_y, 1) == pytest.approx(0, abs=1e-12)
    assert info.mutual_information(of_y) == pytest.approx(h)


def test_proposition_5_takes_the_inner_expectation_over_z_given_x():
    """Printed: E over P(x) of E over P(x|z) of log Q(z|x). Whether z is then summed over or fixed,
    it is no lower bound: of independent variables it is above 0."""

    def parts(p_z):
        """The joint table of z with four x, P(z|x) itself as Q, the best there is, and P(x|z)."""
        joint = np.outer(np.full(4, 0.25), p_z)
        return joint, np.tile(p_z, (4, 1)), joint / marginal(joint, 1)

    joint, q, x_given_z = parts([0.5, 0.5])
    summed = info.entropy([0.5, 0.5]) + np.sum(0.25 * x_given_z * np.log(q))
    assert summed > 0.3 > info.mutual_information(joint) == 0
    joint, q, x_given_z = parts([0.9, 0.1])
    fixed = info.entropy([0.9, 0.1]) + np.sum(x_given_z * np.log(q), axis=0)
    assert fixed.max() > 0.2
    assert exact.variational_bound(joint, q) == pytest.approx(0, abs=1e-12)
    for q in RNG.dirichlet([1.0, 1.0], size=(20, 4)):
        assert exact.variational_bound(joint, q) <= 0


def test_donsker_varadhan_is_tight_where_p_is_the_gibbs_density():
    """Printed after equation 6: tight whenever P = Q. It is where P = G, P = Q or not."""
    p, q, t = table(), table(), RNG.normal(size=(3, 4))
    assert exact.donsker_varadhan(p, p, t) < info.kl_divergence(p, p) - 1e-3
    best = np.log(p / q) + 2.0
    np.testing.assert_allclose(exact.gibbs(q, best), p)
    assert np.abs(p - q).max() > 0.01
    assert exact.donsker_varadhan(p, q, best) == pytest.approx(info.kl_divergence(p, q))


def test_remark_3_is_the_divergence_of_the_truth_from_the_model():
    """Printed: to maximise the likelihood is to come near to the distribution of largest entropy.
    That one is the fair coin, theta = 0; the likelihood is largest at the true conditional."""
    x, p_x, truth = np.array([[-1.0], [0.0], [2.0]]), np.array([0.3, 0.3, 0.4]), [0.3, 1.2]

    def model(theta):
        p = logistic.probability(theta, x)
        return np.stack([1 - p, p], axis=1)

    joint, coin = p_x[:, None] * model(truth), model([0.0, 0.0])
    assert exact.expected_log_likelihood(joint, model(truth)) > (
        exact.expected_log_likelihood(joint, coin) + 0.1
    )
    from_coin = info.kl_divergence(p_x[:, None] * model(truth), p_x[:, None] * coin)
    assert from_coin > 0.1 and info.kl_divergence(joint, p_x[:, None] * model(truth)) == 0


def test_equation_11_drops_a_term_for_its_factor_not_for_its_probability():
    """Printed on the way from equation 10: P(C = 0 | x) = 0 for data. It is above 0 wherever there
    is noise; 1 - C is what is 0."""
    p_data, p_noise, nu = RNG.dirichlet(np.ones(5)), RNG.dirichlet(np.ones(5)), 2.0
    of_noise = 1 - nce.posterior(np.log(p_data / p_noise), nu)
    np.testing.assert_allclose(of_noise, nu * p_noise / (p_data + nu * p_noise))
    assert of_noise.min() > 0.01


def test_equation_15_is_minimised():
    """Printed: h learns to discriminate where the objective is maximised. It is a loss: the density
    ratio has less of it than what is near, and one that prefers negatives more than guessing."""
    for joint in (table(), table()):
        best = exact.infonce_loss(joint, log_ratio(joint), 3)
        for _ in range(20):
            near = log_ratio(joint) + RNG.normal(scale=0.3, size=(3, 4))
            assert exact.infonce_loss(joint, near, 3) > best
        assert exact.infonce_loss(joint, -5 * log_ratio(joint), 3) > math.log(3) > best


def test_proposition_7_holds_in_expectation_and_not_of_a_sample():
    """Of independent variables a batch can certify nearly log 2 nats by chance; the mean over all
    batches certifies nothing."""
    scores = 5.0 * np.eye(2)
    lucky = float(bounds.infonce_bound(scores[np.ix_([0, 1], [0, 1])]))
    assert lucky == pytest.approx(math.log(2), abs=0.01)
    pairs = [(x, z) for x in (0, 1) for z in (0, 1)]
    mean = np.mean(
        [
            float(bounds.infonce_bound(scores[np.ix_([a, c], [b, d])]))
            for a, b in pairs
            for c, d in pairs
        ]
    )
    assert mean < 0
    independent = np.full((2, 2), 0.25)
    assert info.mutual_information(independent) == 0
    assert mean == pytest.approx(math.log(2) - exact.infonce_loss(independent, scores, 2), abs=1e-5)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_proposition_7_is_not_proved_by_replacing_the_negatives_by_their_mean(n):
    """The proof puts 1, the expected density ratio of a negative, for each of them. By Jensen's
    inequality that makes the expression smaller, while a bound from above is being built: so the
    proof does not hold, though the bound does."""
    for joint in (table(), table(), table()):
        ratio = np.exp(log_ratio(joint))
        np.testing.assert_allclose(marginal(joint, 0) @ ratio, 1)  # the mean, for every z
        assert np.ptp(ratio) > 0.1  # and no more than the mean
        replaced = np.sum(joint * -np.log1p((n - 1) / ratio))
        exactly = -exact.infonce_loss(joint, log_ratio(joint), n)
        assert replaced < exactly < info.mutual_information(joint) - math.log(n)


def test_proposition_7s_last_inequality_holds_of_the_mean_and_not_of_each_pair():
    """Printed: -log a (k + 1) >= -log(1 + a k) for k > 0. It needs a <= 1, and a = P(x) / P(x|z) is
    above 1 wherever z makes x less likely; of the mean over pairs it is true."""
    joint = table()
    a, k = np.exp(-log_ratio(joint)), 2
    right, left = -np.log(a * (k + 1)), -np.log1p(a * k)
    np.testing.assert_array_equal(right >= left, a <= 1)
    assert (a > 1).any() and np.sum(joint * right) > np.sum(joint * left)


def test_definition_5_2_1_means_the_other_view():
    """Printed: j in {1, 2}. With j = i it asks for I(v, v) = I(f(v), v), which one-to-one encoders
    alone keep, while others keep all that v_1 says of v_2."""
    views = np.repeat([[0.1, 0.15], [0.3, 0.2]], [2, 1], axis=0)  # v_1 = 0 and 1 are alike
    views /= views.sum()
    itself = np.diag(marginal(views, 0))
    joined = [0, 0, 1]
    assert info.keeps_information(views, joined)
    assert [
        labels.tolist() for labels in partitions(3) if info.keeps_information(itself, labels)
    ] == [[0, 1, 2]]


def test_definition_5_2_2_compares_information_that_all_sufficient_encoders_share():
    """Printed: minimal where I(f(v_i), v_j) is least among sufficient f; by Definition 5.2.1 it is
    I(v_i, v_j) for all of them, so all are minimal. What differs, and is least for the minimal
    sufficient statistic, is I(f(v_i), v_i)."""
    given = RNG.dirichlet(np.ones(3), size=2)
    views = RNG.dirichlet(np.ones(4))[:, None] * given[[0, 0, 1, 1]]
    itself = np.diag(marginal(views, 0))
    sufficient = [f for f in partitions(4) if info.keeps_information(views, f)]
    of_other = [info.mutual_information(info.push_forward(views, f)) for f in sufficient]
    of_itself = [info.mutual_information(info.push_forward(itself, f)) for f in sufficient]
    assert len(sufficient) == 4 and np.ptp(of_other) < 1e-12 and np.ptp(of_itself) > 0.1
    least = sufficient[int(np.argmin(of_itself))]
    assert least.tolist() == info.minimal_sufficient(views).tolist() == [0, 0, 1, 1]
    assert [is_minimal(views, f) for f in sufficient].count(True) == 1


def test_proposition_8_fails_with_minimal_as_it_is_printed():
    """x and the minimal sufficient statistic are a best pair of views, and leaving x as it is a
    sufficient encoder, so by the letter of Definition 5.2.2 a minimal one. What it learns is not
    the optimal representation. (With what is meant: test_sufficiency.py.)"""
    given = RNG.dirichlet(np.ones(3), size=2)
    joint = RNG.dirichlet(np.ones(4))[:, None] * given[[0, 0, 1, 1]]
    views = view_table(marginal(joint, 0), [0, 1, 2, 3], [0, 0, 1, 1])
    assert info.mutual_information(views) == pytest.approx(
        info.entropy(info.push_forward(marginal(joint, 0), [0, 0, 1, 1]))
    )  # the least possible
    as_it_is, minimal = [0, 1, 2, 3], info.minimal_sufficient(views)
    for f in (as_it_is, minimal):
        assert info.mutual_information(info.push_forward(views, f)) == pytest.approx(
            info.mutual_information(views)
        )
    assert is_minimal(joint, minimal) and not is_minimal(joint, as_it_is)
