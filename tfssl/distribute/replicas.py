"""Communication between the replicas of a training step.

`tf.distribute` runs a step on every replica, each with its share of the batch. These functions are
called within the step. With one replica, as without `tf.distribute`, they do nothing.
"""

import tensorflow as tf


def count():
    """Number of replicas that compute this step together."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def index():
    """Index of this replica, an integer or an integer scalar tensor."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group if count() > 1 else 0


def mean(values):
    """The mean over the replicas of every float tensor in a nested structure."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def gather(values):
    """Concatenates the rows of all replicas, in the order of the batch.

    The gradient assumes that every replica computes the same loss from the gathered rows, as with
    NT-Xent, and that the mean over the replicas is minimized: each replica then already has the
    gradient of its own rows, and nothing is communicated.

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

    # A sum with zeros for the other replicas: every strategy supports it, unlike gathering.
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
