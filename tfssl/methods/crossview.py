"""Comparison of the projections of one view with those of another one, for logging."""

import tensorflow as tf

from tfssl.losses import without_siblings
from tfssl.losses.contrastive import candidate_scalars


def comparable(z, normalize=True):
    """Projections as float32, L2-normalized if `normalize`."""
    z = tf.cast(z, tf.float32)
    return tf.math.l2_normalize(z, axis=1) if normalize else z


def cross_view_scalars(a, b, labels=None):
    """SimCLR's scalars for the logits a b^T, whose diagonal holds the positive pairs."""
    logits = tf.matmul(a, b, transpose_b=True)
    candidates = logits if labels is None else without_siblings(logits, labels)
    return candidate_scalars(candidates, tf.range(tf.shape(a)[0]))
