"""Colour arithmetic for RGB images: luma, saturation and hue."""

import tensorflow as tf

LUMA = (0.2989, 0.587, 0.114)


def ensure_rgb(images, *purposes):
    """Checks that images [B, H, W, C] have three channels and sets that in the static shape.

    Args:
        images: float32 [B, H, W, C].
        *purposes: names of the operations that need RGB, for the message. Without any, the images
            are returned unchecked.

    Raises:
        ValueError: the static number of channels is not 3. An unknown number is checked when the
            graph runs.
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
    """Replaces each channel of images [B, H, W, 3] by the luma."""
    weights = [[share] * 3 for share in LUMA]
    return tf.tensordot(ensure_rgb(images, "grayscale"), weights, 1)


def shift_hue(planes, shift):
    """Shifts the hue; the largest and smallest value of each pixel stay.

    Args:
        planes: float32 [3, B, H * W] in [0, 1].
        shift: float32 [B, 1], fraction of the colour circle.

    Returns:
        float32 [3, B, H * W] in [0, 1].
    """
    red, green, blue = tf.unstack(planes)
    high, chroma = high_and_chroma(planes)
    sector = tf.where(
        red == high,
        (green - blue) / chroma,
        tf.where(green == high, (blue - red) / chroma + 2.0, (red - green) / chroma + 4.0),
    )
    turn = sector / 6.0 + shift
    sector = 6.0 * (turn - tf.floor(turn))
    missing = [2.0 - tf.abs(sector - 3.0), tf.abs(sector - 2.0) - 1.0, tf.abs(sector - 4.0) - 1.0]
    return tf.stack([high - chroma * tf.clip_by_value(share, 0.0, 1.0) for share in missing])


def high_and_chroma(planes):
    """The largest value of each pixel [B, H * W], and its chroma (largest - smallest, never 0)."""
    red, green, blue = tf.unstack(planes)
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    return high, tf.maximum(high - low, 1e-9)
