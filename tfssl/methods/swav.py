"""SwAV: predict the cluster assignment of one view from the other views."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import swav
from tfssl.methods import checks, frozen, queues
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.crossview import comparable
from tfssl.methods.hints import Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs

LARGE = 2  # the first views are large, and have codes


@keras.saving.register_keras_serializable(package="tfssl")
class SwAV(Coupled):
    """Caron et al. 2020, "Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments", arXiv:2006.09882.

    The scores of normalized projections for a set of prototypes are turned into balanced
    assignments of the batch, the codes, by the Sinkhorn-Knopp algorithm (Eq. 3 to 5). Each of the
    first two views has codes, which all other views predict (Eq. 2). Further views may be smaller
    (multi-crop, section 3.2): views of one size in a row pass as one batch.

    On several replicas, the codes are those of the whole batch.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The probe is trained on the
            first two views.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: two layers, of 2048 and 128 units.
        num_prototypes: integer > 1.
        temperature: float > 0, of the predictions.
        epsilon: float > 0, of the Sinkhorn-Knopp algorithm: the smaller, the harder the codes.
        iterations: integer > 0, of the Sinkhorn-Knopp algorithm.
        memory_size: integer, for each of the first two views, the number of projections of earlier
            batches that take part in the assignment, for batches much smaller than the number of
            prototypes; 0: none. They are used once that many have been seen.
        frozen_share: float in [0, 1], share of the training, at its start, in which the prototypes
            do not change: an epoch of a hundred, as in the paper. If `fit` does not know the length
            of the training, they are not frozen.
        total_steps: see `BYOL`.

    Attributes:
        queue: variable [2 * memory_size, P], the projections of view 1 and then those of view 2,
            the oldest first.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    model = tfssl.SwAV(keras.layers.GlobalAveragePooling2D(), num_prototypes=16)
    large, small = tfssl.augment.simclr(16), tfssl.augment.simclr(8, crop_area=(0.05, 0.14))
    recipes = [large, large, small, small]
    views = tfssl.views(images, recipes, batch_size=8, compiled=False)
    model.compile("sgd", run_eagerly=True)
    len(model.fit(views, verbose=0).history["swav_loss"])  # 1
    ```
    """

    SCALARS = ("swav_loss", "prototypes_used")
    NUM_VIEWS = None
    LEAST_VIEWS = 2
    PROBE_VIEWS = 2
    SCHEDULED = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        num_prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        memory_size: int = 0,
        frozen_share: float = 0.01,
        total_steps: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        checks.integer("num_prototypes", num_prototypes, least=2)
        checks.positive("temperature", temperature)
        checks.positive("epsilon", epsilon)
        checks.integer("iterations", iterations, least=1)
        checks.integer("memory_size", memory_size, least=0)
        checks.share("frozen_share", frozen_share)
        self.num_prototypes, self.memory_size = num_prototypes, memory_size
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.frozen_share, self.total_steps = frozen_share, total_steps

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.mlp(
            self.dim, out_dim=128, normalization=layers.synchronized, seed=self.seed + 1
        )
        projector = self.head(projector, self.dim, "projector")
        width = self.dims["projector"]
        prototypes = layers.prototypes(width, self.num_prototypes, seed=self.seed + 101)
        if self.memory_size:
            self.queue = queues.make(LARGE * self.memory_size, width, self.seed)
        return {"projector": projector, "prototypes": self.head(prototypes, width, "prototypes")}

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        """h, and for each view its scores followed by its normalized projection, in one row."""
        h = self.encode_views(views, training)
        z = tuple(map(comparable, self.through(self.projector, h, training)))
        scores = self.through(self.prototypes, z, training)
        pairs = zip(scores, z, strict=True)
        return h, tuple(
            tf.concat([tf.cast(score, tf.float32), view], axis=1) for score, view in pairs
        )

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        scores = [view[:, : self.num_prototypes] for view in z]
        options = {
            "temperature": self.temperature,
            "epsilon": self.epsilon,
            "iterations": self.iterations,
        }

        def alone():
            return swav(scores[:LARGE], scores[LARGE:], **options)

        def with_queue():
            queued = [
                tf.stop_gradient(tf.cast(self.prototypes(entries), tf.float32))
                for entries in tf.split(self.queue, LARGE)
            ]
            return swav(scores[:LARGE], scores[LARGE:], queued=queued, **options)

        if self.memory_size:
            batches = -(-self.memory_size // z[0].shape[0]) if z[0].shape[0] else self.memory_size
            loss = tf.cond(tf.convert_to_tensor(self.step) >= batches, with_queue, alone)
        else:
            loss = alone()
        nearest = tf.argmax(scores[0], axis=1)
        used = tf.reduce_any(tf.one_hot(nearest, self.num_prototypes, True, False), axis=0)
        return loss, {
            "swav_loss": loss,
            "prototypes_used": tf.reduce_mean(tf.cast(used, tf.float32)),
        }

    def remember(self, z: Tensors, companions: Tensors) -> None:
        if self.memory_size:
            kept = [
                tf.concat([old, view[:, self.num_prototypes :]], axis=0)[-self.memory_size :]
                for old, view in zip(tf.split(self.queue, LARGE), z[:LARGE], strict=True)
            ]
            self.queue.assign(tf.concat(kept, axis=0))

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        return Outputs(loss, scalars, h, tuple(view[:, self.num_prototypes :] for view in z))

    def apply(self, gradients: list[tf.Tensor | None], step: tf.Tensor) -> None:
        gradients = frozen.masked(self, gradients, self.prototypes, step, self.frozen_share)
        super().apply(gradients, step)

    def state(self) -> dict[str, Any]:
        return super().state() | ({"queue": self.queue} if self.memory_size else {})
