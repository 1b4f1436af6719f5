"""Queues of projections of earlier batches."""

import keras
import tensorflow as tf

from tfssl import compat
from tfssl.methods import checks
from tfssl.notes import say


def make(count, dim, seed, name="queue"):
    """A variable [count, dim] of random unit vectors."""
    return keras.Variable(
        random_directions(count, dim, seed), trainable=False, autocast=False, name=name
    )


def push(queue, *entries):
    """Replaces the oldest rows of a queue, which are the first, by new rows [N, dim]."""
    rows = tf.concat([queue, *entries], axis=0)
    queue.assign(rows[-queue.shape[0] :])


def random_directions(count, dim, seed):
    """Random unit vectors, float32 [count, dim]."""
    directions = tf.random.stateless_normal([count, dim], [seed, 0], alg="philox")
    return tf.math.l2_normalize(directions, axis=1)


def check(model, dataset, per_image):
    """Says if a queue holds more than `per_image` projections of each image of an epoch."""
    images = checks.count_images(dataset) if compat.clock_of(dataset) else None
    if images and model.memory_size > per_image * images:
        times = "two" if per_image == 2 else "one"
        say(
            f"`memory_size` is {model.memory_size}, more than {times} for each of the {images} "
            "images of an epoch: they are contrasted with themselves"
        )
