"""MoCo v2: find the key of the other view among a queue of earlier keys."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import moco_with_scalars
from tfssl.methods import checks, queues, targets
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.hints import Dataset, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs

ORDER = 12  # stream of random numbers


@keras.saving.register_keras_serializable(package="tfssl")
class MoCoV2(Coupled):
    """Chen et al. 2020, "Improved Baselines with Momentum Contrastive Learning", arXiv:2003.04297.

    The query of view 1 is classified among the key of view 2 and a queue of keys of earlier batches
    (He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning",
    Algorithm 1). Keys come from a second network, whose parameters are a moving average of the
    first; those of the batch replace the oldest in the queue after the loss is computed. Other
    images of the batch are not compared.

    Batch normalization must not tell which key belongs to the batch of a query: if both are
    normalized within the same few images, their statistics do, and the task is solved without
    learning. The paper distributes the keys over the GPUs in random order. Here, statistics are
    those of the whole batch over all replicas (`layers.synchronized`); with `bn_groups`, queries
    pass in so many groups of images, and keys in as many other groups, drawn anew in each step.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The probe learns from view 1.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: two layers, of 2048 and 128 units,
            without batch normalization.
        temperature: float > 0.
        memory_size: integer > 0, number of keys in the queue.
        memory_decay: float in [0, 1], decay of the moving average.
        symmetric: bool, whether view 2 also has queries, for the keys of view 1; the loss is the
            mean of both.
        bn_groups: integer, number of groups of images that pass through the networks one after the
            other. It must divide the batch size.
        memory_encoder, memory_projector: networks with the structure of the others; None: clones.

    Attributes:
        queue: variable [memory_size, P], the oldest key first.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.MoCoV2(encoder, memory_size=16)
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    model.fit(views, verbose=0).history["contrast_acc"]  # [1.0]
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy")
    DIRECTIONS = 1
    PROBE_VIEWS = 1
    least_batch = 1

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.2,
        memory_size: int = 65536,
        memory_decay: float = 0.999,
        symmetric: bool = False,
        bn_groups: int = 1,
        memory_encoder: keras.Layer | None = None,
        memory_projector: keras.Layer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        checks.positive("temperature", temperature)
        checks.integer("memory_size", memory_size, least=1)
        checks.share("memory_decay", memory_decay)
        checks.integer("bn_groups", bn_groups, least=1)
        self.temperature, self.memory_size = temperature, memory_size
        self.memory_decay = memory_decay
        self.symmetric, self.bn_groups = symmetric, bn_groups
        self.hidden.memory = {"encoder": memory_encoder, "projector": memory_projector}

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.mlp(
            self.dim, out_dim=128, normalization=None, seed=self.seed + 1
        )
        return {"projector": self.head(projector, self.dim, "projector")}

    def make_followers(self, parts: Layers) -> Layers:
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        networks, self.hidden.pairs = targets.networks(self, online, self.hidden.memory, "memory")
        self.queue = queues.make(self.memory_size, self.dims["projector"], self.seed)
        return networks

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        def network(images):
            h = self.encode(images, training)
            self.keep_losses(self.projector)
            return h, self.projector(h, training=training)

        return unzipped(self.in_groups(network, view) for view in self.asking(views))

    def asking(self, views: Views) -> Views:
        """The views that have queries."""
        return views if self.symmetric else views[:1]

    def num_projections(self, num_views: int) -> int:
        return num_views if self.symmetric else 1

    @property
    def num_companions(self) -> int:
        return 4 if self.symmetric else 2

    def companions(self, views: Views, training: bool = True) -> Tensors:
        """The keys for the queries, [B, P] each, followed by their h."""

        def network(images):
            h = self.encode(images, training, self.memory_encoder)
            return h, self.memory_projector(h, training=training)

        others = views[::-1] if self.symmetric else views[1:]
        h, k = unzipped(self.in_groups(network, view, shuffled=True) for view in others)
        return tuple(tf.math.l2_normalize(tf.cast(view, tf.float32), axis=1) for view in k) + h

    def in_groups(
        self,
        network: Callable[[tf.Tensor], Tensors],
        images: tf.Tensor,
        shuffled: bool = False,
    ) -> Tensors:
        """The outputs of a network for groups of images, in the order of the images."""
        if self.bn_groups == 1:
            return network(images)
        self.check_batch(images.shape[0])
        count = tf.shape(images)[0]
        order = tf.range(count)
        if shuffled:
            # Not a shuffle, which XLA lacks.
            drawn = tf.random.stateless_uniform([count], self.step_seed(ORDER), alg="philox")
            order = tf.argsort(drawn)
            images = tf.gather(images, order)
        made = zip(*(network(group) for group in tf.split(images, self.bn_groups)), strict=True)
        back = tf.math.invert_permutation(order)
        return tuple(tf.gather(tf.concat(of, axis=0), back) for of in made)

    def check_batch(self, images: int | None) -> None:
        groups = self.bn_groups
        if groups > 1 and images and (images % groups or images < 2 * groups):
            raise ValueError(
                "`bn_groups` must divide the images that pass through the network at once, batch "
                "size / accumulate_steps, into groups of 2 or more. "
                f"Received: bn_groups={groups} for {images} images"
            )

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        made = [
            moco_with_scalars(q, k, tf.convert_to_tensor(self.queue), self.temperature)
            for q, k in zip(z, companions)
        ]
        loss = tf.add_n([loss for loss, _ in made]) / len(made)
        return loss, {"contrast_loss": loss, **made[0][1]}

    def remember(self, z: Tensors, companions: Tensors) -> None:
        queues.push(self.queue, *companions[: len(z)])

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        if self.symmetric:
            return Outputs(loss, scalars, h, z)
        return Outputs(loss, scalars, (*h, companions[1]), (*z, companions[0]))

    def candidates(self, batch_size: int) -> int:
        return 1 + self.memory_size

    def check_dataset(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        super().check_dataset(x, y, name)
        queues.check(self, x, per_image=2 if self.symmetric else 1)

    def after_step(self, step: tf.Tensor) -> None:
        targets.update(self.hidden.pairs, self.memory_decay)

    def state(self) -> dict[str, Any]:
        return super().state() | {"queue": self.queue}


def unzipped(pairs):
    """Pairs as a pair of tuples."""
    return tuple(zip(*pairs))
