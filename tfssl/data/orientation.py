"""EXIF orientations, from 1 (upright) to 8, as graph code."""

import tensorflow as tf


def upright(image, orientation):
    """Rotates and mirrors an image [H, W, C] as its EXIF orientation, int32, says."""
    transposed, mirrored, upside_down = turns(orientation)
    image = tf.cond(transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)
    return tf.cond(upside_down, lambda: image[::-1], lambda: image)


def turns(orientation):
    """Whether to transpose, mirror and flip vertically, in this order, for an orientation."""

    def among(*values):
        return tf.reduce_any(tf.equal(orientation, values))

    return orientation > 4, among(2, 3, 6, 7), among(3, 4, 7, 8)


def upright_shape(shape, orientation):
    """The shape [H, W, C] of the upright image."""
    return tf.where(orientation > 4, tf.gather(shape, [1, 0, 2]), shape)


def stored_window(window, orientation, height, width):
    """Maps a window of the upright image to the image as stored.

    Args:
        window: (top, left, height, width), int32 scalars.
        orientation: EXIF orientation, int32.
        height, width: size of the upright image.
    """
    top, left, high, wide = window
    transposed, mirrored, upside_down = turns(orientation)
    left = tf.where(mirrored, width - left - wide, left)
    top = tf.where(upside_down, height - top - high, top)
    swapped = tf.where(transposed, [left, top, wide, high], [top, left, high, wide])
    return tf.unstack(swapped)
