"""Base class of the self-supervised methods: heads, a linear probe, monitored values."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.distribute import replicas
from tfssl.methods import checks
from tfssl.methods.classification import CLASSIFICATION_SCALARS, classification_loss, label_weights
from tfssl.methods.hints import Batch, Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Learner, Outputs


class SelfSupervised(Learner):
    """Base class of self-supervised methods, with an optional linear probe.

    Subclasses implement `make_heads` and `loss_on_views`, and list the names of their logs in
    SCALARS. "z_std" (`direction_std`), which detects collapsed projections, is logged unless SPREAD
    is False.

    Args:
        encoder: see `Learner`.
        heads: {name: a `keras.Layer`, or None for the default}, the arguments of `make_heads`.
        probe: a `keras.Layer`, h [B, D] -> logits [B, C], trained on the labels of the views
            without a gradient to the encoder; None: a linear layer if `num_classes` is given,
            otherwise none.
        num_classes: integer, number of classes C of the default probe.
        **options: see `Learner`.

    Raises:
        ValueError: an argument is out of its range, or a head does not accept its input.

    Example:

    ```python
    class Distance(tfssl.SelfSupervised):
        SCALARS = ("distance",)
        def loss_on_views(self, views, labels=None, training=True):
            h = tuple(self.encode(view, training) for view in views)
            loss = tf.reduce_mean(tf.square(h[0] - h[1]))
            return tfssl.Outputs(loss, {"distance": loss}, h, z=h)
    views = tf.zeros([2, 4, 4, 3]), tf.ones([2, 4, 4, 3])
    float(Distance(keras.layers.Flatten()).loss_on_views(views).loss)  # 1.0
    ```
    """

    PROBE_VIEWS = None  # the probe is trained on the first views, so many; None: on all
    COMPARES_VIEWS = True  # whether the loss does
    SPREAD = True  # whether the directions of z tell if it has collapsed
    DIRECTIONS = 2  # contrast_loss, if there is one, is a sum over so many directions

    def __init__(
        self,
        encoder: Encoder,
        *,
        heads: dict[str, keras.Layer | None] | None = None,
        probe: keras.Layer | None = None,
        num_classes: int | None = None,
        **options: Any,
    ) -> None:
        more = ("z_std",) if self.SPREAD and "z_std" not in self.SCALARS else ()
        more += CLASSIFICATION_SCALARS if probe is not None or num_classes else ()
        super().__init__(encoder, more_scalars=more, **options)
        self.hidden.heads, self.hidden.probe = heads or {}, probe
        self.hidden.dims, self.hidden.in_dims = {}, {}
        if num_classes is not None:
            checks.integer("num_classes", num_classes, least=1)
        self.num_classes = num_classes
        self.probe = None

    def make_heads(self, **heads: keras.Layer | None) -> Layers:
        """Returns {name: layer} of the layers between h and the loss, each built by `self.head`.

        Called once, when `self.dim`, the dimension of h, is known.

        Args:
            **heads: the heads given to the constructor, or None.
        """
        return {}

    def make_followers(self, parts: Layers) -> Layers:
        """Returns {name: layer} of the moving averages of `parts`, {name: layer}."""
        return {}

    def make_parts(self) -> tuple[Layers, Layers]:
        parts = self.make_heads(**self.hidden.heads)
        if not isinstance(parts, dict):
            raise ValueError(
                f"{type(self).__name__}.make_heads must return a dict of layers by name. "
                f"Received: {type(parts).__name__}"
            )
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

    def encode_views(
        self,
        views: Views,
        training: bool = False,
        encoder: keras.Layer | None = None,
        apart: bool = False,
    ) -> tuple[tf.Tensor, ...]:
        """h of every view, [B, D] each; views of one size in a row pass as one batch.

        Args:
            views: tuple of float [B, H, W, C] in [0, 1].
            training, encoder: see `encode`.
            apart: whether each view passes as a batch of its own, which batch normalization sees.
        """
        groups = [[view] for view in views[:1]]
        for view in views[1:]:
            if apart or view.shape[1:] != groups[-1][0].shape[1:]:
                groups.append([])
            groups[-1].append(view)
        h = [self.encode(joined(group), training, encoder) for group in groups]
        return tuple(one for of, group in zip(h, groups) for one in parted(of, len(group)))

    def through(
        self,
        layer: keras.Layer,
        values: tuple[tf.Tensor, ...],
        training: bool = False,
        apart: bool = False,
    ) -> tuple[tf.Tensor, ...]:
        """The outputs of a head for every view, [B, P] each.

        Args:
            layer: one of `parts` or `followers`.
            values: its inputs, [B, D] for every view.
            training: whether it runs in training mode.
            apart: see `encode_views`.
        """
        groups = values if apart else (joined(values),)
        made = []
        for group in groups:
            self.keep_losses(layer)
            made.append(layer(group, training=training))
        return tuple(made) if apart else parted(made[0], len(values))

    def head(
        self, given: keras.Layer, in_dim: int, name: str, out_dim: int | None = None
    ) -> keras.Layer:
        """Builds a head for inputs [B, in_dim] and returns it.

        Args:
            given: a `keras.Layer`.
            in_dim: integer, dimension of its input.
            name: name of its argument, for messages.
            out_dim: integer, the dimension that its output must have, that of the projector; None:
                any.

        Raises:
            ValueError: it is not a layer, or does not map [B, in_dim] to [B, P].
        """
        self.hidden.dims[name] = layers.build_head(given, in_dim, name)
        self.hidden.in_dims[name] = in_dim
        if out_dim not in (None, self.dims[name]):
            raise ValueError(
                f"`{name}` must return as many features as `projector`, {out_dim}. "
                f"Received: {self.dims[name]}"
            )
        return given

    @property
    def classifier(self) -> keras.Layer | None:
        return self.probe

    @property
    def num_outputs(self) -> int | None:
        return self.dims.get("probe")

    @property
    def dims(self) -> dict[str, int]:
        """{name of a head: dimension of its output}."""
        return self.hidden.dims

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        """The self-supervised loss of a batch, as `Outputs`.

        Args:
            views: tuple of float32 [B, H, W, C] in [0, 1].
            labels: integers [B], below 0 for unlabelled images; or None. Used only by methods with
                `by_class=True`.
            training: see `Learner.loss_on`.
        """
        raise NotImplementedError

    def outputs_of(self, batch: Batch, training: bool) -> Outputs:
        """`loss_on_views` of a batch, see `Learner.loss_on`."""
        return self.loss_on_views(batch["views"], batch.get("label"), training)

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        outputs = self.outputs_of(batch, training)
        check_outputs(type(self).__name__, outputs)
        if training:
            self.note(outputs)
        loss = tf.cast(outputs.loss, tf.float32)
        scalars = {name: tf.cast(value, tf.float32) for name, value in outputs.scalars.items()}
        if self.SPREAD and "z_std" not in scalars:
            z = tf.concat([tf.cast(view, tf.float32) for view in outputs.z], axis=0)
            scalars["z_std"] = direction_std(replicas.gather(z))
        probe_loss, probe_scalars = self.probe_loss(
            tf.concat(outputs.h[: self.PROBE_VIEWS], axis=0), batch, training
        )
        return loss + probe_loss, scalars | probe_scalars

    def probe_loss(
        self, h: tf.Tensor, batch: Batch, training: bool = True
    ) -> tuple[tf.Tensor | float, Scalars]:
        """Cross-entropy of the probe in nats, with its scalars; (0, {}) without a probe.

        Args:
            h: [k * B, D], the representations of k views, one view after the other.
            batch: dict with "label", and optionally "weight", see `classification_loss`.
            training: whether the probe runs in training mode.
        """
        if self.probe is None:
            return 0.0, {}
        if "label" not in batch:
            raise ValueError(
                "The probe learns from labels: `x` must give ((view1, view2), label), as "
                "tfssl.views((images, labels), ...) does, one of an image at least. Received: none"
            )
        labels, weights = batch["label"], batch.get("weight")
        weights = label_weights(labels) if weights is None else weights
        views = [tf.shape(h)[0] // tf.shape(labels)[0]]
        logits = self.probe(tf.stop_gradient(h), training=training)
        return classification_loss(logits, tf.tile(labels, views), tf.tile(weights, views))

    @property
    def projection_dim(self) -> int | None:
        """The dimension of z in the `Outputs`; None: unknown before training."""
        return self.dims.get("projector")

    def watch(self, images: int, projection_dim: int) -> None:
        """Stores h and z of the first images of each batch from now on, for monitoring.

        In `watched`, {"h1", "h2", "z1", "z2": variable [images, dimension]}, for two views. These
        variables are not weights of the model.

        Args:
            images: integer, number of images.
            projection_dim: integer, dimension of z.
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
        """The variables of `watch`, or None."""
        return getattr(self.hidden, "watched", None)

    def note(self, outputs: Outputs) -> None:
        """Stores the first rows of h and z in the variables of `watch`."""
        for name, values in (("h", outputs.h), ("z", outputs.z)) if self.watched else ():
            for number, value in enumerate((values or ())[:2], start=1):
                variable = self.watched[f"{name}{number}"]
                variable.assign(tf.cast(value[: variable.shape[0]], tf.float32))

    def candidates(self, batch_size: int, num_views: int = 2) -> int | None:
        """The number of projections among which `contrast_loss` identifies the positive.

        None for methods without such a loss, whose value is a sum over DIRECTIONS. `num_views` is
        given to methods that take any number of views, those whose `NUM_VIEWS` is None.
        """
        return None

    def ceiling(self, batch_size: int, num_views: int) -> float | None:
        """The logarithm of `candidates`, in nats, above which no InfoNCE bound can be; or None."""
        views = (num_views,) if self.NUM_VIEWS is None else ()
        count = self.candidates(batch_size, *views)
        return math.log(count) if count else None


