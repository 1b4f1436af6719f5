"""What happens beside the training step: progress, TensorBoard, checkpoints, alarms.

Every callback counts global steps, so that a run which starts again goes on where it was.
"""

import contextlib
import math
import os
import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from tfssl.callbacks.progress import Progress
from tfssl.errors import Interrupted, TrainingError
from tfssl.information import representation
from tfssl.losses import nt_xent
from tfssl.storage import rundir

STOP = "stop"  # the log by which a worker tells the others that it was asked to stop


def tag(name):
    """What a log is called in the files of a run: Keras's "loss" there is "total_loss"."""
    return "total_loss" if name == "loss" else name


class StepCallback(keras.callbacks.Callback):
    """Calls `on_step(step, logs)` after each step, counted from the start of the run.

    With several steps per execution, after the last step of each; `before` is the step of the last
    call.
    """

    def __init__(self, start_step):
        super().__init__()
        self.start_step = self.before = start_step

    def on_train_batch_end(self, batch, logs=None):
        # The last execution may have fewer steps than Keras counts.
        step = self.start_step + min(batch + 1, self.params.get("steps") or batch + 1)
        self.on_step(step, logs)
        self.before = step

    def due(self, step, every):
        """Whether a multiple of `every` lies within the steps since the last call."""
        return step // every > self.before // every


