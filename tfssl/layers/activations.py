"""GELU, in fewer passes over memory while a network is trained on a processor."""

import functools
import math
from typing import Any

import keras


def gelu(x: Any, training: bool | None = False) -> Any:
    """x times the normal distribution function of x (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    In training with TensorFlow on a processor, where it is bound by memory, XLA compiles value and
    gradient to one pass each; elsewhere it is `keras.ops.gelu`.

    Args:
        x: float tensor.
        training: whether gradients will be taken.

    Returns:
        a tensor of the same shape and type.

    Example:

    ```python
    float(tfssl.layers.gelu(tf.constant(0.0))), round(float(tfssl.layers.gelu(tf.constant(1.0))), 4)
    # (0.0, 0.8413)
    ```
    """
    if training and keras.backend.backend() == "tensorflow" and on_processor():
        return compiled()(x)
    return keras.ops.gelu(x, approximate=False)


@functools.cache
def on_processor():
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@functools.cache
def compiled():
    """The function whose value and gradient are compiled."""
    import tensorflow as tf

    def function(of):
        return tf.function(of, autograph=False, jit_compile=True, reduce_retracing=True)

    def below(x):
        return 0.5 * (1.0 + tf.math.erf(x * math.sqrt(0.5)))

    @function
    def value(x):
        return x * below(x)

    @function
    def gradient(x, flow):
        density = tf.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
        return flow * (below(x) + x * density)

    @tf.custom_gradient
    def gelu(x):
        return value(x), lambda flow: gradient(x, flow)

    return gelu
