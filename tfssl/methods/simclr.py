"""SimCLR: contrast two views of an image with the views of all others, or also with a queue."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import compat, layers
from tfssl.distribute import replicas
from tfssl.losses import nt_xent_with_scalars
from tfssl.methods import checks, targets
from tfssl.methods.averages import total
from tfssl.methods.hints import Batch, Dataset, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs, split
from tfssl.methods.selfsupervised import SelfSupervised, direction_std
from tfssl.notes import say

# The loss is the sum of the two directions, view 1 to 2 and view 2 to 1, as in
# google-research/simclr, whose learning rates, weight decay and charts refer to that scale. It is
# twice the mean over 2N terms of the paper (Algorithm 1), which `nt_xent` returns.
DIRECTIONS = 2.0


class Contrastive(SelfSupervised):
    """Base class of SimCLR, N-pair, triplet and CPC: the loss compares all images of a batch.

    Both views pass through the network as one batch of 2B images, so batch normalization sees both.
    Subclasses implement `contrast`.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: SimCLR's, `layers.projector`.
        normalize: bool, whether z is L2-normalized before it is compared.

    Attributes:
        by_class: bool, whether `contrast` uses the labels.
    """

    SAME_SIZE = True
    least_batch = 2
    by_class = False

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        normalize: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        self.normalize = normalize

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.projector(
            self.dim, seed=self.seed + 1, normalization=layers.synchronized
        )
        return {"projector": self.head(projector, self.dim, "projector")}

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        h, z = self.project(views, training)
        # Every replica contrasts the projections of all replicas.
        z1, z2 = (replicas.gather(tf.cast(view, tf.float32)) for view in tf.split(z, 2))
        classes = self.classes(labels) if self.by_class else None
        return self.outputs(*self.contrast(z1, z2, classes), h, z)

    def classes(self, labels: tf.Tensor | None) -> tf.Tensor:
        """The labels of all replicas, as floats."""
        if labels is None:
            raise ValueError(
                "Positives by class need labels: `x` must give ((view1, view2), label), as "
                "tfssl.views((images, labels), ...) does. Received: views alone"
            )
        return replicas.gather(tf.cast(labels, tf.float32))

    def project(self, views: Views, training: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
        """h [2B, D] and z [2B, P] of both views."""
        h = self.encode(tf.concat(views, axis=0), training)
        return h, self.projector(h, training=training)

    def outputs(self, loss: tf.Tensor, scalars: Scalars, h: tf.Tensor, z: tf.Tensor) -> Outputs:
        return Outputs(loss, scalars, tuple(tf.split(h, 2)), tuple(tf.split(z, 2)))

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        """Returns the loss, and {name: scalar} for every name in SCALARS.

        Args:
            z1, z2: float32 [B, P], projections of the two views.
            labels: numbers [B], if the method is `by_class`.
        """
        raise NotImplementedError

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Gradients of the loss over the whole batch, computed in parts.

        First come the projections of all parts, without a tape, and the gradient of the loss with
        respect to them. Then every part passes forward again and propagates its share of that
        gradient back through the network (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch
        Size under Memory Limited Setup", section 3). The gradients equal those of the whole batch,
        except that batch normalization sees one part at a time. It takes a third more computation.
        """
        parts = split(batch["views"], self.accumulate_steps)
        moving = self.encoder.non_trainable_variables + self.projector.non_trainable_variables
        before = [tf.identity(v) for v in moving]
        z = tf.map_fn(
            lambda views: tf.cast(self.project(views)[1], tf.float32),
            parts,
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )
        for variable, value in zip(moving, before):  # the second pass updates them
            variable.assign(value)
        z1, z2 = (tf.reshape(view, [-1, view.shape[-1]]) for view in tf.split(z, 2, axis=1))
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss, scalars = self.contrast(z1, z2, batch["label"] if self.by_class else None)
        flow = tape.gradient(loss, [z1, z2])

        def loss_on(part):
            h, z = self.project(part["views"])
            share = tf.reduce_sum(tf.cast(z, tf.float32) * tf.concat(part["flow"], axis=0))
            # `mean_over_parts` averages, but the shares add up to the loss.
            share *= self.accumulate_steps
            self.note(self.outputs(loss, scalars, h, z))
            probe_loss, probe_scalars = self.probe_loss(h, part)
            # Only the gradient of the share is used.
            return share - tf.stop_gradient(share) + probe_loss, scalars | probe_scalars

        gradients, logs = self.mean_over_parts(loss_on, batch | {"flow": flow})
        others = [logs.get("supervised_loss", 0.0), logs["weight_decay"]]
        if any(part.losses for part in self.parts.values()):  # an encoder's own regularization
            others = [logs["loss"]]
        return gradients, logs | {"loss": total(loss, *others)}


