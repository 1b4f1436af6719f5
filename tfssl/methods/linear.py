"""A linear classifier on a frozen encoder."""

import tensorflow as tf

from tfssl.methods.base import CLASSIFICATION_SCALARS, Learner, classification_loss


class LinearClassifier(Learner):
    """Learns the class from a representation that stays as it is.

    The encoder runs in inference mode: neither its parameters nor the moving averages of its batch
    normalizations change. A batch is a dict {"view1": float32 [B, H, W, 3] in [0, 1], "label":
    int [B]}; `model(images)` is the logits, [B, C].

    Args:
        encoder: `keras.Model`, images [B, H, W, 3] -> h [B, D].
        head: `keras.Model`, h [B, D] -> logits [B, C].
    """

    SCALARS = CLASSIFICATION_SCALARS

    def __init__(self, encoder, head):
        super().__init__({"head": head}, {"encoder": encoder})

    def call(self, images, training=False):
        h = tf.stop_gradient(self.encoder(images, training=False))
        return self.head(h, training=training)

    def loss_on(self, batch):
        return classification_loss(self(batch["view1"], training=True), batch["label"])
