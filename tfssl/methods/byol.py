"""BYOL: predict what a slowly following copy of the network makes of the other view."""

import functools

import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.losses import regression_loss
from tfssl.methods.base import SelfSupervised, follow, spread
from tfssl.optim.schedules import target_decay


class BYOL(SelfSupervised):
    """Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning".

    As in deepmind-research byol/byol_experiment.py (f5de0ed): each view goes through each network
    as a batch of its own; both networks normalise by the statistics of the batch; the loss is the
    sum, not the mean, of its two directions; the probe learns from view 1.

    The target networks follow the online ones by a moving average of their parameters. The moving
    averages of their batch normalizations are not part of that: they come from the target's own
    passes. A target is never frozen by `trainable = False`, which would make Keras's batch
    normalization use those averages; it is left out of the list of learned variables.

    Args:
        encoder, projector: the online networks, images -> h [B, D] -> z [B, P].
        predictor: `keras.Model`, z -> p [B, P]; online only.
        target_encoder, target_projector: networks of the same form, with initial weights of their
            own.
        probe: `keras.Model`, h -> logits, or None.
        base_target_decay: decay of the target at the first step, in [0, 1].
        total_steps: steps of the run, over which the decay rises to 1.

    Raises:
        ValueError: the parameters of the target networks differ in number or shape from those that
            they follow.
    """

    SCALARS = (
        "representation_loss",
        "target_decay",
        "online_target_cosine",
        "z_std",
        "target_z_std",
    )

    def __init__(
        self,
        encoder,
        projector,
        predictor,
        target_encoder,
        target_projector,
        probe=None,
        *,
        base_target_decay,
        total_steps,
    ):
        super().__init__(
            encoder,
            probe,
            projector=projector,
            predictor=predictor,
            followers={"target_encoder": target_encoder, "target_projector": target_projector},
        )
        self.base_target_decay, self.total_steps = base_target_decay, total_steps
        shapes = [
            [tuple(v.shape) for v in variables]
            for variables in (self.online_variables(), self.target_variables())
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "The target networks must have the form of the online ones. Received: "
                f"{len(shapes[1])} parameters for {len(shapes[0])}, or other shapes"
            )

    def loss_on_views(self, view1, view2, labels=None):
        h1, z1, p1 = self.online(view1)
        h2, z2, p2 = self.online(view2)
        self.note(h1=h1, h2=h2, z1=z1, z2=z2)
        t1, t2 = self.target(view1), self.target(view2)
        loss = regression_loss(p1, t2) + regression_loss(p2, t1)
        z, t = tf.concat([z1, z2], axis=0), tf.concat([t1, t2], axis=0)
        return (
            loss,
            {
                "representation_loss": loss,
                "target_decay": self.decay(self.optimizer.iterations),
                "online_target_cosine": 1.0 - 0.5 * regression_loss(z, t),
                "z_std": spread(replicas.gather(z)),
                "target_z_std": spread(replicas.gather(t)),
            },
            h1,
        )

    def online(self, view):
        h = self.encoder(view, training=True)
        z = self.projector(h, training=True)
        return h, z, self.predictor(z, training=True)

    def target(self, view):
        z = self.target_projector(self.target_encoder(view, training=True), training=True)
        # No gradient is asked for the target's variables: this spares computing what would be
        # thrown away.
        return tf.stop_gradient(z)

    def decay(self, step):
        return target_decay(step, self.total_steps, self.base_target_decay)

    def online_variables(self):
        """The parameters that the target follows, in the order of `target_variables`."""
        return self.encoder.trainable_variables + self.projector.trainable_variables

    def target_variables(self):
        return self.target_encoder.trainable_variables + self.target_projector.trainable_variables

    def after_step(self, step):
        follow(self.online_variables(), self.target_variables(), self.decay(step))


TARGET_SEED = 1_000_003  # between the seeds of the online networks and those of their targets


def build_projector(config, normalization, in_dim, seed=0, name="projector"):
    """The projector that a `tfssl.Config` describes, and of the same form the predictor."""
    return layers.byol_head(
        in_dim,
        mode=config.proj_head_mode,
        out_dim=config.proj_out_dim,
        hidden_dim=config.proj_hidden_dim,
        num_layers=config.num_proj_layers,
        bn_momentum=config.batch_norm_decay,
        normalization=normalization if config.proj_batch_norm else None,
        seed=config.seed + 1 + seed,
        name=name,
    )


def build(config, kit):
    """BYOL from a `tfssl.Config` and a `Kit`."""
    head = functools.partial(build_projector, config, kit.normalization)
    encoder = kit.encoder(config.seed, "encoder")
    projector = head(encoder.output_shape[-1])
    # The seeds of the heads' layers are consecutive: leave room between one head and the next.
    predictor = head(projector.output_shape[-1], 100, "predictor")
    target_encoder = kit.encoder(config.seed + TARGET_SEED, "target_encoder")
    target_projector = head(encoder.output_shape[-1], TARGET_SEED, "target_projector")
    return BYOL(
        encoder,
        projector,
        predictor,
        target_encoder,
        target_projector,
        kit.probe(encoder.output_shape[-1]),
        base_target_decay=config.base_target_decay,
        total_steps=kit.total_steps,
    )
