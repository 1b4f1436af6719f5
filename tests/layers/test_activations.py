"""GELU, and its compiled form of training."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl import layers


def values(shape=(3, 50)):
    return tf.constant(np.linspace(-6, 6, math.prod(shape)).reshape(shape).astype(np.float32))


@pytest.mark.parametrize("training", [False, True])
def test_it_is_x_times_the_normal_distribution_function(training):
    x = values()
    expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.numpy().ravel().tolist()]
    found = layers.gelu(x, training).numpy().ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_its_gradient_is_that_of_keras(dtype):
    gradients = []
    for function in (lambda x: layers.gelu(x, True), lambda x: keras.ops.gelu(x, False)):
        x = tf.cast(values(), dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(function(x), tf.float32) ** 2)
        gradients.append(tape.gradient(loss, x))
        assert gradients[-1].dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 0.1
    np.testing.assert_allclose(
        *(tf.cast(g, tf.float32) for g in gradients), rtol=tolerance, atol=tolerance
    )


def test_it_is_compiled_within_graphs_loops_and_recomputed_layers():
    block = layers.TransformerBlock(2, seed=1)
    x = tf.random.stateless_normal([2, 5, 8], [0, 0])
    block(x)

    @tf.function(autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.while_loop(
                lambda i, _: i < 2, lambda i, y: (i + 1, block(y, training=True)), (0, x)
            )
            loss = tf.reduce_sum(y[1] ** 2)
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(block(block(x)) ** 2)
    np.testing.assert_allclose(gradient(x), tape.gradient(loss, x), rtol=1e-4, atol=1e-5)
