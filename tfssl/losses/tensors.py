"""Checks and conversions of the arguments of losses."""

import tensorflow as tf


def unit_rows(x):
    return tf.math.l2_normalize(x, axis=1)


def float32_pair(**named):
    """Checks two matrices and returns them in float32; float16 overflows at exp(1 / 0.09)."""
    pair = [tf.convert_to_tensor(x) for x in named.values()]
    shapes = [x.shape for x in pair]
    if any(s.rank != 2 for s in shapes) or not shapes[0].is_compatible_with(shapes[1]):
        names = " and ".join(f"`{name}`" for name in named)
        received = ", ".join(f"{name}.shape={s}" for name, s in zip(named, shapes))
        raise ValueError(f"{names} must be matrices of one shape [N, D]. Received: {received}")
    return [tf.cast(x, tf.float32) for x in pair]
