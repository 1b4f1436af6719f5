"""Base class of the methods whose loss couples the images of a batch."""

import tensorflow as tf

from tfssl import compat
from tfssl.distribute import replicas
from tfssl.methods.averages import total
from tfssl.methods.hints import Batch, Scalars, Views
from tfssl.methods.learner import Outputs, split
from tfssl.methods.selfsupervised import SelfSupervised, direction_std

Tensors = tuple[tf.Tensor, ...]


class Coupled(SelfSupervised):
    """Base class of methods whose loss is not a mean over images: it takes the whole batch.

    The loss compares images with each other (negatives, neighbours), or takes statistics of the
    batch (covariances, assignments). On several replicas it sees the images of all of them, and
    with `accumulate_steps` those of all parts, at the cost of a second forward pass.

    Subclasses implement `project` and `compare`, and where they need them `companions` and
    `remember`.

    Args:
        **options: see `SelfSupervised`.
    """

    least_batch = 2
    by_class = False  # whether `compare` takes the labels

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        """The representations h, [B, D] each, and what the loss takes of them, [B, P] each."""
        raise NotImplementedError

    def companions(self, views: Views, training: bool = True) -> Tensors:
        """What else the loss takes of the views, without gradient: float32 [B, ...] each.

        For example the projections by a target network.
        """
        return ()

    num_companions = 0  # the number of tensors that `companions` returns

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        """Returns the loss, and {name: scalar} for every name in SCALARS.

        Args:
            z, companions: the results of `project` and `companions` in float32, for all images of
                the batch.
            labels: numbers [B], if the method is `by_class`.
        """
        raise NotImplementedError

    def remember(self, z: Tensors, companions: Tensors) -> None:
        """Called after the loss of a training step, to keep something for later steps."""

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        return Outputs(loss, scalars, h, z)

    def loss_on_views(
        self, views: Views, labels: tf.Tensor | None = None, training: bool = True
    ) -> Outputs:
        h, z = self.project(views, training)
        companions = tuple(map(tf.stop_gradient, self.companions(views, training)))
        everywhere = gathered(z), gathered(companions)
        classes = self.classes(labels) if self.by_class else None
        loss, scalars = self.compare(*everywhere, classes)
        if training:
            self.remember(*(tuple(map(tf.stop_gradient, of_all)) for of_all in everywhere))
        return self.outputs(loss, scalars, h, z, companions)

    def classes(self, labels: tf.Tensor | None) -> tf.Tensor:
        """The labels of all replicas, as floats."""
        if labels is None:
            raise ValueError(
                "Positives by class need labels: `x` must give ((view1, view2), label), as "
                "tfssl.views((images, labels), ...) does, one of an image at least. Received: none"
            )
        return replicas.gather(tf.cast(labels, tf.float32))

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Gradients of the loss over the whole batch, computed in parts.

        First come the projections of all parts, without a tape, and the gradient of the loss with
        respect to them. Then every part passes forward again and propagates its share of that
        gradient back through the network (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch
        Size under Memory Limited Setup", section 3). The gradients equal those of the whole batch,
        except that batch normalization sees one part at a time. It takes a third more computation.
        """
        z, companions = self.in_parts(batch["views"])
        with tf.GradientTape() as tape:
            tape.watch(z)
            classes = self.classes(batch.get("label")) if self.by_class else None
            loss, scalars = self.compare(z, companions, classes)
        if "z_std" not in scalars:
            of_all = self.outputs(loss, scalars, companions, z, companions).z
            scalars["z_std"] = direction_std(tf.concat(of_all, axis=0))
        flow = tape.gradient(loss, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        def loss_on(part):
            h, z = self.project(part["views"])
            share = sum(
                tf.reduce_sum(tf.cast(value, tf.float32) * of_value)
                for value, of_value in zip(z, part["flow"], strict=True)
            )
            # `mean_over_parts` averages, but the shares add up to the loss.
            share *= self.accumulate_steps
            self.note(self.outputs(loss, scalars, h, z, part["companions"]))
            probe_loss, probe_scalars = self.probe_loss(
                tf.concat(h[: self.PROBE_VIEWS], axis=0), part
            )
            # Only the gradient of the share is used.
            return share - tf.stop_gradient(share) + probe_loss, scalars | probe_scalars

        extended = batch | {"flow": flow, "companions": companions}
        gradients, logs = self.mean_over_parts(loss_on, extended)
        others = [logs.get("supervised_loss", 0.0), logs["weight_decay"]]
        if any(part.losses for part in self.parts.values()):  # an encoder's own regularization
            others = [logs["loss"]]
        self.remember(z, companions)
        return gradients, logs | {"loss": total(loss, *others)}

    def in_parts(self, views: Views) -> tuple[Tensors, Tensors]:
        """`project` and `companions` of a batch, computed in `accumulate_steps` parts."""
        moving = [v for part in self.parts.values() for v in part.non_trainable_variables]
        before = [tf.identity(v) for v in moving]

        def of_part(part):
            z = tuple(tf.cast(value, tf.float32) for value in self.project(part)[1])
            return z, tuple(tf.cast(value, tf.float32) for value in self.companions(part))

        made = compat.map_in_turn(
            of_part,
            split(views, self.accumulate_steps),
            (
                (tf.float32,) * self.num_projections(len(views)),
                (tf.float32,) * self.num_companions,
            ),
        )
        for variable, value in zip(moving, before):  # the second pass updates them
            variable.assign(value)
        return tf.nest.map_structure(
            lambda values: tf.reshape(values, [-1, *values.shape[2:]]), made
        )

    def num_projections(self, num_views: int) -> int:
        """The number of tensors that `project` returns as z."""
        return num_views


def gathered(values: Tensors) -> Tensors:
    """The rows of all replicas in float32."""
    return tuple(replicas.gather(tf.cast(value, tf.float32)) for value in values)
