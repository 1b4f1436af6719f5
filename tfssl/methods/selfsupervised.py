"""What all self-supervised methods share: heads, a linear probe, what is watched."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.methods.classification import CLASSIFICATION_SCALARS, classification_loss, label_weights
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Learner, Outputs


class SelfSupervised(Learner):
    """An encoder that learns from views of images, and a linear probe beside it.

    Subclasses implement `make_heads` and `loss_on_views`, and name what they log in SCALARS;
    "z_std", which says whether the projections collapse, is logged for all.

    Args:
        encoder: as for `Learner`.
        heads: {name: a `keras.Layer`, or None to have one made inside}, as `make_heads` takes them.
        probe: a `keras.Layer`, h [B, D] -> logits [B, C], trained beside the encoder on h with its
            gradient stopped, where the views come with labels; None for none, or one made inside:
        num_classes: C, where a linear probe is to be made inside.
        **options: as for `Learner`.
    """

    PROBE_VIEWS = None  # views, from the first on, that the probe learns from; None: all

    def __init__(
        self,
        encoder: Encoder,
        *,
        heads: dict[str, keras.Layer | None] | None = None,
        probe: keras.Layer | None = None,
        num_classes: int | None = None,
        **options: Any,
    ) -> None:
        more = () if "z_std" in self.SCALARS else ("z_std",)
        more += CLASSIFICATION_SCALARS if probe is not None or num_classes else ()
        super().__init__(encoder, more_scalars=more, **options)
        self.hidden.heads, self.hidden.probe, self.hidden.dims = heads or {}, probe, {}
        self.num_classes = num_classes
        self.probe = None

    def make_heads(self, **heads: keras.Layer | None) -> Layers:
        """The parts between h and the loss: {name: layer}, each built by `self.head`.

        Called once, when `self.dim`, the dimension of h, is known.

        Args:
            **heads: those given to the constructor, or None.
        """
        return {}

    def make_followers(self, parts: Layers) -> Layers:
        """{name: layer} of what follows the parts, {name: layer}, by a moving average."""
        return {}

    def make_parts(self) -> tuple[Layers, Layers]:
        parts = self.make_heads(**self.hidden.heads)
        for name, part in parts.items():
            if not getattr(part, "built", False):
                raise ValueError(
                    f"{type(self).__name__}.make_heads must build `{name}`: "
                    f"self.head(layer, dimension of its input, {name!r})"
                )
        followers = self.make_followers(parts)
        probe = self.hidden.probe
        if probe is None and self.num_classes:
            probe = layers.classifier(self.dim, self.num_classes, seed=self.seed + 2)
        if probe is not None:
            parts["probe"] = self.head(probe, self.dim, "probe")
        return parts, followers

    def head(self, given: keras.Layer, in_dim: int, name: str) -> keras.Layer:
        """A head, built for inputs [B, in_dim].

        Args:
            given: a `keras.Layer`.
            in_dim: dimension of its input.
            name: of the argument that it came by, for messages.

        Raises:
            ValueError: it is no layer, or does not map [B, in_dim] to [B, P].
        """
        self.hidden.dims[name] = layers.build_head(given, in_dim, name)
        return given

    @property
    def classifier(self) -> keras.Layer | None:
        return self.probe

    @property
    def num_outputs(self) -> int | None:
        return self.dims.get("probe")

    @property
    def dims(self) -> dict[str, int]:
        """{name of a head: dimension of what it returns}."""
        return self.hidden.dims

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        """The self-supervised loss of one batch, as `Outputs`.

        Args:
            views: tuple of float32 [B, H, W, C] in [0, 1].
            labels: integers [B], below 0 where there is none; or None. Only what is asked to goes
                by them.
            training: as for `Learner.loss_on`.
        """
        raise NotImplementedError

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        made = self.loss_on_views(batch["views"], batch.get("label"), training)
        check_outputs(type(self).__name__, made)
        if training:
            self.note(made)
        scalars = dict(made.scalars)
        if "z_std" not in scalars:
            scalars["z_std"] = direction_std(replicas.gather(tf.concat(made.z, axis=0)))
        probe_loss, probe_scalars = self.probe_loss(
            tf.concat(made.h[: self.PROBE_VIEWS], axis=0), batch, training
        )
        return made.loss + probe_loss, scalars | probe_scalars

    def probe_loss(
        self, h: tf.Tensor, batch: Batch, training: bool = True
    ) -> tuple[tf.Tensor | float, Scalars]:
        """Cross-entropy of the probe in nats, with its scalars; (0, {}) without a probe.

        Args:
            h: [k * B, D], k views in a row.
            batch: with "label", and "weight" as for `classification_loss`.
        """
        if self.probe is None:
            return 0.0, {}
        if "label" not in batch:
            raise ValueError("The probe learns from labels: `x` must give ((view1, view2), label)")
        labels, weights = batch["label"], batch.get("weight")
        weights = label_weights(labels) if weights is None else weights
        views = [tf.shape(h)[0] // tf.shape(labels)[0]]
        logits = self.probe(tf.stop_gradient(h), training=training)
        return classification_loss(logits, tf.tile(labels, views), tf.tile(weights, views))

    def watch(self, images: int, projection_dim: int) -> None:
        """From now on keeps what the step makes of the first images of its batch.

        In `watched`, {"h1", "h2", "z1", "z2": variable [images, D]}: h and z of two views, for
        what is only looked at now and then. They are no weights.
        """
        shapes = {"h": self.dim, "z": projection_dim}
        self.hidden.watched = {
            name + view: tf.Variable(
                tf.zeros([images, dimension]),
                trainable=False,
                name=f"watched_{name}{view}",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for name, dimension in shapes.items()
            for view in "12"
        }

    @property
    def watched(self) -> dict[str, tf.Variable] | None:
        """What `watch` keeps, or None."""
        return getattr(self.hidden, "watched", None)

    def note(self, outputs: Outputs) -> None:
        """Keeps the first rows of what is watched of `Outputs`."""
        for name, values in (("h", outputs.h), ("z", outputs.z)) if self.watched else ():
            for number, value in enumerate((values or ())[:2], start=1):
                kept = self.watched[f"{name}{number}"]
                kept.assign(tf.cast(value[: kept.shape[0]], tf.float32))

    def candidates(self, batch_size: int) -> int | None:
        """Among how many projections `contrast_loss`, the sum over two directions, finds the
        positive; None for a method that has no such loss."""
        return None


def check_outputs(name, made):
    """Raises ValueError where `loss_on_views` of a class returned something else than it should."""
    if not isinstance(made, Outputs):
        raise ValueError(
            f"{name}.loss_on_views must return tfssl.Outputs(loss, scalars, h, z). "
            f"Received: {type(made).__name__}"
        )
    if tf.convert_to_tensor(made.loss).shape.rank != 0:
        raise ValueError(
            f"{name}.loss_on_views must return a scalar loss, such as a mean over the batch. "
            f"Received: shape {made.loss.shape}"
        )


def direction_std(z: tf.Tensor) -> tf.Tensor:
    """Collapse monitor: std of the normalized rows per dimension, times sqrt(D), averaged.

    Chen & He 2021 (SimSiam), section 4.1. 1 for directions spread evenly over the sphere, 0 where
    every row is the same.

    Args:
        z: float [N, D].

    Returns:
        float32 scalar in [0, 1].
    """
    z = tf.math.l2_normalize(tf.cast(z, tf.float32), axis=1)
    dimensions = tf.cast(tf.shape(z)[1], tf.float32)
    return tf.reduce_mean(tf.math.reduce_std(z, axis=0)) * tf.sqrt(dimensions)
