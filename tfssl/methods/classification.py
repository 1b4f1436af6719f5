"""Cross-entropy over the labelled images of a batch."""

import tensorflow as tf

from tfssl.distribute import replicas

CLASSIFICATION_SCALARS = ("supervised_loss", "supervised_acc")


def classification_loss(logits, labels, weights=None):
    """Mean cross-entropy in nats, a float32 scalar, and the CLASSIFICATION_SCALARS.

    The means are over the labelled images; without any, they and their gradients are 0.

    Args:
        logits: float [N, C].
        labels: integers [N] in [0, C), below 0 for unlabelled images.
        weights: float32 [N], the `label_weights` of the whole batch, if these labels are a part of
            it; None: they are the batch, or one replica's share of it.
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
    """Weights of the images of a batch in a mean over its labelled ones.

    Over the batch of all replicas they have a mean of 1, or are all 0 without labels. The mean of
    the weighted means of parts or replicas is therefore that of the batch, however the labels are
    distributed over them.

    Args:
        labels: integers [B], below 0 for unlabelled images.

    Returns:
        float32 [B].
    """
    known = tf.cast(tf.greater_equal(labels, 0), tf.float32)
    return tf.math.divide_no_nan(known, replicas.mean(tf.reduce_mean(known)))


def weighted(batch):
    """Adds `label_weights` to a batch, before it is split into parts."""
    return batch | {"weight": label_weights(batch["label"])} if "label" in batch else batch
