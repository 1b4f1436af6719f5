"""SimCLR: contrast two views of an image with the views of all others, or of a memory too."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.losses import nt_xent_with_scalars
from tfssl.methods import checks, targets
from tfssl.methods.averages import total
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs, split
from tfssl.methods.selfsupervised import SelfSupervised, direction_std

# The objective is the sum of the two directions, view 1 to 2 and view 2 to 1, as in
# google-research/simclr, whose recipes (learning rate, weight decay) and charts are on that scale.
# It is twice the mean over 2N terms of the paper (Algorithm 1), which is what `nt_xent` returns.
DIRECTIONS = 2.0


class Contrastive(SelfSupervised):
    """What SimCLR, N-pair, triplet and CPC share: one batch of both views, compared as a whole.

    Both views go through the network as one batch of 2B images, so batch normalization sees both.
    Subclasses implement `contrast`.

    Args:
        encoder, probe, num_classes, **options: as for `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: SimCLR's, `layers.projector`.
        normalize: whether z is L2-normalized before it is compared.

    Attributes:
        by_class: whether `contrast` goes by the labels.
    """

    SAME_SIZE = True
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
        # Every replica contrasts the projections of all: the negatives are the whole batch's.
        z1, z2 = (replicas.gather(tf.cast(view, tf.float32)) for view in tf.split(z, 2))
        classes = self.classes(labels) if self.by_class else None
        return self.outputs(*self.contrast(z1, z2, classes), h, z)

    def classes(self, labels: tf.Tensor | None) -> tf.Tensor:
        """The labels of all replicas, as numbers."""
        if labels is None:
            raise ValueError("Positives by class need labels: x must give ((view1, view2), label)")
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
        """The loss, and {name: scalar} for every name in SCALARS.

        Args:
            z1, z2: float32 [B, P].
            labels: numbers [B], where the method is `by_class`.
        """
        raise NotImplementedError

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Part by part, and yet every image is contrasted with all of the batch.

        The projections of all parts come first, without a tape, and the gradient of the loss with
        respect to them; then every part goes forward again and takes its share of that gradient
        back through the network (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size
        under Memory Limited Setup", section 3). The same gradients as of the batch at once, with
        batch normalization over the parts; a third as much work again as without.
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
        for variable, value in zip(moving, before):  # the second time counts
            variable.assign(value)
        z1, z2 = (tf.reshape(view, [-1, view.shape[-1]]) for view in tf.split(z, 2, axis=1))
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss, scalars = self.contrast(z1, z2, batch["label"] if self.by_class else None)
        flow = tape.gradient(loss, [z1, z2])

        def loss_on(part):
            h, z = self.project(part["views"])
            share = tf.reduce_sum(tf.cast(z, tf.float32) * tf.concat(part["flow"], axis=0))
            # The mean over parts is taken of what is a sum over them here.
            share *= self.accumulate_steps
            self.note(self.outputs(loss, scalars, h, z))
            probe_loss, probe_scalars = self.probe_loss(h, part)
            # Of the share, only the gradient counts.
            return share - tf.stop_gradient(share) + probe_loss, scalars | probe_scalars

        gradients, logs = self.mean_over_parts(loss_on, batch | {"flow": flow})
        beside = [logs.get("supervised_loss", 0.0), logs["weight_decay"]]
        if any(part.losses for part in self.parts.values()):  # an encoder's own regularization
            beside = [logs["loss"]]
        return gradients, logs | {"loss": total(loss, *beside)}


@keras.saving.register_keras_serializable(package="tfssl")
class SimCLR(Contrastive):
    """Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    With `memory_size` each projection is also contrasted with a queue of earlier ones: Chen et al.
    2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners", section 2, who take it
    from He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning",
    section 3. A second network follows the online one by a moving average of its parameters, from
    equal initial weights. What it makes of both views takes the place of the oldest entries of the
    queue, after the loss of the step, which sees the queue of the steps before. As in BYOL, its
    batch normalizations go by the statistics of the batch.

    Differs from MoCo: the positive is the other view as the online network projects it, and the
    batch holds negatives too, as in SimCLR.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: as for `Contrastive`.
        temperature: of NT-Xent, above 0.
        in_blocks: whether the loss is computed in blocks, for large batches.
        memory_size: projections in the queue; 0 for none.
        memory_decay: of the moving average, in [0, 1].
        memory_encoder, memory_projector: networks of the form of the online ones; None: copies.

    Attributes:
        queue: variable [memory_size, P], the oldest entry first.

    Example:

    >>> model = tfssl.SimCLR(keras.applications.MobileNetV3Small(include_top=False, weights=None))
    >>> model.compile("adam")
    >>> model.fit(tfssl.views(images, tfssl.augment.simclr(32), batch_size=256), epochs=10)
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
        if not 0 <= memory_decay <= 1 or memory_size < 0:
            raise ValueError(
                "`memory_decay` must be in [0, 1] and `memory_size` 0 or more. "
                f"Received: {memory_decay} and {memory_size}"
            )
        self.temperature, self.in_blocks = temperature, in_blocks
        self.memory_size, self.memory_decay = memory_size, memory_decay
        self.hidden.memory = {"encoder": memory_encoder, "projector": memory_projector}

    def make_followers(self, parts: Layers) -> Layers:
        if not self.memory_size:
            return {}
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        made, self.hidden.pairs = targets.networks(self, online, self.hidden.memory, "memory")
        self.queue = keras.Variable(
            random_directions(self.memory_size, self.dims["projector"], self.seed),
            trainable=False,
            autocast=False,
            name="queue",
        )
        return made

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

    def candidates(self, batch_size: int) -> int:
        return 2 * batch_size - 1 + self.memory_size

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        made = super().loss_on_views(views, labels, training)
        if self.memory_size and training:
            self.remember(*self.project_for_memory(views))
        return made

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        made = super().accumulated(batch)
        if self.memory_size:
            z = tf.map_fn(
                self.project_for_memory,
                split(batch["views"], self.accumulate_steps),
                fn_output_signature=[tf.float32] * 2,
                parallel_iterations=1,
            )
            self.remember(*(tf.reshape(view, [-1, view.shape[-1]]) for view in z))
        return made

    def project_for_memory(self, views: Views) -> list[tf.Tensor]:
        """What the following network makes of both views, float32 [B, P] each."""
        h = self.encode(tf.concat(views, axis=0), training=True, encoder=self.memory_encoder)
        z = tf.cast(self.memory_projector(h, training=True), tf.float32)
        z = tf.math.l2_normalize(z, axis=1) if self.normalize else z
        return tf.split(tf.stop_gradient(z), 2)

    def remember(self, z1: tf.Tensor, z2: tf.Tensor) -> None:
        """Puts the projections of this step, of all replicas, in place of the oldest ones."""
        entries = tf.concat([self.queue, replicas.gather(z1), replicas.gather(z2)], axis=0)
        self.queue.assign(entries[-self.memory_size :])

    def after_step(self, step: tf.Tensor) -> None:
        if self.memory_size:
            targets.follow(self.hidden.pairs, self.memory_decay)

    def state(self) -> dict[str, Any]:
        queue = {"queue": self.queue} if self.memory_size else {}
        return super().state() | queue


def random_directions(count, dim, seed):
    """Random unit vectors, float32 [count, dim]."""
    directions = tf.random.stateless_normal([count, dim], [seed, 0], alg="philox")
    return tf.math.l2_normalize(directions, axis=1)
