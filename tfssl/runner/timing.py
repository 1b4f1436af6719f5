"""Measures how long a training and its evaluation take, without writing anything."""

import dataclasses
import time

import keras

from tfssl.callbacks.steps import Pace
from tfssl.runner import cost, evaluate
from tfssl.runner.job import training_batches

LONG = 10**6  # steps: a training may be shorter than its measurement
SKIPPED, ENOUGH, FEWEST = 4, 3.0, 6  # steps before the measurement; seconds and steps of it


def steps(job, model, recipes):
    """Makes a few steps; returns a `Stopwatch`.

    Args:
        job: the `Job`.
        model: its model, which is changed.
        recipes: list of `tfssl.augment.View`, one for each view.
    """
    watch, job = Stopwatch(), dataclasses.replace(job, total_steps=LONG)
    batches = training_batches(job, recipes, 0)
    model.fit(
        batches,
        verbose=0,
        callbacks=[watch],
        pace=Pace(0, job.total_steps),
        steps_per_epoch=job.total_steps if job.distribution.replicas > 1 else None,
    )
    return watch


def milliseconds(seconds):
    """The duration of a step, as text."""
    return f"{1000 * seconds:,.{0 if seconds > 0.02 else 1}f} ms"


def evaluation(job, encoder):
    """The `Cost` of evaluating an encoder once; None: nothing is evaluated."""
    if not job.evaluates:
        return None
    encode = evaluate.encoder_function(job.config, encoder, job.eval_size)
    width = encoder.output_shape[-1]
    return cost.of_evaluation(
        job.config, encode, width, job.labelled_source, job.eval_source, job.eval_size
    )


class Stopwatch(keras.callbacks.Callback):
    """Times steps, and ends the training when it has seen enough.

    Attributes:
        building: seconds from the creation of this object to the end of the first step.
        seconds: of a step.
    """

    def __init__(self):
        super().__init__()
        self.began, self.count = time.monotonic(), 0
        self.building = self.seconds = 0.0

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        self.count += 1
        if self.count == 1:
            self.building = self.seconds = now - self.began
        if self.count <= SKIPPED:
            self.since = now
            return
        made = self.count - SKIPPED
        self.seconds = (now - self.since) / made
        self.model.stop_training = made >= FEWEST and now - self.since >= ENOUGH
