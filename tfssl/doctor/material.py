"""What the checks compute with: numbers, images, weights, and graphs."""

import math

import numpy as np
import tensorflow as tf

HOST = "CPU:0"  # where references are computed that are not NumPy


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def double(*arrays):
    return [np.asarray(values, "float64") for values in arrays]


def pictures(count, height, width):
    """Images in [0, 1], float32 [count, height, width, 3]: waves of every colour, and noise."""
    rng = np.random.default_rng(count)
    rows, columns = np.mgrid[:height, :width][..., None]
    frequency = rng.uniform(0.1, 0.9, (2, count, 1, 1, 3))
    phase = rng.uniform(0, 2 * math.pi, (count, 1, 1, 3))
    waves = np.sin(frequency[0] * rows + frequency[1] * columns + phase)
    noisy = 0.5 + 0.4 * waves + 0.1 * rng.uniform(-1, 1, waves.shape)
    return noisy.astype("float32")


def rounded(values, dtype):
    """float32 values as they are in another type, so that the reference starts from the same."""
    return values.astype(tf.as_dtype(dtype).as_numpy_dtype).astype("float32")


def initialize(model):
    """Sets weights that no device has drawn: random kernels, and others near their first values.

    The last gamma of a residual block then is not 0, so that there is a gradient for all that comes
    before it.
    """
    rng = np.random.default_rng(0)
    for variable in model.variables:
        noise = rng.normal(size=variable.shape)
        kind = variable.path.rsplit("/", 1)[-1]
        if "kernel" in kind:
            variable.assign(noise / np.sqrt(np.prod(variable.shape[:-1])))
        elif kind in ("gamma", "beta", "bias", "moving_mean"):
            variable.assign(variable + 0.1 * noise.astype("float32"))


def in_graph(function, *inputs, jit_compile=False):
    """`tf.function(function)(*inputs)` of arrays in any structure.

    That call itself would warn: functions of one name are traced often here, but called once each.
    """
    inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
    graph = tf.function(function, autograph=False, jit_compile=jit_compile)
    return graph.get_concrete_function(*inputs)(*inputs)


def numpy_of(tensors):
    return {name: tf.cast(value, tf.float32).numpy() for name, value in tensors.items()}
