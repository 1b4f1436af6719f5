"""The number of steps between two calls of the callbacks."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl import TrainingError
from tfssl.callbacks import steps
from tfssl.callbacks.alarms import StopOnNaN
from tfssl.callbacks.steps import Pace


def made(pace):
    return list(itertools.accumulate(pace, initial=0))[1:]


def test_calls_end_at_points_checkpoints_and_the_last_step():
    assert made(Pace(0, 13, most=100, every=[5, 4])) == [4, 5, 8, 10, 12, 13]
    assert made(Pace(0, 7, most=3)) == [3, 6, 7]
    assert made(Pace(0, 3, most=1, every=[0])) == [1, 2, 3]  # 0: there are no points


def test_a_resumed_training_ends_calls_where_the_straight_one_does():
    pace = Pace(3, 13, most=100, every=[5])
    assert list(pace) == [2, 5, 3] and pace.step == 13


@pytest.mark.parametrize("per_step, calls", [(0.5, [1, 2, 2, 2]), (0.01, [1, 4, 16, 64])])
def test_without_a_limit_calls_take_about_a_second(monkeypatch, per_step, calls):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    pace = Pace(0, 1000, most=None)
    counts = []
    for count in itertools.islice(pace, 4):
        now[0] += count * per_step
        counts.append(count)
    assert counts == calls


def test_a_long_first_call_that_compiles_is_followed_by_a_short_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    pace = Pace(0, 1000, most=None)
    next(pace)
    now[0] += 100.0
    assert next(pace) == 1


class Logarithm(tfssl.methods.Learner):
    """Its loss is not a number where the mean of a batch is below 0.4."""

    def loss_on(self, batch, training=True):
        mean = tf.reduce_mean(self(batch["views"][0], training=training))
        return tf.math.log(mean - 0.4), {}


@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_loss_that_is_no_number_is_reported_at_its_own_step(most):
    """The third of five, also where it is one of several in a call."""
    means = np.float32([0.5, 0.6, 0.3, 0.7, 0.5])[:, None, None, None, None]
    batches = tf.data.Dataset.from_tensor_slices(means * np.ones((5, 2, 4, 4, 1), "float32"))
    model = Logarithm(keras.layers.GlobalAveragePooling2D())
    model.compile("sgd")
    pace = Pace(10, 15, most)
    with pytest.raises(TrainingError, match="loss is nan at step 13"):
        model.fit(
            batches.map(lambda view: (view, view)), callbacks=[StopOnNaN(10)], pace=pace, verbose=0
        )
    assert pace.step == {1: 13, 3: 13, 5: 15}[most]


def test_calls_of_several_steps_log_what_single_ones_do():
    means = np.float32([0.5, 0.6, 0.8, 0.7])[:, None, None, None, None]
    batches = tf.data.Dataset.from_tensor_slices(means * np.ones((4, 2, 4, 4, 1), "float32"))
    losses = []
    for most in (1, 3):
        dense = keras.layers.Dense(1, kernel_initializer="ones")
        model = Logarithm(keras.Sequential([keras.layers.GlobalAveragePooling2D(), dense]))
        model.compile(keras.optimizers.SGD(1e-5))
        pace = Pace(0, 4, most)
        history = model.fit(batches.map(lambda view: (view, view)), pace=pace, verbose=0)
        losses.append(history.history["loss"])
        assert int(model.optimizer.iterations) == pace.step == 4
    assert losses[0] == losses[1] == [pytest.approx(np.mean(np.log(means - 0.4)), rel=1e-3)]
