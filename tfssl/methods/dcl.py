"""DCL and DCLW: SimCLR without the positive among the negatives."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import dcl, dclw
from tfssl.methods import checks
from tfssl.methods.crossview import comparable, cross_view_scalars
from tfssl.methods.hints import Encoder, Scalars
from tfssl.methods.simclr import DIRECTIONS, Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class DCL(Contrastive):
    """Yeh et al. 2022, "Decoupled Contrastive Learning", arXiv:2110.06848.

    SimCLR, whose positive pair is left out of the denominator of NT-Xent (Eq. 5), so that easy
    positives no longer take the gradient from the negatives: it suffers less from small batches.
    As in `SimCLR`, the loss is the sum of both directions. It can be negative.

    Args:
        encoder, projector, probe, num_classes, **options: see `SimCLR`; z is always L2-normalized.
        temperature: float > 0.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.DCL(encoder, temperature=0.1)
    model.compile("adam", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    model.fit(views, verbose=0).history["contrast_acc"]  # [1.0]
    ```
    """

    SCALARS = ("decoupled_loss", "contrast_acc", "contrast_entropy")

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
        loss = DIRECTIONS * self.loss_of_pair(z1, z2)
        a, b = (comparable(z) * self.temperature**-0.5 for z in (z1, z2))
        return loss, {"decoupled_loss": loss, **cross_view_scalars(a, b)}

    def loss_of_pair(self, z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
        """The mean loss over both directions."""
        return dcl(z1, z2, self.temperature)


@keras.saving.register_keras_serializable(package="tfssl")
class DCLW(DCL):
    """DCL with weighted positives: Yeh et al. 2022, arXiv:2110.06848, Eq. 6 and 7.

    Positives that are far apart count more, by a negative von Mises-Fisher weight of mean 1.

    Args:
        encoder, projector, probe, num_classes, **options: see `SimCLR`; z is always L2-normalized.
        temperature: float > 0.
        sigma: float > 0, width of the weighting: the larger, the more equal the weights.

    Example:

    ```python
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.DCLW(encoder, sigma=0.5)
    loss, scalars = model.contrast(tf.eye(4), tf.eye(4))
    float(scalars["contrast_acc"])  # 1.0
    ```
    """

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        sigma: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, temperature=temperature, **options)
        checks.positive("sigma", sigma)
        self.sigma = sigma

    def loss_of_pair(self, z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
        return dclw(z1, z2, self.temperature, self.sigma)
