"""N-pair: contrast view 1 of an image with view 2 of all others; or of other classes."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import n_pair_loss, of_one_class, without_siblings
from tfssl.methods import checks
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.selfsupervised import direction_std
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class NPair(Contrastive):
    """Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", two views.

    Everything is SimCLR's but the candidates: N for each projection, all of the other view, where
    NT-Xent has 2N - 1. The objective is the sum of the two directions, as there.

    By class it is Sohn's own, of pairs of images of one class: the positive is the other view of
    another image of the class, the negatives are those of the other classes (`partners`,
    `losses.n_pair_loss`). It learns from labels then.

    Differs from Sohn: by default the projections are normalized and divided by a temperature, as
    SimCLR's are, so that the two differ in their loss alone; there they are bare inner products,
    with a penalty on their length (`normalize=False, temperature=1` without the penalty). By class,
    batches are random, where his have one pair of each class.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: as for `Contrastive`.
        temperature: by which the inner products are divided, above 0.
        by_class: whether pairs are of one class, not of one image; it takes labels then.
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "z_std")

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        by_class: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        checks.positive("temperature", temperature)
        self.temperature, self.by_class = temperature, by_class

    def candidates(self, batch_size: int) -> int | None:
        return None if self.by_class else batch_size

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        # The temperature in two halves: the loss of the paper then takes z as it is.
        a, b = (comparable(z, self.normalize) * self.temperature**-0.5 for z in (z1, z2))
        of_a, of_b = partners(b, labels), partners(a, labels)
        loss = n_pair_loss(a, of_a, labels) + n_pair_loss(b, of_b, labels)
        return loss, {
            "contrast_loss": loss,
            **cross_view_scalars(a, of_a, labels),
            "z_std": direction_std(tf.concat([z1, z2], axis=0)),
        }


def partners(views, labels):
    """The positive of each image: of the next image of its class, around the end of the batch.

    Its own other view where it is the only one of its class or has no label, and where there are no
    labels.

    Args:
        views: float [N, P], of the other view.
        labels: numbers [N], below 0 where there is none; or None.
    """
    if labels is None:
        return views
    count = tf.shape(labels)[0]
    ahead = (tf.range(count) - tf.range(count)[:, None] - 1) % count  # itself comes last
    ahead = tf.where(of_one_class(labels), ahead, count)
    return tf.gather(views, tf.argmin(ahead, axis=1))


def comparable(z, normalize):
    """Projections in float32, of length 1 if they are to be normalized."""
    z = tf.cast(z, tf.float32)
    return tf.math.l2_normalize(z, axis=1) if normalize else z


def cross_view_scalars(a, b, labels=None):
    """SimCLR's scalars of the logits a b^T, whose diagonal is the positive pairs."""
    logits = tf.matmul(a, b, transpose_b=True)
    log_p = tf.nn.log_softmax(logits if labels is None else without_siblings(logits, labels))
    hit = tf.equal(tf.argmax(log_p, axis=1, output_type=tf.int32), tf.range(tf.shape(a)[0]))
    entropy = -tf.reduce_sum(tf.math.multiply_no_nan(log_p, tf.exp(log_p)), axis=1)
    return {
        "contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
        "contrast_entropy": tf.reduce_mean(entropy),
    }
