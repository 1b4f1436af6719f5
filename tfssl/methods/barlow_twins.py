"""Barlow Twins: make the cross-correlation of two views' projections the identity."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import barlow_twins
from tfssl.methods import checks
from tfssl.methods.hints import Encoder, Layers, Scalars
from tfssl.methods.simclr import Contrastive


@keras.saving.register_keras_serializable(package="tfssl")
class BarlowTwins(Contrastive):
    """Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction".

    The cross-correlation matrix of the projections of both views, over the whole batch, is drawn to
    the identity (arXiv:2103.03230, Eq. 1): the same dimension of both views agrees, different
    dimensions are not redundant. Each view passes through the network as a batch of its own.

    Differs from the paper: the default projector has layers of 2048 units, as is usual on small
    images; the paper has 8192 on ImageNet.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: three layers of 2048 units.
        off_diagonal: float >= 0, weight of the elements off the diagonal.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.BarlowTwins(encoder, tfssl.layers.mlp(192, hidden_dim=32, out_dim=32))
    model.compile("adam", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    model.fit(views, verbose=0).history["barlow_loss"][0] > 0  # True
    ```
    """

    SCALARS = ("barlow_loss",)
    APART = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        off_diagonal: float = 0.005,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        checks.weight("off_diagonal", off_diagonal)
        self.off_diagonal = off_diagonal

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        return super().make_heads(projector or expander(self.dim, self.seed + 1))

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        loss = barlow_twins(z1, z2, off_diagonal=self.off_diagonal)
        return loss, {"barlow_loss": loss}


def expander(in_dim, seed, width=2048):
    """The projector of Barlow Twins and VICReg: three layers of equal width."""
    return layers.mlp(
        in_dim,
        hidden_dim=width,
        out_dim=width,
        num_layers=3,
        normalization=layers.synchronized,
        seed=seed,
    )
