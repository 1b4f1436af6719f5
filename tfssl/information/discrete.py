"""Information of discrete variables, exactly, from tables of probabilities (thesis, ch. 2 and 3).

A table is an array of probabilities with one axis per variable. All are computed in float64, with
0 log 0 = 0, in nats, or in bits with `unit="bits"`.
"""

import math

import numpy as np

UNITS = {"nats": 1.0, "bits": 1 / math.log(2)}


def entropy(p, unit="nats"):
    """Shannon entropy H(X) = -sum p log p (Definition 3.1.1); of a joint table, the joint entropy.

    Args:
        p: table of probabilities, of any shape.
        unit: "nats" or "bits".

    Returns:
        float in [0, log(number of entries)].

    Raises:
        ValueError: not a table of probabilities, or an unknown unit.
    """
    p = table_of(p, "p")
    p = p[p > 0]
    return max(0.0, -float(np.sum(p * np.log(p)))) * scale(unit)


def conditional_entropy(joint, given, unit="nats"):
    """H(X|Y) = H(X, Y) - H(Y) (Definition 3.1.2): what is unknown of X once Y is known.

    Args:
        joint: table of two or more axes.
        given: axis, or tuple of axes, of what is known.

    Returns:
        float in [0, H(X)] (Proposition 3).

    Raises:
        ValueError: as for `entropy`.
    """
    joint = table_of(joint, "joint")
    return max(0.0, entropy(joint, unit) - entropy(marginal(joint, given), unit))


def kl_divergence(p, q, unit="nats"):
    """D_KL(P || Q) = sum p log(p / q) (Definition 2.2); infinite where q is 0 and p is not.

    Args:
        p, q: tables of one shape.

    Returns:
        float >= 0 (Proposition 1), 0 where the tables are equal.

    Raises:
        ValueError: the shapes differ, or as for `entropy`.
    """
    p, q = table_of(p, "p"), table_of(q, "q")
    check_shapes(p=p, q=q)
    there = p > 0
    if np.any(q[there] == 0):
        return math.inf
    return max(0.0, float(np.sum(p[there] * np.log(p[there] / q[there])))) * scale(unit)


def mutual_information(joint, unit="nats"):
    """I(X, Z) = H(X) - H(X|Z) = D_KL(P_XZ || P_X P_Z) (Definition 3.1, equation 4).

    Args:
        joint: table of two axes, X and Z.

    Returns:
        float in [0, min(H(X), H(Z))], 0 exactly where X and Z are independent (Corollary 1).

    Raises:
        ValueError: not a table of two axes, or as for `entropy`.
    """
    joint = table_of_two(joint)
    return kl_divergence(joint, np.outer(marginal(joint, 0), marginal(joint, 1)), unit)


def marginal(joint, axes):
    """The table of some of the variables (Definition 2.1.5).

    Args:
        joint: table of probabilities.
        axes: axis, or tuple of axes, to keep.
    """
    joint = np.asarray(joint, np.float64)
    kept = {axis % joint.ndim for axis in np.atleast_1d(axes).tolist()}
    return joint.sum(axis=tuple(axis for axis in range(joint.ndim) if axis not in kept))


def expectation(p, values):
    """The sum of p times the values, which may be infinite where p is 0 (Definition 2.1.3).

    Args:
        p: array >= 0.
        values: array of the same shape.
    """
    there = p > 0
    return float(np.sum(p[there] * values[there]))


def joint_table(*samples):
    """The table of relative frequencies of observed values.

    The information of this table is the maximum-likelihood estimate; on few samples it is too low
    for an entropy and too high for a mutual information.

    Args:
        *samples: one array [N] per variable, of any values that can be sorted.

    Returns:
        float64 table with one axis per variable, its values in sorted order.

    Raises:
        ValueError: no samples, or arrays of different lengths.
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
    """The table in float64, or ValueError where it is none."""
    p = np.asarray(p, np.float64)
    if p.size == 0 or not np.all(p >= 0) or not math.isclose(p.sum(), 1, abs_tol=1e-6):
        total = float(p.sum()) if p.size else 0.0
        raise ValueError(
            f"`{name}` must hold probabilities that add up to 1. Received: sum "
            f"{total:g}, smallest {float(p.min()) if p.size else None}"
        )
    return p / p.sum()


def table_of_two(joint):
    """The table of two variables in float64, or ValueError where it is none."""
    joint = table_of(joint, "joint")
    if joint.ndim != 2:
        raise ValueError(f"`joint` must have two axes. Received: joint.shape={joint.shape}")
    return joint


def conditional_of(p, name, shape):
    """P(y | x), each row a table, in float64, or ValueError where it is none."""
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
