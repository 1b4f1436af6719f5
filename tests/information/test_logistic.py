"""Logistic regression: its likelihood, its fit, its limit, and where it has no maximum."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tfssl import information as info
from tfssl.information import logistic, nce
from tfssl.information.exact import expected_log_likelihood
from tfssl.information.likelihood import maximise

RNG = np.random.default_rng(0)


def examples(count, theta, offset=0.0, scale=1.0):
    """Drawn from the model whose parameters, were x standard normal, are theta."""
    z = RNG.standard_normal((count, len(theta) - 1))
    y = (RNG.random(count) < logistic.probability(theta, z)).astype(int)
    return offset + scale * z, y


def rows_of(joint, values):
    """A table [X, 2] as examples (x, y) with weights."""
    x = np.repeat(np.asarray(values, float)[:, None], 2, axis=0)
    return x, np.tile([0, 1], len(values)), joint.ravel()


def model(theta, values):
    p = logistic.probability(theta, np.asarray(values, float)[:, None])
    return np.stack([1 - p, p], axis=1)


def test_the_log_odds_are_linear():
    x, theta = RNG.normal(size=(9, 2)), [0.5, -1.0, 2.0]
    p = logistic.probability(theta, x)
    np.testing.assert_allclose(np.log(p / (1 - p)), 0.5 - x[:, 0] + 2 * x[:, 1])
    assert logistic.probability([0.0, 1.0], [[-1e5], [0.0], [1e5]]).tolist() == [0.0, 0.5, 1.0]


def test_the_log_likelihood_is_equation_7s():
    x, y = examples(12, [0.3, 1.0, -2.0])
    p = logistic.probability([0.1, 0.2, 0.3], x)
    product = np.prod(p**y * (1 - p) ** (1 - y))
    assert logistic.log_likelihood([0.1, 0.2, 0.3], x, y) == pytest.approx(math.log(product) / 12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_the_log_likelihood(weighted):
    x, y = examples(20, [0.3, 1.0, -2.0])
    weights = RNG.random(20) if weighted else None
    at = np.array([0.1, -0.7, 0.4])
    np.testing.assert_allclose(
        logistic.gradient(at, x, y, weights),
        approx_fprime(at, logistic.log_likelihood, 1e-7, x, y, weights),
        atol=1e-6,
    )


@pytest.mark.parametrize("offset,scale", [(0, 1), (1000, 100), (1e5, 1), (0, 1e-4)])
def test_the_fit_finds_the_parameters_in_any_units(offset, scale):
    theta = np.array([0.5, 1.0, -2.0])
    x, y = examples(20_000, theta, offset, scale)
    found = logistic.fit(x, y)
    np.testing.assert_allclose(found[1:] * scale, theta[1:], atol=0.1)
    assert found[0] + offset * found[1:].sum() == pytest.approx(theta[0], abs=0.1)
    white = logistic.gradient(found, x, y) @ logistic.whitening(logistic.with_offset(x))
    assert np.abs(white).max() < 1e-4


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_labels_of_any_type_are_the_same_labels(kind):
    x, y = examples(50, [0.5, 1.0])
    np.testing.assert_array_equal(logistic.fit(x, y.astype(kind)), logistic.fit(x, y))


def test_equal_features_share_their_weight():
    x, y = examples(500, [0.5, 1.0])
    one, two = logistic.fit(x, y), logistic.fit(np.hstack([x, x]), y)
    np.testing.assert_allclose(two, [one[0], one[1] / 2, one[1] / 2], atol=1e-4)


SEPARABLE = {
    "apart": ([[-2.0], [-1.0], [1.0]], [0, 0, 1]),
    "apart far from 0": ([[1e6], [1e6 + 1], [1e6 + 2]], [1, 0, 0]),
    "touching": ([[-1.0], [0.0], [0.0], [1.0]], [0, 0, 1, 1]),
    "one label": ([[-1.0], [1.0]], [1, 1]),
    "in the plane alone": ([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]], [0, 0, 1, 1]),
    "by a feature of one example": (np.eye(1, 40).T, [1] * 20 + [0] * 20),
}


@pytest.mark.parametrize("x,y", SEPARABLE.values(), ids=SEPARABLE)
def test_separable_labels_have_no_maximum(x, y):
    assert logistic.is_separable(x, y)
    with pytest.raises(ValueError, match="A plane separates the labels"):
        logistic.fit(x, y)
    # There is a direction along which the likelihood grows without end.
    theta = logistic.fit(x, y, l2=1e-3)
    smaller = logistic.fit(x, y, l2=1e-5)
    assert np.linalg.norm(smaller) > 1.1 * np.linalg.norm(theta)
    assert logistic.log_likelihood(smaller, x, y) > logistic.log_likelihood(theta, x, y)


def test_examples_of_weight_0_do_not_count():
    x, y = np.array([[-1.0], [1.0], [0.5], [2.0]]), np.array([0, 1, 1, 0])
    with pytest.raises(ValueError, match="A plane separates the labels"):
        logistic.fit(x, y, weights=[1, 1, 1, 0])
    overlapping = np.vstack([x, [[9.0]]]), np.append(y, 1)
    np.testing.assert_allclose(
        logistic.fit(*overlapping, weights=[1, 1, 1, 1, 0]), logistic.fit(x, y), atol=1e-4
    )
    np.testing.assert_allclose(
        logistic.fit(x, y, weights=[1, 2, 1, 1]),
        logistic.fit(x[[0, 1, 1, 2, 3]], y[[0, 1, 1, 2, 3]]),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    "x,y",
    [
        ([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]),
        ([[1.0], [1.0]], [0, 1]),
        ([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 1, 1]),
    ],
)  # exclusive or
def test_overlapping_labels_have_a_maximum(x, y):
    assert not logistic.is_separable(x, y)
    theta = logistic.fit(x, y, tolerance=1e-14)
    np.testing.assert_allclose(logistic.gradient(theta, x, y), 0, atol=1e-6)


def test_the_penalised_fit_is_where_the_gradient_is_the_penaltys():
    x, y = SEPARABLE["touching"]
    theta = logistic.fit(x, y, l2=0.1, tolerance=1e-14)
    np.testing.assert_allclose(logistic.gradient(theta, x, y), 0.1 * theta, atol=1e-6)


def test_the_limit_is_minus_the_divergence_minus_the_entropy():  # Remark 3
    for _ in range(20):
        joint, values = RNG.dirichlet(np.ones(10)).reshape(5, 2), RNG.normal(size=5)
        theta = RNG.normal(size=2)
        modelled = joint.sum(axis=1, keepdims=True) * model(theta, values)
        limit = expected_log_likelihood(joint, model(theta, values))
        assert limit == pytest.approx(
            -info.kl_divergence(joint, modelled) - info.conditional_entropy(joint, 0)
        )
        assert limit == pytest.approx(logistic.log_likelihood(theta, *rows_of(joint, values)))


def test_the_likelihood_of_a_sample_tends_to_the_limit():  # Remark 3
    joint, values = RNG.dirichlet(np.ones(6)).reshape(3, 2), np.array([-1.0, 0.0, 2.0])
    theta = np.array([0.3, -0.8])
    limit = expected_log_likelihood(joint, model(theta, values))
    gaps = []
    for count in (100, 10_000, 1_000_000):
        drawn = RNG.choice(6, size=(5 if count > 10_000 else 50, count), p=joint.ravel())
        gaps.append(
            np.mean(
                [
                    abs(logistic.log_likelihood(theta, values[d // 2][:, None], d % 2) - limit)
                    for d in drawn
                ]
            )
        )
    assert gaps[1] < gaps[0] / 5 and gaps[2] < gaps[1] / 5, gaps  # 10, give or take
    assert gaps[2] < 1e-3


def test_the_limit_is_largest_at_the_true_conditional():  # Remark 3
    values, truth = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0.4, -0.9])
    joint = RNG.dirichlet(np.ones(4))[:, None] * model(truth, values)
    best = -info.conditional_entropy(joint, 0)
    assert expected_log_likelihood(joint, model(truth, values)) == pytest.approx(best, abs=1e-12)
    for theta in truth + RNG.normal(scale=0.5, size=(50, 2)):
        assert expected_log_likelihood(joint, model(theta, values)) < best
    x, y, weights = rows_of(joint, values)
    np.testing.assert_allclose(
        logistic.fit(x, y, weights=weights, tolerance=1e-15), truth, atol=1e-5
    )


def test_a_model_that_cannot_be_the_conditional_stays_below():
    """Exclusive or has no linear log-odds: the best is a coin, at -log 2, not -H(Y|X) = 0."""
    joint, values = np.array([[1, 0], [0, 2], [1, 0]]) / 4, [-1.0, 0.0, 1.0]
    x, y, weights = rows_of(joint, values)
    theta = logistic.fit(x, y, weights=weights, tolerance=1e-14)
    np.testing.assert_allclose(theta, 0, atol=1e-6)
    assert info.conditional_entropy(joint, 0) == pytest.approx(0, abs=1e-12)
    assert expected_log_likelihood(joint, model(theta, values)) == pytest.approx(-math.log(2))


def test_a_model_that_rules_out_what_happens_has_no_likelihood():
    joint = np.full((2, 2), 0.25)
    assert expected_log_likelihood(joint, np.eye(2)) == -math.inf
    assert expected_log_likelihood(np.eye(2) / 2, np.eye(2)) == 0


def test_the_posterior_of_noise_contrast_is_the_logistic_of_the_log_ratio():  # Proposition 6
    """Its offset is -log nu; and equation 11 is the logistic likelihood of the labels."""
    log_ratio, nu = RNG.normal(scale=3, size=30), 2.0
    theta = [-math.log(nu), 1.0]
    np.testing.assert_allclose(
        nce.posterior(log_ratio, nu), logistic.probability(theta, log_ratio[:, None])
    )
    of_data, of_noise = log_ratio[:10], log_ratio[10:]
    labels = np.repeat([1, 0], [10, 20])
    assert nce.objective(of_data, of_noise) == pytest.approx(
        3 * logistic.log_likelihood(theta, log_ratio[:, None], labels)
    )  # 30 examples, 10 of data


def test_a_classifier_of_data_and_noise_learns_the_log_ratio():  # section 4.2, Proposition 6
    """Of two Gaussians that differ in the mean it is linear: (x - 1/2) - log nu."""
    x = np.append(RNG.normal(1, 1, 20_000), RNG.normal(0, 1, 60_000))[:, None]
    found = logistic.fit(x, np.repeat([1, 0], [20_000, 60_000]))
    np.testing.assert_allclose(found, [-0.5 - math.log(3), 1.0], atol=0.05)


def test_the_fit_is_the_search_of_the_likelihood_itself():
    x, y = examples(300, [0.5, 1.0])
    plain = maximise(
        lambda p: (logistic.log_likelihood(p, x, y), logistic.gradient(p, x, y)), np.zeros(2), 1e-14
    )
    np.testing.assert_allclose(logistic.fit(x, y, tolerance=1e-14), plain, atol=1e-6)


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda: logistic.fit([0.0, 1.0], [0, 1]), r"`x` must be \[N, D\]"),
        (lambda: logistic.fit(np.zeros((0, 1)), []), "N at least 1"),
        (lambda: logistic.fit([[0.0], [1.0]], [0]), r"`y` \[N\]"),
        (lambda: logistic.fit([[0.0], [1.0]], [-1, 1]), "`y` must hold labels 0 and 1"),
        (lambda: logistic.fit([[0.0], [np.nan]], [0, 1]), "`x` must be finite"),
        (lambda: logistic.fit([[0.0], [1.0]], [0, 1], l2=-1.0), "`l2` must be at least 0"),
        (lambda: logistic.fit([[0.0], [1.0]], [0, 1], weights=[1.0, -1.0]), "`weights` must be"),
        (lambda: logistic.fit([[0.0], [1.0]], [0, 1], weights=[0.0, 0.0]), "`weights` must be"),
        (lambda: expected_log_likelihood(np.eye(2) / 2, np.ones((2, 2))), "Each row of `model`"),
        (lambda: expected_log_likelihood(np.eye(2) / 2, np.eye(3)), "`model` must be of shape"),
        (lambda: expected_log_likelihood([1.0], [1.0]), "`joint` must have two axes"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
