"""A student of a teacher: a classifier that learns to answer as another one does."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfssl.losses import distillation_loss
from tfssl.methods import checks
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars
from tfssl.methods.learner import Learner
from tfssl.methods.supervised import Supervised


@keras.saving.register_keras_serializable(package="tfssl")
class Distilled(Supervised):
    """Distillation as in SimCLRv2, Chen et al. 2020, arXiv:2006.10029, Eq. (2) and (3).

    loss = alpha * mean over images of the cross-entropy with the teacher's softmax
         + (1 - alpha) * sum over labelled images of the cross-entropy with the label / images

    Both parts are over the images of a batch, as the paper's are over the whole set: rare labels
    weigh little. `fit` takes datasets as for `Supervised`; labels may be missing with alpha = 1.

    Args:
        encoder, num_classes, head, **options: as for `Supervised`; without a head, `num_classes` is
            the teacher's.
        teacher: a `keras.Model`, images float [B, H, W, C] in [0, 1] -> logits [B, C], such as a
            trained `Supervised`, which answers for the views themselves. None where `teach` tells
            its answers.
        temperature: of both softmaxes, above 0.
        alpha: weight of the teacher's answers, in [0, 1].
    """

    SCALARS = ("distill_loss", "teacher_agreement", "supervised_loss")

    def __init__(
        self,
        encoder: Encoder,
        teacher: keras.Model | None = None,
        num_classes: int | None = None,
        *,
        temperature: float = 1.0,
        alpha: float = 1.0,
        head: keras.Layer | None = None,
        **options: Any,
    ) -> None:
        self.check_teacher(teacher)
        if head is None and not num_classes and teacher is not None:
            num_classes = outputs_of(teacher)
        super().__init__(encoder, num_classes, head=head, **options)
        checks.positive("temperature", temperature)
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` must be in [0, 1]. Received: alpha={alpha}")
        self.temperature, self.alpha = temperature, alpha
        self.hidden.teacher, self.hidden.answers = teacher, None

    @property
    def num_outputs(self) -> int | None:
        return None if self.hidden.answers else self.num_classes  # labels may be places of images

    @staticmethod
    def check_teacher(teacher: keras.Model | None) -> None:
        if teacher is not None and not isinstance(teacher, keras.Model):
            raise ValueError(f"`teacher` must be a keras.Model. Received: {teacher!r}")
        if isinstance(teacher, Learner) and not isinstance(teacher, Supervised):
            raise ValueError(
                "`teacher` must return logits, as a Supervised does. "
                f"Received: a {type(teacher).__name__}, which returns representations"
            )

    def make_parts(self) -> tuple[Layers, Layers]:
        self.teacher = self.hidden.teacher  # saved with the rest, and no follower: it is as it is
        return super().make_parts()

    def teach(self, answers: np.ndarray, labels: np.ndarray) -> None:
        """What is learned, told once: a batch's "label" is then the place of each image here.

        Args:
            answers: the teacher's logits, float32 [N, C].
            labels: int [N], -1 where none is known.
        """
        with tf.device("CPU"):
            self.hidden.answers = tf.constant(answers), tf.constant(labels, tf.int64)

    def answers_for(self, batch: Batch) -> Sequence[tf.Tensor]:
        """The teacher's logits [B, C], and the labels [B], below 0 where there is none."""
        if self.hidden.answers:
            with tf.device("CPU"):
                return [tf.gather(known, batch["label"]) for known in self.hidden.answers]
        if self.hidden.teacher is None:
            raise ValueError("`teacher` must be given, or its answers told by `teach`")
        view = batch["views"][0]
        labels = batch.get("label")
        if labels is None and self.alpha < 1:
            labels = self.labels_of(batch)
        known = -tf.ones(tf.shape(view)[:1], tf.int64) if labels is None else labels
        return self.hidden.teacher(view, training=False), tf.cast(known, tf.int64)

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        logits = tf.cast(self(batch["views"][0], training=training), tf.float32)
        answers, labels = self.answers_for(batch)
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


def outputs_of(teacher):
    """The number of classes that a teacher tells apart.

    Raises:
        ValueError: it does not say.
    """
    if isinstance(teacher, Learner):
        return teacher.num_outputs
    shape = getattr(teacher, "output_shape", None)
    if not isinstance(shape, tuple) or shape[-1] is None:
        raise ValueError(
            "`num_classes` must be given, as the `teacher` does not say how many it tells apart"
        )
    return shape[-1]
