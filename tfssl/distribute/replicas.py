"""What one replica of a training step knows of the others.

`tf.distribute` runs a step on every replica, each with its share of the batch. These functions are
called within the step. Where there is one replica, as without `tf.distribute`, they change nothing.
"""

import tensorflow as tf


def count():
    """How many replicas compute this step together."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def index():
    """The number of this replica among them, an integer or an integer scalar."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group if count() > 1 else 0


def mean(values):
    """The mean over the replicas of every float tensor in a nested structure."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def gather(values):
    """The rows of all replicas below each other, in the order of the batch.

    The gradient is that of a loss which every replica computes alike from the gathered rows, as
    NT-Xent is, and whose mean over the replicas is what is minimised: each replica holds the
    gradient of its own rows already, and nothing is sent back.

    Args:
        values: float [N, ...], N the same on every replica.

    Returns:
        float [replicas * N, ...].
    """
    size = count()
    if size == 1:
        return values
    context = tf.distribute.get_replica_context()
    own = context.replica_id_in_sync_group
    rows = values.shape[0]

    # A sum with zeros in the places of the others, because every strategy has that; not all gather.
    @tf.custom_gradient
    def gathered(values):
        place = tf.reshape(
            tf.one_hot(own, size, dtype=values.dtype), [size] + [1] * values.shape.rank
        )
        everyone = context.all_reduce(tf.distribute.ReduceOp.SUM, place * values[tf.newaxis])

        def gradient(flow):
            flow = tf.reshape(flow, tf.shape(everyone))
            return tf.cast(size, flow.dtype) * tf.gather(flow, own)

        return tf.reshape(everyone, [rows * size if rows else -1, *values.shape[1:]]), gradient

    return gathered(values)
