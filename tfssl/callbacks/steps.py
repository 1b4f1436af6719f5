"""Base class of callbacks that act on steps, and the progress bar.

Steps are counted from the start of the run, across interruptions.
"""

import time

import keras

from tfssl.callbacks.progress import Progress

GROWTH = 4  # times as many steps in a call as in the one before, at most


def tag(name):
    """The name of a log in the files of a run: "total_loss" for Keras's "loss"."""
    return "total_loss" if name == "loss" else name


class Pace:
    """Decides how many steps of a training are made in one call from Python.

    Calls end at every multiple of the numbers in `every`, so that what happens there happens
    at the same steps for any pace.

    Args:
        start, stop: integers, number of steps before and after the training.
        most: steps in a call, at most; None: as many as take `seconds`.
        every: integers; those of 0 are passed over.
        seconds: the duration to aim at.

    Attributes:
        step: number of steps made so far.

    Example:

    ```python
    from tfssl.callbacks.steps import Pace

    pace = Pace(start=0, stop=7, most=3, every=[5])
    list(pace)  # [3, 2, 2]
    ```
    """

    def __init__(self, start, stop, most=1, every=(), seconds=1.0):
        self.step, self.stop, self.most = start, stop, most
        self.every = [number for number in every if number]
        self.seconds, self.since, self.made = seconds, None, 0

    def __iter__(self):
        return self

    def __next__(self):
        """The number of steps of the next call."""
        now = time.monotonic()
        if self.step >= self.stop:
            raise StopIteration
        count = self.most or self.by_time(now)
        ends = [self.stop, *(self.step - self.step % number + number for number in self.every)]
        self.since, self.made = now, min([count, *(end - self.step for end in ends)])
        self.step += self.made
        return self.made

    def by_time(self, now):
        if not self.made:
            return 1
        spent = now - self.since
        wanted = int(self.seconds * self.made / spent) if spent > 0 else GROWTH * self.made
        return max(1, min(wanted, GROWTH * self.made))


class StepCallback(keras.callbacks.Callback):
    """Calls `on_step(step, logs)` after each step, or after each execution of several steps.

    Args:
        start_step: steps of the run that earlier processes have done.

    Attributes:
        before: the step of the last call.
    """

    def __init__(self, start_step):
        super().__init__()
        self.start_step = self.before = start_step

    def on_train_batch_end(self, batch, logs=None):
        pace = getattr(self.model, "pace", None)
        # The last execution may have fewer steps than Keras counts.
        counted = min(batch + 1, self.params.get("steps") or batch + 1)
        step = pace.step if pace else self.start_step + counted
        self.on_step(step, logs)
        self.before = step

    def due(self, step, every):
        """Whether a multiple of `every` has been reached since the last call."""
        return step // every > self.before // every


class ShowProgress(StepCallback):
    """Shows the progress bar."""

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
