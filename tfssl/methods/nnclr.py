"""NNCLR: the positive is the nearest neighbour of the other view in a support set."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import info_nce
from tfssl.methods import checks, heads, queues
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.crossview import comparable, cross_view_scalars
from tfssl.methods.hints import Dataset, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs


@keras.saving.register_keras_serializable(package="tfssl")
class NNCLR(Coupled):
    """Dwibedi et al. 2021, "With a Little Help from My Friends: Nearest-Neighbor Contrastive
    Learning of Visual Representations", arXiv:2104.14548.

    The projection of each view is replaced by its nearest neighbour in a support set, a queue of
    projections of earlier batches, and picks out the prediction of the other view among those of
    all images of the batch (Eq. 3, Algorithm 1). The loss is the mean of both directions. No
    gradient flows through the neighbours. The projections of view 1 enter the support set.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: three layers, of 2048, 2048 and 256
            units, each with batch normalization.
        predictor: a `keras.Layer`, z -> p [B, P]; None: two layers, of 4096 and P units.
        temperature: float > 0.
        memory_size: integer > 0, number of projections in the support set.

    Attributes:
        queue: variable [memory_size, P], the oldest projection first.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.NNCLR(encoder, memory_size=64)
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    len(model.fit(views, verbose=0).history["neighbour_cosine"])  # 1
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "neighbour_cosine")
    DIRECTIONS = 1

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        memory_size: int = 98304,
        **options: Any,
    ) -> None:
        given = {"projector": projector, "predictor": predictor}
        super().__init__(encoder, heads=given, **options)
        checks.positive("temperature", temperature)
        checks.integer("memory_size", memory_size, least=1)
        self.temperature, self.memory_size = temperature, memory_size

    def make_heads(self, projector: keras.Layer | None, predictor: keras.Layer | None) -> Layers:
        made = heads.with_predictor(
            self, projector, predictor, out_dim=256, num_layers=3, hidden_dim=4096
        )
        self.queue = queues.make(self.memory_size, self.dims["projector"], self.seed)
        return made

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        """h, and for each view the prediction followed by the projection, in one row."""
        h = self.encode_views(views, training, apart=True)
        z = self.through(self.projector, h, training, apart=True)
        p = self.through(self.predictor, z, training, apart=True)
        return h, tuple(tf.concat(pair, axis=1) for pair in zip(p, z, strict=True))

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        (p1, z1), (p2, z2) = (tf.split(view, 2, axis=1) for view in z)
        n1, n2 = (self.neighbours(view) for view in (z1, z2))
        a1, a2, b1, b2 = (comparable(v) * self.temperature**-0.5 for v in (n1, n2, p1, p2))
        pairs = (a1, b2), (a2, b1)
        loss = tf.add_n([info_nce(tf.matmul(a, b, transpose_b=True)) for a, b in pairs]) / 2
        return loss, {
            "contrast_loss": loss,
            **cross_view_scalars(a1, b2),
            "neighbour_cosine": tf.reduce_mean(tf.reduce_sum(n1 * comparable(z1), axis=1)),
        }

    def neighbours(self, z: tf.Tensor) -> tf.Tensor:
        """The nearest entries of the support set, by the cosine, [B, P] without gradient."""
        support = tf.convert_to_tensor(self.queue)
        similarities = tf.matmul(comparable(z), support, transpose_b=True)
        return tf.stop_gradient(tf.gather(support, tf.argmax(similarities, axis=1)))

    def remember(self, z: Tensors, companions: Tensors) -> None:
        queues.push(self.queue, comparable(tf.split(z[0], 2, axis=1)[1]))

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        projections = tuple(tf.split(view, 2, axis=1)[1] for view in z)
        return Outputs(loss, scalars, h, projections)

    def candidates(self, batch_size: int) -> int:
        return batch_size

    def check_dataset(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        super().check_dataset(x, y, name)
        queues.check(self, x, per_image=1)

    def state(self) -> dict[str, Any]:
        return super().state() | {"queue": self.queue}
