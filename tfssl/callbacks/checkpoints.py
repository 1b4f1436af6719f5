"""Checkpoints of a run: every so many steps, at its end, and when a signal asks to stop."""

import contextlib
import signal
import threading

import tensorflow as tf

from tfssl import files
from tfssl.callbacks.steps import StepCallback
from tfssl.errors import Interrupted

STOP = "stop"  # the log by which a worker tells the others that it was asked to stop


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
                f"\nWARNING: no {what}: {files.why(error)}. The run goes on; the checkpoint "
                "before it is kept.",
                flush=True,
            )


def finite(variable):
    """Whether all numbers of a variable are; one of integers always is."""
    value = tf.convert_to_tensor(variable)
    return not value.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(value)))
