"""Means and sums of scalars."""

import keras
import tensorflow as tf


class Average(keras.metrics.Metric):
    """The mean of scalars since the last reset.

    `keras.metrics.Mean` adds up its replicas whenever it is read, which takes all workers at once;
    here every replica holds the whole, so it must be fed with the same values on all of them.
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
    """The sum of scalars, in their order.

    Not a chain of plain sums: TensorFlow's optimizer of graphs joins those, in an order that
    differs from process to process, and so would the last digit of what is logged.
    """
    return tf.reduce_sum(tf.stack(losses))
