"""Triplet: the other view of an image must be nearer than a view of another image, by a margin."""

import tensorflow as tf

from tfssl.losses import triplet_loss
from tfssl.methods import simclr
from tfssl.methods.base import spread
from tfssl.methods.npair import comparable


class Triplet(simclr.SimCLR):
    """Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".

    Everything is SimCLR's but the loss. A view is the anchor, the other view of its image the
    positive, and one view of another image the negative: the semi-hard one of section 3.2, the
    nearest of those that are farther than the positive; where there is none, the farthest of all.
    (The hardest negatives of a batch draw an untrained network to one point.) The objective is the
    sum of both directions.

    Args:
        encoder, projector, probe, normalize: as for `SimCLR`.
        margin: float >= 0, in squared distance.
    """

    SCALARS = ("triplet_loss", "triplet_active", "contrast_acc", "z_std")

    def __init__(self, encoder, projector, probe=None, *, margin, normalize=True):
        super().__init__(encoder, projector, probe, temperature=1.0, normalize=normalize)
        self.margin = margin

    def candidates(self, batch_size):
        return None

    def contrast(self, z1, z2):
        a, b = comparable(z1, self.normalize), comparable(z2, self.normalize)
        distances = squared_distances(a, b)
        loss, active = 0.0, 0.0
        for anchor, positive, to in ((a, b, distances), (b, a, tf.transpose(distances))):
            negative = tf.gather(positive, semi_hard(to))
            loss += triplet_loss(anchor, positive, negative, self.margin)
            gap = (tf.reduce_sum(tf.square(anchor - negative), axis=1)
                   - tf.reduce_sum(tf.square(anchor - positive), axis=1))
            active += tf.reduce_mean(tf.cast(gap < self.margin, tf.float32)) / 2
        nearest = tf.argmin(distances, axis=1, output_type=tf.int32)
        hit = tf.equal(nearest, tf.range(tf.shape(a)[0]))
        return loss, {"triplet_loss": loss, "triplet_active": active,
                      "contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
                      "z_std": spread(tf.concat([z1, z2], axis=0))}


def squared_distances(a, b):
    """||a_i - b_j||^2, float32 [N, N], up to rounding and without a gradient: it only chooses."""
    a, b = tf.stop_gradient(a), tf.stop_gradient(b)
    return (tf.reduce_sum(tf.square(a), axis=1)[:, None] + tf.reduce_sum(tf.square(b), axis=1)
            - 2.0 * tf.matmul(a, b, transpose_b=True))


def semi_hard(distances):
    """The semi-hard negative of each row, int32 [N].

    Args:
        distances: float [N, N], of anchor i to candidate j; the diagonal is the positives.
    """
    itself = tf.eye(tf.shape(distances)[0], dtype=tf.bool)
    farther = (distances > tf.linalg.diag_part(distances)[:, None]) & ~itself
    infinite = float("inf")
    nearest = tf.argmin(tf.where(farther, distances, infinite), axis=1, output_type=tf.int32)
    farthest = tf.argmax(tf.where(itself, -infinite, distances), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(farther, axis=1), nearest, farthest)


def build(config, kit):
    """Triplet from a `tfssl.Config` and a `Kit`."""
    encoder = kit.encoder(config.seed, "encoder")
    projector = simclr.build_projector(config, kit.normalization, encoder.output_shape[-1])
    return Triplet(encoder, projector, kit.probe(encoder.output_shape[-1]),
                   margin=config.triplet_margin, normalize=config.hidden_norm)