def joined(views):
    """Views as one batch."""
    return views[0] if len(views) == 1 else tf.concat(views, axis=0)


def parted(values, count):
    """The views in a batch of `joined`, a tuple."""
    return (values,) if count == 1 else tuple(tf.split(values, count))


def check_outputs(name, outputs):
    """Raises ValueError if `loss_on_views` did not return `Outputs` with a scalar loss."""
    if not isinstance(outputs, Outputs):
        raise ValueError(
            f"{name}.loss_on_views must return tfssl.Outputs(loss, scalars, h, z). "
            f"Received: {type(outputs).__name__}"
        )
    if tf.convert_to_tensor(outputs.loss).shape.rank != 0:
        raise ValueError(
            f"{name}.loss_on_views must return a scalar loss, such as a mean over the batch. "
            f"Received: shape {outputs.loss.shape}"
        )


def direction_std(z: tf.Tensor) -> tf.Tensor:
    """Collapse monitor: standard deviation of the L2-normalized rows, times sqrt(D).

    The mean over dimensions, as in Chen & He 2021 (SimSiam), section 4.1: 1 for directions that are
    uniform on the sphere, 0 if all rows are equal.

    Args:
        z: float [N, D].

    Returns:
        float32 scalar in [0, 1].

    Example:

    ```python
    std = tfssl.methods.direction_std
    float(std(tf.ones([4, 2]))), round(float(std(tf.eye(4))), 3)  # (0.0, 0.866)
    ```
    """
    z = tf.math.l2_normalize(tf.cast(z, tf.float32), axis=1)
    dimensions = tf.cast(tf.shape(z)[1], tf.float32)
    return tf.reduce_mean(tf.math.reduce_std(z, axis=0)) * tf.sqrt(dimensions)
