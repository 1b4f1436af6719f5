"""Which epoch a dataset makes."""

import numpy as np
import tensorflow as tf


class Clock:
    """The number of the epoch that a dataset makes when it is iterated next.

    `fit` sets it, so that the batches of an epoch do not depend on how often the dataset was
    iterated before. Where nobody does, each iteration is the next epoch.

    Args:
        classes: how many the labels of the dataset are of; 0 where that is not known.
    """

    def __init__(self, classes=0):
        self.epoch, self.iterations, self.classes = None, 0, classes

    def set(self, epoch):
        """From now on every iteration is of this epoch; of the next one each time with None."""
        self.epoch = None if epoch is None else int(epoch)

    def read(self):
        """The epoch of an iteration that begins now, int64."""
        if self.epoch is not None:
            return np.int64(self.epoch)
        self.iterations += 1
        return np.int64(self.iterations - 1)

    def dataset(self, of_epoch):
        """`of_epoch(epoch)`, a dataset for an int64 scalar tensor, at every iteration anew."""

        def begin(_):
            epoch = tf.numpy_function(self.read, [], tf.int64, stateful=True)
            return of_epoch(tf.ensure_shape(epoch, []))

        dataset = tf.data.Dataset.from_tensors(0).flat_map(begin)
        dataset.clock = self
        return dataset
