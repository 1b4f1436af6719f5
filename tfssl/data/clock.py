"""Counts the epochs of a dataset."""

import contextlib

import numpy as np
import tensorflow as tf


class Clock:
    """Holds the epoch that the next iteration over a dataset makes.

    `fit` sets it, so that the batches of an epoch do not depend on earlier iterations. If it is not
    set, each iteration is the next epoch.

    Args:
        classes: number of classes of the labels; 0 if unknown.
        checked: whether the values of the views are known to be in range.
    """

    def __init__(self, classes=0, checked=True):
        self.epoch, self.iterations = None, 0
        self.classes, self.checked = classes, checked

    def set(self, epoch):
        """Fixes the epoch of all following iterations; None: each is the next epoch again."""
        self.epoch = None if epoch is None else int(epoch)

    @contextlib.contextmanager
    def fixed(self, epoch):
        """Fixes the epoch for a while."""
        before = self.epoch
        self.set(epoch)
        try:
            yield
        finally:
            self.set(before)

    def read(self):
        """Returns the epoch of an iteration that begins now, int64."""
        if self.epoch is not None:
            return np.int64(self.epoch)
        self.iterations += 1
        return np.int64(self.iterations - 1)

    def dataset(self, of_epoch):
        """A dataset that iterates over `of_epoch(epoch)`; epoch is an int64 scalar tensor."""

        def begin(_):
            epoch = tf.numpy_function(self.read, [], tf.int64, stateful=True)
            return of_epoch(tf.ensure_shape(epoch, []))

        dataset = tf.data.Dataset.from_tensors(0).flat_map(begin)
        dataset.clock = self
        return dataset
