"""The parts of the augmentation that are of RGB images only: luma, saturation and hue."""

import tensorflow as tf

LUMA = (0.2989, 0.587, 0.114)


def known_as_rgb(images, *purposes):
    """The images [B, H, W, C], whose three channels the graph then knows; as they are for nothing.

    Args:
        purposes: what needs RGB, for the message.

    Raises:
        ValueError: the graph knows another number of channels. Where it knows none, this fails
            when it runs.
    """
    if not purposes:
        return images
    if images.shape[3] is None:
        return tf.ensure_shape(images, [None, None, None, 3])
    if images.shape[3] != 3:
        raise ValueError(
            f"`images` must have 3 channels for {' and '.join(purposes)}. "
            f"Received: shape={tuple(images.shape)}"
        )
    return images


def gray(images):
    """The luma of images [B, H, W, 3] in each of their channels."""
    weights = [[share] * 3 for share in LUMA]
    return tf.tensordot(known_as_rgb(images, "grayscale"), weights, 1)


def shift_hue(planes, shift):
    """Turns the hue by `shift` [B, 1] of a full circle, keeping the extremes of each pixel.

    Args:
        planes: float32 [3, B, H * W] in [0, 1]; returned alike.
    """
    red, green, blue = tf.unstack(planes)
    high, spread = high_and_spread(planes)
    sector = tf.where(
        red == high,
        (green - blue) / spread,
        tf.where(green == high, (blue - red) / spread + 2.0, (red - green) / spread + 4.0),
    )
    turn = sector / 6.0 + shift
    sector = 6.0 * (turn - tf.floor(turn))
    missing = [2.0 - tf.abs(sector - 3.0), tf.abs(sector - 2.0) - 1.0, tf.abs(sector - 4.0) - 1.0]
    return tf.stack([high - spread * tf.clip_by_value(share, 0.0, 1.0) for share in missing])


def high_and_spread(planes):
    """The largest value of each pixel [B, H * W], and its distance from the smallest, never 0."""
    red, green, blue = tf.unstack(planes)
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    return high, tf.maximum(high - low, 1e-9)
