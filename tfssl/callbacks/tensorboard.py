"""TensorBoard points of a run: scalars of the method, and properties of representations."""

import math
import time

import numpy as np
import tensorflow as tf

from tfssl.callbacks.steps import StepCallback, tag
from tfssl.information import representation
from tfssl.losses import nt_xent


class Points(StepCallback):
    """Base class of callbacks that write to TensorBoard every `every` steps and after the last.

    Subclasses implement `write(step, logs)`.

    Args:
        start_step: as for `StepCallback`.
        total_steps: the step at which the training ends.
        writer: a `Board`; None to write nothing.
        every: steps between points.
    """

    def __init__(self, start_step, total_steps, writer, every):
        super().__init__(start_step)
        self.total_steps, self.writer, self.every = total_steps, writer, every

    def on_step(self, step, logs):
        if self.due(step, self.every) or step == self.total_steps:
            self.write(step, logs)


class Scalars(Points):
    """Writes the scalars of the method, each the mean over the steps since the last point.

    Args:
        start_step, total_steps, writer, every: as for `Points`.
        batch_size: images per step, for train/images_per_second.
    """

    def __init__(self, start_step, total_steps, writer, every, batch_size):
        super().__init__(start_step, total_steps, writer, every)
        self.batch_size, self.since, self.since_time = batch_size, start_step, time.monotonic()

    # Keras resets the metrics between these two calls. A restored checkpoint may have left in them
    # the sums of the steps since the last point.
    def on_train_begin(self, logs=None):
        self.sums = [(v, v.numpy()) for metric in self.model.metrics for v in metric.variables]

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in self.sums:
            variable.assign(value)

    def write(self, step, logs):
        now = time.monotonic()
        rate = (step - self.since) * self.batch_size / (now - self.since_time)
        self.since, self.since_time = step, now
        if self.writer:
            found = {f"train/{tag(name)}": logs[name] for name in self.model.trackers}
            found["train/images_per_second"] = rate
            found["learning_rate"] = self.model.optimizer.learning_rate
            self.writer.scalars(step, found)
        self.model.reset_metrics()


class InformationScalars(Points):
    """Writes properties of the representations and projections in `model.watched`.

    information/infonce_bound is the ceiling minus the method's contrastive loss, averaged since the
    last point. For a method without one, it is computed with NT-Xent on the watched
    projections; its ceiling is lower, as these are fewer. The other scalars are of the last batch.
    A method of a single view has neither bound nor alignment.

    Args:
        start_step, total_steps, writer: as for `Points`.
        every: steps between points; must equal that of `Scalars`.
        batch_size: images per step.
        temperature: temperature of NT-Xent.
        num_views: views of each image.
    """

    def __init__(
        self, start_step, total_steps, writer, every, batch_size, temperature, num_views=2
    ):
        super().__init__(start_step, total_steps, writer, every)
        self.batch_size, self.temperature, self.num_views = batch_size, temperature, num_views

    def write(self, step, logs):
        scalars, spectrum = self.measure(logs)
        self.writer.scalars(step, {f"information/{name}": v for name, v in scalars.items()})
        with self.writer.as_default(step=step):
            tf.summary.histogram("information/singular_values", spectrum)

    def measure(self, logs):
        """Returns {name: number}, and log10 of the singular values of h over the largest, [K]."""
        h1, h2, z1, z2 = (self.model.watched[name].numpy() for name in ("h1", "h2", "z1", "z2"))
        values = representation.singular_values(h1)
        spectrum = np.log10(np.maximum(values / max(values[0], 1e-30), 1e-7))
        of_one = {
            "uniformity": representation.uniformity(h1),
            "effective_rank": representation.effective_rank(values),
        }
        if self.model.NUM_VIEWS == 1:
            return of_one, spectrum
        ceiling = self.model.ceiling(self.batch_size, self.num_views)
        if ceiling is not None:
            loss = logs["contrast_loss"] / self.model.DIRECTIONS
        else:
            ceiling, loss = math.log(2 * len(z1) - 1), float(nt_xent(z1, z2, self.temperature))
        return {
            "infonce_bound": ceiling - loss,
            "infonce_ceiling": ceiling,
            "alignment": representation.alignment(h1, h2),
            **of_one,
        }, spectrum
