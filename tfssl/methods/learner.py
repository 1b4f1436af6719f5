"""The training step, and everything else that all methods share as `keras.Model`s."""

import contextlib
import dataclasses
import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Iterator
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
    """The outputs of a method for the views of a batch.

    Attributes:
        loss: float32 scalar to minimize.
        scalars: {name: scalar} for every name in the method's SCALARS.
        h: tuple of representations, [B, D] for each view; the probe is trained on them.
        z: tuple of projections, [B, P] for each view; None: the method has none.

    Example:

    ```python
    h = tf.ones([4, 8]), tf.zeros([4, 8])
    loss = tf.reduce_mean(tf.square(h[0] - h[1]))
    outputs = tfssl.Outputs(loss, {"distance": loss}, h)
    float(outputs.loss), outputs.z  # (1.0, None)
    ```
    """

    loss: tf.Tensor
    scalars: Scalars
    h: tuple[tf.Tensor, ...] = ()
    z: tuple[tf.Tensor, ...] | None = None


class Learner(keras.Model, metaclass=creation.BuildsWhenItCan):
    """Base class of all methods: a `keras.Model` that trains on views.

    `fit` takes a `tf.data.Dataset` of views, as returned by `tfssl.views`. Its elements are
    (view1, view2), ((view1, view2), label) or {"views": (view1, view2), "label": label}: views
    float32 [B, H, W, C] in [0, 1], labels integers [B], below 0 for unlabelled images.
    `model(images)` returns the representation h of images in [0, 1], float [B, D].

    Subclasses implement `make_parts`, which creates the layers trained with the encoder, and
    `loss_on`, and list the names of their logs in SCALARS.

    Args:
        encoder: a `keras.Layer` from images [B, H, W, C] to features [B, D], feature maps
            [B, h, w, D] or tokens [B, n, D]; the last two are averaged over positions. Or a
            function without arguments that builds such a layer.
        input_range: pixel values that the encoder expects: "auto" (determined from the Rescaling
            and Normalization layers that it begins with, otherwise [0, 1]), "0,1", "0,255", "-1,1",
            or a pair (low, high).
        seed: integer, seeds the initial weights of layers created inside, and random operations.
        more_scalars: further names that this instance logs, next to SCALARS.
        name, dtype: as for `keras.Model`.

    Attributes:
        parts: {name: layer}, trained, in the order of the forward pass.
        followers: {name: layer}, not trained by gradients, such as target networks.
        dim: integer D, the dimension of h.

    Raises:
        ValueError: an argument is out of its range, or the encoder does not accept the views.

    Example:

    ```python
    class Norm(tfssl.methods.Learner):
        def loss_on(self, batch, training=True):
            return tf.reduce_mean(self(batch["views"][0], training=training)), {}

    model = Norm(keras.layers.Flatten())
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((np.ones((2, 4, 4, 3), "float32"),) * 2)
    model.evaluate(views, verbose=0, return_dict=True)["loss"]  # 1.0
    ```
    """

    SCALARS = ()
    NUM_VIEWS = 2  # None: any number from LEAST_VIEWS on
    LEAST_VIEWS = 1
    SAME_SIZE = False
    KNOWN_SIZE = False  # whether the size of the views must be known to build the model
    SCHEDULED = False  # whether something but the learning rate depends on the planned steps
    least_batch = 1  # images that a batch must have
    total_steps = None  # the length of the training, if it was given to the constructor
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
        checks.integer("seed", seed)
        self.builder = None if isinstance(encoder, keras.Layer) else creation.built_by(encoder)
        self.encoder = self.builder() if self.builder else encoder
        self.input_range = adapt.resolve_input_range(input_range, self.encoder)
        if input_range == "auto" and self.input_range != (0.0, 1.0):
            say(f"{self.encoder.name} begins with a rescaling of values in [0, 255]: it gets those")
        self.seed = seed
        self.parts, self.followers = {}, {}
        self.fitted_steps = self.pace = None
        # Keras would count layers and variables in attributes as this model's a second time.
        self.hidden = types.SimpleNamespace(
            given={},
            compiled={},
            prepare=None,
            also_log={},
            prepared=None,
            kept=None,
            several=None,
        )
        self.penalize([], 0.0)
        names = ("loss", "weight_decay", *self.SCALARS, *more_scalars)
        self.trackers = {name: Average(name) for name in names}

    # Building

    def make_parts(self) -> tuple[Layers, Layers]:
        """Creates the other layers; called once, when `self.dim` is known.

        Returns:
            A pair: {name: built layer} trained with the encoder, in the order of the forward pass;
            and {name: built layer} updated by a moving average.
        """
        return {}, {}

    def build_if_known(self) -> None:
        """Builds the model if the encoder's input shape is known."""
        shape = adapt.known_input_shape(self.encoder)
        needed = shape and (shape[1:] if self.KNOWN_SIZE else shape[-1:])
        if shape is not None and None not in needed:
            self.build((None, *shape[1:]))

    def encoder_shape(self, input_shape: Shape) -> Shape:
        """The shape of the encoder's inputs for views of a shape."""
        if self.KNOWN_SIZE and None in input_shape[1:]:
            raise ValueError(
                f"{type(self).__name__} needs views of a known size. "
                f"Received: images {adapt.shape_text(input_shape)}"
            )
        return tuple(input_shape)

    def build(self, input_shape: Shape) -> None:
        """Builds the encoder and creates the other parts.

        Args:
            input_shape: (None, height, width, channels) of the views; unknown sides are None.

        Raises:
            ValueError: the encoder does not accept such images, or two parts are the same layer.
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
            # With `part.trainable`, batch normalization would use its moving averages.
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
        """The variables that the optimizer updates: the trainable ones of the parts."""
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
        """The linear classifier among the parts; None: there is none."""
        return None

    # Forward

    def encode(
        self, images: tf.Tensor, training: bool = False, encoder: keras.Layer | None = None
    ) -> tf.Tensor:
        """Returns h, float [B, D], of images in [0, 1].

        Args:
            images: float [B, H, W, C] in [0, 1].
            training: whether the encoder runs in training mode.
            encoder: another encoder with the same inputs; None: the model's own.
        """
        encoder = encoder or self.encoder
        self.keep_losses(encoder)
        return adapt.pooled(encoder(adapt.scaled(images, self.input_range), training=training))

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if images.shape.rank not in (None, 4):
            raise ValueError(f"Images must be [B, H, W, C]. Received: shape {images.shape}")
        return self.encode(images, training=training)

    def loss_on(self, batch: Batch, training: bool = True) -> tuple[tf.Tensor, Scalars]:
        """The loss of a batch: a float32 scalar, and {name: scalar} for every logged name.

        With several replicas, the batch is one replica's share, and the mean over the replicas is
        minimized and logged.

        Args:
            batch: dict with "views" and optionally "label", see `fit`; and "weight", float32 [B],
                if it is one of `accumulate_steps` parts.
            training: False: no state changes, and batch normalization uses its moving averages.
        """
        raise NotImplementedError

    def apply(self, gradients: list[tf.Tensor | None], step: tf.Tensor) -> None:
        """Takes the optimizer's step.

        Args:
            gradients: one for each of `trainable_variables`.
            step: as for `after_step`.
        """
        self.optimizer.apply(gradients, self.trainable_variables)

    def after_step(self, step: tf.Tensor) -> None:
        """Called after each optimizer step, e.g. to update a target network.

        Args:
            step: integer scalar tensor, number of optimizer steps before this one.
        """

    # Steps

    def batch_of(self, data: Any) -> Batch:
        """Converts an element of the dataset to the dict that `loss_on` takes."""
        batch = batches.unpack(self.hidden.prepare(data) if self.hidden.prepare else data)
        checks.views(self, batch["views"])
        return batch

    def train_step(self, data: Any) -> Scalars:
        batch = self.batch_of(data)
        if self.accumulate_steps == 1:
            gradients, scalars = self.gradients_of(self.loss_on, batch)
        else:
            gradients, scalars = self.accumulated(batch)
        # At the end of a dataset of unknown length, no variable may be updated without a batch.
        single_replica = replicas.count() == 1
        with tf.control_dependencies([scalars["loss"]] if single_replica else []):
            step = tf.convert_to_tensor(self.optimizer.iterations)
            self.apply(gradients, step)
            self.after_step(step)
        return self.track(scalars)

    def test_step(self, data: Any) -> Scalars:
        batch = self.batch_of(data)
        self.clear_losses(kept=[])
        loss, scalars = self.loss_on(batch, training=False)
        return self.track(replicas.mean(self.with_penalties(loss, scalars)))

    def gradients_of(self, loss_on: Loss, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Gradients for the trainable variables, and {name: scalar} for every logged name."""
        self.clear_losses(kept=[])
        with tf.GradientTape() as tape:
            loss, scalars = loss_on(batch)
            logs = self.with_penalties(loss, scalars)
            objective = self.optimizer.scale_loss(logs["loss"])
            if replicas.count() > 1:  # the optimizer sums the gradients over replicas
                objective /= replicas.count()
        gradients = tape.gradient(objective, self.trainable_variables)
        return gradients, replicas.mean(logs)

    def with_penalties(self, loss: tf.Tensor, scalars: Scalars) -> Scalars:
        """The logs: the total loss with weight decay and layer losses, and the scalars."""
        missing = set(self.trackers) - {"loss", "weight_decay"} ^ set(scalars)
        if missing:
            raise ValueError(
                f"{type(self).__name__}.SCALARS must name the scalars of its loss. "
                f"Received: {sorted(scalars)}; differing: {sorted(missing)}"
            )
        weight_decay = self.weight_decay_loss()
        own = [value for part in self.parts.values() for value in part.losses]
        own = [tf.cast(value, tf.float32) for value in (*(self.hidden.kept or ()), *own)]
        self.hidden.kept = None
        return {
            "loss": total(loss, weight_decay, *own),
            "weight_decay": weight_decay,
            **scalars,
        }

    def keep_losses(self, *called: keras.Layer) -> None:
        """Keeps the losses of layers that are called again, which Keras would drop.

        Within a step, `encode` does so for the encoder. Methods that call other parts once for each
        view do so before each call.

        Args:
            *called: layers; others than those in `parts` are passed over.
        """
        for part in self.parts.values():
            if self.hidden.kept is not None and any(part is layer for layer in called):
                self.hidden.kept += compat.added_losses(part)
                compat.clear_losses(part)

    def clear_losses(self, kept: list[tf.Tensor] | None = None) -> None:
        """Drops the losses that layers added; `kept` takes those of a step, None: there is none."""
        self.hidden.kept = kept
        for part in self.parts.values():
            compat.clear_losses(part)

    def accumulated(self, batch: Batch) -> tuple[list[tf.Tensor], Scalars]:
        """Like `gradients_of`, but averaged over `accumulate_steps` parts of the batch.

        Equal to that of the whole batch if the loss is a mean over images.
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
        """Updates the trackers and returns their means since the last reset."""
        with tf.control_dependencies([scalars["loss"]]):
            for name, value in scalars.items():
                self.trackers[name].update_state(value)
        logs = {name: tracker.result() for name, tracker in self.trackers.items()}
        logs |= self.hidden.also_log
        if not compat.several_workers(self.distribute_strategy):
            return logs
        # Keras averages over workers along an axis, which scalars do not have.
        return {name: tf.reshape(value, [1]) for name, value in logs.items()}

    def predict(self, x: Any, *args: Any, **options: Any) -> np.ndarray:
        """Returns `model(images)` as a NumPy array; see `keras.Model.predict`.

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
        """Configures the model for training.

        Args:
            optimizer: a Keras optimizer, such as `tfssl.LARS`, or a name.
            weight_decay: float >= 0, for kernels; biases and normalizations are excluded. With LARS
                it is applied by the optimizer; otherwise 0.5 * weight_decay * ||w||^2 is added to
                the loss. The same variables are excluded from the weight decay of Keras
                optimizers, such as AdamW. None: the optimizer's own, if any.
            accumulate_steps: integer, number of parts of a batch that are computed one after the
                other for one optimizer step; it must divide the batch size. Batch normalization
                sees one part at a time.
            jit_compile: "auto" compiles with XLA if there is a GPU. XLA cannot compile a step of
                several replicas.
            steps_per_execution, run_eagerly, auto_scale_loss: as for `keras.Model.compile`.
            prepare: function from an element of the dataset to a batch, called within the training
                step, outside the gradient tape.
            also_log: {name: variable}, logged as the mean over the workers.
            loss, loss_weights, metrics, weighted_metrics: not accepted.

        Raises:
            ValueError: a loss or metrics, which the method defines itself; weight decay given
                twice; a value out of its range.

        Example:

        ```python
        model.compile(tfssl.LARS(0.3), weight_decay=1e-4)
        ```
        """
        for other in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if locals()[other] is not None:
                raise ValueError(
                    f"`{other}` cannot be set: {type(self).__name__} has a loss and scalars of its "
                    "own; the callbacks KNN and Probe of tfssl.callbacks measure accuracies"
                )
        if optimizer is None:
            raise ValueError("`optimizer` must be a Keras optimizer or a name. Received: None")
        if weight_decay is not None and not (checks.is_number(weight_decay) and weight_decay >= 0):
            raise ValueError(f"`weight_decay` must be 0 or more. Received: {weight_decay!r}")
        if not isinstance(accumulate_steps, int) or accumulate_steps < 1:
            raise ValueError(
                f"`accumulate_steps` must be an integer of 1 or more. Received: {accumulate_steps}"
            )
        single = self.distribute_strategy.num_replicas_in_sync == 1
        if jit_compile is True and not single:
            raise ValueError(
                '`jit_compile` must be False or "auto" for several replicas, whose exchange XLA '
                "cannot compile. Received: True"
            )
        if jit_compile == "auto":
            gpu = bool(tf.config.list_physical_devices("GPU"))
            jit_compile = gpu and single and not run_eagerly
        settings = {
            "optimizer": keras.optimizers.get(optimizer),
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
            "run_eagerly": run_eagerly,
            "auto_scale_loss": auto_scale_loss,
        }
        super().compile(**settings)
        self.hidden.several = None
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
        """Builds the optimizer, with its excluded variables, once the model is built."""
        if not (self.built and self.compiled):
            return
        optimizer = compat.inner(self.optimizer)
        learned = [id(v) for v in self.trainable_variables]
        settings = [optimizer, learned, self.weight_decay]
        if optimizer.built and self.hidden.prepared == settings:  # compiled again, unchanged
            return
        if optimizer.built:
            raise ValueError(
                "`optimizer` must be a new one. Received: one that has trained another model, or "
                "this one with other settings"
            )
        with self.distribute_strategy.scope():
            penalties.leave_out(self, optimizer)
            self.optimizer.build(self.trainable_variables)
        self.hidden.prepared = settings

    def penalize(self, variables: Iterable[keras.Variable], weight_decay: float) -> None:
        """Adds 0.5 * weight_decay * ||v||^2 of these variables to the loss."""
        # A closure, as Keras would track variables in an attribute.
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
        pace: Iterator[int] | None = None,
        **options: Any,
    ) -> keras.callbacks.History:
        """Trains the model; see `keras.Model.fit`.

        Args:
            x: a `tf.data.Dataset` of views, see the class.
            y, batch_size: not accepted; `x` has labels and batches.
            epochs: integer, as for `keras.Model.fit`.
            pace: iterator over the numbers of steps between two calls of the callbacks, such as
                `tfssl.callbacks.Pace`, instead of `steps_per_execution`; for one epoch. Training
                stops where it ends.
            **options: further arguments of `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: `x` is not a dataset of views in [0, 1], or has the wrong number of views.
        """
        self.check_dataset(x, y)
        if options.get("validation_data") is not None:
            self.check_dataset(options["validation_data"], name="validation_data")
            options["validation_data"] = compat.steady(options["validation_data"])
        steps = options.get("steps_per_epoch") or cardinality(x)
        ahead = epochs - options.get("initial_epoch", 0)
        self.plan_steps(self.steps_made + ahead * steps if steps else None)
        validation_clock = compat.clock_of(options.get("validation_data"))
        if validation_clock:
            validation_clock.set(0)
        clock = compat.clock_of(x)
        if clock:
            callbacks = options.pop("callbacks", None)
            options["callbacks"] = compat.with_callback(callbacks, SetEpoch(clock))
        options.setdefault("shuffle", False)
        with checks.explained(self), self.paced(pace):
            history = super().fit(compat.steady(x), y, batch_size, epochs, **options)
        if history.epoch and not history.history:
            raise ValueError("`x` must give batches of views. Received: a dataset without any")
        return history

    @contextlib.contextmanager
    def paced(self, pace: Iterator[int] | None) -> Iterator[None]:
        """A context in which `fit` makes the numbers of steps of an iterator in each call."""
        self.pace = pace
        if pace is None:
            yield
            return
        before, self.train_function = self.train_function, self.make_paced_function(pace)
        try:
            yield
        finally:
            self.train_function, self.pace, self.failed = before, None, None

    def make_paced_function(self, pace: Iterator[int]) -> Callable[[Any], Scalars]:
        """The function that `fit` calls with an iterator over batches, for `paced`."""
        if self.hidden.several is None:
            self.hidden.several = several_steps(self)

        def function(iterator):
            count = next(pace)
            logs, self.failed = self.hidden.several(iterator, tf.constant(count))
            self.stop_training = pace.step >= pace.stop
            return logs

        return function

    def evaluate(
        self, x: Dataset | None = None, y: None = None, **options: Any
    ) -> float | list[float] | dict[str, float]:
        """Computes the loss and scalars on a dataset of views; see `keras.Model.evaluate`.

        The views of a `tfssl.views` dataset are the same in every call.
        """
        if not options.get("_use_cached_eval_dataset"):
            self.check_dataset(x, y, "evaluate")
        clock = compat.clock_of(x)
        if clock:
            clock.set(0)
        try:
            with checks.explained(self):
                return super().evaluate(compat.steady(x), y, **options)
        finally:
            if clock and not options.get("_use_cached_eval_dataset"):
                clock.set(None)

    def check_batch(self, images: int | None) -> None:
        """Raises ValueError for a number of images at once that does not suit; None: unknown."""

    def check_dataset(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        """Checks a dataset and builds the model for its views."""
        spec = getattr(x, "element_spec", None)
        if spec is None or y is not None:
            raise ValueError(
                f"`{name}` needs a tf.data.Dataset of views, labels included. "
                f"Received: {type(x).__name__}{'' if y is None else ' and y'}; "
                "tfssl.views(images, recipe, batch_size) makes one of images, and "
                "tf.data.Dataset.from_generator of a generator"
            )
        if isinstance(x, tf.distribute.DistributedDataset) or self.hidden.prepare:
            return
        views = batches.unpack(spec)["views"]
        checks.views(self, views)
        size = views[0].shape[0]
        checks.batch_size(self, size)
        self.check_batch(size and size // self.accumulate_steps)
        self.build((None, *views[0].shape[1:]))
        clock = compat.clock_of(x)
        checks.classes(self, getattr(clock, "classes", 0))
        if not getattr(clock, "checked", getattr(x, "checked", False)):
            checks.first_batch(self, x, clock)

    @property
    def num_outputs(self) -> int | None:
        """Number of outputs of the classifier; None: there is no classifier."""
        return None

    @property
    def steps_made(self) -> int:
        """Number of optimizer steps so far."""
        return int(tf.convert_to_tensor(self.optimizer.iterations)) if self.compiled else 0

    def plan_steps(self, total: int | None) -> None:
        """Sets the length of the training, for schedules that depend on it.

        Args:
            total: integer, optimizer steps of the whole training; None: unknown.
        """
        if total != self.fitted_steps and self.SCHEDULED and self.total_steps is None:
            # Their graphs contain the old total.
            self.train_function = self.test_function = self.hidden.several = None
        self.fitted_steps = total

    @property
    def planned_steps(self) -> int | None:
        """The length of the training in steps, given or of `fit`; None: unknown."""
        return self.total_steps or self.fitted_steps

    @property
    def step(self) -> keras.Variable | int:
        """The optimizer's count of steps, in the graph of a step; 0 before `compile`."""
        return self.optimizer.iterations if self.compiled else 0

    def progress(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """The share of the training done at a step, float32; 0 if the length is unknown."""
        total = self.planned_steps
        return tf.cast(step, tf.float32) / total if total else tf.constant(0.0)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # `fit` has built the model. Keras would reduce a batch over the workers to build it, which
        # fails for dicts (Keras 3.15).
        pass

    def step_seed(self, stream: int) -> tf.Tensor:
        """A seed int32 [2] for random numbers of the next step, by the seed of the model.

        Args:
            stream: integer, another one for each use.
        """
        step = self.step
        seed = tf.constant([self.seed, stream], tf.int32)
        return tf.random.experimental.stateless_fold_in(seed, tf.cast(step, tf.int32))

    # Saving

    def save(self, filepath: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Saves the model in Keras's format; see `keras.Model.save`.

        Raises:
            ValueError: the path ends in .h5 or .hdf5: Keras cannot load such a file again.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"`filepath` must end in .keras: HDF5 files do not keep the encoder. "
                f"Received: {filepath}"
            )
        super().save(filepath, *args, **options)

    def state(self) -> dict[str, Any]:
        """{name: trackable object} for a `tf.train.Checkpoint` to resume training from.

        Includes the metrics, so that a TensorBoard point that spans an interruption is the mean
        over all its steps.
        """
        sums = {
            f"{'total_loss' if name == 'loss' else name}_{variable.name}": variable
            for name, tracker in self.trackers.items()
            for variable in tracker.variables
        }
        return {"optimizer": self.optimizer, "metrics": sums, **self.parts, **self.followers}

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, including all layers."""
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
        # Keras takes the logs of an epoch from here; by default, from the tracker of the compiled
        # loss, which stays 0.
        return list(self.trackers.values())


class SetEpoch(keras.callbacks.Callback):
    """Sets the epoch of a dataset of views, so that training can start at any epoch."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        self.clock.set(epoch)

    def on_train_end(self, logs=None):
        self.clock.set(None)


def several_steps(model):
    """A function (iterator, number of steps) -> (logs, index of the first step without a finite
    loss; -1: there is none)."""
    strategy = model.distribute_strategy

    def one(batch):
        logs = strategy.run(model.train_step, args=(batch,))
        if compat.several_workers(strategy):  # a variable that is logged may differ between them
            return {
                name: tf.reshape(strategy.reduce("MEAN", value, axis=None), [])
                for name, value in logs.items()
            }
        return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], logs)

    if not model.run_eagerly:
        one = tf.function(
            one, autograph=False, reduce_retracing=True, jit_compile=model.jit_compile
        )

    def several(iterator, count):
        def fetch():
            batch = iterator.get_next()
            return batch if strategy.num_replicas_in_sync > 1 else compat.on_gpu(batch)

        def make(index, batch, logs, failed):
            # Beside the step, which it does not depend on: read and copied while that computes.
            following = tf.cond(index + 1 < count, fetch, lambda: batch)
            logs = one(batch)
            broken = (failed < 0) & ~tf.math.is_finite(tf.reduce_mean(logs["loss"]))
            return index + 1, following, logs, tf.where(broken, index, failed)

        first = make(tf.constant(0), fetch(), None, tf.constant(-1))
        *_, logs, failed = tf.while_loop(
            lambda index, *_: index < count, make, first, parallel_iterations=1
        )
        return logs, failed

    if model.run_eagerly:
        return several
    return tf.function(several, autograph=False, reduce_retracing=True)


def cardinality(dataset):
    """Number of batches of a dataset; None: unknown."""
    if isinstance(dataset, tf.distribute.DistributedDataset):
        return None
    count = int(dataset.cardinality())
    return count if count > 0 else None


def dense(gradient):
    """A gradient as a tensor; embeddings return `tf.IndexedSlices`, which cannot be divided."""
    return tf.convert_to_tensor(gradient)


def split(batch, count):
    """Reshapes tensors [B, ...] to [count, B / count, ...]."""
    return tf.nest.map_structure(
        lambda values: tf.reshape(values, [count, -1, *values.shape[1:]]), batch
    )
