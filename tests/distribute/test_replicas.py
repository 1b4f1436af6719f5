"""Two replicas compute what one device does: gathering, batch normalization, the losses."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import NORMALIZED_SHAPES, normalization_pair
from tfssl.distribute import replicas
from tfssl.distribute.strategy import strategy_on
from tfssl.layers import FusedBatchNormalization
from tfssl.losses import n_pair_loss, nt_xent
from tfssl.methods.classification import classification_loss
from tfssl.methods.npair import partners


@pytest.fixture(scope="module")
def strategy():
    return strategy_on("CPU", 2)


def on_two(strategy, function, *arrays):
    """Runs a function on two replicas, each with its half of the arrays: pairs of results."""

    def half(array, context):
        return tf.split(tf.constant(array), 2)[context.replica_id_in_sync_group]

    halves = [
        strategy.experimental_distribute_values_from_function(functools.partial(half, a))
        for a in arrays
    ]
    made = tf.function(lambda *parts: strategy.run(function, args=parts))(*halves)
    return tf.nest.map_structure(strategy.experimental_local_results, made)


def rows(count, seed=0):
    return np.random.default_rng(seed).normal(1, 2, (count, 5)).astype(np.float32)


def test_one_device_is_one_replica():
    x = tf.constant(rows(4))
    assert replicas.count() == 1
    assert replicas.gather(x) is x and replicas.mean(x) is x


def test_gather_and_mean(strategy):
    x = rows(6)
    gathered, mean, count = on_two(
        strategy,
        lambda part: (
            replicas.gather(part),
            replicas.mean({"m": tf.reduce_mean(part)})["m"],
            tf.constant(replicas.count()),
        ),
        x,
    )
    for replica in range(2):
        np.testing.assert_array_equal(gathered[replica], x)
        np.testing.assert_allclose(mean[replica], x.mean(), rtol=1e-6)
        assert count[replica] == 2


def test_the_gradient_of_a_loss_over_all_rows(strategy):
    z = rows(12)

    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = nt_xent(*tf.split(replicas.gather(z), 2), 0.5) / replicas.count()
        return tape.gradient(loss, z)

    np.testing.assert_allclose(
        np.concatenate(on_two(strategy, gradient, z)),
        gradient(tf.constant(z)),
        rtol=1e-5,
        atol=1e-8,
    )


def test_classes_are_those_of_all_rows(strategy):
    """Positives by class may lie in the other half of the batch."""
    z, labels = rows(8), np.array([0, 1, 2, 3, 1, 0, -1, 2], np.int64)

    def loss(z, labels):
        every = replicas.gather(tf.cast(labels, tf.float32))
        everyone = replicas.gather(z)
        return n_pair_loss(everyone, partners(everyone[::-1], every), every)

    here = loss(tf.constant(z), tf.constant(labels))
    np.testing.assert_allclose(on_two(strategy, loss, z, labels), [here] * 2, rtol=1e-6)
    assert abs(here - n_pair_loss(z, z[::-1])) > 0.1


@pytest.mark.parametrize(
    "labels", [[0, -1, -1, -1, 1, 2, 3, 4], [-1, -1, -1, -1, 0, -1, 2, 2], [-1] * 8]
)
def test_a_mean_over_the_labels_of_all(strategy, labels):
    def learned(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss, scalars = classification_loss(logits, labels)
        gradient = tape.gradient(loss, logits) / replicas.count()
        return *replicas.mean([loss, scalars["supervised_acc"]]), gradient

    logits, labels = rows(8), np.array(labels)
    *means, gradients = on_two(strategy, learned, logits, labels)
    *expected, gradient = learned(tf.constant(logits), tf.constant(labels))
    np.testing.assert_allclose(means, np.stack([expected, expected], axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("cls", [FusedBatchNormalization, keras.layers.BatchNormalization])
@pytest.mark.parametrize("shape", NORMALIZED_SHAPES[:1] + [(8, 3)])
@pytest.mark.parametrize("options", [{}, {"center": False}])
def test_batch_normalization_by_the_statistics_of_all(strategy, shape, options, cls):
    x, target = (
        np.random.default_rng(seed).normal(3, 2, shape).astype(np.float32) for seed in (1, 2)
    )

    def step(layer, x, target):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y * target)
        to_x, *to_weights = tape.gradient(loss, [x, *layer.trainable_variables])
        return y, to_x, to_weights

    alone, _ = normalization_pair(shape, **options)
    y, to_x, to_weights = step(alone, tf.constant(x), tf.constant(target))
    with strategy.scope():
        together = cls(momentum=0.9, epsilon=1e-5, synchronized=True, **options)
        together.build(shape)
    together.set_weights(normalization_pair(shape, **options)[0].get_weights())
    ys, to_xs, to_weightss = on_two(strategy, functools.partial(step, together), x, target)
    near = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    near(np.concatenate(ys), y)
    near(np.concatenate(to_xs), to_x)
    for of_both, of_one in zip(to_weightss, to_weights):
        near(of_both[0] + of_both[1], of_one)
    for of_both, of_one in zip(together.get_weights(), alone.get_weights()):
        near(of_both, of_one)


def test_batch_normalization_in_bfloat16(strategy):
    x = np.random.default_rng(0).normal(5, 0.1, (64, 4, 4, 3)).astype(np.float32)
    with strategy.scope():
        layer = FusedBatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=True, dtype="mixed_bfloat16"
        )
        layer.build(x.shape)

    def step(x):
        with tf.GradientTape() as tape:
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return y, tape.gradient(loss, layer.gamma.value)

    y, gradient = on_two(strategy, step, x)
    assert y[0].dtype == tf.bfloat16 and gradient[0].dtype == tf.float32
    np.testing.assert_allclose(layer.moving_mean, 0.5 * np.ones(3), rtol=0.01)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * 0.01, rtol=0.01)
