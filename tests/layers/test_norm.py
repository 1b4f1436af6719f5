"""The fused batch normalization is Keras's, number for number."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import NORMALIZED_SHAPES, normalization_pair
from tfssl.layers import FusedBatchNormalization

OPTIONS = [{}, {"center": False}, {"scale": False}]


@pytest.mark.parametrize("shape", NORMALIZED_SHAPES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics(shape, options, training):
    x = tf.constant(np.random.default_rng(1).normal(3, 2, shape), tf.float32)
    target = tf.constant(np.random.default_rng(2).normal(0, 1, shape), tf.float32)
    results = []
    for layer in normalization_pair(shape, **options):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * target)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([y, *gradients, *layer.get_weights()])
    for fused, plain in zip(*results):
        np.testing.assert_allclose(fused, plain, rtol=2e-4, atol=2e-5)


def test_the_moving_variance_is_the_biased_one():
    layer, _ = normalization_pair((2, 1))
    layer.set_weights(np.float32([[1], [0], [0], [0]]))
    layer(np.float32([[0.0], [2.0]]), training=True)
    np.testing.assert_allclose(layer.moving_variance, [0.1], rtol=1e-6)  # not 0.2
    np.testing.assert_allclose(layer.moving_mean, [0.1], rtol=1e-6)


def test_a_frozen_layer_infers():
    layer, _ = normalization_pair((4, 2, 2, 3))
    before = layer.get_weights()
    layer.trainable = False
    layer(np.full((4, 2, 2, 3), 9.0, np.float32), training=True)
    for a, b in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_float32_statistics(policy):
    x = np.random.default_rng(0).normal(5, 0.1, (64, 4, 4, 3)).astype(np.float32)
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, dtype=policy)
    y = layer(x, training=True)
    assert y.dtype == policy.removeprefix("mixed_")
    assert all(v.dtype == "float32" for v in layer.variables)
    np.testing.assert_allclose(layer.moving_mean, 0.5 * np.ones(3), rtol=0.01)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * 0.01, rtol=0.01)


def test_runs_in_a_graph_with_unknown_batch_and_size():
    layer, plain = normalization_pair((None, None, None, 3))
    spec = [tf.TensorSpec((None, None, None, 3))]
    x = np.random.default_rng(0).random((3, 5, 2, 3), np.float32)
    fused = tf.function(lambda t: layer(t, training=True), input_signature=spec)(x)
    np.testing.assert_allclose(fused, plain(x, training=True), rtol=1e-4, atol=1e-5)
