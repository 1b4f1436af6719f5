"""A classifier on an encoder: the encoder learns too, or in part, or not at all."""

from tfssl.methods.base import CLASSIFICATION_SCALARS, Learner, classification_loss


class Supervised(Learner):
    """Learns classes from labels, as finetuning and linear evaluation do.

    What is to stay as it is has `trainable = False` before the model is made: its parameters get no
    gradient, and its batch normalizations use and keep their moving averages. A batch is a dict
    {"view1": float32 [B, H, W, 3] in [0, 1], "label": int [B]}, the label below 0 where there is
    none; `model(images)` is the logits, float32 [B, C].

    Args:
        encoder: `keras.Model`, images [B, H, W, 3] -> h [B, D].
        head: `keras.Model`, its input -> logits [B, C].
        projector: `keras.Model` between the two, or None.
    """

    SCALARS = CLASSIFICATION_SCALARS

    def __init__(self, encoder, head, projector=None):
        super().__init__(
            {"encoder": encoder, **({"projector": projector} if projector else {}), "head": head}
        )
        self.classifier = head

    def call(self, images, training=False):
        for part in self.parts.values():
            images = part(images, training=training)
        return images

    def loss_on(self, batch):
        return classification_loss(
            self(batch["view1"], training=True), batch["label"], batch.get("weight")
        )
