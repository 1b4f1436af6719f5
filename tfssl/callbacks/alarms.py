"""Callbacks that detect a non-finite loss and collapsed projections."""

import math
import os

import tensorflow as tf

from tfssl import files
from tfssl.callbacks.steps import StepCallback, tag
from tfssl.errors import TrainingError


class StopOnNaN(StepCallback):
    """Ends the run with a TrainingError when the loss is not finite.

    Args:
        start_step: as for `StepCallback`.
        directory: directory of diagnosis.json, with the losses, seed and step of the batch, and the
            norm of every variable; None: it is not written.
        seed: the seed of the run.
        advice: what may help, a sentence.
    """

    def __init__(
        self,
        start_step,
        directory=None,
        seed=0,
        advice="Try a lower learning rate, a longer warm-up, or float32.",
    ):
        super().__init__(start_step)
        self.directory, self.seed, self.advice = directory, seed, advice

    def on_step(self, step, logs):
        if not math.isfinite(logs["loss"]):
            failed = getattr(self.model, "failed", None)  # of the steps of this call
            if failed is not None and failed >= 0:
                step = self.before + int(failed) + 1
            self.stop(step, logs, f"The loss is {logs['loss']} at step {step}.")

    def stop(self, step, logs, what):
        """Writes the diagnosis and raises TrainingError."""
        there = ""
        if self.directory:
            files.write_json(
                self.directory,
                "diagnosis.json",
                {
                    "what": what,
                    "try": self.advice,
                    "step": step,
                    "batch": {"seed": self.seed, "step": step - 1},
                    "losses": {tag(name): repr(float(value)) for name, value in logs.items()},
                    "loss_scale": repr(float(getattr(self.model.optimizer, "dynamic_scale", 1.0))),
                    "norms": {
                        v.path: repr(float(tf.norm(tf.cast(v, tf.float32))))
                        for v in self.model.variables
                    },
                },
            )
            there = f" See {os.path.join(self.directory, 'diagnosis.json')}."
        raise TrainingError(f"{what} {self.advice}{there}")


class WarnOfCollapse(StepCallback):
    """Warns once when the projections of all images are nearly equal.

    Args:
        start_step: as for `StepCallback`.
        advice: what may help, a sentence.
    """

    LEAST_STD, STEPS = 0.05, 50  # warns if z_std stays below the first for STEPS steps

    def __init__(
        self,
        start_step,
        advice="Try a lower learning rate, a longer warm-up, or a larger batch.",
    ):
        super().__init__(start_step)
        self.low, self.warned, self.advice = 0, False, advice

    def on_step(self, step, logs):
        stds = [value for name, value in logs.items() if name.endswith("z_std")]
        self.low = self.low + step - self.before if stds and min(stds) < self.LEAST_STD else 0
        if self.low >= self.STEPS and not self.warned:
            self.warned = True
            print(
                f"\nWARNING: collapse at step {step}: the projections of all images are nearly "
                f"equal (spread {min(stds):.3f} of 1). {self.advice}",
                flush=True,
            )
