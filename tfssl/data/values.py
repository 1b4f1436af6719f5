"""Images whose values are not plain bytes: which of them are black and white."""

import math

import numpy as np
import tensorflow as tf

from tfssl.errors import UsageError

BITS = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
FRACTIONS = ((0, 1), (-1, 1), (0, 255))  # what floats are customarily within
BEYOND = 0.05  # of a customary range, by which resized images overshoot it


def choose_range(dtype, lowest, highest):
    """The range of values, (low, high), that images are taken to have by those found in them.

    Args:
        dtype: numpy type of the stored values.
        lowest, highest: finite, of all images.

    Returns:
        None for uint8, which stays as it is. Of other integers the range of the fewest bits that
        hold the highest; of floats the first of FRACTIONS that holds all, but for BEYOND, and of
        which they take more than half; where there is none, what was found.
    """
    if dtype == np.uint8:
        return None
    found = (lowest, highest if highest > lowest else lowest + 1)
    if np.issubdtype(dtype, np.integer):
        return next(((0, most) for most in BITS if 0 <= lowest and highest <= most), found)
    return next((usual for usual in FRACTIONS if customary(*usual, lowest, highest)), found)


def customary(low, high, lowest, highest):
    """Whether floats are taken to be of a range: 0 to 1 and -1 to 1 also where they fill little."""
    more = BEYOND * (high - low)
    filled = high == 1 or highest > high / 2
    return low - more <= lowest and highest <= high + more and filled


def dtype_range(dtype):
    """(low, high) that a type can hold, floats as fractions; None for uint8, which stays."""
    if dtype == np.uint8:
        return None
    if not np.issubdtype(dtype, np.integer):
        return (0, 1)
    limits = np.iinfo(dtype)
    return (limits.min, limits.max)


def settle(asked, dtype, found):
    """The (low, high) that become 0 and 1, None for uint8 as it is; and what is told of it, or "".

    Args:
        asked: "auto", "dtype" or (low, high), as of `tfssl.config.value_range`.
        dtype: numpy type of the stored values.
        found: () -> (lowest, highest) of all images; called where it matters: for "auto", and for
            floats, of which some may be no numbers.

    Raises:
        UsageError: a value is not finite.
    """
    looks = np.issubdtype(dtype, np.floating) or (asked == "auto" and dtype != np.uint8)
    extremes = found() if looks else None
    if extremes and not all(map(math.isfinite, extremes)):
        raise UsageError(
            "--dataset must hold images of finite numbers. Received: "
            f"{np.dtype(dtype).name} from {extremes[0]} to {extremes[1]}"
        )
    if asked == "auto":
        chosen = choose_range(dtype, *extremes) if looks else None
    else:
        chosen = dtype_range(dtype) if asked == "dtype" else asked
    return chosen, told(dtype, chosen, extremes) if chosen else ""


def scaled(image, low, high):
    """Values of any type as float32 in [0, 1]: low becomes 0, high 1, what is beyond is clipped."""
    return tf.clip_by_value((tf.cast(image, tf.float32) - low) / (high - low), 0.0, 1.0)


def scaled_array(values, low, high):
    """As `scaled`, of a NumPy array; wide integers keep their precision."""
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


def told(dtype, value_range, found=None):
    """What is taken as black and white, in words.

    Args:
        dtype: numpy type of the stored values.
        value_range: (low, high) that become 0 and 1.
        found: (lowest, highest) of all images, where they were looked at.
    """
    seen = found and f" found from {number(found[0])} to {number(found[1])}"
    low, high = value_range
    clipped = found and (found[0] < low or found[1] > high)
    return f"values of {np.dtype(dtype).name}{seen or ''}: taken as {low:.6g} to {high:.6g}" + (
        ", what is beyond is clipped" if clipped else ""
    )


def number(value):
    """A value as text, whole ones with commas."""
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:.4g}"
