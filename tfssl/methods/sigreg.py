"""SIGReg: equal projections of all views, whose distribution is an isotropic Gaussian."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import sigreg
from tfssl.methods import checks
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.hints import Encoder, Layers, Scalars, Views

SLICES = 11  # stream of random numbers


@keras.saving.register_keras_serializable(package="tfssl")
class SIGReg(Coupled):
    """Balestriero & LeCun 2025, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the
    Heuristics", arXiv:2511.08544, with views of equal standing.

    The loss is (1 - weight) * the mean squared distance of the projections of an image to their
    mean over its views, plus weight * `losses.sigreg`, the distance of the projections of a view
    over the batch from an isotropic Gaussian, along random directions that change with each step.
    `weight` is the only hyper-parameter: there is neither a target network, nor stop-gradient, nor
    a temperature.

    Differs from the paper: all views are global ones, and each image has two by default.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: three layers, of 2048, 2048 and 64
            units.
        weight: float in [0, 1], share of the regularization.
        num_slices: integer, number of random directions in a step.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SIGReg(encoder, tfssl.layers.mlp(192, hidden_dim=32, out_dim=8))
    model.compile("adam", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    model.fit(views, verbose=0).history["sigreg"][0] > 0  # True
    ```
    """

    SCALARS = ("invariance", "sigreg")
    NUM_VIEWS = None
    LEAST_VIEWS = 2
    SAME_SIZE = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        weight: float = 0.05,
        num_slices: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        checks.share("weight", weight)
        checks.integer("num_slices", num_slices, least=1)
        self.weight, self.num_slices = weight, num_slices

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.mlp(
            self.dim,
            out_dim=64,
            num_layers=3,
            normalization=layers.synchronized,
            seed=self.seed + 1,
        )
        return {"projector": self.head(projector, self.dim, "projector")}

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        h = self.encode_views(views, training)
        return h, self.through(self.projector, h, training)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        center = tf.add_n(z) / len(z)
        invariance = tf.add_n([tf.reduce_mean(tf.square(view - center)) for view in z]) / len(z)
        seed = self.step_seed(SLICES)
        gaussian = tf.add_n([sigreg(view, seed, num_slices=self.num_slices) for view in z]) / len(z)
        loss = (1.0 - self.weight) * invariance + self.weight * gaussian
        return loss, {"invariance": invariance, "sigreg": gaussian}
