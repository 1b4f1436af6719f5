"""Supervised training of a classifier on an encoder, which may be frozen."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import compat, layers
from tfssl.encoders import sections
from tfssl.methods import checks
from tfssl.methods.classification import CLASSIFICATION_SCALARS, classification_loss
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars
from tfssl.methods.learner import Learner


@keras.saving.register_keras_serializable(package="tfssl")
class Supervised(Learner):
    """Classification with labels, for finetuning and linear evaluation.

    `fit` takes datasets of (images, label), or {"views": (images,), "label": label}. To freeze
    layers, set `trainable = False` before creating the model: their parameters stay fixed, and
    their batch normalizations use their moving averages without updating them. `model(images)`
    returns logits, float32 [B, C].

    Args:
        encoder: see `Learner`.
        num_classes: integer, number of classes C; may be omitted if `head` is given.
        head: a `keras.Layer` that returns logits [B, C]; None: a linear layer.
        projector: a `keras.Layer` between encoder and head; None: none.
        layer_decay: float in (0, 1], factor of the learning rate from each block of a Vision
            Transformer of tfssl to the one before, as MAE is finetuned (He et al. 2022, Table 9:
            0.75); None: one rate.
        **options: see `Learner`.

    Raises:
        ValueError: neither `num_classes` nor `head` is given, or `layer_decay` is, for another
            encoder.

    Example:

    ```python
    labels = np.arange(40) % 2  # red and green images
    images = np.tile(np.eye(3, dtype="float32")[labels][:, None, None], (1, 8, 8, 1))
    encoder = keras.layers.GlobalAveragePooling2D()
    model = tfssl.Supervised(encoder, num_classes=2)
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    batches = tf.data.Dataset.from_tensors((images, labels))
    model.fit(batches, epochs=10, verbose=0).history["supervised_acc"][-1]  # 1.0
    ```
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
        layer_decay: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, **options)
        if layer_decay is not None:
            checks.positive("layer_decay", layer_decay)
            checks.share("layer_decay", layer_decay)
        self.layer_decay = layer_decay
        if head is None and num_classes is None:
            raise ValueError("`num_classes` must be given, or a `head`")
        if num_classes is not None:
            checks.integer("num_classes", num_classes, least=1)
        self.num_classes = num_classes
        self.hidden.head, self.hidden.projector = head, projector

    def make_parts(self) -> tuple[Layers, Layers]:
        projector, head, width = self.hidden.projector, self.hidden.head, self.dim
        if projector is not None:
            width = layers.build_head(projector, width, "projector")
        head = head or layers.classifier(width, self.num_classes, seed=self.seed, name="head")
        self.num_classes = layers.build_head(head, width, "head")
        if self.layer_decay is not None:
            # In a namespace, as Keras would track the variables a second time.
            self.hidden.rates = sections.rates(self.encoder, self.layer_decay, "`layer_decay`")
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

    def apply(self, gradients: list[tf.Tensor | None], step: tf.Tensor) -> None:
        if self.layer_decay is None:
            super().apply(gradients, step)
            return
        with compat.scaled_rates(self.optimizer, self.hidden.rates):
            super().apply(gradients, step)

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        logits = self(batch["views"][0], training=training)
        return classification_loss(logits, self.labels_of(batch), batch.get("weight"))

    def labels_of(self, batch: Batch) -> tf.Tensor:
        if "label" not in batch:
            raise ValueError(
                f"{type(self).__name__} learns from labels: `x` must give (images, label)"
            )
        return batch["label"]
