"""Random operations on the values of images of any number of channels: gamma, levels, noise.

Colour operations of RGB are in `ops.py`. Images are float32 [B, H, W, C] in [0, 1], and so are the
results.
"""

import math

import tensorflow as tf

from tfssl.augment.basis import Op, Range, require, shape_of, split_seed, uniform


def gamma(exponent: Range = (0.7, 1.5), per_channel: bool = False) -> Op:
    """Raises the values of each image to a random power: below 1 it becomes brighter.

    The logarithm of the exponent is uniform, so that exponents of 1/2 and 2 are as likely. The draw
    is `{"exponent": float32 [B, 1, 1, 1 or C]}`.

    Args:
        exponent: range, positive.
        per_channel: whether each channel has an exponent of its own.

    Raises:
        ValueError: the range is not ordered or not positive.
    """
    require(0 < exponent[0] <= exponent[1], "exponent", "an ordered positive range", exponent)
    low, high = map(math.log, exponent)

    def draw(seed, images):
        share = uniform(seed, per_image(images, per_channel))
        return {"exponent": tf.exp(low + (high - low) * share)}

    def apply(images, drawn):
        return tf.clip_by_value(images, 0.0, 1.0) ** drawn["exponent"]

    return Op("gamma", draw, apply)


def levels(brightness: float, contrast: float, per_channel: bool = True) -> Op:
    """Changes the contrast about the mean of a channel, then adds to it, and clips to [0, 1].

    What `color_jitter` does to all channels alike is done here to each by itself, as for bands of a
    sensor whose gains drift independently. The draw is `{"contrast", "brightness": float32
    [B, 1, 1, 1 or C]}`.

    Args:
        brightness: strength b: amount added in [-b, b].
        contrast: strength c: factor in [max(0, 1 - c), 1 + c].
        per_channel: whether each channel has values of its own.

    Raises:
        ValueError: a strength is negative.
    """
    for name, strength in (("brightness", brightness), ("contrast", contrast)):
        require(strength >= 0, name, "non-negative", strength)
    low, high = max(0.0, 1.0 - contrast), 1.0 + contrast

    def draw(seed, images):
        shares = uniform(seed, [2, *per_image(images, per_channel)])
        return {
            "contrast": low + (high - low) * shares[0],
            "brightness": brightness * (2.0 * shares[1] - 1.0),
        }

    def apply(images, drawn):
        mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
        changed = mean + drawn["contrast"] * (images - mean) + drawn["brightness"]
        return tf.clip_by_value(changed, 0.0, 1.0)

    return Op("levels", draw, apply)


def channel_dropout(p: float = 0.2, value: float = 0.0) -> Op:
    """Sets each channel to a value with a probability, but for one that always stays.

    The draw is `{"kept": bool [B, 1, 1, C]}`.

    Args:
        p: probability, in [0, 1).
        value: what replaces a channel, in [0, 1].

    Raises:
        ValueError: `p` or `value` lies outside its range.
    """
    require(0 <= p < 1, "p", "a probability below 1", p)
    require(0 <= value <= 1, "value", "in [0, 1]", value)

    def draw(seed, images):
        share = uniform(seed, per_image(images, True))
        most = tf.reduce_max(share, axis=3, keepdims=True)
        return {"kept": (share >= p) | (share == most)}

    return Op(
        "channel_dropout",
        draw,
        lambda images, drawn: tf.where(drawn["kept"], images, value),
    )


def noise(deviation: Range = (0.0, 0.1)) -> Op:
    """Adds Gaussian noise of a random standard deviation, and clips to [0, 1].

    The draw is `{"deviation": float32 [B], "key": int32 [B]}`; a pixel's noise is a function of the
    key and of its place.

    Args:
        deviation: range of the standard deviation, non-negative.

    Raises:
        ValueError: the range is not ordered or negative.
    """
    return disturbed("noise", deviation, lambda images, values: images + values)


def speckle(deviation: Range = (0.0, 0.2)) -> Op:
    """Multiplies values by 1 + Gaussian noise, as of ultrasound and radar, and clips to [0, 1].

    Args:
        deviation: as for `noise`.

    Raises:
        ValueError: the range is not ordered or negative.
    """
    return disturbed("speckle", deviation, lambda images, values: images * (1.0 + values))


def disturbed(name, deviation, combine):
    """An `Op` that combines images with Gaussian noise."""
    require(0 <= deviation[0] <= deviation[1], "deviation", "an ordered range from 0", deviation)

    def draw(seed, images):
        of_size, of_key = split_seed(seed, 2)
        batch = shape_of(images)[0]
        share = uniform(of_size, [batch])
        key = tf.random.stateless_uniform([batch], of_key, None, None, tf.int32, alg="philox")
        return {"deviation": deviation[0] + (deviation[1] - deviation[0]) * share, "key": key}

    def apply(images, drawn):
        values = drawn["deviation"][:, None, None, None] * normal(drawn["key"], images)
        return tf.clip_by_value(combine(images, values), 0.0, 1.0)

    return Op(name, draw, apply)


