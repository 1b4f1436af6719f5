"""What the private parts of TensorFlow and Keras are used for holds, whatever else happened."""

import numpy as np
import pytest
import tensorflow as tf

from tfssl import compat


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