class StopOnNaN(StepCallback):
    """Ends the run when the loss is no longer a number: nothing after that can be right.

    Args:
        directory: where diagnosis.json is written: the losses, the seed and step that make the
            batch, and the norm of every variable; None for none.
        seed: the --seed of the run.
    """

    TRY = (
        "Try a lower --learning_rate, a longer --warmup_epochs, or --precision=float32; earlier "
        "checkpoints are kept."
    )

    def __init__(self, start_step, directory=None, seed=0):
        super().__init__(start_step)
        self.directory, self.seed = directory, seed

    def on_step(self, step, logs):
        if not math.isfinite(logs["loss"]):
            self.stop(step, logs, f"The loss is {logs['loss']} at step {step}.")

    def stop(self, step, logs, what):
        """Writes the diagnosis and raises TrainingError."""
        there = ""
        if self.directory:
            rundir.write_json(
                self.directory,
                "diagnosis.json",
                {
                    "what": what,
                    "try": self.TRY,
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
        raise TrainingError(f"{what} {self.TRY}{there}")


class WarnOfCollapse(StepCallback):
    """Says once that the projections of all images have become the same, and what to try."""

    SPREAD, STEPS = 0.05, 50  # below this spread of z, for so many steps in a row

    def __init__(self, start_step):
        super().__init__(start_step)
        self.low, self.warned = 0, False

    def on_step(self, step, logs):
        spreads = [value for name, value in logs.items() if name.endswith("z_std")]
        self.low = self.low + step - self.before if spreads and min(spreads) < self.SPREAD else 0
        if self.low >= self.STEPS and not self.warned:
            self.warned = True
            print(
                f"\nWARNING: collapse at step {step}: the projections of all images are nearly "
                f"equal (spread {min(spreads):.3f} of 1). Try a lower --learning_rate, a longer "
                "--warmup_epochs, a larger --train_batch_size, a higher --base_target_decay "
                "(byol), or --precision=float32.",
                flush=True,
            )


class ShowProgress(StepCallback):
    """The progress bar; also what the others know the speed from."""

    def __init__(self, start_step, total_steps, batch_size, title="pretrain"):
        super().__init__(start_step)
        self.progress = Progress(title, total_steps, batch_size, start_step)

    def on_step(self, step, logs):
        shown = {"loss": logs["loss"]}
        if "contrast_acc" in logs:
            shown["contrast_acc"] = logs["contrast_acc"]
        if "supervised_acc" in logs:
            name = "online_acc" if self.progress.title == "pretrain" else "train_acc"
            shown[name] = logs["supervised_acc"]
        self.progress(step, **shown)


class Points(StepCallback):
    """Writes to TensorBoard every so many steps, and after the last one, before it is saved.

    Subclasses implement `write(step, logs)`.

    Args:
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
    """The method's scalars, each the mean over the steps since the last point.

    Args:
        batch_size: images per step, for train/images_per_second.
    """

    def __init__(self, start_step, total_steps, writer, every, batch_size):
        super().__init__(start_step, total_steps, writer, every)
        self.batch_size, self.since, self.since_time = batch_size, start_step, time.monotonic()

    # Keras resets the metrics after the first and before the second: here they may hold the sums of
    # the steps since the last point of an earlier process.
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
            with self.writer.as_default(step=step):
                for name in self.model.trackers:
                    tf.summary.scalar(f"train/{tag(name)}", logs[name])
                tf.summary.scalar("train/images_per_second", rate)
                tf.summary.scalar("learning_rate", self.model.optimizer.learning_rate)
        self.model.reset_metrics()


class Information(Points):
    """What the representation holds, in TensorBoard, from what the model watches.

    information/infonce_bound is the ceiling minus the method's own contrastive loss, the mean since
    the last point; for a method without one, that of NT-Xent on the projections watched, whose
    ceiling is lower as they are fewer. The others are of the newest batch alone.

    Args:
        every: steps between points; `Scalars` has the same.
        batch_size: images that each is contrasted with.
        temperature: of that NT-Xent.
    """

    def __init__(self, start_step, total_steps, writer, every, batch_size, temperature):
        super().__init__(start_step, total_steps, writer, every)
        self.batch_size, self.temperature = batch_size, temperature

    def write(self, step, logs):
        scalars, spectrum = self.measure(logs)
        with self.writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(f"information/{name}", value)
            tf.summary.histogram("information/singular_values", spectrum)

    def measure(self, logs):
        """{name: number}, and log10 of the singular values of h over the largest, [K]."""
        h1, h2, z1, z2 = (self.model.watched[name].numpy() for name in ("h1", "h2", "z1", "z2"))
        values = representation.singular_values(h1)
        candidates = self.model.candidates(self.batch_size)
        if candidates:
            ceiling, loss = math.log(candidates), logs["contrast_loss"] / 2
        else:
            ceiling, loss = math.log(2 * len(z1) - 1), float(nt_xent(z1, z2, self.temperature))
        spectrum = np.log10(np.maximum(values / max(values[0], 1e-30), 1e-7))
        return {
            "infonce_bound": ceiling - loss,
            "infonce_ceiling": ceiling,
            "alignment": representation.alignment(h1, h2),
            "uniformity": representation.uniformity(h1),
            "effective_rank": representation.effective_rank(values),
        }, spectrum


class SaveCheckpoints(StepCallback):
    """A checkpoint every so many steps, one at the end, and one when a signal asks to stop.

    SIGTERM and SIGINT let the step end, and a checkpoint be written, before `Interrupted` is
    raised; a second one stops at once. Where there are several workers, all of them stop after the
    step in which the first one tells the others. A disk that is full costs the checkpoint, not the
    run.

    Args:
        alarm: the `StopOnNaN` that is asked before weights are saved: those of the last step are
            newer than its loss.
        writer: the `Board` of what came before, flushed first: a run that goes on from
            a checkpoint does not write those points again. None on a worker that leaves the saving
            to the chief.
        note_time: () -> None, writes how long the training has taken, before each checkpoint.
    """

    def __init__(self, start_step, checkpoints, every, total_steps, alarm, writer, note_time):
        super().__init__(start_step)
        self.checkpoints, self.every, self.total_steps = checkpoints, every, total_steps
        self.alarm, self.writer, self.note_time = alarm, writer, note_time
        self.asked, self.handlers = None, {}

    def on_train_begin(self, logs=None):
        if threading.current_thread() is threading.main_thread():
            self.handlers = {
                number: signal.signal(number, self.ask)
                for number in (signal.SIGTERM, signal.SIGINT)
            }

    def ask(self, number, frame):
        self.asked = number
        self.release()  # the second one does what it would have done
        print(f"\n{signal.Signals(number).name}: stopping after this step", flush=True)

    @property
    def stop_asked(self):
        """The variable of this worker that tells all; None where there is one worker."""
        return self.model.also_logged.get(STOP)

    def on_train_batch_begin(self, batch, logs=None):
        if self.asked and self.stop_asked is not None:
            self.stop_asked.assign(1.0)

    def release(self):
        """Gives the signals back to whom they belonged."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def on_step(self, step, logs):
        asked = self.asked
        if self.stop_asked is not None:
            asked = (self.asked or signal.SIGTERM) if logs[STOP] > 0 else None
        if self.due(step, self.every) or step == self.total_steps or asked:
            self.save(step, logs)
        if asked:  # of several workers each stops after the step in which all were told
            self.obey(step, asked)

    def obey(self, step, asked=None):
        """Raises Interrupted where a signal has asked to stop, here or, as given, elsewhere."""
        if asked or self.asked:
            by = signal.Signals(self.asked).name if self.asked else "another worker's signal"
            raise Interrupted(
                f"stopped by {by} after step {step} of {self.total_steps}; the same "
                "command continues",
                asked or self.asked,
            )

    def save(self, step, logs):
        if not all(finite(v) for v in self.model.variables):
            self.alarm.stop(step, logs, f"The weights are no longer finite after step {step}.")
        if self.writer is None:
            return
        with self.forgiven(f"checkpoint of step {step}"):
            self.writer.flush()
            self.note_time()
            self.checkpoints.save(step)

    @contextlib.contextmanager
    def forgiven(self, what):
        """What cannot be written inside is told, and the run goes on."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self.checkpoints.clear()
            print(
                f"\nWARNING: no {what}: {rundir.why(error)}. The run goes on; the checkpoint "
                "before it is kept.",
                flush=True,
            )


def finite(variable):
    """Whether all numbers of a variable are; one of integers always is."""
    value = tf.convert_to_tensor(variable)
    return not value.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(value)))
