"""SimCLR: contrast two views of an image with the views of all others, or of a memory too."""

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.losses import nt_xent_with_scalars
from tfssl.methods.base import SelfSupervised, follow, split, spread, total

# The objective is the sum of the two directions, view 1 to 2 and view 2 to 1, as in
# google-research/simclr, whose recipes (learning rate, weight decay) and charts are on that scale.
# It is twice the mean over 2N terms of the paper (Algorithm 1), which is what `nt_xent` returns.
DIRECTIONS = 2.0


class SimCLR(SelfSupervised):
    """Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    Both views go through the network as one batch of 2B images, so batch normalization sees both.

    Args:
        encoder: `keras.Model`, images -> h [B, D].
        projector: `keras.Model`, h -> z [B, P].
        probe: `keras.Model`, h -> logits, or None.
        temperature: of NT-Xent, above 0.
        normalize: whether z is L2-normalized before it is compared.
        in_blocks: whether the loss is computed in blocks, for large batches.
        followers: as for `Learner`.

    Attributes:
        negatives: [K, P], what all projections are contrasted with beside each other, or None.
        by_class: whether `contrast` goes by the labels; SimCLR does not.
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "z_std")
    negatives = None
    by_class = False

    def __init__(
        self,
        encoder,
        projector,
        probe=None,
        *,
        temperature,
        normalize=True,
        in_blocks=False,
        followers=None,
    ):
        super().__init__(encoder, probe, followers, projector=projector)
        self.temperature, self.normalize = temperature, normalize
        self.in_blocks = in_blocks

    def loss_on_views(self, view1, view2, labels=None):
        h, z = self.project(view1, view2)
        # Every replica contrasts the projections of all: the negatives are the whole batch's.
        z1, z2 = (replicas.gather(tf.cast(view, tf.float32)) for view in tf.split(z, 2))
        labels = replicas.gather(tf.cast(labels, tf.float32)) if self.by_class else None
        return *self.contrast(z1, z2, labels), h

    def project(self, view1, view2):
        h = self.encoder(tf.concat([view1, view2], axis=0), training=True)
        z = self.projector(h, training=True)
        (h1, h2), (z1, z2) = tf.split(h, 2), tf.split(z, 2)
        self.note(h1=h1, h2=h2, z1=z1, z2=z2)
        return h, z

    def candidates(self, batch_size):
        return 2 * batch_size - 1

    def contrast(self, z1, z2, labels=None):
        """The loss, and {name: scalar} for every name in SCALARS.

        Args:
            z1, z2: float32 [B, P].
            labels: numbers [B], where the method is `by_class`.
        """
        loss, scalars = nt_xent_with_scalars(
            z1,
            z2,
            self.temperature,
            normalize=self.normalize,
            negatives=self.negatives,
            in_blocks=self.in_blocks,
        )
        loss *= DIRECTIONS
        return loss, {
            "contrast_loss": loss,
            **scalars,
            "z_std": spread(tf.concat([z1, z2], axis=0)),
        }

    def accumulated(self, batch):
        """Part by part, and yet every image is contrasted with all of the batch.

        The projections of all parts come first, without a tape, and the gradient of the loss with
        respect to them; then every part goes forward again and takes its share of that gradient
        back through the network (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size
        under Memory Limited Setup", section 3). The same gradients as of the batch at once, with
        batch normalization over the parts; a third as much work again as without.
        """
        parts = split((batch["view1"], batch["view2"]), self.accumulate_steps)
        moving = self.encoder.non_trainable_variables + self.projector.non_trainable_variables
        before = [tf.identity(v) for v in moving]
        z = tf.map_fn(
            lambda views: tf.cast(self.project(*views)[1], tf.float32),
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
            h, z = self.project(part["view1"], part["view2"])
            share = tf.reduce_sum(tf.cast(z, tf.float32) * tf.concat(part["flow"], axis=0))
            probe_loss, probe_scalars = self.probe_loss(h, part.get("label"), part.get("weight"))
            # The mean over parts is taken of what is a sum over them here.
            return self.accumulate_steps * share + probe_loss, scalars | probe_scalars

        gradients, logs = self.mean_over_parts(loss_on, batch | {"flow": flow})
        total_loss = total(loss, logs.get("supervised_loss", 0.0), logs["weight_decay"])
        return gradients, logs | {"total_loss": total_loss}


class MemorySimCLR(SimCLR):
    """SimCLR whose negatives are those of the batch and a memory of earlier ones.

    Chen et al. 2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners", section 2,
    who take it from He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation
    Learning", section 3. A second network follows the online one by a moving average of its
    parameters, from equal initial weights. What it makes of both views takes the place of the
    oldest entries of a queue, after the loss of the step, which sees the queue of the steps before.
    As in BYOL, its batch normalizations go by the statistics of the batch.

    Differs from MoCo: the positive is the other view as the online network projects it, and the
    batch holds negatives too, as in SimCLR.

    Args:
        encoder, projector, probe, **options: as for `SimCLR`.
        memory_encoder, memory_projector: networks of the form and weights of the online ones.
        size: projections in the queue, 1 or more.
        decay: of the moving average, in [0, 1].
        seed: of the queue at the start, random directions.

    Attributes:
        queue: variable [size, P], the oldest entry first.
    """

    def __init__(
        self,
        encoder,
        projector,
        memory_encoder,
        memory_projector,
        probe=None,
        *,
        size,
        decay,
        seed=0,
        **options,
    ):
        super().__init__(
            encoder,
            projector,
            probe,
            followers={"memory_encoder": memory_encoder, "memory_projector": memory_projector},
            **options,
        )
        self.decay = decay
        directions = tf.random.stateless_normal(
            [size, projector.output_shape[-1]], [seed, 0], alg="philox"
        )
        self.queue = keras.Variable(
            tf.math.l2_normalize(directions, axis=1), trainable=False, autocast=False, name="queue"
        )

    @property
    def negatives(self):
        return tf.convert_to_tensor(self.queue)

    def candidates(self, batch_size):
        return super().candidates(batch_size) + self.queue.shape[0]

    def loss_on_views(self, view1, view2, labels=None):
        made = super().loss_on_views(view1, view2)
        self.remember(*self.project_for_memory(view1, view2))
        return made

    def accumulated(self, batch):
        made = super().accumulated(batch)
        parts = split((batch["view1"], batch["view2"]), self.accumulate_steps)
        z = tf.map_fn(
            lambda views: self.project_for_memory(*views),
            parts,
            fn_output_signature=[tf.float32] * 2,
            parallel_iterations=1,
        )
        self.remember(*(tf.reshape(view, [-1, view.shape[-1]]) for view in z))
        return made

    def project_for_memory(self, view1, view2):
        """What the following network makes of both views, float32 [B, P] each."""
        h = self.memory_encoder(tf.concat([view1, view2], axis=0), training=True)
        z = tf.cast(self.memory_projector(h, training=True), tf.float32)
        z = tf.math.l2_normalize(z, axis=1) if self.normalize else z
        return tf.split(tf.stop_gradient(z), 2)

    def remember(self, z1, z2):
        """Puts the projections of this step, of all replicas, in place of the oldest ones."""
        entries = tf.concat([self.queue, replicas.gather(z1), replicas.gather(z2)], axis=0)
        self.queue.assign(entries[-self.queue.shape[0] :])

    def after_step(self, step):
        for online, memory in (
            (self.encoder, self.memory_encoder),
            (self.projector, self.memory_projector),
        ):
            follow(online.trainable_variables, memory.trainable_variables, self.decay)

    def state(self):
        return super().state() | {"queue": self.queue}


def build_projector(config, normalization, in_dim, name="projector"):
    """The projector that a `tfssl.Config` describes."""
    return layers.projector(
        in_dim,
        mode=config.proj_head_mode,
        out_dim=config.proj_out_dim,
        hidden_dim=config.proj_hidden_dim,
        num_layers=config.num_proj_layers,
        bn_momentum=config.batch_norm_decay,
        normalization=normalization if config.proj_batch_norm else None,
        seed=config.seed + 1,
        name=name,
    )


def build(config, kit):
    """SimCLR from a `tfssl.Config` and a `Kit`."""
    encoder = kit.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    projector, probe = build_projector(config, kit.normalization, width), kit.probe(width)
    options = dict(
        temperature=config.temperature,
        normalize=config.hidden_norm,
        in_blocks=0 < config.blockwise_loss_from <= config.train_batch_size,
    )
    if not config.memory_size:
        return SimCLR(encoder, projector, probe, **options)
    return MemorySimCLR(
        encoder,
        projector,
        kit.encoder(config.seed, "memory_encoder"),
        build_projector(config, kit.normalization, width, "memory_projector"),
        probe,
        size=config.memory_size,
        decay=config.memory_decay,
        seed=config.seed,
        **options,
    )
