"""What the private parts of TensorFlow and Keras are used for holds, whatever else happened."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl import compat, data
from tfssl.data import arrays


def test_map_in_turn_is_a_loop():
    x = tf.reshape(tf.range(6.0), [3, 2])
    squares, sums = compat.map_in_turn(
        lambda row: (row**2, tf.reduce_sum(row)), x, (tf.float32, tf.float32)
    )
    np.testing.assert_array_equal(squares, x**2)
    np.testing.assert_array_equal(sums, [1, 5, 9])


def test_a_function_that_fails_leaves_nothing_for_later_steps():
    def fails(row):
        raise ValueError("the user's mistake")

    @tf.function
    def compute():
        return compat.map_in_turn(fails, tf.zeros([3, 2]), tf.float32)

    with pytest.raises(ValueError, match="the user's mistake"):
        compute()
    assert tf.compat.v1.get_variable_scope().caching_device is None

    x = tf.Variable(3.0)  # and eager recomputation, which the trace broke, works
    with tf.GradientTape() as tape:
        y = tf.recompute_grad(lambda: x * x)()
    assert float(tape.gradient(y, x)) == 6


def tuned(dataset):
    return dataset.options().autotune.enabled


def test_a_steady_dataset_is_the_same_without_a_thread_that_tunes_it():
    numbers = tf.data.Dataset.range(3).map(lambda x: x**2, num_parallel_calls=tf.data.AUTOTUNE)
    for made in (compat.steady(numbers), compat.prefetched(numbers)):
        assert tuned(made) is False and list(made.as_numpy_iterator()) == [0, 1, 4]
        assert made.options().autotune.initial_parallelism == os.cpu_count()
        assert tuned(made.map(lambda x: x + 1).take(2)) is False  # what is derived from it too
    assert tuned(numbers) is None


@pytest.mark.parametrize("wanted", [True, False])
def test_a_user_may_have_it_tuned(wanted):
    options = tf.data.Options()
    options.autotune.enabled = wanted
    dataset = tf.data.Dataset.range(3).with_options(options)
    assert compat.steady(dataset) is dataset and tuned(dataset) is wanted


def test_what_is_no_dataset_stays():
    given = [np.zeros(3)]
    assert compat.steady(given) is given and compat.steady(None) is None


def test_all_that_is_iterated_over_is_steady(monkeypatch):
    images, labels = np.zeros((8, 8, 8, 3), "uint8"), np.arange(8) % 2
    source, recipe = arrays.source_of((images, labels)), tfssl.augment.supervised(8)
    views = tfssl.views((images, labels), recipe, batch_size=4, compiled=False)
    assert tuned(views) is False
    assert tuned(data.views(source, [recipe] * 2, batch_size=4, seed=0, stop_step=1)) is False
    assert tuned(data.labelled(source, lambda image: image, batch_size=4)) is False

    seen = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, x, *args, **rest: seen.append((x, rest)))
    monkeypatch.setattr(keras.Model, "evaluate", lambda self, x, *args, **_: seen.append((x, {})))
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd")
    pair = tf.zeros([4, 8, 8, 3]), tf.zeros([4, 8, 8, 3])
    own = tf.data.Dataset.from_tensors(pair)
    with pytest.raises(AttributeError):  # of the history that there is not
        model.fit(own, validation_data=own)
    model.evaluate(own)
    (x, rest), (evaluated, _) = seen
    assert {tuned(one) for one in (x, rest["validation_data"], evaluated)} == {False}
