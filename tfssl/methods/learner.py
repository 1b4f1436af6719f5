"""The one training step, and everything else that all methods share as `keras.Model`s."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import keras
import numpy as np
import tensorflow as tf

from tfssl import compat
from tfssl.distribute import replicas
from tfssl.encoders import adapt
from tfssl.methods import batches, checks, creation, penalties
from tfssl.methods.averages import Average, total
from tfssl.methods.classification import weighted
from tfssl.methods.hints import (
    Batch,
    Dataset,
    Encoder,
    InputRange,
    Layers,
    Loss,
    Scalars,
    Shape,
)
from tfssl.notes import say


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a method computes from the views of a batch.

    Attributes:
        loss: float32 scalar, minimised.
        scalars: {name: scalar} for every name in the method's SCALARS.
        h: representations, one tensor [B, D] for each view; the probe learns from them.
        z: projections, one tensor [B, P] for each view; None where there are none.
    """

    loss: tf.Tensor
    scalars: Scalars
    h: tuple[tf.Tensor, ...] = ()
    z: tuple[tf.Tensor, ...] | None = None


class Learner(keras.Model, metaclass=creation.BuildsWhenItCan):
    """A `keras.Model` that learns from views by its own `train_step`.

    `fit` takes a `tf.data.Dataset` of views, such as `tfssl.views` makes: elements are
    (view1, view2), ((view1, view2), label) or {"views": (view1, view2), "label": label}, views
    float32 [B, H, W, C] in [0, 1], labels integers [B], below 0 where there is none.
    `model(images)` is the representation h of images in [0, 1], float [B, D].

    Subclasses implement `make_parts`, which says what beside the encoder learns, and `loss_on`, and
    name what they log in SCALARS.

    Args:
        encoder: a `keras.Layer` from images [B, H, W, C] to features [B, D], feature maps
            [B, h, w, D] or tokens [B, n, D]; of the last two the mean over places is taken. Or a
            function without arguments that builds one.
        input_range: the pixel values that the encoder expects: "auto" (read from the Rescaling and
            Normalization layers that it begins with, otherwise [0, 1]), "0,1", "0,255", "-1,1", or
            a pair (low, high).
        seed: integer, of the initial weights of what is made inside, and of all that is drawn.
        more_scalars: names that this instance logs beside SCALARS.
        name, dtype: as for `keras.Model`.

    Attributes:
        parts: {name: layer} that learn, in the order of the forward pass.
        followers: {name: layer} that no gradient reaches, such as target networks.
        dim: D, the dimension of h.
    """

    SCALARS = ()
    NUM_VIEWS = 2
    SAME_SIZE = False
    accumulate_steps = 1

    def __init__(
        self,
        encoder: Encoder,
        *,
        input_range: InputRange = "auto",
        seed: int = 0,
        more_scalars: Iterable[str] = (),
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        name = name or type(self).__name__.lower()
        super().__init__(name=name, **({} if dtype is None else {"dtype": dtype}))
        self.builder = None if isinstance(encoder, keras.Layer) else creation.built_by(encoder)
        self.encoder = self.builder() if self.builder else encoder
        self.input_range = adapt.resolve_input_range(input_range, self.encoder)
        if input_range == "auto" and self.input_range != (0.0, 1.0):
            say(f"{self.encoder.name} begins with a rescaling of values in [0, 255]: it gets those")
        self.seed = seed
        self.parts, self.followers = {}, {}
        self.fitted_steps = None
        # Keras would count the layers and variables in here as this model's a second time.
        self.hidden = types.SimpleNamespace(
            given={}, compiled={}, prepare=None, also_log={}, prepared=None
        )
        self.penalize([], 0.0)
        names = ("loss", "weight_decay", *self.SCALARS, *more_scalars)
        self.trackers = {name: Average(name) for name in names}

    # Building

    def make_parts(self) -> tuple[Layers, Layers]:
        """Makes what the encoder does not: called once, when `self.dim` is known.

        Returns:
            A pair: {name: built layer} of what learns beside the encoder, in the order of the
            forward pass, and likewise of what follows it by a moving average.
        """
        return {}, {}

    def build_if_known(self) -> None:
        """Builds the model where the encoder's input shape is known."""
        shape = adapt.known_input_shape(self.encoder)
        if shape is not None and shape[-1] is not None:
            self.build((None, *shape[1:]))

    def encoder_shape(self, input_shape: Shape) -> Shape:
        """The shape of the images that the encoder gets of views of a shape."""
        return tuple(input_shape)

    def build(self, input_shape: Shape) -> None:
        """Builds the encoder and makes the other parts.

        Args:
            input_shape: (None, height, width, channels) of the views; None where not known.

        Raises:
            ValueError: the encoder does not take such images, or two parts are the same layer.
        """
        if self.built:
            adapt.check_input(self.encoder, self.encoder_shape(input_shape))
            return
        self.views_shape = tuple(input_shape)
        with self.distribute_strategy.scope(), compat.dtype_policy(self.dtype_policy):
            features = adapt.build(self.encoder, self.encoder_shape(input_shape))
            self.dim = features[-1]
            if len(features) > 2:
                say(f"{self.encoder.name} returns {adapt.shape_text(features)}: h is its mean")
            parts, self.followers = self.make_parts()
            self.parts = {"encoder": self.encoder, **parts}
        for name, part in (self.parts | self.followers).items():
            setattr(self, name, part)
        checks.parts_differ(self.parts | self.followers)
        for part in self.followers.values():
            # Not `part.trainable`, by which batch normalization would use its moving averages.
            for variable in part.variables:
                variable.trainable = False
        self.built = True
        self.prepare_optimizer()

    def get_build_config(self) -> dict[str, Any] | None:
        return {"input_shape": self.views_shape} if self.built else None

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        if config:
            self.build(tuple(config["input_shape"]))

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """What the optimizer updates: the variables of the parts that are trainable."""
        if not self.built:
            return super().trainable_variables
        return [v for part in self.parts.values() for v in part.trainable_variables]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        learned = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in learned]

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        return self.non_trainable_variables

    @property
    def classifier(self) -> keras.Layer | None:
        """The linear classifier among the parts, or None."""
        return None

    # Forward

    def encode(
        self, images: tf.Tensor, training: bool = False, encoder: keras.Layer | None = None
    ) -> tf.Tensor:
        """h, float [B, D], of images in [0, 1] by the encoder, or by another one like it."""
        encoder = encoder or self.encoder
        return adapt.pooled(encoder(adapt.scaled(images, self.input_range), training=training))

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.encode(images, training=training)

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        """The loss of one batch: a float32 scalar, and {name: scalar} for every name logged.

        On one of several replicas the batch is its share, and the mean over the replicas is what
        is minimised and logged.

        Args:
            batch: what `batches.unpack` returned, and "weight" where it is a part of a batch.
            training: False evaluates: no state changes, and batch normalization uses its moving
                averages.
        """
        raise NotImplementedError

    def after_step(self, step: tf.Tensor) -> None:
        """What follows an optimizer step, such as the update of a target network.

        Args:
            step: integer scalar tensor, the optimizer steps made before this one.
        """

    # Steps

    def batch_of(self, data: Any) -> Batch:
        """A batch as `loss_on` takes it."""
        batch = batches.unpack(self.hidden.prepare(data) if self.hidden.prepare else data)
        checks.views(self, batch["views"])
        return batch

    def train_step(self, data: Any) -> Scalars:
        batch = self.batch_of(data)
        if self.accumulate_steps == 1:
            gradients, scalars = self.gradients_of(self.loss_on, batch)
        else:
            gradients, scalars = self.accumulated(batch)
        # Nothing may move where a dataset of unknown length turns out to have no further batch.
        alone = replicas.count() == 1
        with tf.control_dependencies([scalars["loss"]] if alone else []):
            step = tf.convert_to_tensor(self.optimizer.iterations)
            self.optimizer.apply(gradients, self.trainable_variables)
            self.after_step(step)
        return self.track(scalars)

    def test_step(self, data: Any) -> Scalars:
        batch = self.batch_of(data)
        self.clear_losses()
        loss, scalars = self.loss_on(batch, training=False)
        return self.track(replicas.mean(self.with_penalties(loss, scalars)))

    def gradients_of(self, loss_on: Loss, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Gradients for the learned variables, and {name: scalar} for every name logged."""
        self.clear_losses()
        with tf.GradientTape() as tape:
            loss, scalars = loss_on(batch)
            logs = self.with_penalties(loss, scalars)
            objective = self.optimizer.scale_loss(logs["loss"])
            if replicas.count() > 1:  # the optimizer adds up the gradients of all
                objective /= replicas.count()
        gradients = tape.gradient(objective, self.trainable_variables)
        return gradients, replicas.mean(logs)

    def with_penalties(self, loss: tf.Tensor, scalars: Scalars) -> Scalars:
        """All that is logged: the loss with weight decay and the encoder's own regularization."""
        missing = set(self.trackers) - {"loss", "weight_decay"} ^ set(scalars)
        if missing:
            raise ValueError(
                f"{type(self).__name__}.SCALARS must name the scalars of its loss. "
                f"Received: {sorted(scalars)}; differing: {sorted(missing)}"
            )
        weight_decay = self.weight_decay_loss()
        own = [tf.cast(value, tf.float32) for part in self.parts.values() for value in part.losses]
        return {
            "loss": total(loss, weight_decay, *own),
            "weight_decay": weight_decay,
            **scalars,
        }

    def clear_losses(self) -> None:
        for part in self.parts.values():
            compat.clear_losses(part)

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """As `gradients_of` the batch, part by part: the mean over the parts.

        That is the whole batch's where the loss is a mean over images.
        """
        return self.mean_over_parts(self.loss_on, batch)

    def mean_over_parts(self, loss_on: Loss, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        count, parts = self.accumulate_steps, split(weighted(batch), self.accumulate_steps)

        def add(index, sums):
            part = tf.nest.map_structure(lambda values: values[index], parts)
            made = self.gradients_of(loss_on, part)
            return index + 1, tf.nest.map_structure(
                lambda total, one: total if one is None else total + dense(one) / count, sums, made
            )

        zeros = (
            [tf.zeros(v.shape) for v in self.trainable_variables],
            {name: tf.constant(0.0) for name in self.trackers},
        )
        _, means = tf.while_loop(
            lambda index, _: index < count, add, (0, zeros), parallel_iterations=1
        )
        return means

    def track(self, scalars: Scalars) -> Scalars:
        """Feeds the trackers; their means since the last reset are the logs of `fit`."""
        with tf.control_dependencies([scalars["loss"]]):
            for name, value in scalars.items():
                self.trackers[name].update_state(value)
        logs = {name: tracker.result() for name, tracker in self.trackers.items()}
        logs |= self.hidden.also_log
        if not compat.several_workers(self.distribute_strategy):
            return logs
        # Keras takes the mean over workers along an axis, which a scalar has not.
        return {name: tf.reshape(value, [1]) for name, value in logs.items()}

    def predict(self, x: Any, *args: Any, **options: Any) -> np.ndarray:
        """Returns what `model(images)` returns, as a NumPy array; see `keras.Model.predict`.

        Args:
            x: images [N, H, W, C], uint8 or floats in [0, 1], or a `tf.data.Dataset` of batches.

        Raises:
            ValueError: floats outside [0, 1], or a dataset of views.
        """
        checks.images(x)
        return super().predict(x, *args, **options)

    # Compiling

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        *,
        weight_decay: float | None = None,
        accumulate_steps: int = 1,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int = 1,
        run_eagerly: bool = False,
        auto_scale_loss: bool = True,
        prepare: Callable[[Any], Any] | None = None,
        also_log: dict[str, Any] | None = None,
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
    ) -> None:
        """Configures the training.

        Args:
            optimizer: a Keras optimizer, `tfssl.LARS`, or a name.
            weight_decay: float >= 0, on kernels alone: biases and normalizations are left out.
                Under LARS it is the optimizer's; otherwise 0.5 * weight_decay * ||w||^2 is added to
                the loss. Keras's own, of AdamW, leaves out the same variables. None: none, or the
                optimizer's own.
            accumulate_steps: parts that a batch is computed in, one after the other, for one step
                of the optimizer; it divides the batch. Batch normalization sees a part at a time.
            jit_compile: "auto" compiles with XLA where a GPU trains.
            steps_per_execution, run_eagerly, auto_scale_loss: as for `keras.Model.compile`.
            prepare: batch as it comes -> batch as the step takes it, within the step and outside
                the tape.
            also_log: {name: variable} of each worker, logged as their mean over the workers.
            loss, loss_weights, metrics, weighted_metrics: refused.

        Raises:
            ValueError: a loss or metrics, which the method has itself; weight decay in two places.

        Example:

        >>> model.compile(tfssl.LARS(0.3), weight_decay=1e-4)
        """
        for other in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if locals()[other] is not None:
                raise ValueError(
                    f"`{other}` cannot be set: {type(self).__name__} has a loss and scalars of its "
                    "own; the callbacks KNN and Probe of tfssl.callbacks measure accuracies"
                )
        if weight_decay is not None and not (checks.is_number(weight_decay) and weight_decay >= 0):
            raise ValueError(f"`weight_decay` must be 0 or more. Received: {weight_decay!r}")
        if not isinstance(accumulate_steps, int) or accumulate_steps < 1:
            raise ValueError(
                f"`accumulate_steps` must be an integer of 1 or more. Received: {accumulate_steps}"
            )
        if jit_compile == "auto":
            jit_compile = bool(tf.config.list_physical_devices("GPU")) and not run_eagerly
        settings = {
            "optimizer": keras.optimizers.get(optimizer),
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
            "run_eagerly": run_eagerly,
            "auto_scale_loss": auto_scale_loss,
        }
        super().compile(**settings)
        self.weight_decay, self.accumulate_steps = weight_decay, accumulate_steps
        self.hidden.prepare, self.hidden.also_log = prepare, also_log or {}
        self.hidden.compiled = {
            **settings,
            "weight_decay": weight_decay,
            "accumulate_steps": accumulate_steps,
        }
        self.prepare_optimizer()

    @property
    def also_logged(self) -> dict[str, Any]:
        """{name: variable} of `compile`'s `also_log`."""
        return self.hidden.also_log

    def prepare_optimizer(self) -> None:
        """Tells the optimizer what it leaves alone, and makes its variables; once all is known."""
        if not (self.built and self.compiled):
            return
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        learned = [id(v) for v in self.trainable_variables]
        made = [optimizer, learned, self.weight_decay]
        if optimizer.built and self.hidden.prepared == made:  # compiled again with the same one
            return
        if optimizer.built:
            raise ValueError(
                "`optimizer` must be a new one. Received: one that has trained another model, or "
                "this one with other settings"
            )
        with self.distribute_strategy.scope():
            penalties.leave_out(self, optimizer)
            self.optimizer.build(self.trainable_variables)
        self.hidden.prepared = made

    def penalize(self, variables: Iterable[keras.Variable], weight_decay: float) -> None:
        """Adds 0.5 * weight_decay * ||v||^2 of these variables to the loss."""
        # A closure, because Keras would count variables in an attribute as this model's own.
        self.weight_decay_loss = functools.partial(penalties.l2, tuple(variables), weight_decay)

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(self.hidden.compiled)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    # Fitting

    def fit(
        self,
        x: Dataset | None = None,
        y: None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **options: Any,
    ) -> keras.callbacks.History:
        """`keras.Model.fit` on a dataset of views; see the class.

        Raises:
            ValueError: `x` is no dataset of views in [0, 1], of as many as the method takes.
        """
        self.take(x, y)
        if options.get("validation_data") is not None:
            self.take(options["validation_data"], name="validation_data")
        steps = options.get("steps_per_epoch") or cardinality(x)
        ahead = epochs - options.get("initial_epoch", 0)
        self.plan_steps(self.steps_made + ahead * steps if steps else None)
        held = compat.clock_of(options.get("validation_data"))
        if held:
            held.set(0)
        clock = compat.clock_of(x)
        if clock:
            callbacks = options.pop("callbacks", None)
            options["callbacks"] = compat.with_callback(callbacks, FollowEpochs(clock))
        options.setdefault("shuffle", False)
        history = super().fit(x, y, batch_size, epochs, **options)
        if history.epoch and not history.history:
            raise ValueError("`x` must give batches of views. Received: a dataset without any")
        return history

    def evaluate(
        self, x: Dataset | None = None, y: None = None, **options: Any
    ) -> float | list[float] | dict[str, float]:
        """`keras.Model.evaluate` on a dataset of views: the loss and scalars, by no new state."""
        if not options.get("_use_cached_eval_dataset"):
            self.take(x, y, "evaluate")
        clock = compat.clock_of(x)
        if clock:
            clock.set(0)
        try:
            return super().evaluate(x, y, **options)
        finally:
            if clock and not options.get("_use_cached_eval_dataset"):
                clock.set(None)

    def take(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        """Checks a dataset and builds the model for it."""
        spec = getattr(x, "element_spec", None)
        if spec is None or y is not None:
            raise ValueError(
                f"`{name}` needs a tf.data.Dataset of views. Received: {type(x).__name__}; "
                "tfssl.views(images, recipe, batch_size) makes one of images, and "
                "tf.data.Dataset.from_generator of a generator"
            )
        if isinstance(x, tf.distribute.DistributedDataset) or self.hidden.prepare:
            return
        views = batches.unpack(spec)["views"]
        checks.views(self, views)
        checks.batch_size(self, views[0].shape[0])
        self.build((None, *views[0].shape[1:]))
        checks.classes(self, getattr(compat.clock_of(x), "classes", 0))
        if compat.clock_of(x) is None and not getattr(x, "checked", False):
            checks.first_batch(self, x)

    @property
    def num_outputs(self) -> int | None:
        """Outputs of the classifier; None where there is none."""
        return None

    @property
    def steps_made(self) -> int:
        """Steps of the optimizer so far."""
        return int(tf.convert_to_tensor(self.optimizer.iterations)) if self.compiled else 0

    def plan_steps(self, total: int | None) -> None:
        """Keeps the length of the training for schedules that go by it.

        Args:
            total: optimizer steps of the whole training; None where it is not known.
        """
        self.fitted_steps = total

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # `fit` has built all. Keras would take a batch for this and add it up over the workers,
        # which it cannot do with a dict (Keras 3.15).
        pass

    # Saving

    def state(self) -> dict[str, Any]:
        """All that a run goes on from: {name: trackable object}, for a `tf.train.Checkpoint`.

        With the metrics, so that a TensorBoard point that straddles the end of one process and the
        start of the next is the mean over all its steps.
        """
        sums = {
            f"{'total_loss' if name == 'loss' else name}_{variable.name}": variable
            for name, tracker in self.trackers.items()
            for variable in tracker.variables
        }
        return {"optimizer": self.optimizer, "metrics": sums, **self.parts, **self.followers}

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, with all layers as they were built."""
        parts = self.parts | self.followers | {"encoder": self.encoder}
        accepted = inspect.signature(type(self).__init__).parameters
        named = {name: part for name, part in parts.items() if name in accepted}
        passed = {name: part for name, part in parts.items() if name in creation.PASSED_ON}
        values = {
            "name": self.name,
            "dtype": self.dtype_policy,
            **self.hidden.given,
            **passed,
            **named,
        }
        values["input_range"] = list(self.input_range)
        values["fitted_steps"] = self.fitted_steps
        return {name: creation.serialized(name, value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        fitted_steps = config.pop("fitted_steps", None)
        values = {
            name: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict) and "class_name" in value
            else value
            for name, value in config.items()
        }
        model = cls(**values)
        model.fitted_steps = fitted_steps
        return model

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        # Keras takes the logs of an epoch from here: without it they would be the untouched
        # tracker of the compiled loss, 0.
        return list(self.trackers.values())


class FollowEpochs(keras.callbacks.Callback):
    """Tells a dataset of views which epoch it makes, so that a training can start at any."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        self.clock.set(epoch)

    def on_train_end(self, logs=None):
        self.clock.set(None)


def cardinality(dataset):
    """Batches of a dataset; None where that is not known."""
    if isinstance(dataset, tf.distribute.DistributedDataset):
        return None
    count = int(dataset.cardinality())
    return count if count > 0 else None


def dense(gradient):
    """A gradient as a tensor; an embedding's comes as `tf.IndexedSlices`, which does not divide."""
    return tf.convert_to_tensor(gradient)


def split(batch, count):
    """Tensors [B, ...] as [count, B / count, ...]."""
    return tf.nest.map_structure(
        lambda values: tf.reshape(values, [count, -1, *values.shape[1:]]), batch
    )
