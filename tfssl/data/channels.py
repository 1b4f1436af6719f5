"""Images of other numbers of channels: grey from colours, and equal channels from grey."""

import numpy as np
import tensorflow as tf

from tfssl.errors import UsageError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601; they add up to 1, so that grey stays what it is
RGB = 3


class Mismatch(UsageError):
    """Images that cannot be converted to the number of channels that is needed."""


def choose(stored, wanted):
    """The number of channels to convert to, from those of a dataset and `channels`.

    Args:
        stored: number of channels of the stored images.
        wanted: the number that is asked for; None: as stored.

    Raises:
        Mismatch: there is no such conversion.
    """
    if wanted in (None, stored) or {stored, wanted} == {1, RGB}:
        return wanted or stored
    if stored in (1, RGB):
        raise Mismatch(f"`channels` must be 1 or 3 for grey or RGB images. Received: {wanted}")
    raise Mismatch(
        f"`channels` must be {stored} for images of {stored} channels. Received: {wanted}"
    )


def converted(image, wanted):
    """Images [..., C] of a tensor with `wanted` channels, in their type; see `choose`."""
    stored = image.shape[-1]
    if stored == wanted:
        return image
    if stored == 1:
        return tf.repeat(image, wanted, axis=-1)
    grey = tf.reduce_sum(tf.cast(image, tf.float32) * LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.round(grey) if image.dtype.is_integer else grey, image.dtype)


def shown(images):
    """Images [..., C] of a tensor or an array as RGB to look at, in their type.

    Grey stays grey; of more than three channels, these are the first three, and of two, the third
    one is their mean.
    """
    count = images.shape[-1]
    if count == 1:
        return tf.repeat(images, RGB, axis=-1)
    if count != 2:
        return images[..., :RGB]
    mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=-1, keepdims=True)
    return tf.concat([images, tf.cast(mean, images.dtype)], axis=-1)


def converted_array(images, wanted):
    """`converted` for a NumPy array."""
    stored = images.shape[-1]
    if stored == wanted:
        return images
    if stored == 1:
        return images.repeat(wanted, axis=-1)
    grey = (images.astype(np.float32) * np.float32(LUMA)).sum(axis=-1, keepdims=True)
    whole = np.issubdtype(images.dtype, np.integer)
    return (np.rint(grey) if whole else grey).astype(images.dtype)
