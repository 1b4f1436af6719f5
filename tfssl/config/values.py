"""Parsing of values given as text, and checks of single values.

A check is a pair (predicate, description of valid values). None, "not given", always passes.
"""

import math
import numbers
import re

POSITIVE = (lambda x: x > 0, "a number above 0")
NON_NEGATIVE = (lambda x: x >= 0, "0 or more")
PROBABILITY = (lambda x: 0 <= x <= 1, "a probability in [0, 1]")
FRACTION = (lambda x: 0 < x <= 1, "a fraction in (0, 1]")
NOT_EMPTY = (lambda x: bool(x.strip()), "a name")


def host_and_port(text):
    """Parses HOST:PORT, or HOST, whose port is 0; None if invalid."""
    match = re.fullmatch(rf"([^\s:/]+)(?::({WHOLE}))?", text)
    port = int(match[2] or 0) if match else 0
    return (match[1], port) if match and (not match[2] or 0 < port < 2**16) else None


ADDRESS = (lambda x: bool((host_and_port(x) or [0])[-1]), "HOST:PORT, such as node1:5050")
HOST = (lambda x: host_and_port(x) is not None, "HOST or HOST:PORT")

# Limits of numbers, as computations are in 32 bits.
MOST_INTEGER = 2**31 - 1
LEAST_FLOAT, MOST_FLOAT = 2.0**-126, 2.0**127 * (2 - 2**-23)
WHOLE = "[0-9]{1,9}"  # the digits of an integer in a text


def at_least(low):
    return (lambda x: x >= low, f"an integer of at least {low}")


def within(low, high):
    return (lambda x: low <= x <= high, f"from {low} to {high}")


def sides(size):
    """Parses an image size, such as 128 or 48x64, into (height, width); None if invalid."""
    match = re.fullmatch(f"({WHOLE})(?:x({WHOLE}))?", str(size))
    pair = match and (int(match[1]), int(match[2] or match[1]))
    return pair if pair and min(pair) >= 1 else None


PERCENTILES = (1.0, 99.0)  # that --value_range=percentiles stands for


def value_range(text):
    """Parses --value_range; None if invalid.

    Returns:
        "auto", "dtype", (low, high) or ("percentiles", low, high).
    """
    if text in ("auto", "dtype"):
        return text
    if text == "percentiles":
        return ("percentiles", *PERCENTILES)
    kind, colon, pair = text.rpartition(":")
    try:
        low, high = map(float, pair.split(","))
    except ValueError:
        return None
    if colon:
        good = kind == "percentiles" and 0 <= low < high <= 100
        return (kind, low, high) if good else None
    return (low, high) if math.isfinite(high - low) and low < high else None


def no_data(text):
    """Parses --no_data: different numbers, NaN among them, as a tuple; None if invalid."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        return None
    good = not any(map(math.isinf, found)) and len(set(map(str, found))) == len(found)
    return found if good else None


def moments(text):
    """Parses means and standard deviations, M1,M2/S1,S2; None if invalid."""
    sides = [side.split(",") for side in text.split("/")]
    try:
        means, deviations = (tuple(map(float, side)) for side in sides)
    except ValueError:
        return None
    finite = all(map(math.isfinite, means + deviations))
    good = finite and len(means) == len(deviations) and min(deviations) > 0
    return (means, deviations) if good else None


def counts(text):
    """Parses distinct positive integers separated by commas into a tuple; None if invalid."""
    words = [word.strip() for word in str(text).split(",") if word.strip()]
    if not all(re.fullmatch(WHOLE, word) for word in words):
        return None
    numbers_ = tuple(map(int, words))
    return numbers_ if len({0, *numbers_}) == len(numbers_) + 1 else None


SIZE = (lambda x: sides(x) is not None, "a side in pixels, or HEIGHTxWIDTH such as 48x64")
NAMED_RANGES = ("auto", "imagenet")
INPUT_RANGE = (
    lambda x: x in NAMED_RANGES or len(value_range(x) or ()) == 2,
    "auto, imagenet, or LOW,HIGH such as 0,255",
)
RANGE = (
    lambda x: value_range(x) is not None,
    "auto, dtype, percentiles, percentiles:LOW,HIGH in percent, or LOW,HIGH such as 0,4095",
)
NO_DATA = (lambda x: no_data(x) is not None, "numbers separated by commas, or nan, or both")
NORMALIZATION = (
    lambda x: x in ("none", "imagenet", "dataset") or moments(x) is not None,
    "none, imagenet, dataset, or MEAN,...,MEAN/DEVIATION,...,DEVIATION of the channels",
)
SUFFIX = (
    lambda x: re.fullmatch(r"[\w.-]{0,100}", x) is not None,
    "at most 100 letters, digits, dots, dashes and underscores",
)
COUNTS = (lambda x: counts(x) is not None, "different positive integers separated by commas")
JOINED_BY = {SIZE: "x", COUNTS: ","}  # separators of several integers


def written(value, check):
    """Converts integers to the text of a size or list; returns other values unchanged."""
    values = value if isinstance(value, (tuple, list)) else [value]
    whole = all(
        isinstance(v, numbers.Integral) and not isinstance(v, bool) and abs(v) <= MOST_INTEGER
        for v in values
    )
    return JOINED_BY[check].join(str(int(v)) for v in values) if whole else value


# Limits of all settings of a type: (predicate of invalid values, description of valid ones).
LIMITS = {
    int: [(lambda x: x > MOST_INTEGER, f"at most {MOST_INTEGER}")],
    float: [
        (
            lambda x: 0 < abs(x) < LEAST_FLOAT,
            f"0, or {LEAST_FLOAT:.3g} and more: what 32 bits hold",
        ),
        (
            lambda x: math.isfinite(x) and abs(x) > MOST_FLOAT,
            f"at most {MOST_FLOAT:.3g}: what 32 bits hold",
        ),
        (lambda x: not math.isfinite(x), "a finite number"),
    ],
    str: [(lambda x: bool(set(x) & set("\0\n\r")), "text of one line, without a NUL character")],
}
