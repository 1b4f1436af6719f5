"""A check: a computation on the device, its reference, and how far apart they may be."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def relative(got: np.ndarray, want: np.ndarray) -> float:
    """||got - want|| / ||want|| (Frobenius); ||got - want|| where `want` is 0."""
    size = np.linalg.norm(want)
    return np.linalg.norm(got - want) / (size or 1.0)


def worst_row(got: np.ndarray, want: np.ndarray, left_out: float = 0.0) -> float:
    """The largest ||got_i - want_i|| over the first axis, relative to the root mean ||want_i||^2.

    Args:
        got, want: [B, ...], one row for each image.
        left_out: fraction of the rows that may differ in any way, rounded down; the worst ones.
    """
    difference = np.linalg.norm((got - want).reshape(len(want), -1), axis=1)
    size = np.linalg.norm(want) / math.sqrt(len(want))
    return np.sort(difference)[-1 - int(left_out * len(want))] / (size or 1.0)


@dataclasses.dataclass(frozen=True)
class Check:
    """A computation on the device and its reference.

    Attributes:
        name: what is computed, such as "NT-Xent, blockwise".
        group: "augmentation", "loss", "normalization", "layer", "memory", "optimizer" or "method".
        measure: function that computes on the device: {name: array}.
        expect: function that returns what should come out, with the same names and shapes.
        bound: largest error that passes.
        bounds: {name of an array: the largest error of it}, where that is not `bound`.
        distance: function (got, want) -> error of one array, both float64.

    Example:

    ```python
    from tfssl.doctor import Check, run

    third = {"third": np.float64(1 / 3)}
    check = Check("division", "layer", lambda: {"third": np.float32(1) / 3}, lambda: third, 1e-6)
    run(check).passed  # True
    ```
    """

    name: str
    group: str
    measure: Callable[[], Arrays]
    expect: Callable[[], Arrays]
    bound: float
    bounds: dict[str, float] = dataclasses.field(default_factory=dict, kw_only=True)
    distance: Callable[[np.ndarray, np.ndarray], float] = dataclasses.field(
        default=relative, kw_only=True
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `run` found.

    Attributes:
        name, group: those of the check.
        error: that of the array that is nearest to its bound, or furthest beyond it; infinite for
            NaN, for a wrong shape and where nothing came out.
        bound: that of this array.
        seconds: time that it took, with the reference.
        failed: one line on the exception that it ended with; None: it ended without.
        worst: name of this array; "": there is none.

    Example:

    ```python
    from tfssl.doctor import Outcome

    Outcome("NT-Xent", "loss", error=1e-4, bound=1e-3, seconds=0.1).passed  # True
    ```
    """

    name: str
    group: str
    error: float
    bound: float
    seconds: float
    failed: str | None = None
    worst: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound, and nothing was raised."""
        return self.failed is None and self.error <= self.bound


def run(check: Check) -> Outcome:
    """Runs a check. Whatever it raises is part of the outcome.

    Args:
        check: a `Check`.

    Returns:
        An `Outcome`.

    Example:

    ```python
    from tfssl import doctor

    zeros = {"weights": np.zeros(2)}
    broken = doctor.Check("broken", "layer", lambda: 1 / 0, lambda: zeros, bound=1e-6)
    doctor.run(broken).failed  # ZeroDivisionError: division by zero
    ```
    """
    began = time.monotonic()
    error, worst, failed = math.inf, "", None
    try:
        errors = compare(check.measure(), check.expect(), check.distance)
        worst = max(errors, key=lambda name: errors[name] / bound_of(check, name))
        error = errors[worst]
    except Exception as raised:  # TensorFlow's, or whatever a driver makes of it
        failed = line_of(raised)
    seconds = time.monotonic() - began
    return Outcome(check.name, check.group, error, bound_of(check, worst), seconds, failed, worst)


def bound_of(check, name):
    return check.bounds.get(name, check.bound)


def compare(got, want, distance=relative):
    """{name: error} of arrays; infinite for a wrong shape, NaN, and an array that is not there."""
    return {name: distance_of(got.get(name), want.get(name), distance) for name in {**want, **got}}


def distance_of(got, want, distance):
    if got is None or want is None:
        return math.inf
    # Also of bfloat16, which NumPy cannot convert to float64 by itself everywhere.
    got, want = (np.asarray(np.asarray(value).astype("float64")) for value in (got, want))
    if got.shape != want.shape or not np.isfinite(got).all() or not np.isfinite(want).all():
        return math.inf
    error = float(distance(got, want))
    return error if error == error else math.inf


def line_of(error):
    """An exception as one line of at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
