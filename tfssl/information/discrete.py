"""Entropy and information of discrete variables from tables of probabilities (thesis, ch. 2, 3).

A table is an array of probabilities with one axis per variable. All functions compute in float64,
with 0 log 0 = 0, in nats, or in bits with `unit="bits"`.
"""

import math

import numpy as np

UNITS = {"nats": 1.0, "bits": 1 / math.log(2)}


def entropy(p, unit="nats"):
    """Shannon entropy H(X) = -sum p log p, or joint entropy of a joint table (Definition 3.1.1).

    Args:
        p: table of probabilities, of any shape.
        unit: "nats" or "bits".

    Returns:
        float in [0, log(number of entries)].

    Raises:
        ValueError: `p` is not a table of probabilities, or `unit` is unknown.

    Example:

    ```python
    from tfssl import information

    round(information.entropy([0.25, 0.25, 0.5], unit="bits"), 3)  # 1.5
    ```
    """
    p = table_of(p, "p")
    p = p[p > 0]
    return max(0.0, -float(np.sum(p * np.log(p)))) * scale(unit)


def conditional_entropy(joint, given, unit="nats"):
    """Conditional entropy H(X|Y) = H(X, Y) - H(Y) (Definition 3.1.2).

    Args:
        joint: table of two or more axes.
        given: axis, or tuple of axes, of Y.
        unit: "nats" or "bits".

    Returns:
        float in [0, H(X)] (Proposition 3).

    Raises:
        ValueError: as for `entropy`.

    Example:

    ```python
    from tfssl import information

    joint = [[0.25, 0.25], [0.0, 0.5]]
    round(information.conditional_entropy(joint, given=0, unit="bits"), 3)  # 0.5
    ```
    """
    joint = table_of(joint, "joint")
    return max(0.0, entropy(joint, unit) - entropy(marginal(joint, given), unit))


def kl_divergence(p, q, unit="nats"):
    """Kullback-Leibler divergence D_KL(P || Q) = sum p log(p / q) (Definition 2.2).

    Args:
        p, q: tables of one shape.
        unit: "nats" or "bits".

    Returns:
        float >= 0 (Proposition 1): 0 if the tables are equal, infinity if q is 0 where p is not.

    Raises:
        ValueError: the shapes differ, or as for `entropy`.

    Example:

    ```python
    from tfssl import information

    information.kl_divergence([1.0, 0.0], [0.25, 0.75], unit="bits")  # 2.0
    ```
    """
    p, q = table_of(p, "p"), table_of(q, "q")
    check_shapes(p=p, q=q)
    there = p > 0
    if np.any(q[there] == 0):
        return math.inf
    return max(0.0, float(np.sum(p[there] * np.log(p[there] / q[there])))) * scale(unit)


def mutual_information(joint, unit="nats"):
    """Mutual information I(X, Z) = H(X) - H(X|Z) = D_KL(P_XZ || P_X P_Z) (Definition 3.1, eq. 4).

    Args:
        joint: table of two axes, X and Z.
        unit: "nats" or "bits".

    Returns:
        float in [0, min(H(X), H(Z))]; 0 if and only if X and Z are independent (Corollary 1).

    Raises:
        ValueError: `joint` does not have two axes, or as for `entropy`.

    Example:

    ```python
    from tfssl import information

    information.mutual_information([[0.5, 0.0], [0.0, 0.5]], unit="bits")  # 1.0
    ```
    """
    joint = table_of_two(joint)
    return kl_divergence(joint, np.outer(marginal(joint, 0), marginal(joint, 1)), unit)


def marginal(joint, axes):
    """The marginal table of some of the variables (Definition 2.1.5).

    Args:
        joint: table of probabilities.
        axes: axis, or tuple of axes, to keep.
    """
    joint = np.asarray(joint, np.float64)
    kept = {axis % joint.ndim for axis in np.atleast_1d(axes).tolist()}
    return joint.sum(axis=tuple(axis for axis in range(joint.ndim) if axis not in kept))


def expectation(p, values):
    """Expectation of values, which may be infinite where p is 0 (Definition 2.1.3).

    Args:
        p: array >= 0.
        values: array of the same shape.
    """
    there = p > 0
    return float(np.sum(p[there] * values[there]))


def joint_table(*samples):
    """The table of relative frequencies of observed values.

    Information computed from this table is the maximum-likelihood (plug-in) estimate. With few
    samples it underestimates entropy and overestimates mutual information.

    Args:
        *samples: one array [N] per variable, of any sortable values.

    Returns:
        float64 table with one axis per variable, along which its values are sorted.

    Raises:
        ValueError: no samples, or arrays of different lengths.

    Example:

    ```python
    from tfssl import information

    table = information.joint_table(["a", "a", "b", "b"], [0, 1, 1, 1])
    table.tolist()  # [[0.25, 0.25], [0.0, 0.5]]
    ```
    """
    lengths = {len(values) for values in samples}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`samples` must be arrays of one length of at least 1. "
            f"Received: lengths {[len(values) for values in samples]}"
        )
    places, sizes = [], []
    for values in samples:
        kinds, place = np.unique(np.asarray(values), return_inverse=True)
        places.append(place.ravel())
        sizes.append(len(kinds))
    counts = np.zeros(sizes)
    np.add.at(counts, tuple(places), 1)
    return counts / counts.sum()


def table_of(p, name):
    """Checks a table of probabilities, and returns it in float64."""
    p = np.asarray(p, np.float64)
    if p.size == 0 or not np.all(p >= 0) or not math.isclose(p.sum(), 1, abs_tol=1e-6):
        total = float(p.sum()) if p.size else 0.0
        raise ValueError(
            f"`{name}` must hold probabilities that add up to 1. Received: sum "
            f"{total:g}, smallest {float(p.min()) if p.size else None}"
        )
    return p / p.sum()


def table_of_two(joint):
    """Checks a table of two variables, and returns it in float64."""
    joint = table_of(joint, "joint")
    if joint.ndim != 2:
        raise ValueError(f"`joint` must have two axes. Received: joint.shape={joint.shape}")
    return joint


def conditional_of(p, name, shape):
    """Checks P(y | x), whose rows are tables, and returns it in float64."""
    p = np.asarray(p, np.float64)
    if p.shape != shape:
        raise ValueError(f"`{name}` must be of shape {shape}. Received: {p.shape}")
    sums = p.sum(axis=-1, keepdims=True)
    if not np.all(p >= 0) or not np.allclose(sums, 1, atol=1e-6):
        raise ValueError(
            f"Each row of `{name}` must hold probabilities that add up to 1. Received:"
            f" sums of {sums.min():g} to {sums.max():g}, smallest {p.min():g}"
        )
    return p / sums


def check_shapes(**arrays):
    if len({array.shape for array in arrays.values()}) > 1:
        raise ValueError(
            " and ".join(f"`{name}`" for name in arrays) + " must be of one shape. "
            "Received: "
            + ", ".join(f"{name}.shape={array.shape}" for name, array in arrays.items())
        )


def scale(unit):
    if unit not in UNITS:
        raise ValueError(f"`unit` must be one of {', '.join(UNITS)}. Received: unit={unit!r}")
    return UNITS[unit]
