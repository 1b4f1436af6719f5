"""Sufficient and minimal statistics, encoders and views of discrete variables (thesis, 2.2.3, 5.2).

A statistic of x, or an encoder of it, is an array of labels [X]: values of x with equal labels
become one. What it is to tell of, a parameter, a label or another view, is the second axis of a
table [X, Y]. The functions here are those of Definitions 2.2.6 and 2.2.7 with Y the parameter,
5.2.1 and 5.2.2 with Y the other view, and 5.2.3 with Y the label of a task.
"""

import itertools

import numpy as np

from tfssl.information.discrete import (
    kl_divergence,
    marginal,
    mutual_information,
    table_of,
    table_of_two,
)

# Conditional probabilities no further apart than this are equal.
TOLERANCE = 1e-6


def push_forward(joint, labels, axis=0):
    """The table after a variable has gone through a statistic: entries of equal label added up.

    Args:
        joint: table of any number of axes.
        labels: [joint.shape[axis]], of any values that can be sorted.
        axis: of the variable.

    Returns:
        float64 table, along `axis` one entry per label, in sorted order.

    Raises:
        ValueError: not a table, or not one label per value.

    Example, two throws of a coin and their sum:

        >>> push_forward([0.25, 0.25, 0.25, 0.25], labels=[0, 1, 1, 2]).tolist()
        [0.25, 0.5, 0.25]
    """
    joint = np.moveaxis(table_of(joint, "joint"), axis, 0)
    blocks = blocks_of(labels, len(joint))
    table = np.zeros((blocks.max() + 1, *joint.shape[1:]))
    np.add.at(table, blocks, joint)
    return np.moveaxis(table, 0, axis)


def is_sufficient(joint, labels, tolerance=TOLERANCE):
    """Whether X given T(X) = t is distributed alike for every parameter (Definition 2.2.6).

    Args:
        joint: table [X, parameter], P(x | theta) times any prior that is nowhere 0.
        labels: [X], T.
        tolerance: largest difference of conditional probabilities that counts as none.

    Returns:
        bool.

    Raises:
        ValueError: not a table of two axes, or not one label per value.

    Example, two throws of coins of unknown bias; the sum is sufficient, the first throw is not:

        >>> heads, tails = np.array([0.2, 0.7]), np.array([0.8, 0.3])
        >>> joint = np.stack([tails**2, tails * heads, heads * tails, heads**2]) / 2
        >>> is_sufficient(joint, [0, 1, 1, 2]), is_sufficient(joint, [0, 0, 1, 1])
        (True, False)
    """
    joint = table_of_two(joint)
    blocks = blocks_of(labels, len(joint))
    return all(spread(joint[blocks == block]) <= tolerance for block in np.unique(blocks))


def keeps_information(joint, labels, tolerance=TOLERANCE):
    """Whether I(T(X), Y) = I(X, Y): sufficiency by Remark 2, and of an encoder (Definition 5.2.1).

    The same as `is_sufficient`, up to the tolerance.

    Args:
        joint: table [X, Y].
        labels: [X], T.
        tolerance: as for `is_sufficient`; the information that is lost is of second order in such
            differences, so it may be up to the square of it, in nats.

    Returns, Raises: as for `is_sufficient`.
    """
    return information_lost(joint, labels) <= tolerance**2


