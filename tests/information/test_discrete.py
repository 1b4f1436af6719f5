"""What the thesis proves of entropy and mutual information, on random tables."""

import math

import numpy as np
import pytest

from tfssl import information as info
from tfssl.information.discrete import marginal

RNG = np.random.default_rng(0)


def tables(count=40):
    """Random joint tables, some of them sparse, of 1 to 6 values for each variable."""
    for _ in range(count):
        shape = RNG.integers(1, 7, 2)
        p = RNG.gamma(0.4, size=shape) * (RNG.random(shape) < 0.8)
        p = p if p.sum() else np.ones(shape)
        yield p / p.sum()


@pytest.mark.parametrize(
    "p,bits",
    [
        ([0.5, 0.5], 1.0),
        ([1.0, 0.0], 0.0),
        ([0.25] * 4, 2.0),
        ([0.5, 0.25, 0.125, 0.125], 1.75),
        ([[0.25, 0.25], [0.25, 0.25]], 2.0),
    ],
)
def test_entropy_of_known_tables(p, bits):
    assert info.entropy(p, "bits") == pytest.approx(bits, abs=1e-12)
    assert info.entropy(p) == pytest.approx(bits * math.log(2), abs=1e-12)


def test_entropy_is_between_0_and_the_logarithm_of_the_values():  # Proposition 2
    for p in tables():
        px = marginal(p, 0)
        assert 0 <= info.entropy(px) <= math.log(len(px)) + 1e-12
    assert info.entropy(np.full(7, 1 / 7)) == pytest.approx(math.log(7))


def test_knowing_never_adds_uncertainty():  # Proposition 3
    for p in tables():
        for given, of in ((1, 0), (0, 1)):
            h = info.conditional_entropy(p, given)
            assert 0 <= h <= info.entropy(marginal(p, of)) + 1e-12
    determined = np.diag([0.2, 0.3, 0.5])
    assert info.conditional_entropy(determined, 1) == pytest.approx(0, abs=1e-12)


def test_entropy_is_0_where_one_value_is_sure_and_full_where_all_are_alike():
    """Proposition 2's equalities, in both directions."""
    for size in range(1, 7):
        assert info.entropy(np.eye(size)[size - 1]) == 0
        assert info.entropy(np.full(size, 1 / size)) == pytest.approx(math.log(size), abs=1e-12)
    for p in tables():
        px = marginal(p, 0)
        assert (info.entropy(px) < 1e-12) == (px.max() > 1 - 1e-12)
        assert (info.entropy(px) > math.log(len(px)) - 1e-12) == (np.ptp(px) < 1e-6)


def determined(p):
    """Whether x is a function of y: no y has two x."""
    return (p > 0).sum(axis=0).max() <= 1


def test_x_is_known_given_y_exactly_where_it_is_a_function_of_y():
    """Proposition 3's equality on the left, H(X|Y) = 0; the thesis says it of the right one."""
    seen = set()
    for p in tables(60):
        one_x = p * np.eye(len(p))[RNG.integers(0, len(p), p.shape[1])].T
        for q in (p, one_x / one_x.sum() if one_x.sum() else p):
            assert (info.conditional_entropy(q, 1) < 1e-12) == determined(q)
            seen.add((bool(determined(q)), info.mutual_information(q) < 1e-12))
    assert seen >= {(True, False), (False, False)}  # dependence does not make a function


def test_y_says_nothing_of_x_exactly_where_they_are_independent():
    """Proposition 3's equality on the right, H(X|Y) = H(X), and Corollary 1 (ii)."""
    seen = set()
    for p in tables(60):
        px, py = marginal(p, 0), marginal(p, 1)
        for q in (p, np.outer(px, py)):
            independent = bool(np.abs(q - np.outer(px, py)).max() < 1e-7)
            gap = info.entropy(px) - info.conditional_entropy(q, 1)
            assert (abs(gap) < 1e-12) == independent
            assert (info.mutual_information(q) < 1e-12) == independent
            seen.add(independent)
    assert seen == {True, False}


def test_conditional_entropy_is_the_mean_entropy_of_the_rows():
    for p in tables():
        by_rows = sum(row.sum() * info.entropy(row / row.sum()) for row in p if row.sum())
        assert info.conditional_entropy(p, 0) == pytest.approx(by_rows, abs=1e-10)


def test_divergence_is_0_for_equals_alone_and_not_symmetric():  # Proposition 1
    for p in tables():
        q = RNG.gamma(1.0, size=p.shape)
        q /= q.sum()
        assert info.kl_divergence(p, p) == pytest.approx(0, abs=1e-12)
        assert info.kl_divergence(p, q) > 0 or p.size == 1
    assert info.kl_divergence([0.5, 0.5], [1.0, 0.0]) == math.inf
    assert info.kl_divergence([1.0, 0.0], [0.5, 0.5], "bits") == pytest.approx(1)


def test_mutual_information_by_all_its_definitions():  # Definition 3.1, Corollary 1
    for p in tables():
        i, px, pz = info.mutual_information(p), marginal(p, 0), marginal(p, 1)
        assert i >= 0
        for other in (
            info.entropy(px) - info.conditional_entropy(p, 1),
            info.entropy(pz) - info.conditional_entropy(p, 0),
            info.entropy(px) + info.entropy(pz) - info.entropy(p),
            info.mutual_information(p.T),
        ):
            assert i == pytest.approx(other, abs=1e-10)
        assert i <= min(info.entropy(px), info.entropy(pz)) + 1e-10
        assert info.mutual_information(np.outer(px, pz)) == pytest.approx(0, abs=1e-12)


def test_dependence_is_above_0_and_a_copy_is_the_entropy():
    assert info.mutual_information([[0.3, 0.2], [0.2, 0.3]]) > 0.01
    p = np.array([0.1, 0.2, 0.7])
    assert info.mutual_information(np.diag(p)) == pytest.approx(info.entropy(p))


def test_renaming_values_changes_nothing_and_merging_them_loses():  # Proposition 4
    for p in tables():
        i = info.mutual_information(p)
        turned = p[RNG.permutation(p.shape[0])][:, RNG.permutation(p.shape[1])]
        assert info.mutual_information(turned) == pytest.approx(i, abs=1e-12)
        merged = np.vstack([p[:2].sum(0, keepdims=True), p[2:]])
        assert info.mutual_information(merged) <= i + 1e-12


def test_tables_of_samples():
    x = np.array(["a", "b", "a", "c"])
    z = np.array([5, 5, 7, 5])
    np.testing.assert_allclose(info.joint_table(x, z), np.array([[1, 1], [1, 0], [1, 0]]) / 4)
    big = RNG.integers(0, 4, 200_000)
    noisy = np.where(RNG.random(200_000) < 0.5, big, RNG.integers(0, 4, 200_000))
    p = np.full((4, 4), 0.5 / 16) + np.diag([0.5 / 4] * 4)
    assert info.mutual_information(info.joint_table(big, noisy)) == pytest.approx(
        info.mutual_information(p), abs=3e-3
    )


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda: info.entropy([0.5, 0.6]), "`p` must hold probabilities"),
        (lambda: info.entropy([1.5, -0.5]), "smallest -0.5"),
        (lambda: info.entropy([]), "`p` must hold probabilities"),
        (lambda: info.entropy([1.0], "bans"), "`unit` must be one of nats, bits"),
        (lambda: info.kl_divergence([1.0], [0.5, 0.5]), "`p` and `q` must be of one shape"),
        (lambda: info.mutual_information([1.0]), "`joint` must have two axes"),
        (lambda: info.joint_table([1, 2], [1]), "`samples` must be arrays of one length"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
