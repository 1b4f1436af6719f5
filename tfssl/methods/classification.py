"""Cross-entropy over the images that have a label."""

import tensorflow as tf

from tfssl.distribute import replicas

CLASSIFICATION_SCALARS = ("supervised_loss", "supervised_acc")


def classification_loss(logits, labels, weights=None):
    """Mean cross-entropy in nats, a float32 scalar, and the CLASSIFICATION_SCALARS.

    The means are over the images that have a label; 0, with gradients of 0, where none has.

    Args:
        logits: float [N, C].
        labels: integers [N] in [0, C), below 0 where there is none.
        weights: float32 [N], what `label_weights` makes of the labels of the whole batch, where
            these are a part of it; None: they are the batch, or a replica's share of it.
    """
    logits = tf.cast(logits, tf.float32)
    weights = label_weights(labels) if weights is None else weights
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(labels, 0), logits=logits
    )
    loss = tf.reduce_mean(weights * cross_entropy)
    hit = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
    return loss, {
        "supervised_loss": loss,
        "supervised_acc": tf.reduce_mean(weights * tf.cast(hit, tf.float32)),
    }


def label_weights(labels):
    """How much each image of a batch counts in a mean over those that have a label.

    Over the whole batch, of all replicas, the weights have a mean of 1 (or are 0 where there is no
    label at all): so the mean over parts or replicas of their weighted means is the batch's,
    however the labels are spread over them.

    Args:
        labels: integers [B], below 0 where there is none.

    Returns:
        float32 [B].
    """
    known = tf.cast(tf.greater_equal(labels, 0), tf.float32)
    return tf.math.divide_no_nan(known, replicas.mean(tf.reduce_mean(known)))


def weighted(batch):
    """A whole batch with the weights of its labels, as its parts do not know them."""
    return batch | {"weight": label_weights(batch["label"])} if "label" in batch else batch
