"""VICReg: invariance between views, variance and covariance within each."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import vicreg_terms
from tfssl.methods import checks
from tfssl.methods.barlow_twins import expander
from tfssl.methods.hints import Encoder, Layers, Scalars
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class VICReg(Contrastive):
    """Bardes et al. 2022, "VICReg: Variance-Invariance-Covariance Regularization".

    The loss (arXiv:2105.04906, Eq. 6) draws the projections of both views together, keeps the
    standard deviation of every dimension over the batch at 1 or above, and decorrelates the
    dimensions. Each view passes through the network as a batch of its own.

    Differs from the paper: the default projector has layers of 2048 units, as is usual on small
    images; the paper has 8192 on ImageNet.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: three layers of 2048 units.
        invariance, variance, covariance: floats >= 0, weights of the three terms.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.VICReg(encoder, tfssl.layers.mlp(192, hidden_dim=32, out_dim=32))
    model.compile("adam", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    model.fit(views, verbose=0).history["invariance"]  # [0.0]
    ```
    """

    SCALARS = ("vicreg_loss", "invariance", "variance", "covariance")
    APART = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        self.weights_of_terms = {
            "invariance": invariance,
            "variance": variance,
            "covariance": covariance,
        }
        for name, value in self.weights_of_terms.items():
            checks.weight(name, value)
        if not any(self.weights_of_terms.values()):
            raise ValueError(
                "`invariance`, `variance` and `covariance` must not all be 0: nothing would be "
                "learned. Received: 0, 0 and 0"
            )

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        return super().make_heads(projector or expander(self.dim, self.seed + 1))

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        terms = vicreg_terms(z1, z2)
        loss = tf.add_n([weight * terms[name] for name, weight in self.weights_of_terms.items()])
        return loss, {"vicreg_loss": loss, **terms}
