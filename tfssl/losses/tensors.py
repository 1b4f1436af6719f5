"""Tensors that losses take, checked and in float32."""

import tensorflow as tf


def unit_rows(x):
    return tf.math.l2_normalize(x, axis=1)


def float32_pair(**named):
    """The two named tensors in float32: half precision overflows at exp(similarity / 0.09)."""
    pair = [tf.convert_to_tensor(x) for x in named.values()]
    shapes = [x.shape for x in pair]
    if any(s.rank != 2 for s in shapes) or not shapes[0].is_compatible_with(shapes[1]):
        names = " and ".join(f"`{name}`" for name in named)
        received = ", ".join(f"{name}.shape={s}" for name, s in zip(named, shapes))
        raise ValueError(f"{names} must be matrices of one shape [N, D]. Received: {received}")
    return [tf.cast(x, tf.float32) for x in pair]
