"""Triplet: the positive must be nearer than the negative by a margin."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import of_one_class, triplet_loss
from tfssl.methods import checks
from tfssl.methods.crossview import comparable
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.npair import partners
from tfssl.methods.selfsupervised import direction_std
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class Triplet(Contrastive):
    """Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".

    Like SimCLR except for the loss. For each view, the positive is the other view of its image, and
    the negative is semi-hard (section 3.2): the nearest view of another image that is farther than
    the positive, or the farthest if there is none. (With the hardest negatives, an untrained
    network collapses to one point.) The loss is the sum of both directions.

    With `by_class=True` it is FaceNet's loss: the positive is a view of another image of the class,
    the negative is of another class. An image without a negative in its batch contributes 0. This
    needs labels.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: see `SimCLR`.
        margin: float >= 0, in squared distance.
        by_class: bool, whether positives share a class instead of an image.

    Raises:
        ValueError: `margin` is negative.

    Example:

    ```python
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.Triplet(encoder, margin=0.5)
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    model.compile("adam", run_eagerly=True)
    model.fit(tf.data.Dataset.from_tensors((images, images)), verbose=0).epoch  # [0]
    loss, scalars = model.contrast(tf.eye(2), tf.eye(2))  # squared distances 0 and 2
    float(loss), float(scalars["contrast_acc"])  # (0.0, 1.0)
    ```
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
        checks.weight("margin", margin)
        self.margin, self.by_class = margin, by_class

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        a, b = comparable(z1, self.normalize), comparable(z2, self.normalize)
        alike = None if labels is None else of_one_class(labels)
        # An anchor without a negative contributes 0.
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
    """||a_i - b_j||^2, float32 [N, N], without gradient, as it only selects negatives."""
    a, b = tf.stop_gradient(a), tf.stop_gradient(b)
    return (
        tf.reduce_sum(tf.square(a), axis=1)[:, None]
        + tf.reduce_sum(tf.square(b), axis=1)
        - 2.0 * tf.matmul(a, b, transpose_b=True)
    )


def semi_hard(distances, alike=None):
    """Indices of the semi-hard negatives, int32 [N]; arbitrary for rows without a negative.

    Args:
        distances: float [N, N], from anchor i to candidate j, with the positives on the diagonal.
        alike: bool [N, N], candidates that are not negatives, including the diagonal; None: the
            diagonal.
    """
    alike = tf.eye(tf.shape(distances)[0], dtype=tf.bool) if alike is None else alike
    farther = (distances > tf.linalg.diag_part(distances)[:, None]) & ~alike
    infinite = float("inf")
    nearest = tf.argmin(tf.where(farther, distances, infinite), axis=1, output_type=tf.int32)
    farthest = tf.argmax(tf.where(alike, -infinite, distances), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(farther, axis=1), nearest, farthest)


def nearest_is_positive(distances, alike=None):
    """Fraction of rows whose positive is nearer than all negatives; see `semi_hard`."""
    positives = tf.linalg.diag_part(distances)
    if alike is not None:
        distances = tf.linalg.set_diag(tf.where(alike, float("inf"), distances), positives)
    hit = tf.equal(tf.argmin(distances, axis=1), tf.range(tf.shape(distances)[0], dtype=tf.int64))
    return tf.reduce_mean(tf.cast(hit, tf.float32))
