"""Value ranges: which pixel values become 0 and 1 where images are not plain uint8."""

import math

import numpy as np
import tensorflow as tf

from tfssl.errors import UsageError

BITS = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
FRACTIONS = ((0, 1), (-1, 1), (0, 255))  # usual ranges of floats
BEYOND = 0.05  # fraction of a usual range by which resized images may exceed it


def choose_range(dtype, lowest, highest):
    """Chooses the range of values, (low, high), from the extremes found in the images.

    Args:
        dtype: NumPy type of the stored values.
        lowest, highest: extremes over all images, finite.

    Returns:
        None for uint8, which is not scaled. For other integers, the range of the smallest number of
        bits in BITS that holds the highest value. For floats, the first of FRACTIONS that holds all
        values, up to BEYOND; [0, 255] must be more than half filled. Otherwise the extremes.
    """
    if dtype == np.uint8:
        return None
    found = (lowest, highest if highest > lowest else lowest + 1)
    if np.issubdtype(dtype, np.integer):
        return next(((0, most) for most in BITS if 0 <= lowest and highest <= most), found)
    return next((usual for usual in FRACTIONS if customary(*usual, lowest, highest)), found)


def customary(low, high, lowest, highest):
    """Whether floats fit a usual range. Only [0, 255] must be more than half filled."""
    more = BEYOND * (high - low)
    filled = high == 1 or highest > high / 2
    return low - more <= lowest and highest <= high + more and filled


def dtype_range(dtype):
    """(low, high) of an integer type, (0, 1) for floats; None for uint8, which is not scaled."""
    if dtype == np.uint8:
        return None
    if not np.issubdtype(dtype, np.integer):
        return (0, 1)
    limits = np.iinfo(dtype)
    return (limits.min, limits.max)


def settle(asked, dtype, found):
    """Decides which values become 0 and 1.

    Args:
        asked: "auto", "dtype" or (low, high); see `tfssl.config.value_range`.
        dtype: NumPy type of the stored values.
        found: () -> (lowest, highest) over all images; called for "auto", and for floats, which
            must be finite.

    Returns:
        A pair: (low, high), or None for uint8 that is not scaled; and a line about it, or "".

    Raises:
        UsageError: a value is not finite.
    """
    looks = np.issubdtype(dtype, np.floating) or (asked == "auto" and dtype != np.uint8)
    extremes = found() if looks else None
    if extremes and not all(map(math.isfinite, extremes)):
        raise UsageError(
            "`dataset` must hold images of finite numbers. Received: "
            f"{np.dtype(dtype).name} from {extremes[0]} to {extremes[1]}"
        )
    if asked == "auto":
        chosen = choose_range(dtype, *extremes) if looks else None
    else:
        chosen = dtype_range(dtype) if asked == "dtype" else asked
    return chosen, range_summary(dtype, chosen, extremes) if chosen else ""


def scaled(image, low, high):
    """Maps [low, high] to float32 in [0, 1]; values beyond are clipped."""
    return tf.clip_by_value((tf.cast(image, tf.float32) - low) / (high - low), 0.0, 1.0)


def scaled_array(values, low, high):
    """`scaled` for a NumPy array, computed in float64."""
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


def range_summary(dtype, value_range, found=None):
    """A line that names the values that become 0 and 1.

    Args:
        dtype: NumPy type of the stored values.
        value_range: (low, high) that become 0 and 1.
        found: (lowest, highest) over all images, if they were read.
    """
    seen = found and f" found from {number(found[0])} to {number(found[1])}"
    low, high = value_range
    clipped = found and (found[0] < low or found[1] > high)
    return f"values of {np.dtype(dtype).name}{seen or ''}: taken as {low:.6g} to {high:.6g}" + (
        ", what is beyond is clipped" if clipped else ""
    )


def number(value):
    """A value as text, integers with commas."""
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:.4g}"
