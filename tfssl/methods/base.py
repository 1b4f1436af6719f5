"""What everything that learns shares: the training step and the logs; what every method shares."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfssl.distribute import replicas


@dataclasses.dataclass(frozen=True)
class Kit:
    """What a method's `build` makes its model from, beside the Config.

    Attributes:
        encoder: (seed, name) -> a new encoder; equal seeds, equal initial weights.
        probe: dimension of h -> a new linear classifier, or None where none is wanted.
        normalization: class of the normalization layers of the heads.
        total_steps: steps of the run.
        size: (height, width) of the views in pixels.
        pixels: of each view, what its augmentation does after the crop: (images float32
            [B, H, W, 3], seed int32 [2]) -> images; for a method that has the views come as crops.
    """

    encoder: Callable
    probe: Callable
    normalization: type
    total_steps: int
    size: tuple = (32, 32)
    pixels: tuple = ()


class Learner(keras.Model):
    """Named parts that learn by one `train_step`, with weight decay in the loss and logs.

    Subclasses implement `loss_on(batch)` and name what they log in `SCALARS`.

    Args:
        parts: {name: `keras.Model`} that learn, in the order of the forward pass.
        followers: {name: `keras.Model`} that no gradient reaches, such as a target network;
            they are saved with the rest.
        more_scalars: names that this instance logs beside SCALARS.

    Attributes:
        classifier: the linear classifier among the parts, or None.
        prepare: batch as it comes -> batch as `loss_on` takes it, within the step and outside the
            tape; by default they are the same.
        accumulate_steps: parts that a batch is computed in, one after the other, for one step of
            the optimizer; it divides the batch. Batch normalization sees a part at a time.
        rows: images of a batch that this replica gets, where the batches do not tell themselves, as
            those of several workers do not; None where they do.
        stop_asked: a variable of this worker that says whether it was asked to stop, which the
            logs tell all workers as "stop"; None where there is one worker.
    """

    SCALARS = ()
    classifier = None
    prepare = staticmethod(lambda batch: batch)
    accumulate_steps = 1
    rows = None
    stop_asked = None

    def __init__(self, parts, followers=None, more_scalars=()):
        super().__init__(name=type(self).__name__.lower())
        self.parts, self.followers = dict(parts), dict(followers or {})
        for name, part in (self.parts | self.followers).items():
            setattr(self, name, part)
        self.penalize([], 0.0)
        names = ("total_loss", "weight_decay", *self.SCALARS, *more_scalars)
        self.trackers = {name: Average(name) for name in names}

    def penalize(self, variables, weight_decay):
        """Adds 0.5 * weight_decay * ||v||^2 of these variables to the loss."""
        # A closure, because Keras would count variables in an attribute as this model's own.
        self.weight_decay_loss = functools.partial(l2_penalty, tuple(variables), weight_decay)

    def loss_on(self, batch):
        """The loss of one batch: a float32 scalar, and {name: scalar} for every name logged.

        On one of several replicas the batch is its share, and the mean over the replicas is what
        is minimised and logged.
        """
        raise NotImplementedError

    def learned_variables(self):
        """The variables that gradients reach: an explicit list, in the order of the parts."""
        return [v for part in self.parts.values() for v in part.trainable_variables]

    def after_step(self, step):
        """What follows an optimizer step, such as the update of a target network.

        Args:
            step: integer scalar tensor, the optimizer steps made before this one.
        """

    def train_step(self, batch):
        batch, variables = self.prepare(batch), self.learned_variables()
        if self.rows:
            batch = {
                name: tf.ensure_shape(value, [self.rows, *value.shape[1:]])
                for name, value in batch.items()
            }
        if self.accumulate_steps == 1:
            gradients, scalars = self.gradients_of(self.loss_on, batch)
        else:
            gradients, scalars = self.accumulated(batch)
        step = tf.convert_to_tensor(self.optimizer.iterations)
        self.optimizer.apply(gradients, variables)
        self.after_step(step)
        return self.track(**scalars)

    def gradients_of(self, loss_on, batch):
        """Gradients for the learned variables, and {name: scalar} for every name logged."""
        with tf.GradientTape() as tape:
            loss, scalars = loss_on(batch)
            weight_decay = self.weight_decay_loss()
            total_loss = total(loss, weight_decay)
            objective = self.optimizer.scale_loss(total_loss)
            if replicas.count() > 1:  # the optimizer adds up the gradients of all
                objective /= replicas.count()
        gradients = tape.gradient(objective, self.learned_variables())
        return gradients, replicas.mean(
            {"total_loss": total_loss, "weight_decay": weight_decay, **scalars}
        )

    def accumulated(self, batch):
        """As `gradients_of` the batch, part by part: the mean over the parts.

        That is the whole batch's where the loss is a mean over images.
        """
        return self.mean_over_parts(self.loss_on, batch)

    def mean_over_parts(self, loss_on, batch):
        count, parts = self.accumulate_steps, split(weighted(batch), self.accumulate_steps)

        def add(index, sums):
            part = tf.nest.map_structure(lambda values: values[index], parts)
            made = self.gradients_of(loss_on, part)
            return index + 1, tf.nest.map_structure(
                lambda total, one: total + one / count, sums, made
            )

        zeros = (
            [tf.zeros(v.shape) for v in self.learned_variables()],
            {name: tf.constant(0.0) for name in self.trackers},
        )
        _, means = tf.while_loop(
            lambda index, _: index < count, add, (0, zeros), parallel_iterations=1
        )
        return means

    def track(self, **scalars):
        """Feeds the trackers; their means since the last reset are the logs of `fit`."""
        for name, value in scalars.items():
            self.trackers[name].update_state(value)
        logs = {name: tracker.result() for name, tracker in self.trackers.items()}
        if self.stop_asked is None:
            return logs
        # Keras takes the mean over workers along an axis, which a scalar has not.
        return {
            name: tf.reshape(value, [1])
            for name, value in (logs | {"stop": self.stop_asked}).items()
        }

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # All is built. Keras would take a batch for this and add it up over the workers, which it
        # cannot do with a dict (Keras 3.15).
        pass

    def state(self):
        """All that a run goes on from: {name: trackable object}, for a checkpoint.

        With the metrics, so that a TensorBoard point that straddles the end of one process and the
        start of the next is the mean over all its steps.
        """
        sums = {
            f"{name}_{variable.name}": variable
            for name, tracker in self.trackers.items()
            for variable in tracker.variables
        }
        return {"optimizer": self.optimizer, "metrics": sums, **self.parts, **self.followers}

    @property
    def metrics(self):
        # Keras takes the logs of an epoch from here: without it they would be the untouched
        # tracker of the compiled loss, 0.
        return list(self.trackers.values())


class Average(keras.metrics.Metric):
    """The mean of scalars since the last reset.

    `keras.metrics.Mean` adds up its replicas whenever it is read, which takes all workers at once;
    here every replica holds the whole, so it must be fed with the same values on all of them.
    """

    def __init__(self, name):
        super().__init__(name=name)
        self.total = keras.Variable(0.0, trainable=False, name="total")
        self.count = keras.Variable(0.0, trainable=False, name="count")

    def update_state(self, value):
        self.total.assign(self.total + value)
        self.count.assign(self.count + 1.0)

    def result(self):
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.total), self.count)


class SelfSupervised(Learner):
    """An encoder that learns from views of images, and a linear probe beside it.

    A batch is a dict {"view1", "view2": float32 [B, H, W, 3] in [0, 1], "label": int [B]}; the
    label, below 0 where there is none, feeds the probe alone. `model(images)` is the representation
    h = f(x), [B, D].

    Subclasses implement `loss_on_views` and name what they log in `SCALARS`.

    Args:
        encoder: `keras.Model`, images [B, H, W, 3] -> h [B, D].
        probe: `keras.Model`, h [B, D] -> logits [B, C], trained beside the encoder on
            h with its gradient stopped; None for no probe.
        followers: as for `Learner`.
        **parts: further named `keras.Model`s that learn, in the order of the forward pass.
    """

    def __init__(self, encoder, probe=None, followers=None, **parts):
        super().__init__(
            {"encoder": encoder, **parts, **({"probe": probe} if probe else {})},
            followers,
            CLASSIFICATION_SCALARS if probe else (),
        )
        self.probe = self.classifier = probe

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    watched = None

    def watch(self, images, projection_dim):
        """From now on keeps what the step makes of the first images of its batch.

        In `watched`, {"h1", "h2", "z1", "z2": variable [images, D]}: h and z of both views, for
        what is only looked at now and then. They are no weights.
        """
        shapes = {"h": self.encoder.output_shape[-1], "z": projection_dim}
        self.watched = {
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

    def note(self, **values):
        """Keeps the first rows of what is watched; names as in `watched`, float [B, D]."""
        for name, value in values.items() if self.watched else ():
            kept = self.watched[name]
            kept.assign(tf.cast(value[: kept.shape[0]], tf.float32))

    def candidates(self, batch_size):
        """Among how many projections `contrast_loss`, the sum over two directions, finds the
        positive; None for a method that has no such loss."""
        return None

    def loss_on_views(self, view1, view2, labels=None):
        """The self-supervised loss of one batch.

        Args:
            view1, view2: float32 [B, H, W, 3].
            labels: integers [B], below 0 where there is none; only what is asked to goes by them.

        Returns:
            A triple: the loss, a float32 scalar; {name: scalar} for every name in SCALARS; and
            the representations [k * B, D] that the probe learns from, k views in a row.
        """
        raise NotImplementedError

    def loss_on(self, batch):
        loss, scalars, h = self.loss_on_views(batch["view1"], batch["view2"], batch.get("label"))
        probe_loss, probe_scalars = self.probe_loss(h, batch.get("label"), batch.get("weight"))
        return loss + probe_loss, scalars | probe_scalars

    def probe_loss(self, h, labels, weights=None):
        """Cross-entropy of the probe in nats, with its scalars; (0, {}) without a probe.

        Args:
            h: [k * B, D], k views in a row.
            labels, weights: [B], as for `classification_loss`.
        """
        if self.probe is None:
            return 0.0, {}
        weights = label_weights(labels) if weights is None else weights
        views = [tf.shape(h)[0] // tf.shape(labels)[0]]
        return classification_loss(
            self.probe(tf.stop_gradient(h), training=True),
            tf.tile(labels, views),
            tf.tile(weights, views),
        )


CLASSIFICATION_SCALARS = ("supervised_loss", "supervised_acc")


def classification_loss(logits, labels, weights=None):
    """Mean cross-entropy in nats, a float32 scalar, and the CLASSIFICATION_SCALARS.

    The means are over the images that have a label; 0, with gradients of 0, where none has.

    Args:
        logits: float [N, C].
        labels: integers [N] in [0, C), below 0 where there is none.
        weights: float32 [N], what `label_weights` makes of the labels of the whole batch, where
            these are a part of it; None: they are the batch, or a replica's share of it.
    """
    logits = tf.cast(logits, tf.float32)
    weights = label_weights(labels) if weights is None else weights
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(labels, 0), logits=logits
    )
    loss = tf.reduce_mean(weights * cross_entropy)
    hit = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
    return loss, {
        "supervised_loss": loss,
        "supervised_acc": tf.reduce_mean(weights * tf.cast(hit, tf.float32)),
    }


def label_weights(labels):
    """How much each image of a batch counts in a mean over those that have a label.

    Over the whole batch, of all replicas, the weights have a mean of 1 (or are 0 where there is no
    label at all): so the mean over parts or replicas of their weighted means is the batch's,
    however the labels are spread over them.

    Args:
        labels: integers [B], below 0 where there is none.

    Returns:
        float32 [B].
    """
    known = tf.cast(tf.greater_equal(labels, 0), tf.float32)
    return tf.math.divide_no_nan(known, replicas.mean(tf.reduce_mean(known)))


def weighted(batch):
    """A whole batch with the weights of its labels, as its parts do not know them."""
    return batch | {"weight": label_weights(batch["label"])} if "label" in batch else batch


def total(*losses):
    """The sum of scalars, in their order.

    Not a chain of plain sums: TensorFlow's optimizer of graphs joins those, in an order that
    differs from process to process, and so would the last digit of what is logged.
    """
    return tf.reduce_sum(tf.stack(losses))


def follow(leaders, followers, decay):
    """Moves each variable towards another: to decay * its own + (1 - decay) * the other's value."""
    for leader, follower in zip(leaders, followers, strict=True):
        follower.assign(decay * follower + (1.0 - decay) * leader)


def split(batch, count):
    """Tensors [B, ...] as [count, B / count, ...]."""
    return tf.nest.map_structure(
        lambda values: tf.reshape(values, [count, -1, *values.shape[1:]]), batch
    )


def l2_penalty(variables, weight_decay):
    """0.5 * weight_decay * the sum of all squares, a float32 scalar."""
    squares = [tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in variables]
    return weight_decay * tf.add_n(squares) if squares else tf.constant(0.0)


def spread(z):
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
