"""Sufficient, minimal and optimal: the definitions against all partitions of small supports."""

import itertools

import numpy as np
import pytest

from tfssl import information as info
from tfssl.information import sufficiency
from tfssl.information.discrete import marginal
from tfssl.information.sufficiency import (
    best_views,
    information_lost,
    is_function,
    is_minimal,
    partitions,
    view_table,
)

RNG = np.random.default_rng(0)


def table_with(statistic, columns=3, never=()):
    """A random joint table of which this is the minimal sufficient statistic.

    Args:
        statistic: label per value of x: equal labels, equal P(y | x).
        columns: values of y.
        never: values of x of probability 0.
    """
    given = RNG.dirichlet(np.ones(columns), size=max(statistic) + 1)
    p = RNG.dirichlet(np.full(len(statistic), 2.0))
    p[list(never)] = 0
    return p[:, None] / p.sum() * given[list(statistic)]


CASES = [
    ((0, 0, 0, 0, 0), ()),
    ((0, 1, 2, 3, 4), ()),
    ((0, 0, 1, 1, 2), ()),
    ((0, 1, 0, 1, 0), ()),
    ((0, 1, 1, 1, 2, 0), ()),
    ((0, 1, 0, 1, 2), (4,)),
    ((0, 1, 1, 0, 2, 2), (1, 5)),
]
EACH = pytest.mark.parametrize("statistic,never", CASES)


def sums(throws=4):
    """P(x | theta) / 3 of all sequences of throws of three coins, and the number of heads."""
    sequences = np.array(list(itertools.product((0, 1), repeat=throws)))
    heads = sequences.sum(axis=1)
    bias = np.array([0.2, 0.5, 0.7])
    return sequences, heads, bias ** heads[:, None] * (1 - bias) ** (throws - heads[:, None]) / 3


@pytest.mark.parametrize("count,number", [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52), (6, 203)])
def test_partitions_are_all_of_them(count, number):  # Bell's numbers
    found = {tuple(labels) for labels in partitions(count)}
    assert len(found) == number == len(list(partitions(count)))
    drawn = RNG.integers(0, count, size=(500, count))
    for labels in drawn:  # each is one of them, up to its names
        order = list(dict.fromkeys(labels))
        assert tuple(order.index(label) for label in labels) in found


def test_pushing_forward_adds_up_what_becomes_one():
    joint = RNG.dirichlet(np.ones(12)).reshape(4, 3)
    found = info.push_forward(joint, ["b", "a", "b", "c"])
    np.testing.assert_allclose(found, [joint[1], joint[0] + joint[2], joint[3]])
    np.testing.assert_allclose(
        info.push_forward(joint, [1, 0, 1], axis=1),
        np.stack([joint[:, 1], joint[:, 0] + joint[:, 2]], axis=1),
    )
    np.testing.assert_allclose(info.push_forward(joint, [0, 1, 2], axis=-1), joint)


@EACH
def test_sufficient_by_definition_is_sufficient_by_information(statistic, never):
    """Definition 2.2.6 and Remark 2 agree on every statistic; so does the factorisation."""
    joint = table_with(statistic, never=never)
    there = marginal(joint, 0) > 0
    for labels in partitions(len(statistic)):
        expected = is_function(np.array(statistic)[there], labels[there])
        assert info.is_sufficient(joint, labels) == expected, labels
        assert info.keeps_information(joint, labels) == expected, labels


@EACH
def test_what_a_statistic_loses_is_the_difference_of_information(statistic, never):
    """Data processing: never below 0, whatever is joined in either variable."""
    joint = table_with(statistic, never=never)
    whole = info.mutual_information(joint)
    for labels in partitions(len(statistic)):
        left = info.mutual_information(info.push_forward(joint, labels))
        assert information_lost(joint, labels) == pytest.approx(whole - left, abs=1e-12)
        assert left <= whole + 1e-12
    for labels in partitions(3):
        assert info.mutual_information(info.push_forward(joint, labels, 1)) <= whole + 1e-12


