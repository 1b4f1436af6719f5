"""The convolution with a gradient of its own is Keras's, number for number."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl import encoders, layers
from tfssl.layers import conv


@pytest.mark.parametrize(
    "size,stride,padding",
    [(3, 1, "same"), (1, 1, "same"), (3, 2, "valid"), (1, 2, "valid"), (5, 1, "valid")],
)
@pytest.mark.parametrize("shape", [(5, 5), (6, 5), (30, 30)])
def test_outputs_and_gradients(size, stride, padding, shape):
    pair = [
        cls(4, size, stride, padding) for cls in (layers.ProductGradientConv2D, keras.layers.Conv2D)
    ]
    images = tf.constant(np.random.default_rng(0).normal(size=(4, *shape, 2)), tf.float32)
    for layer in pair:
        layer.build(images.shape)
    pair[1].set_weights(pair[0].get_weights())
    results = []
    for layer in pair:
        with tf.GradientTape() as tape:
            tape.watch(images)
            out = layer(images)
            if size == 1 and type(layer) is keras.layers.Conv2D:
                # TensorFlow 2.21's kernel gradient of strided 1x1 convolutions is wrong with few
                # channels on some processors.
                seen = images[:, ::stride, ::stride]
                out = tf.nn.conv2d(seen, layer.kernel, 1, "VALID") + layer.bias
            loss = tf.reduce_sum(tf.square(out) * (1.0 + tf.range(4.0)))
        results.append([out, *tape.gradient(loss, [images, *layer.trainable_variables])])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_it_is_taken_where_the_image_is_small_and_nowhere_else(monkeypatch):
    taken = []
    monkeypatch.setattr(
        conv,
        "weight_gradient",
        lambda images, flow, size, *_: (
            taken.append(tuple(flow.shape[1:3]))
            or tf.zeros([size, size, images.shape[-1], flow.shape[-1]])
        ),
    )
    encoder = encoders.resnet(
        18, stem="cifar", width_multiplier=1 / 16, convolution=layers.ProductGradientConv2D
    )
    with tf.GradientTape() as tape:
        h = encoder(tf.zeros([2, 32, 32, 3]), training=True)
    tape.gradient(h, encoder.trainable_variables)
    # The last group of blocks, and the shortcuts of the two before it.
    assert sorted(taken) == 5 * [(4, 4)] + [(8, 8), (16, 16)]


def test_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = layers.ProductGradientConv2D(4, 3, padding="same")
        layer.build((2, 4, 4, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones([2, 4, 4, 3])))
    gradient = tape.gradient(loss, layer.trainable_variables[0])
    assert loss.dtype == tf.bfloat16 and gradient.dtype == tf.float32
    # 2 images of ones: the corner of the kernel meets 3x3 of the 4x4 places, its middle 4x4.
    np.testing.assert_allclose(gradient[:, :, 0, 0], [[18, 24, 18], [24, 32, 24], [18, 24, 18]])
