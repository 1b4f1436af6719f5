"""Knowledge distillation: train a classifier on the outputs of another one."""

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

    Both terms are divided by the number of images in the batch, as the paper divides by that of the
    whole set: few labels have little weight. `fit` takes the same datasets as for `Supervised`;
    with `alpha=1` they need no labels.

    Args:
        encoder, num_classes, head, **options: see `Supervised`. By default, `num_classes` is that
            of the teacher.
        teacher: a `keras.Model`, images float [B, H, W, C] in [0, 1] -> logits [B, C], such as a
            trained `Supervised`, applied to the views. None: call `teach` with its logits before
            `fit`.
        temperature: float > 0, of both softmaxes.
        alpha: float in [0, 1], weight of the teacher's term.

    Raises:
        ValueError: an argument is out of its range, or `teacher` is not a `keras.Model`.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    inputs = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
    teacher = keras.Sequential([*inputs, keras.layers.Dense(5)])
    model = tfssl.Distilled(keras.Sequential(inputs), teacher, temperature=2.0)
    model.compile("adam", run_eagerly=True)
    history = model.fit(tf.data.Dataset.from_tensors(images), verbose=0).history
    model(images).shape, len(history["teacher_agreement"])  # (TensorShape([8, 5]), 1)
    ```
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
        if head is None and num_classes is None and teacher is None:
            raise ValueError("`num_classes` must be given, or a `teacher`, or a `head`")
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
        return None if self.hidden.answers else self.num_classes  # "label" may be an image's index

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
        self.teacher = self.hidden.teacher  # an attribute, so that Keras saves it
        parts, followers = super().make_parts()
        if self.teacher is not None:
            checks.parts_differ({"encoder": self.encoder, **parts, "teacher": self.teacher})
        return parts, followers

    def teach(self, answers: np.ndarray, labels: np.ndarray) -> None:
        """Sets the targets for all images in advance.

        From then on, "label" in a batch is the index of each image in these arrays.

        Args:
            answers: float32 [N, C], the teacher's logits.
            labels: int [N], -1 for unlabelled images.
        """
        with tf.device("CPU"):
            self.hidden.answers = tf.constant(answers), tf.constant(labels, tf.int64)

    def answers_for(self, batch: Batch) -> Sequence[tf.Tensor]:
        """The teacher's logits [B, C], and the labels [B], below 0 for unlabelled images."""
        if self.hidden.answers:
            with tf.device("CPU"):
                return [tf.gather(known, batch["label"]) for known in self.hidden.answers]
        if self.hidden.teacher is None:
            raise ValueError("`teacher` must be given, or its logits set by `teach`")
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