def test_a_bijection_leaves_the_information_and_is_sufficient():  # Proposition 4, section 2.2.3
    for _ in range(20):
        joint = RNG.dirichlet(np.ones(30)).reshape(6, 5)
        of_x, of_y = RNG.permutation(6), RNG.permutation(5)
        turned = info.push_forward(info.push_forward(joint, of_x), of_y, 1)
        assert info.mutual_information(turned) == pytest.approx(info.mutual_information(joint))
        assert info.is_sufficient(joint, of_x) and info.keeps_information(joint, of_x)
    statistic = np.array([0, 0, 1, 1, 2])
    assert info.is_sufficient(table_with(statistic), np.array([7, -3, 5])[statistic])


@EACH
def test_minimal_is_a_function_of_every_sufficient_statistic(statistic, never):
    """Definition 2.2.7 against all partitions: what `is_minimal` says, and of what is found."""
    joint = table_with(statistic, never=never)
    there = marginal(joint, 0) > 0
    sufficient = [
        labels for labels in partitions(len(statistic)) if info.is_sufficient(joint, labels)
    ]
    for labels in partitions(len(statistic)):
        by_definition = info.is_sufficient(joint, labels) and all(
            is_function(labels[there], of[there]) for of in sufficient
        )
        assert is_minimal(joint, labels) == by_definition, labels
    found = info.minimal_sufficient(joint)
    assert is_minimal(joint, found)
    entropies = [
        info.entropy(info.push_forward(marginal(joint, 0), labels)) for labels in sufficient
    ]
    assert info.entropy(info.push_forward(marginal(joint, 0), found)) == pytest.approx(
        min(entropies), abs=1e-12
    )


@EACH
def test_the_minimal_statistic_is_the_one_that_was_built_in(statistic, never):
    joint = table_with(statistic, never=never)
    there = marginal(joint, 0) > 0
    found = info.minimal_sufficient(joint)
    assert not found[~there].any()
    found = found[there]
    assert is_function(found, np.array(statistic)[there])
    assert is_function(np.array(statistic)[there], found)


def test_of_throws_of_a_coin_the_number_of_heads_is_minimal():
    """Example 3's kind: the mean is sufficient; the median and a part of the sample are not."""
    sequences, heads, joint = sums()
    assert info.is_sufficient(joint, heads) and is_minimal(joint, heads)
    assert sorted(set(zip(heads, info.minimal_sufficient(joint)))) == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
    ]
    whole = np.arange(16)
    assert info.is_sufficient(joint, whole) and not is_minimal(joint, whole)
    for labels in (np.median(sequences, axis=1), sequences[:, 0], heads > 2):
        assert not info.is_sufficient(joint, labels)
        assert not info.keeps_information(joint, labels)
        assert information_lost(joint, labels) > 1e-3


def test_sufficiency_does_not_depend_on_the_prior_unless_it_leaves_out_a_parameter():
    """Remark 2 needs a prior that is nowhere 0: information does not see what never happens."""
    joint = table_with((0, 1, 2, 3), columns=3)
    likelihood = joint / joint.sum(axis=0)
    for prior in ([1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]):
        for labels in partitions(4):
            assert info.is_sufficient(likelihood * prior, labels) == (len(set(labels)) == 4)
            assert info.keeps_information(likelihood * prior, labels) == (len(set(labels)) == 4)
    assert info.keeps_information(likelihood * [0.0, 1.0, 0.0], [0, 0, 0, 0])


@pytest.mark.parametrize("gap,expected", [(1e-9, True), (1e-4, False)])
def test_differences_below_the_tolerance_are_none(gap, expected):
    joint = np.array([[0.1 + gap, 0.2 - gap], [0.1, 0.2], [0.3, 0.1]])
    assert info.is_sufficient(joint, [0, 0, 1]) == expected
    assert info.keeps_information(joint, [0, 0, 1]) == expected
    assert (info.minimal_sufficient(joint).tolist() == [0, 0, 1]) == expected


def view_pairs(joint):
    """All pairs of functions of x that keep the information on y."""
    views = [labels for labels in partitions(len(joint)) if info.keeps_information(joint, labels)]
    return list(itertools.product(views, repeat=2))


def encoded(p, view_1, view_2):
    """What the minimal sufficient encoder of view 1, trained on view 2, makes of each x."""
    table = view_table(p, view_1, view_2)
    return info.minimal_sufficient(table)[np.unique(view_1, return_inverse=True)[1]]


def same(a, b, there):
    return is_function(a[there], b[there]) and is_function(b[there], a[there])


