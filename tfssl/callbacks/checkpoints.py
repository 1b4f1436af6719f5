"""Checkpoints of a run: at regular steps, at the end, and on SIGTERM or SIGINT."""

import contextlib
import signal
import threading

import tensorflow as tf

from tfssl import files
from tfssl.callbacks.steps import StepCallback
from tfssl.errors import Interrupted

STOP = "stop"  # the log by which a worker that got a signal makes the others stop


class SaveCheckpoints(StepCallback):
    """Saves a checkpoint every `every` steps, at the end, and when a signal arrives.

    After SIGTERM or SIGINT, the step is completed and a checkpoint is saved before `Interrupted` is
    raised; a second signal stops at once. With several workers, all stop after the step in which
    the first one shares its signal. If a checkpoint cannot be written, for example on a full disk,
    the run continues.

    Args:
        start_step: as for `StepCallback`.
        checkpoints: the object whose `save(step)` writes a checkpoint.
        every: steps between checkpoints.
        total_steps: the step at which the training ends.
        alarm: the `StopOnNaN` to raise if weights are not finite: they are newer than the last
            loss.
        writer: the `Board` to flush before each checkpoint, as a resumed run does not write earlier
            points again. None on workers other than the chief, which do not save.
        note_time: () -> None, writes the duration of the training, before each checkpoint.
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
        self.release()  # the next signal has its usual effect
        print(f"\n{signal.Signals(number).name}: stopping after this step", flush=True)

    @property
    def stop_asked(self):
        """The variable by which this worker shares its signal; None with a single worker."""
        return self.model.also_logged.get(STOP)

    def on_train_batch_begin(self, batch, logs=None):
        if self.asked and self.stop_asked is not None:
            self.stop_asked.assign(1.0)

    def release(self):
        """Restores the previous signal handlers."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def on_step(self, step, logs):
        asked = self.asked
        if self.stop_asked is not None:
            asked = (self.asked or signal.SIGTERM) if logs[STOP] > 0 else None
        last = step == self.total_steps or self.model.stop_training
        if self.due(step, self.every) or last or asked:
            self.save(step, logs)
        if asked:  # all workers see the signal in the same step
            self.obey(step, asked)

    def obey(self, step, asked=None):
        """Raises Interrupted if a signal arrived here or, as `asked`, at another worker."""
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
        """Context in which write errors are reported and the run continues."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self.checkpoints.clear()
            print(
                f"\nWARNING: no {what}: {files.why(error)}. The run goes on; the checkpoint "
                "before it is kept.",
                flush=True,
            )


def finite(variable):
    """Whether all numbers of a variable are finite."""
    value = tf.convert_to_tensor(variable)
    return not value.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(value)))
