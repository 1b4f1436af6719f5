"""BYOL: predict the projection of the other view by a slowly moving target network."""

import functools
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.losses import regression_loss
from tfssl.methods import checks, targets
from tfssl.methods.hints import Encoder, Layers, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import SelfSupervised, direction_std


@keras.saving.register_keras_serializable(package="tfssl")
class BYOL(SelfSupervised):
    """Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning".

    As in deepmind-research byol/byol_experiment.py (f5de0ed): each view passes through each network
    as a separate batch; both networks normalize by batch statistics; the loss is the sum, not the
    mean, of its two directions; the probe is trained on view 1.

    The parameters of the target networks are a moving average of the online ones. The moving
    averages in their batch normalizations are not: they come from the target's own forward passes.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: the paper's, `layers.byol_head`.
        predictor: a `keras.Layer`, z -> p [B, P], of the online network only; None: the paper's.
        target_encoder, target_projector: networks with the structure of the online ones; None:
            clones.
        target_init: "copy": the target starts from the weights of the online network; "fresh": from
            initial weights of its own, as in DeepMind's code.
        base_target_decay: float in [0, 1], decay of the target at the first step.
        total_steps: integer, steps over which the decay rises to 1; None: the steps of `fit`. If
            `fit` does not know them, the decay stays constant.

    Raises:
        ValueError: the encoder cannot be cloned, or a target network has another structure.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.BYOL(encoder, base_target_decay=0.9, total_steps=10)
    model.compile(tfssl.LARS(0.2), weight_decay=1.5e-6, run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    round(model.fit(views, verbose=0).history["target_decay"][0], 3)  # 0.9
    round(float(model.decay(5)), 4)  # 0.95
    ```
    """

    SCALARS = (
        "representation_loss",
        "target_decay",
        "online_target_cosine",
        "z_std",
        "target_z_std",
    )
    PROBE_VIEWS = 1
    SCHEDULED = True

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
        checks.share("base_target_decay", base_target_decay)
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
        networks, self.hidden.pairs = targets.networks(
            self, online, self.hidden.targets, "target", self.target_init
        )
        return networks

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        (h1, z1, p1), (h2, z2, p2) = (self.online(view, training) for view in views)
        t1, t2 = (self.target(view, training) for view in views)
        loss = regression_loss(p1, t2) + regression_loss(p2, t1)
        z, t = tf.concat([z1, z2], axis=0), tf.concat([t1, t2], axis=0)
        scalars = {
            "representation_loss": loss,
            "target_decay": self.decay(self.step),
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
        self.keep_losses(self.projector, self.predictor)
        z = self.projector(h, training=training)
        return h, z, self.predictor(z, training=training)

    def target(self, view: tf.Tensor, training: bool = True) -> tf.Tensor:
        """z of a view by the target network."""
        h = self.encode(view, training, encoder=self.target_encoder)
        # The target's variables get no gradient in any case; this saves computing it.
        return tf.stop_gradient(self.target_projector(h, training=training))

    def decay(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """Decay of the target at a step, float32 scalar."""
        return targets.decay(step, self.planned_steps, self.base_target_decay)

    def after_step(self, step: tf.Tensor) -> None:
        targets.update(self.hidden.pairs, self.decay(step))