@keras.saving.register_keras_serializable(package="tfssl")
class SimCLR(Contrastive):
    """Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    With `memory_size`, each projection is also contrasted with a queue of earlier ones: Chen et al.
    2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners", section 2, following He
    et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning", section 3. The
    parameters of a second network are a moving average of the online ones, from equal initial
    weights. Its projections of both views replace the oldest entries of the queue after the loss of
    the step is computed. As in BYOL, its batch normalizations use batch statistics.

    Differs from MoCo: the positive is the other view's projection by the online network, and the
    batch also provides negatives, as in SimCLR.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: the paper's, `layers.projector`.
        normalize: bool, whether z is L2-normalized before it is compared.
        temperature: float > 0, of NT-Xent.
        in_blocks: bool, whether to compute the loss in blocks, which saves memory for large
            batches.
        memory_size: integer, number of projections in the queue; 0: no queue.
        memory_decay: float in [0, 1], decay of the moving average.
        memory_encoder, memory_projector: networks with the structure of the online ones; None:
            clones.

    Attributes:
        queue: variable [memory_size, P], the oldest entry first.

    Raises:
        ValueError: an argument is out of its range, or a memory network has another structure.

    Example:

    ```python
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SimCLR(encoder, temperature=0.2)
    model.compile("adam", run_eagerly=True)
    views = tfssl.views(images, tfssl.augment.simclr(8), batch_size=4, compiled=False)
    len(model.fit(views, epochs=2, verbose=0).history["contrast_acc"])  # 2
    model.predict(images, verbose=0).shape  # (8, 192)
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "z_std")

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        in_blocks: bool = False,
        memory_size: int = 0,
        memory_decay: float = 0.999,
        memory_encoder: keras.Layer | None = None,
        memory_projector: keras.Layer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        checks.positive("temperature", temperature)
        checks.integer("memory_size", memory_size, least=0)
        if not 0 <= memory_decay <= 1:
            raise ValueError(
                f"`memory_decay` must be in [0, 1]. Received: memory_decay={memory_decay}"
            )
        self.temperature, self.in_blocks = temperature, in_blocks
        self.memory_size, self.memory_decay = memory_size, memory_decay
        self.hidden.memory = {"encoder": memory_encoder, "projector": memory_projector}

    def make_followers(self, parts: Layers) -> Layers:
        if not self.memory_size:
            return {}
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        networks, self.hidden.pairs = targets.networks(self, online, self.hidden.memory, "memory")
        self.queue = keras.Variable(
            random_directions(self.memory_size, self.dims["projector"], self.seed),
            trainable=False,
            autocast=False,
            name="queue",
        )
        return networks

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        negatives = tf.convert_to_tensor(self.queue) if self.memory_size else None
        loss, scalars = nt_xent_with_scalars(
            z1,
            z2,
            self.temperature,
            normalize=self.normalize,
            negatives=negatives,
            in_blocks=self.in_blocks,
        )
        loss *= DIRECTIONS
        z_std = direction_std(tf.concat([z1, z2], axis=0))
        return loss, {"contrast_loss": loss, **scalars, "z_std": z_std}

    @property
    def least_batch(self) -> int:
        return 1 if self.memory_size else 2

    def check_dataset(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        super().check_dataset(x, y, name)
        images = checks.count_images(x) if compat.clock_of(x) else None
        if images and self.memory_size > 2 * images:
            say(
                f"`memory_size` is {self.memory_size}, more than two for each of the {images} "
                "images of an epoch: they are contrasted with themselves"
            )

    def candidates(self, batch_size: int) -> int:
        return 2 * batch_size - 1 + self.memory_size

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        outputs = super().loss_on_views(views, labels, training)
        if self.memory_size and training:
            self.enqueue(*self.project_for_memory(views))
        return outputs

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        gradients_and_logs = super().accumulated(batch)
        if self.memory_size:
            z = tf.map_fn(
                self.project_for_memory,
                split(batch["views"], self.accumulate_steps),
                fn_output_signature=[tf.float32] * 2,
                parallel_iterations=1,
            )
            self.enqueue(*(tf.reshape(view, [-1, view.shape[-1]]) for view in z))
        return gradients_and_logs

    def project_for_memory(self, views: Views) -> list[tf.Tensor]:
        """Projections of both views by the moving-average network, float32 [B, P] each."""
        h = self.encode(tf.concat(views, axis=0), training=True, encoder=self.memory_encoder)
        z = tf.cast(self.memory_projector(h, training=True), tf.float32)
        z = tf.math.l2_normalize(z, axis=1) if self.normalize else z
        return tf.split(tf.stop_gradient(z), 2)

    def enqueue(self, z1: tf.Tensor, z2: tf.Tensor) -> None:
        """Replaces the oldest entries of the queue by the projections of all replicas."""
        entries = tf.concat([self.queue, replicas.gather(z1), replicas.gather(z2)], axis=0)
        self.queue.assign(entries[-self.memory_size :])

    def after_step(self, step: tf.Tensor) -> None:
        if self.memory_size:
            targets.update(self.hidden.pairs, self.memory_decay)

    def state(self) -> dict[str, Any]:
        queue = {"queue": self.queue} if self.memory_size else {}
        return super().state() | queue


def random_directions(count, dim, seed):
    """Random unit vectors, float32 [count, dim]."""
    directions = tf.random.stateless_normal([count, dim], [seed, 0], alg="philox")
    return tf.math.l2_normalize(directions, axis=1)
