"""A classifier on an encoder: the encoder learns too, or in part, or not at all."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.methods.classification import CLASSIFICATION_SCALARS, classification_loss
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars
from tfssl.methods.learner import Learner


@keras.saving.register_keras_serializable(package="tfssl")
class Supervised(Learner):
    """Learns classes from labels, as finetuning and linear evaluation do.

    `fit` takes datasets of (images, label), or {"views": (images,), "label": label}. What is to
    stay as it is has `trainable = False` before the model is made: its parameters get no gradient,
    and its batch normalizations use and keep their moving averages. `model(images)` is the logits,
    float32 [B, C].

    Args:
        encoder: as for `Learner`.
        num_classes: C.
        head: a `keras.Layer`, its input -> logits [B, C]; None: a linear one.
        projector: a `keras.Layer` between encoder and head; None for none.
        **options: as for `Learner`.

    Example:

    >>> encoder.trainable = False                      # a linear classifier on it alone
    >>> model = tfssl.Supervised(encoder, num_classes=10)
    >>> model.compile("adam")
    >>> model.fit(tfssl.views((images, labels), tfssl.augment.supervised(32), 256), epochs=10)
    """

    SCALARS = CLASSIFICATION_SCALARS
    NUM_VIEWS = 1

    def __init__(
        self,
        encoder: Encoder,
        num_classes: int | None = None,
        *,
        head: keras.Layer | None = None,
        projector: keras.Layer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, **options)
        if head is None and not num_classes:
            raise ValueError("`num_classes` must be given, or a `head`")
        self.num_classes = num_classes
        self.hidden.head, self.hidden.projector = head, projector

    def make_parts(self) -> tuple[Layers, Layers]:
        projector, head, width = self.hidden.projector, self.hidden.head, self.dim
        if projector is not None:
            width = layers.build_head(projector, width, "projector")
        head = head or layers.classifier(width, self.num_classes, seed=self.seed, name="head")
        self.num_classes = layers.build_head(head, width, "head")
        between = {"projector": projector} if projector is not None else {}
        return {**between, "head": head}, {}

    @property
    def num_outputs(self) -> int | None:
        return self.num_classes

    @property
    def classifier(self) -> keras.Layer:
        return self.head

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        outputs = self.encode(images, training)
        for part in list(self.parts.values())[1:]:
            outputs = part(outputs, training=training)
        return outputs

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        logits = self(batch["views"][0], training=training)
        return classification_loss(logits, self.labels_of(batch), batch.get("weight"))

    def labels_of(self, batch: Batch) -> tf.Tensor:
        if "label" not in batch:
            raise ValueError(
                f"{type(self).__name__} learns from labels: `x` must give (images, label)"
            )
        return batch["label"]
