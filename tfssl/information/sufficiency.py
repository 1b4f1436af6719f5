"""Sufficient and minimal statistics, encoders and views of discrete variables (thesis, 2.2.3, 5.2).

A statistic, or an encoder, of x is an array of labels [X]: it maps values of x with equal labels to
one value. The variable Y that it should be informative about is the second axis of a table [X, Y]:
the parameter in Definitions 2.2.6 and 2.2.7, the other view in 5.2.1 and 5.2.2, and the label of a
task in 5.2.3.
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
    """The table after a statistic is applied to a variable: adds up entries with equal labels.

    Args:
        joint: table of any number of axes.
        labels: [joint.shape[axis]], of any sortable values.
        axis: axis of the variable.

    Returns:
        float64 table with one entry per label along `axis`, in sorted order.

    Raises:
        ValueError: `joint` is not a table, or `labels` does not have one label per value.

    Example:

    ```python
    from tfssl import information

    two_throws = [0.25, 0.25, 0.25, 0.25]  # of a fair coin, and the table of their sum
    information.push_forward(two_throws, labels=[0, 1, 1, 2]).tolist()  # [0.25, 0.5, 0.25]
    ```
    """
    joint = np.moveaxis(table_of(joint, "joint"), axis, 0)
    blocks = blocks_of(labels, len(joint))
    table = np.zeros((blocks.max() + 1, *joint.shape[1:]))
    np.add.at(table, blocks, joint)
    return np.moveaxis(table, 0, axis)


def is_sufficient(joint, labels, tolerance=TOLERANCE):
    """Whether a statistic T is sufficient (Definition 2.2.6).

    That is, whether P(x | T(x) = t, theta) is the same for every parameter theta.

    Args:
        joint: table [X, parameter], P(x | theta) times any prior that is positive everywhere.
        labels: [X], T.
        tolerance: conditional probabilities that differ by at most this are equal.

    Returns:
        bool.

    Raises:
        ValueError: `joint` does not have two axes, or `labels` not one label per value.

    Example:

    ```python
    from tfssl.information import is_sufficient

    heads, tails = np.array([0.2, 0.7]), np.array([0.8, 0.3])  # two coins, each thrown twice
    joint = np.stack([tails**2, tails * heads, heads * tails, heads**2]) / 2
    is_sufficient(joint, labels=[0, 1, 1, 2])  # True
    is_sufficient(joint, labels=[0, 0, 1, 1])  # False
    ```

    The sum of the throws is sufficient for the bias, the first throw is not.
    """
    joint = table_of_two(joint)
    blocks = blocks_of(labels, len(joint))
    return all(
        largest_difference(joint[blocks == block]) <= tolerance for block in np.unique(blocks)
    )


def keeps_information(joint, labels, tolerance=TOLERANCE):
    """Whether I(T(X), Y) = I(X, Y), the sufficiency of an encoder (Definition 5.2.1, Remark 2).

    Equivalent to `is_sufficient` up to the tolerance.

    Args:
        joint: table [X, Y].
        labels: [X], T.
        tolerance: as for `is_sufficient`. The loss of information is of second order in such
            differences, so a loss of up to tolerance**2 nats is accepted.

    Returns:
        bool.

    Raises:
        ValueError: as for `is_sufficient`.

    Example:

    ```python
    from tfssl.information import keeps_information

    joint = np.array([[0.25, 0.0], [0.25, 0.0], [0.0, 0.5]])  # x determines y
    keeps_information(joint, labels=[0, 0, 1])  # True
    keeps_information(joint, labels=[0, 1, 1])  # False
    ```
    """
    return information_lost(joint, labels) <= tolerance**2


def information_lost(joint, labels):
    """I(X, Y) - I(T(X), Y), computed as I(X, Y | T(X)) to avoid cancellation.

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
    # P(x) P(y | t): the joint table if x were independent of y given t.
    alike = of_x[:, None] * of_t / np.maximum(of_t.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return kl_divergence(joint, alike)


def minimal_sufficient(joint, tolerance=TOLERANCE):
    """The minimal sufficient statistic: maps all x with equal P(y | x) to one value.

    Definition 2.2.7. It is a function of every sufficient statistic, and the one with the smallest
    entropy. If Y is the label of a task, it is the optimal representation (Definition 5.2.3). If X
    and Y are two views, it is the minimal sufficient encoder of the first (Definition 5.2.2, where
    I(f(v_i), v_i), its entropy, is minimised: I(f(v_i), v_j) is the same for all sufficient f).

    Args:
        joint: table [X, Y].
        tolerance: conditional probabilities that differ by at most this are equal.

    Returns:
        int [X], labels from 0 in order of appearance. Values of probability 0 have label 0.

    Raises:
        ValueError: `joint` does not have two axes.

    Example:

    ```python
    from tfssl.information import minimal_sufficient

    heads, tails = np.array([0.2, 0.7]), np.array([0.8, 0.3])  # two coins, each thrown twice
    joint = np.stack([tails**2, tails * heads, heads * tails, heads**2]) / 2
    minimal_sufficient(joint).tolist()  # [0, 1, 1, 2]
    ```

    The order of the throws is irrelevant for the bias.
    """
    joint = table_of_two(joint)
    labels, kinds = np.zeros(len(joint), int), []
    for x in np.flatnonzero(marginal(joint, 0)):
        given = joint[x] / joint[x].sum()
        labels[x] = place_of(given, kinds, tolerance)
    return labels


def is_minimal(joint, labels, tolerance=TOLERANCE):
    """Whether a statistic is minimal sufficient: a function of every sufficient one.

    Definition 2.2.7. See `is_sufficient` for arguments and errors.
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
    """All statistics of a variable up to renaming, that is, all partitions of its values.

    Args:
        count: number of values, at least 1. There are 203 partitions of 6 values, 21,147 of 9.

    Yields:
        int [count], labels from 0 in order of appearance.
    """
    if count == 1:
        yield np.array([0])
        return
    for labels in partitions(count - 1):
        for label in range(labels.max() + 2):  # an existing label, or a new one
            yield np.append(labels, label)


def view_table(p, labels_1, labels_2):
    """The joint table of two views, each a function of x.

    Args:
        p: P(x), a table [X].
        labels_1, labels_2: [X], the views.

    Returns:
        float64 table [V1, V2], sorted by the values of the views.

    Raises:
        ValueError: `p` is not such a table, or there is not one label per value.
    """
    return push_forward(push_forward(np.diag(table_of(p, "p")), labels_1, 0), labels_2, 1)


def best_views(joint, tolerance=TOLERANCE):
    """The views of the InfoMin principle (Definition 5.1, Proposition 8), by exhaustive search.

    Among all pairs of functions of x that keep all information about the label, I(v, y) = I(x, y),
    those with the smallest I(v1, v2). That minimum is the entropy of the minimal sufficient
    statistic of x, which any two such views share; at the minimum they are independent given it.
    Random views are functions of x and their random draws.

    Args:
        joint: table [X, Y] with few values of x: the number of pairs is the square of the number of
            partitions that keep the information.
        tolerance: as for `keeps_information`.

    Returns:
        list of (labels_1 [X], labels_2 [X]).

    Raises:
        ValueError: `joint` does not have two axes.
    """
    p = marginal(table_of_two(joint), 0)
    views = [labels for labels in partitions(len(p)) if keeps_information(joint, labels, tolerance)]
    pairs = list(itertools.product(views, repeat=2))
    shared = [mutual_information(view_table(p, *pair)) for pair in pairs]
    return [pair for pair, nats in zip(pairs, shared) if nats <= min(shared) + tolerance**2]


def blocks_of(labels, count):
    """The labels as integers from 0, in sorted order."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(
            f"`labels` must hold a label for each of {count} values. Received: shape {labels.shape}"
        )
    return np.unique(labels, return_inverse=True)[1]


def largest_difference(rows):
    """The largest difference of P(x | t, theta) between parameters, for one block."""
    rows = rows[:, rows.sum(axis=0) > 0]
    given = rows / rows.sum(axis=0)
    return (given.max(axis=1, initial=0) - given.min(axis=1, initial=1)).max()


def place_of(given, kinds, tolerance):
    """The index of the first entry of `kinds` equal to `given`; appends it if there is none."""
    for place, kind in enumerate(kinds):
        if np.abs(given - kind).max() <= tolerance:
            return place
    kinds.append(given)
    return len(kinds) - 1
