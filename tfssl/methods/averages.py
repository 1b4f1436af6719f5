"""Means and sums of scalars."""

import keras
import tensorflow as tf


class Average(keras.metrics.Metric):
    """The mean of scalars since the last reset.

    Reading a `keras.metrics.Mean` sums over the replicas, which needs all workers at once. Here
    every replica keeps the whole mean, so all of them must be updated with the same values.
    """

    def __init__(self, name):
        super().__init__(name=name)
        self.total = keras.Variable(0.0, trainable=False, name="total")
        self.count = keras.Variable(0.0, trainable=False, name="count")

    def update_state(self, value):
        self.total.assign(self.total + value)
        self.count.assign(self.count + 1.0)

    def result(self):
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.total), self.count)


def total(*losses):
    """The sum of scalars, in the given order.

    TensorFlow's graph optimizer merges a chain of `+` in an order that differs between processes,
    which would change the last digit of the logs.
    """
    return tf.reduce_sum(tf.stack(losses))
