"""N-pair: contrast view 1 of an image with view 2 of all others, or of other classes."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import n_pair_loss, of_one_class
from tfssl.methods import checks
from tfssl.methods.crossview import comparable, cross_view_scalars
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.selfsupervised import direction_std
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class NPair(Contrastive):
    """Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", two views.

    Like SimCLR except for the candidates: each projection is compared with the N projections of the
    other view, where NT-Xent has 2N - 1 candidates. The loss is the sum of the two directions.

    With `by_class=True` it is Sohn's loss on pairs of images of one class: the positive is the
    other view of another image of the class, the negatives are views of other classes
    (`losses.n_pair_loss`). This needs labels.

    Differs from Sohn: by default the projections are normalized and divided by a temperature, so
    that only the loss differs from SimCLR; the paper uses plain inner products with a penalty on
    their norm (`normalize=False, temperature=1`, without the penalty). With `by_class`, batches are
    random; the paper's have one pair per class.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: see `SimCLR`.
        temperature: float > 0, divides the inner products.
        by_class: bool, whether positives share a class instead of an image.

    Raises:
        ValueError: `temperature` is not positive.

    Example:

    ```python
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.NPair(encoder, temperature=0.5)
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    model.compile("adam", run_eagerly=True)
    model.fit(tf.data.Dataset.from_tensors((images, images)), verbose=0).epoch  # [0]
    loss, scalars = model.contrast(tf.eye(2), tf.eye(2))  # logits 2 and 0
    round(float(loss), 3), float(scalars["contrast_acc"])  # (0.254, 1.0)
    ```
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
        # Each side takes half of the temperature, so that the paper's loss applies unchanged.
        a, b = (comparable(z, self.normalize) * self.temperature**-0.5 for z in (z1, z2))
        of_a, of_b = partners(b, labels), partners(a, labels)
        loss = n_pair_loss(a, of_a, labels) + n_pair_loss(b, of_b, labels)
        return loss, {
            "contrast_loss": loss,
            **cross_view_scalars(a, of_a, labels),
            "z_std": direction_std(tf.concat([z1, z2], axis=0)),
        }


def partners(views, labels):
    """The positive of each image: the next image of its class, cyclically through the batch.

    An image without a label, or alone in its class, is paired with its own other view.

    Args:
        views: float [N, P], projections of the other view.
        labels: numbers [N], below 0 for unlabelled images; or None.
    """
    if labels is None:
        return views
    count = tf.shape(labels)[0]
    ahead = (tf.range(count) - tf.range(count)[:, None] - 1) % count  # the image itself is last
    ahead = tf.where(of_one_class(labels), ahead, count)
    return tf.gather(views, tf.argmin(ahead, axis=1))
