"""EXIF orientations, from 1 (upright) to 8, as graph code."""

import tensorflow as tf


def upright(image, orientation):
    """The image [H, W, C] as its EXIF orientation, int32, says that it is to be shown."""
    transposed, mirrored, upside_down = turns(orientation)
    image = tf.cond(transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)
    return tf.cond(upside_down, lambda: image[::-1], lambda: image)


def turns(orientation):
    """An EXIF orientation as what to do, in this order: transpose, mirror, turn upside down."""

    def among(*values):
        return tf.reduce_any(tf.equal(orientation, values))

    return orientation > 4, among(2, 3, 6, 7), among(3, 4, 7, 8)


def upright_shape(shape, orientation):
    """The shape [H, W, C] of an image, once it is upright."""
    return tf.where(orientation > 4, tf.gather(shape, [1, 0, 2]), shape)


def stored_window(window, orientation, height, width):
    """Where a window of the upright image lies in the image as it is stored.

    Args:
        window: (top, left, height, width), int32 scalars.
        orientation: int32, as EXIF counts.
        height, width: of the upright image.
    """
    top, left, high, wide = window
    transposed, mirrored, upside_down = turns(orientation)
    left = tf.where(mirrored, width - left - wide, left)
    top = tf.where(upside_down, height - top - high, top)
    swapped = tf.where(transposed, [left, top, wide, high], [top, left, high, wide])
    return tf.unstack(swapped)
