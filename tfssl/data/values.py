"""Value ranges: which pixel values become 0 and 1 where images are not plain uint8.

A range is (low, high), each a number, or a tuple with one for each channel.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfssl.errors import UsageError

BITS = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
FRACTIONS = ((0, 1), (-1, 1), (0, 255))  # usual ranges of floats
BEYOND = 0.05  # fraction of a usual range by which resized images may exceed it
SAMPLE = 256  # images of a split whose percentiles are taken
PIXELS = 2**14  # of each of them
SHOWN = 4  # channels whose ranges are printed


class Missing(NamedTuple):
    """Values that stand for no data.

    Attributes:
        values: numbers, NaN among them if it does.
        fill: what replaces them, in [0, 1], after scaling.
    """

    values: tuple[float, ...] = ()
    fill: float = 0.0

    def where(self, array):
        """Where a NumPy array has one of the values, bool; NaN is equal to NaN."""
        found = np.zeros(array.shape, bool)
        for value in self.values:
            found |= np.isnan(array) if math.isnan(value) else array == value
        return found

    def of(self, image):
        """`where` for a tensor of float32."""
        found = tf.zeros_like(image, tf.bool)
        for value in self.values:
            found |= tf.math.is_nan(image) if math.isnan(value) else image == np.float32(value)
        return found


NONE = Missing()


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


def between(asked):
    """The two percentiles of ("percentiles", low, high); None for another range."""
    return asked[1:] if isinstance(asked, tuple) and asked[0] == "percentiles" else None


def by_data(asked):
    """Whether a range is found in the training images, and then taken for all others."""
    return asked == "auto" or between(asked) is not None


def as_range(pair):
    """A range of a record, in which tuples are lists."""
    return tuple(tuple(map(float, side)) if np.ndim(side) else float(side) for side in pair)


def as_lists(pair):
    """A range for a record in JSON."""
    return [list(side) if np.ndim(side) else side for side in pair]


def percentiles(images, asked, missing=NONE):
    """The range from one percentile to another of each channel, rounded to 6 digits.

    Args:
        images: arrays [h, w, C], or [n, h, w, C].
        asked: ("percentiles", low, high).
        missing: `Missing`, which does not count, nor do values that are not finite.

    Returns:
        (low, high), each a tuple of C numbers, or a number for a single channel.
    """
    each = [thinned(np.asarray(image), missing) for image in images]
    low, high = [], []
    for channel in zip(*each):
        seen = np.concatenate(channel)
        bounds = np.percentile(seen, between(asked)) if len(seen) else (0.0, 1.0)
        first, last = (float(f"{bound:.6g}") for bound in bounds)
        low.append(first)
        high.append(last if last > first else first + 1.0)
    return (tuple(low), tuple(high)) if len(low) > 1 else (low[0], high[0])


def thinned(image, missing):
    """The values that count of each channel of an image, at most PIXELS: C arrays."""
    flat = image.reshape(-1, image.shape[-1])
    flat = flat[:: -(-len(flat) // PIXELS)]
    good = np.isfinite(flat) & ~missing.where(flat)
    return [flat[good[:, place], place].astype(np.float64) for place in range(flat.shape[1])]


def spaced(rows):
    """At most SAMPLE of some rows, evenly spaced."""
    return rows[:: max(1, -(-len(rows) // SAMPLE))]


def settle(asked, dtype, found, sample, missing=NONE, broken=None):
    """Decides which values become 0 and 1.

    Args:
        asked: "auto", "dtype", (low, high) or ("percentiles", low, high); see
            `tfssl.config.value_range`.
        dtype: NumPy type of the stored values.
        found: () -> (lowest, highest) over all images; called for "auto", and for floats, which
            must be finite.
        sample: () -> images [h, w, C] for percentiles.
        missing: `Missing`; `found` leaves these out.
        broken: () -> the name of the first image that is not finite, for the message.

    Returns:
        A pair: (low, high), or None for uint8 that is not scaled; and a line about it, or "".

    Raises:
        UsageError: a value is not finite.
    """
    looks = np.issubdtype(dtype, np.floating) or (asked == "auto" and dtype != np.uint8)
    extremes = found() if looks else None
    if looks and extremes is None:
        raise UsageError(
            "`no_data` must leave values of `dataset`. Received: "
            f"{', '.join(map(str, missing.values))}, which all of them are"
        )
    if extremes and not all(map(math.isfinite, extremes)):
        hint = "; `no_data=nan` takes NaN for no data" if any(map(math.isnan, extremes)) else ""
        raise UsageError(
            f"`dataset` must hold images of finite numbers{hint}. "
            f"Received: {np.dtype(dtype).name} from {extremes[0]} to {extremes[1]}"
            + (f", first in {broken()}" if broken else "")
        )
    if asked == "auto":
        chosen = choose_range(dtype, *extremes) if looks else None
    elif between(asked):
        chosen = percentiles(sample(), asked, missing)
    else:
        chosen = dtype_range(dtype) if asked == "dtype" else asked
    return chosen, range_summary(dtype, chosen, extremes) if chosen else ""


def scaled(image, low, high, missing=NONE):
    """Maps [low, high] to float32 in [0, 1]; values beyond are clipped, missing ones filled."""
    image = tf.cast(image, tf.float32)
    low, high = (
        tf.cast(side, tf.float64) if tf.is_tensor(side) else tf.constant(side, tf.float64)
        for side in (low, high)
    )
    span = tf.cast(high - low, tf.float32)
    made = tf.clip_by_value((image - tf.cast(low, tf.float32)) / span, 0.0, 1.0)
    return tf.where(missing.of(image), missing.fill, made) if missing.values else made


def scaled_array(values, low, high, missing=NONE):
    """`scaled` for a NumPy array, computed in float64."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2 and np.ndim(low) == 0:
        return scales(values.dtype.itemsize, float(low), float(high), missing)[values]
    return computed(values, low, high, missing)


@functools.lru_cache(maxsize=8)
def scales(size, low, high, missing):
    """What each unsigned integer of so many bytes becomes, float32 [256 ** size]."""
    return computed(np.arange(256**size, dtype=f"u{size}"), low, high, missing)


def computed(values, low, high, missing):
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    made = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)
    return np.where(missing.where(values), np.float32(missing.fill), made)


def range_summary(dtype, value_range, found=None):
    """A line that names the values that become 0 and 1.

    Args:
        dtype: NumPy type of the stored values.
        value_range: (low, high) that become 0 and 1.
        found: (lowest, highest) over all images, if they were read.
    """
    seen = found and f" found from {number(found[0])} to {number(found[1])}"
    sides = [np.atleast_1d(side) for side in value_range]
    each = [f"{low:.6g} to {high:.6g}" for low, high in zip(*sides)]
    told = ", ".join(each[:SHOWN]) + (f" ... ({len(each)} channels)" if len(each) > SHOWN else "")
    clipped = found and (found[0] < sides[0].max() or found[1] > sides[1].min())
    return f"values of {np.dtype(dtype).name}{seen or ''}: taken as {told}" + (
        ", what is beyond is clipped" if clipped else ""
    )


def number(value):
    """A value as text, integers with commas."""
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:.4g}"