def information_lost(joint, labels):
    """I(X, Y) - I(T(X), Y) = I(X, Y | T(X)), computed without the difference.

    Args:
        joint: table [X, Y].
        labels: [X], T.

    Returns:
        float >= 0, in nats.

    Raises:
        ValueError: as for `is_sufficient`.
    """
    joint = table_of_two(joint)
    blocks = blocks_of(labels, len(joint))
    of_x, of_t = marginal(joint, 0), push_forward(joint, blocks)[blocks]
    # P(x) P(y | t): what the joint would be if x said no more of y than t does.
    alike = of_x[:, None] * of_t / np.maximum(of_t.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return kl_divergence(joint, alike)


def minimal_sufficient(joint, tolerance=TOLERANCE):
    """The minimal sufficient statistic (Definition 2.2.7): joins all x of equal P(y | x).

    It is a function of every sufficient statistic, and of them the one of least entropy. Of X and
    the label of a task it is the optimal representation (Definition 5.2.3); of two views, the
    minimal sufficient encoder of the first (Definition 5.2.2, with I(f(v_i), v_i), its entropy, as
    what is least: I(f(v_i), v_j) is the same for all sufficient f).

    Args:
        joint: table [X, Y].
        tolerance: largest difference of conditional probabilities that counts as none.

    Returns:
        int [X], labels from 0 in the order in which they appear. Values of probability 0, of which
        nothing is asked, have label 0.

    Raises:
        ValueError: not a table of two axes.

    Example, two throws of coins of unknown bias; their order says nothing:

        >>> heads, tails = np.array([0.2, 0.7]), np.array([0.8, 0.3])
        >>> joint = np.stack([tails**2, tails * heads, heads * tails, heads**2]) / 2
        >>> minimal_sufficient(joint).tolist()
        [0, 1, 1, 2]
    """
    joint = table_of_two(joint)
    labels, kinds = np.zeros(len(joint), int), []
    for x in np.flatnonzero(marginal(joint, 0)):
        given = joint[x] / joint[x].sum()
        labels[x] = place_of(given, kinds, tolerance)
    return labels


def is_minimal(joint, labels, tolerance=TOLERANCE):
    """Whether a statistic is sufficient, and a function of every other that is (Definition 2.2.7).

    Args, Raises: as for `is_sufficient`.

    Returns:
        bool.
    """
    there = np.flatnonzero(marginal(table_of_two(joint), 0))
    return is_sufficient(joint, labels, tolerance) and is_function(
        np.asarray(labels)[there], minimal_sufficient(joint, tolerance)[there]
    )


def is_function(labels, of):
    """Whether T(x) = f(U(x)) for a mapping f and all x.

    Args:
        labels: [X], T.
        of: [X], U.

    Returns:
        bool.
    """
    return len(set(zip(of, labels))) == len(set(of))


def partitions(count):
    """All statistics of a variable, up to the names of their values: all partitions of its values.

    Args:
        count: of its values, at least 1. There are 203 partitions of 6, 21,147 of 9.

    Yields:
        int [count], labels from 0 in the order in which they appear.
    """
    if count == 1:
        yield np.array([0])
        return
    for labels in partitions(count - 1):
        for label in range(labels.max() + 2):  # one of those there are, or a new one
            yield np.append(labels, label)


def view_table(p, labels_1, labels_2):
    """The joint table of two views, each a function of x.

    Args:
        p: P(x), a table [X].
        labels_1, labels_2: [X], the views.

    Returns:
        float64 table [V1, V2], their values in sorted order.

    Raises:
        ValueError: not such a table, or not one label per value.
    """
    return push_forward(push_forward(np.diag(table_of(p, "p")), labels_1, 0), labels_2, 1)


def best_views(joint, tolerance=TOLERANCE):
    """The views of the InfoMin principle (Definition 5.1, Proposition 8), by trying all pairs.

    Of all pairs of functions of x that keep all information on the label, I(v, y) = I(x, y), those
    that share least, I(v1, v2). That is the entropy of the minimal sufficient statistic of x: two
    such views share it at least, and where they share no more, each is independent of the other
    given it. Views that draw at random are functions of x together with what is drawn.

    Args:
        joint: table [X, Y] of few values of x: the number of pairs is the square of that of the
            partitions that keep the information.
        tolerance: as for `keeps_information`.

    Returns:
        list of (labels_1 [X], labels_2 [X]).

    Raises:
        ValueError: not a table of two axes.
    """
    p = marginal(table_of_two(joint), 0)
    views = [labels for labels in partitions(len(p)) if keeps_information(joint, labels, tolerance)]
    pairs = list(itertools.product(views, repeat=2))
    shared = [mutual_information(view_table(p, *pair)) for pair in pairs]
    return [pair for pair, nats in zip(pairs, shared) if nats <= min(shared) + tolerance**2]


def blocks_of(labels, count):
    """The labels as numbers from 0, in sorted order."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(
            f"`labels` must hold a label for each of {count} values. Received: shape {labels.shape}"
        )
    return np.unique(labels, return_inverse=True)[1]


def spread(rows):
    """How far P(x | t, theta) of one block differs between parameters, at most; 0 or less: not."""
    rows = rows[:, rows.sum(axis=0) > 0]
    given = rows / rows.sum(axis=0)
    return (given.max(axis=1, initial=0) - given.min(axis=1, initial=1)).max()


def place_of(given, kinds, tolerance):
    """The number of the first kind that is equal to `given`, which becomes a new one otherwise."""
    for place, kind in enumerate(kinds):
        if np.abs(given - kind).max() <= tolerance:
            return place
    kinds.append(given)
    return len(kinds) - 1
