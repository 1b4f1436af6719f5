"""A student of a teacher: a classifier that learns to answer as another one does."""

import tensorflow as tf

from tfssl.losses import distillation_loss
from tfssl.methods.supervised import Supervised


class Distilled(Supervised):
    """Distillation as in SimCLRv2, Chen et al. 2020, arXiv:2006.10029, Eq. (2) and (3).

    loss = alpha * mean over images of the cross-entropy with the teacher's softmax
         + (1 - alpha) * sum over labelled images of the cross-entropy with the label / images

    Both parts are over the images of a batch, as the paper's are over the whole set: rare labels
    weigh little. A batch is {"view1": float32 [B, H, W, 3], "label": int [B]}, where the label is
    the place of the image among those that the teacher answered for.

    Args:
        encoder, head: as for `Supervised`.
        temperature: of both softmaxes, above 0.
        alpha: weight of the teacher's answers, in [0, 1].
    """

    SCALARS = ("distill_loss", "teacher_agreement", "supervised_loss")

    def __init__(self, encoder, head, *, temperature, alpha):
        super().__init__(encoder, head)
        self.temperature, self.alpha = temperature, alpha

    def teach(self, answers, labels):
        """What is learned.

        Args:
            answers: the teacher's logits, float32 [N, C].
            labels: int [N], -1 where none is known.
        """
        with tf.device("CPU"):
            self.answers, self.labels = tf.constant(answers), tf.constant(labels, tf.int64)

    def loss_on(self, batch):
        logits = tf.cast(self(batch["view1"], training=True), tf.float32)
        with tf.device("CPU"):
            answers = tf.gather(self.answers, batch["label"])
            labels = tf.gather(self.labels, batch["label"])
        distill = distillation_loss(logits, answers, self.temperature)
        agree = tf.equal(tf.argmax(logits, axis=1), tf.argmax(answers, axis=1))
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.maximum(labels, 0), logits=logits
        )
        supervised = tf.reduce_mean(tf.where(labels >= 0, cross_entropy, 0.0))
        loss = self.alpha * distill + (1 - self.alpha) * supervised
        return loss, {
            "distill_loss": distill,
            "supervised_loss": supervised,
            "teacher_agreement": tf.reduce_mean(tf.cast(agree, tf.float32)),
        }
