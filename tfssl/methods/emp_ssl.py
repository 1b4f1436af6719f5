"""EMP-SSL: many patches of an image agree, and the batch spreads out."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import emp_ssl
from tfssl.methods import checks
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.crossview import comparable
from tfssl.methods.hints import Encoder, Layers, Scalars, Views


@keras.saving.register_keras_serializable(package="tfssl")
class EMPSSL(Coupled):
    """Tong et al. 2023, "EMP-SSL: Towards Self-Supervised Learning in One Training Epoch".

    The views are many crops of an image (arXiv:2304.03977; 20 in the paper, up to 200). Each is
    drawn to the mean projection of its image, and the coding rate of every view over the batch is
    maximized, so that images spread out. The paper represents an image by the mean of h over many
    patches: `tfssl.encoders.patch_mean` makes such an encoder for evaluation.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: two layers, of 2048 and 512 units.
        eps: float > 0, distortion of the coding rate.
        invariance: float >= 0, weight of the agreement.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    model = tfssl.EMPSSL(keras.layers.GlobalAveragePooling2D())
    patch = tfssl.augment.simclr(8, crop_area=(0.25, 0.25))
    views = tfssl.views(images, patch, batch_size=8, num_views=4, compiled=False)
    model.compile("sgd", run_eagerly=True)
    len(model.fit(views, verbose=0).history["coding_rate"])  # 1
    ```
    """

    SCALARS = ("emp_loss", "coding_rate", "patch_cosine")
    NUM_VIEWS = None
    LEAST_VIEWS = 2
    SAME_SIZE = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        eps: float = 0.2,
        invariance: float = 200.0,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        checks.positive("eps", eps)
        checks.weight("invariance", invariance)
        self.eps, self.invariance = eps, invariance

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.mlp(
            self.dim, out_dim=512, normalization=layers.synchronized, seed=self.seed + 1
        )
        return {"projector": self.head(projector, self.dim, "projector")}

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        h = self.encode_views(views, training)
        return h, self.through(self.projector, h, training)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        loss = emp_ssl(list(z), eps=self.eps, invariance=self.invariance)
        unit = [comparable(view) for view in z]
        mean = comparable(tf.add_n(unit))
        cosine = tf.reduce_mean(tf.stack([tf.reduce_sum(view * mean, axis=1) for view in unit]))
        rate = -loss - self.invariance * cosine
        return loss, {"emp_loss": loss, "coding_rate": rate, "patch_cosine": cosine}
