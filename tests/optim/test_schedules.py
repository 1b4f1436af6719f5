"""Schedules against the values of the references.

Learning rates were obtained by running google-research/simclr tf2 at 383d414, target decays by
the formula of deepmind-research byol at f5de0ed.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl.optim import (
    WarmupCosine,
    scaled_learning_rate,
    target_decay,
    train_steps,
    warmup_steps,
)

# (rate, scaling, batch, warm-up epochs, epochs, examples, total steps), {step: learning rate}
LEARNING_RATES = [
    (
        (1.0, "linear", 512, 10, 100, 50000, 9766),
        {
            0: 0.0,
            1: 0.0020491802,
            10: 0.0204918031,
            100: 0.2049180269,
            976: 2.0,
            977: 2.0,
            4883: 1.1735308170,
            9765: 5.96e-8,
            9766: 0.0,
        },
    ),
    (
        (0.075, "sqrt", 4096, 10, 100, 1281167, 31279),
        {
            0: 0.0,
            1: 0.0015350176,
            100: 0.1535017788,
            3127: 4.8,
            3128: 4.8,
            15639: 2.8167555332,
            31278: 0.0,
            31279: 0.0,
        },
    ),
    (
        (0.3, "linear", 256, 0, 50, 9469, 1850),
        {
            0: 0.3,
            1: 0.2999998033,
            10: 0.2999783754,
            100: 0.2978424132,
            925: 0.15,
            1849: 2.1457673e-7,
            1850: 0.0,
        },
    ),
    (
        (0.2, "linear", 64, 10, 1000, 9469, 147954),
        {
            0: 0.0,
            1: 3.38066275e-5,
            100: 0.0033806626,
            1479: 0.05,
            1480: 0.05,
            73977: 0.0253965016,
            147953: 0.0,
            147954: 0.0,
        },
    ),
]

# (base, total steps), {step: decay}
TARGET_DECAYS = [
    ((0.99, 14795), {0: 0.99, 1: 0.9900000001, 3698: 0.9914639031, 7397: 0.9949994691, 14795: 1}),
    ((0.996, 1000), {0: 0.996, 1: 0.9960000099, 250: 0.9965857864, 500: 0.998, 1000: 1}),
    ((0.97, 100), {0: 0.97, 1: 0.9700074016, 25: 0.9743933983, 50: 0.985, 99: 0.9999925984}),
]


@pytest.mark.parametrize("setting, values", LEARNING_RATES)
def test_learning_rate_golden(setting, values):
    rate, scaling, batch, warmup_epochs, epochs, examples, total = setting
    assert train_steps(examples, epochs, batch) == total
    base = scaled_learning_rate(rate, batch, scaling)
    schedule = WarmupCosine(base, warmup_steps(examples, warmup_epochs, batch), total)
    for step, expected in values.items():
        np.testing.assert_allclose(schedule(step), expected, rtol=1e-5, atol=2e-7 * base)


def test_learning_rate_of_many_steps_in_a_graph():
    schedule = WarmupCosine(1.0, 2, 6)
    steps = tf.range(9, dtype=tf.int64)
    expected = [0, 0.5, 1, 0.5 + np.sqrt(0.125), 0.5, 0.5 - np.sqrt(0.125), 0, 0, 0]
    for call in (schedule, tf.function(schedule), tf.function(schedule, jit_compile=True)):
        values = call(steps)
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, expected, atol=1e-6)
        assert np.all(values[6:] == 0)


def test_schedule_serialisation():
    schedule = WarmupCosine(0.3, 5, 50)
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(copy, WarmupCosine)
    assert copy.get_config() == schedule.get_config()
    assert copy(17) == schedule(17)


def test_schedule_drives_an_optimizer():
    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(WarmupCosine(1.0, 2, 4))
    for expected in (0.0, -0.5, -1.5, -2.0, -2.0):
        optimizer.apply([tf.constant([1.0])], [variable])
        np.testing.assert_allclose(variable, [expected], atol=1e-6)


@pytest.mark.parametrize("setting, values", TARGET_DECAYS)
def test_target_decay_golden(setting, values):
    base, total = setting
    for step, expected in values.items():
        np.testing.assert_allclose(target_decay(step, total, base), expected, atol=2e-7)


def test_target_decay_of_tensors_and_past_the_end():
    steps = tf.constant([0, 50, 100, 101, 1000], tf.int64)
    decay = tf.function(lambda s: target_decay(s, 100, 0.9))(steps)
    np.testing.assert_allclose(decay, [0.9, 0.95, 1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "base, batch, scaling, expected",
    [
        (0.3, 512, "linear", 0.6),
        (0.3, 64, "linear", 0.075),
        (0.075, 4096, "sqrt", 4.8),
    ],
)
def test_scaled_learning_rate(base, batch, scaling, expected):
    assert scaled_learning_rate(base, batch, scaling) == pytest.approx(expected)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: WarmupCosine(-1.0, 0, 10), "Received: base_learning_rate=-1.0"),
        (lambda: WarmupCosine(1.0, 10, 10), "Received: warmup_steps=10, total_steps=10"),
        (lambda: WarmupCosine(1.0, -1, 10), "Received: warmup_steps=-1, total_steps=10"),
        (lambda: target_decay(0, 0, 0.9), "Received: total_steps=0"),
        (lambda: target_decay(0, 10, 1.1), "Received: base=1.1"),
        (lambda: scaled_learning_rate(0.1, 256, "log"), "Received: scaling=log"),
        (lambda: scaled_learning_rate(0.1, 0), "Received: batch_size=0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