def erase(area: Range = (0.02, 0.33), aspect: Range = (0.3, 1 / 0.3), value: float = 0.0) -> Op:
    """Replaces a random rectangle of each image: random erasing.

    Zhong et al. 2020, Algorithm 1, but that a rectangle that would leave the image is cut to its
    size instead of being drawn again. The draw is in shares of the image: `{"top", "left": where
    the rectangle is among the places that it fits, "area": of the image, "aspect": height / width,
    float32 [B]}`.

    Args:
        area: range of the fraction of the image's area, in (0, 1].
        aspect: range of height / width; its logarithm is uniform.
        value: what replaces the pixels, in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.
    """
    require(0 < area[0] <= area[1] <= 1, "area", "an ordered range in (0, 1]", area)
    require(0 < aspect[0] <= aspect[1], "aspect", "an ordered positive range", aspect)
    require(0 <= value <= 1, "value", "in [0, 1]", value)
    low, high = map(math.log, aspect)

    def draw(seed, images):
        shares = tf.unstack(uniform(seed, [4, shape_of(images)[0]]))
        return {
            "area": area[0] + (area[1] - area[0]) * shares[0],
            "aspect": tf.exp(low + (high - low) * shares[1]),
            "top": shares[2],
            "left": shares[3],
        }

    def apply(images, drawn):
        height, width = sides_of(images)
        covered = drawn["area"] * height * width
        tall = tf.minimum(tf.round(tf.sqrt(covered * drawn["aspect"])), height)
        wide = tf.minimum(tf.round(tf.sqrt(covered / drawn["aspect"])), width)
        top = tf.floor(drawn["top"] * (height - tall + 1.0))
        left = tf.floor(drawn["left"] * (width - wide + 1.0))
        return tf.where(rectangle(images, top, left, tall, wide), value, images)

    return Op("erase", draw, apply)


def cutout(side: float = 0.5, value: float = 0.0) -> Op:
    """Replaces a square around a random pixel, which may extend beyond the image.

    DeVries & Taylor 2017: 16 pixels for CIFAR-10, side=0.5. The draw is `{"row", "column": float32
    [B]}`, the centre in shares of the image.

    Args:
        side: side of the square relative to the smaller side of the image, in (0, 1].
        value: what replaces the pixels, in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.
    """
    require(0 < side <= 1, "side", "in (0, 1]", side)
    require(0 <= value <= 1, "value", "in [0, 1]", value)

    def draw(seed, images):
        row, column = tf.unstack(uniform(seed, [2, shape_of(images)[0]]))
        return {"row": row, "column": column}

    def apply(images, drawn):
        height, width = sides_of(images)
        length = tf.maximum(tf.round(side * tf.minimum(height, width)), 1.0)
        top, left = (
            tf.floor(drawn[name] * of) - tf.floor(length / 2)
            for name, of in (("row", height), ("column", width))
        )
        return tf.where(rectangle(images, top, left, length, length), value, images)

    return Op("cutout", draw, apply)


def per_image(images, per_channel):
    """[B, 1, 1, C], or [B, 1, 1, 1] for all channels alike."""
    batch, _, _, channels = shape_of(images)
    return [batch, 1, 1, channels if per_channel else 1]


def sides_of(images):
    """Height and width of images in pixels, float32."""
    _, height, width, _ = shape_of(images)
    return tf.cast(height, tf.float32), tf.cast(width, tf.float32)


def rectangle(images, top, left, height, width):
    """Whether pixels are in a rectangle of each image, bool [B, H, W, 1]."""
    _, tall, wide, _ = shape_of(images)
    rows, columns = (tf.range(tf.cast(side, tf.float32)) for side in (tall, wide))
    top, left, height, width = (
        tf.reshape(tf.cast(value, tf.float32), [-1, 1]) for value in (top, left, height, width)
    )
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[..., None]


def normal(key, images):
    """Standard normal numbers of the shape of images, a function of a key [B] and of the place.

    Counters are mixed by PCG's permutation (O'Neill 2014, RXS-M-XS for 32 bits) and paired by Box
    and Muller: unlike TensorFlow's generators, an image's numbers do not depend on the others of
    its batch.
    """
    batch, height, width, channels = shape_of(images)
    size = height * width * channels
    places = tf.range(size, dtype=tf.int32)
    key = tf.bitcast(key, tf.uint32)[:, None]
    first, second = (
        mixed(mixed(tf.bitcast(2 * places + half, tf.uint32) + tf.constant(0, tf.uint32)) + key)
        for half in (0, 1)
    )
    radius = tf.sqrt(-2.0 * tf.math.log(unit(first)))
    made = radius * tf.cos(2.0 * math.pi * unit(second))
    return tf.reshape(made, [batch, height, width, channels])


def mixed(state):
    """A permutation of the integers of 32 bits that looks random."""
    state = state * tf.constant(747796405, tf.uint32) + tf.constant(2891336453, tf.uint32)
    shift = tf.bitwise.right_shift(state, tf.constant(28, tf.uint32)) + tf.constant(4, tf.uint32)
    word = tf.bitwise.bitwise_xor(tf.bitwise.right_shift(state, shift), state)
    word = word * tf.constant(277803737, tf.uint32)
    return tf.bitwise.bitwise_xor(tf.bitwise.right_shift(word, tf.constant(22, tf.uint32)), word)


def unit(bits):
    """Floats in (0, 1] from the upper 24 of 32 bits."""
    upper = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.int32)
    return (tf.cast(upper, tf.float32) + 1.0) * 2.0**-24
