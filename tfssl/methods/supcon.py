"""SupCon: contrast classes instead of images."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import supcon
from tfssl.methods import checks
from tfssl.methods.crossview import comparable, cross_view_scalars
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.simclr import DIRECTIONS, Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class SupCon(Contrastive):
    """Khosla et al. 2020, "Supervised Contrastive Learning", arXiv:2004.11362.

    SimCLR with labels: the positives of a view are all views of images of its class (Eq. 2). Images
    without a label are classes of their own, as in SimCLR. As in `SimCLR`, the loss is the sum of
    both directions.

    Args:
        encoder, projector, probe, num_classes, **options: see `SimCLR`; z is always L2-normalized.
        temperature: float > 0.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SupCon(encoder)
    model.compile("adam", run_eagerly=True)
    recipe = tfssl.augment.simclr(8)
    views = tfssl.views((images, np.arange(8) % 2), recipe, batch_size=4, compiled=False)
    model.fit(views, verbose=0).epoch  # [0]
    ```
    """

    SCALARS = ("supcon_loss", "contrast_acc", "contrast_entropy")
    by_class = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        checks.positive("temperature", temperature)
        self.temperature = temperature

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        loss = DIRECTIONS * supcon(z1, z2, tf.cast(labels, tf.int64), self.temperature)
        a, b = (comparable(z) * self.temperature**-0.5 for z in (z1, z2))
        return loss, {"supcon_loss": loss, **cross_view_scalars(a, b, labels)}
