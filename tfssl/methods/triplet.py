"""Triplet: the other view of an image must be nearer than a view of another image, by a margin; or
another image of its class nearer than one of another class."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import of_one_class, triplet_loss
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.npair import comparable, partners
from tfssl.methods.selfsupervised import direction_std
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class Triplet(Contrastive):
    """Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".

    Everything is SimCLR's but the loss. A view is the anchor, the other view of its image the
    positive, and one view of another image the negative: the semi-hard one of section 3.2, the
    nearest of those that are farther than the positive; where there is none, the farthest of all.
    (The hardest negatives of a batch draw an untrained network to one point.) The objective is the
    sum of both directions.

    By class it is FaceNet's own: the positive is of another image of the class (`npair.partners`),
    the negative of another class; an image with none in its batch counts as 0. It learns from
    labels then.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: as for `Contrastive`.
        margin: float >= 0, in squared distance.
        by_class: whether positives are of one class, not of one image; it takes labels then.
    """

    SCALARS = ("triplet_loss", "triplet_active", "contrast_acc", "z_std")

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        margin: float = 0.8,
        by_class: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        if margin < 0:
            raise ValueError(f"`margin` must not be negative. Received: margin={margin}")
        self.margin, self.by_class = margin, by_class

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        a, b = comparable(z1, self.normalize), comparable(z2, self.normalize)
        alike = None if labels is None else of_one_class(labels)
        # An anchor without any negative counts as 0.
        counts = 1.0 if alike is None else tf.cast(~tf.reduce_all(alike, axis=1), tf.float32)
        loss, active, hits = 0.0, 0.0, []
        for anchor, other in ((a, b), (b, a)):
            positive = partners(other, labels)
            distances = squared_distances(anchor, positive)
            negative = tf.gather(positive, semi_hard(distances, alike))
            loss += triplet_loss(anchor, positive, negative, self.margin, weights=counts)
            gap = tf.reduce_sum(tf.square(anchor - negative), axis=1) - tf.reduce_sum(
                tf.square(anchor - positive), axis=1
            )
            active += tf.reduce_mean(counts * tf.cast(gap < self.margin, tf.float32)) / 2
            hits.append(nearest_is_positive(distances, alike))
        return loss, {
            "triplet_loss": loss,
            "triplet_active": active,
            "contrast_acc": hits[0],
            "z_std": direction_std(tf.concat([z1, z2], axis=0)),
        }


def squared_distances(a, b):
    """||a_i - b_j||^2, float32 [N, N], up to rounding and without a gradient: it only chooses."""
    a, b = tf.stop_gradient(a), tf.stop_gradient(b)
    return (
        tf.reduce_sum(tf.square(a), axis=1)[:, None]
        + tf.reduce_sum(tf.square(b), axis=1)
        - 2.0 * tf.matmul(a, b, transpose_b=True)
    )


def semi_hard(distances, alike=None):
    """The semi-hard negative of each row, int32 [N].

    Args:
        distances: float [N, N], of anchor i to candidate j; the diagonal is the positives.
        alike: bool [N, N], which candidates are no negatives, the diagonal among them; None: the
            diagonal alone. Of a row without any negative the result means nothing.
    """
    alike = tf.eye(tf.shape(distances)[0], dtype=tf.bool) if alike is None else alike
    farther = (distances > tf.linalg.diag_part(distances)[:, None]) & ~alike
    infinite = float("inf")
    nearest = tf.argmin(tf.where(farther, distances, infinite), axis=1, output_type=tf.int32)
    farthest = tf.argmax(tf.where(alike, -infinite, distances), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(farther, axis=1), nearest, farthest)


def nearest_is_positive(distances, alike=None):
    """Share of the rows whose positive is nearer than all negatives; arguments: see `semi_hard`."""
    positives = tf.linalg.diag_part(distances)
    if alike is not None:
        distances = tf.linalg.set_diag(tf.where(alike, float("inf"), distances), positives)
    hit = tf.equal(tf.argmin(distances, axis=1), tf.range(tf.shape(distances)[0], dtype=tf.int64))
    return tf.reduce_mean(tf.cast(hit, tf.float32))
