"""SimSiam and FastSiam: predict the projections of the other views, whose gradient is stopped."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import compat
from tfssl.losses import negative_cosine
from tfssl.methods import heads
from tfssl.methods.hints import Encoder, Layers, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import SelfSupervised


@keras.saving.register_keras_serializable(package="tfssl")
class SimSiam(SelfSupervised):
    """Chen & He 2021, "Exploring Simple Siamese Representation Learning", arXiv:2011.10566.

    A predictor maps the projection of each view to that of the other one, whose gradient is stopped
    (Algorithm 1). The loss is the negative cosine similarity, in [-1, 1], averaged over both
    directions. There are neither negatives nor a target network. Each view passes through the
    network as a batch of its own.

    The paper keeps the learning rate of the predictor constant while that of the rest decays
    (section 4.2): with a schedule as the optimizer's learning rate, the predictor has the highest
    rate of the schedule throughout.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: three layers of 2048 units, with
            batch normalization of the output too (section 3).
        predictor: a `keras.Layer`, z -> p [B, P]; None: a bottleneck of P / 4 hidden units.
        fixed_predictor_rate: bool, whether the learning rate of the predictor stays constant.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SimSiam(encoder, tfssl.layers.mlp(192, out_dim=32, normalize_output=True))
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    -1 <= model.fit(views, verbose=0).history["representation_loss"][0] <= 1  # True
    ```
    """

    SCALARS = ("representation_loss",)
    PROBE_VIEWS = 1
    least_batch = 2  # the heads normalize over the images

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        *,
        fixed_predictor_rate: bool = True,
        **options: Any,
    ) -> None:
        given = {"projector": projector, "predictor": predictor}
        super().__init__(encoder, heads=given, **options)
        self.fixed_predictor_rate = fixed_predictor_rate

    def make_heads(self, projector: keras.Layer | None, predictor: keras.Layer | None) -> Layers:
        return heads.with_predictor(self, projector, predictor, num_layers=3)

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        h = self.encode_views(views, training, apart=True)
        z = self.through(self.projector, h, training, apart=True)
        p = self.through(self.predictor, z, training, apart=True)
        fixed = [tf.stop_gradient(tf.cast(view, tf.float32)) for view in z]
        others = [
            tf.add_n(fixed[:i] + fixed[i + 1 :]) / (len(fixed) - 1) for i in range(len(fixed))
        ]
        loss = tf.add_n([negative_cosine(*pair) for pair in zip(p, others)]) / len(p)
        return Outputs(loss, {"representation_loss": loss}, h, z)

    def apply(self, gradients: list[tf.Tensor | None], step: tf.Tensor) -> None:
        highest = compat.highest_rate(self.optimizer, self.planned_steps)
        if highest is None or not self.fixed_predictor_rate:
            super().apply(gradients, step)
            return
        with compat.fixed_rate(self.optimizer, self.predictor.trainable_variables, highest):
            super().apply(gradients, step)


@keras.saving.register_keras_serializable(package="tfssl")
class FastSiam(SimSiam):
    """Pototzky et al. 2022, "FastSiam: Resource-Efficient Self-Supervised Learning on One GPU".

    SimSiam with more than two views of each image: the prediction of each view is compared with the
    mean projection of all others, a target of less variance, so that smaller batches and fewer
    epochs suffice. The paper uses four views.

    Args:
        encoder, projector, predictor, **options: see `SimSiam`.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.FastSiam(encoder, tfssl.layers.mlp(192, out_dim=32, normalize_output=True))
    model.compile("sgd", run_eagerly=True)
    views = tfssl.views(images, tfssl.augment.simclr(8), batch_size=4, num_views=4, compiled=False)
    len(model.fit(views, verbose=0).history["loss"])  # 1
    ```
    """

    NUM_VIEWS = None
    LEAST_VIEWS = 2