@EACH
def test_the_best_views_teach_the_optimal_representation(statistic, never):
    """Proposition 8, on all pairs of views: those that share least share the entropy of the minimal
    sufficient statistic of x for y, and the minimal sufficient encoder of one for the other is
    that statistic."""
    joint = table_with(statistic, never=never)
    p, optimal = marginal(joint, 0), info.minimal_sufficient(joint)
    pairs = best_views(joint)
    assert pairs
    for view_1, view_2 in pairs:
        for view in (view_1, view_2):
            assert info.mutual_information(info.push_forward(joint, view)) == pytest.approx(
                info.mutual_information(joint), abs=1e-9
            )
        assert info.mutual_information(view_table(p, view_1, view_2)) == pytest.approx(
            info.entropy(info.push_forward(p, optimal)), abs=1e-9
        )
        assert same(encoded(p, view_1, view_2), optimal, p > 0), (view_1, view_2)


@EACH
def test_the_representation_is_optimal_for_exactly_the_best_views(statistic, never):
    """Keeping the information is not enough: of views that share more, more is learned."""
    joint = table_with(statistic, never=never)
    p, optimal = marginal(joint, 0), info.minimal_sufficient(joint)
    least = info.entropy(info.push_forward(p, optimal))
    for view_1, view_2 in view_pairs(joint):
        shared = info.mutual_information(view_table(p, view_1, view_2))
        assert shared >= least - 1e-12
        learned = encoded(p, view_1, view_2)
        assert same(learned, optimal, p > 0) == (shared < least + 1e-9), (view_1, view_2)
        assert info.keeps_information(joint, learned)


def test_one_of_the_best_views_may_be_all_of_x():
    """The optimal views are not unique, and need not be optimal representations themselves."""
    optimal = np.array([0, 0, 1, 1, 2])
    found = {(tuple(a), tuple(b)) for a, b in best_views(table_with(optimal))}
    everything = (0, 1, 2, 3, 4)
    assert {
        (tuple(optimal), tuple(optimal)),
        (everything, tuple(optimal)),
        (tuple(optimal), everything),
    } <= found
    assert (everything, everything) not in found


def test_the_best_views_share_nothing_but_the_task():
    """Row and column of a square of equally likely values, beside a fifth: each of the views tells
    more than the label, and of what is more the other knows nothing."""
    joint = np.array([[0.2, 0]] * 4 + [[0, 0.2]])
    rows, columns = (0, 0, 1, 1, 2), (0, 1, 0, 1, 2)
    assert (rows, columns) in {(tuple(a), tuple(b)) for a, b in best_views(joint)}
    learned = encoded(marginal(joint, 0), np.array(rows), np.array(columns))
    assert learned.tolist() == [0, 0, 0, 0, 1]


def test_of_a_family_without_such_views_the_best_teach_too_much():
    """Proposition 8 is of all views: the least of a family may be above H of the optimal
    representation, and then the encoder keeps what the task does not need."""
    joint = table_with((0, 0, 1, 1))
    p = marginal(joint, 0)
    family = [
        labels
        for labels in partitions(4)
        if labels[0] != labels[1] and info.keeps_information(joint, labels)
    ]
    pairs = list(itertools.product(family, repeat=2))
    shared = [info.mutual_information(view_table(p, *pair)) for pair in pairs]
    best = pairs[int(np.argmin(shared))]
    assert min(shared) > info.entropy(info.push_forward(p, [0, 0, 1, 1])) + 1e-3
    assert encoded(p, *best)[0] != encoded(p, *best)[1]


@pytest.mark.parametrize(
    "call,said",
    [
        (
            lambda: info.push_forward([0.5, 0.5], [0]),
            "`labels` must hold a label for each of 2 values",
        ),
        (lambda: info.push_forward([0.5, 0.6], [0, 1]), "`joint` must hold probabilities"),
        (lambda: info.is_sufficient([0.5, 0.5], [0, 1]), "`joint` must have two axes"),
        (lambda: info.minimal_sufficient([0.5, 0.5]), "`joint` must have two axes"),
        (lambda: view_table([0.5, 0.5], [0, 1], [0]), "`labels` must hold"),
        (lambda: sufficiency.is_minimal(np.eye(2) / 2, [0]), "`labels` must hold"),
        (lambda: best_views([1.0]), "`joint` must have two axes"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
