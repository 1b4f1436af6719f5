"""BYOL: predict what a slowly following copy of the network makes of the other view."""

import functools
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.losses import regression_loss
from tfssl.methods import targets
from tfssl.methods.hints import Encoder, Layers, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import SelfSupervised, direction_std
from tfssl.optim.schedules import target_decay


@keras.saving.register_keras_serializable(package="tfssl")
class BYOL(SelfSupervised):
    """Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning".

    As in deepmind-research byol/byol_experiment.py (f5de0ed): each view goes through each network
    as a batch of its own; both networks normalise by the statistics of the batch; the loss is the
    sum, not the mean, of its two directions; the probe learns from view 1.

    The target networks follow the online ones by a moving average of their parameters. The moving
    averages of their batch normalizations are not part of that: they come from the target's own
    passes.

    Args:
        encoder, probe, num_classes, **options: as for `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: the paper's, `layers.byol_head`.
        predictor: a `keras.Layer`, z -> p [B, P], of the online network alone; None: likewise.
        target_encoder, target_projector: networks of the form of the online ones; None: clones.
        target_init: "copy": the target starts from the weights of the online network; "fresh": from
            weights of its own, as DeepMind's does.
        base_target_decay: decay of the target at the first step, in [0, 1].
        total_steps: steps of the training, over which the decay rises to 1; None: those of `fit`,
            and where `fit` does not know them the decay stays as it is.

    Raises:
        ValueError: the encoder cannot be cloned, or a target network has another form.

    Example:

    >>> model = tfssl.BYOL(encoder, num_classes=10)
    >>> model.compile(tfssl.LARS(0.2), weight_decay=1.5e-6)
    >>> model.fit(tfssl.views(images, tfssl.augment.byol(32), batch_size=256), epochs=10)
    """

    SCALARS = (
        "representation_loss",
        "target_decay",
        "online_target_cosine",
        "z_std",
        "target_z_std",
    )
    PROBE_VIEWS = 1

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        *,
        target_encoder: keras.Layer | None = None,
        target_projector: keras.Layer | None = None,
        target_init: str = "copy",
        base_target_decay: float = 0.99,
        total_steps: int | None = None,
        **options: Any,
    ) -> None:
        heads = {"projector": projector, "predictor": predictor}
        super().__init__(encoder, heads=heads, **options)
        targets.check_init(target_init)
        if not 0 <= base_target_decay <= 1:
            raise ValueError(
                f"`base_target_decay` must be in [0, 1]. Received: {base_target_decay}"
            )
        self.target_init, self.base_target_decay = target_init, base_target_decay
        self.total_steps = total_steps
        self.hidden.targets = {"encoder": target_encoder, "projector": target_projector}

    def make_heads(self, projector: keras.Layer | None, predictor: keras.Layer | None) -> Layers:
        make = functools.partial(layers.byol_head, normalization=layers.synchronized)
        projector = projector or make(self.dim, seed=self.seed + 1)
        projector = self.head(projector, self.dim, "projector")
        width = self.dims["projector"]
        predictor = predictor or make(width, out_dim=width, seed=self.seed + 101, name="predictor")
        return {"projector": projector, "predictor": self.head(predictor, width, "predictor")}

    def make_followers(self, parts: Layers) -> Layers:
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        made, self.hidden.pairs = targets.networks(
            self, online, self.hidden.targets, "target", self.target_init
        )
        return made

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        (h1, z1, p1), (h2, z2, p2) = (self.online(view, training) for view in views)
        t1, t2 = (self.target(view, training) for view in views)
        loss = regression_loss(p1, t2) + regression_loss(p2, t1)
        z, t = tf.concat([z1, z2], axis=0), tf.concat([t1, t2], axis=0)
        scalars = {
            "representation_loss": loss,
            "target_decay": self.decay(self.optimizer.iterations),
            "online_target_cosine": 1.0 - 0.5 * regression_loss(z, t),
            "z_std": direction_std(replicas.gather(z)),
            "target_z_std": direction_std(replicas.gather(t)),
        }
        return Outputs(loss, scalars, (h1, h2), (z1, z2))

    def online(
        self, view: tf.Tensor, training: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """h, z and p of a view by the online network."""
        h = self.encode(view, training)
        z = self.projector(h, training=training)
        return h, z, self.predictor(z, training=training)

    def target(self, view: tf.Tensor, training: bool = True) -> tf.Tensor:
        """z of a view by the target network."""
        h = self.encode(view, training, encoder=self.target_encoder)
        # No gradient is asked for the target's variables: this spares computing what would be
        # thrown away.
        return tf.stop_gradient(self.target_projector(h, training=training))

    def decay(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """Decay of the target at a step, float32 scalar."""
        total = self.total_steps or self.fitted_steps
        if total is None:
            return tf.constant(self.base_target_decay)
        return target_decay(step, total, self.base_target_decay)

    def plan_steps(self, total: int | None) -> None:
        if total != self.fitted_steps and self.total_steps is None:
            self.train_function = self.test_function = None  # whose graphs hold the old length
        super().plan_steps(total)

    def after_step(self, step: tf.Tensor) -> None:
        targets.follow(self.hidden.pairs, self.decay(step))
