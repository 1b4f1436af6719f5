"""Base class of callbacks that act on steps, and the progress bar.

Steps are counted from the start of the run, across interruptions.
"""

import keras

from tfssl.callbacks.progress import Progress


def tag(name):
    """The name of a log in the files of a run: "total_loss" for Keras's "loss"."""
    return "total_loss" if name == "loss" else name


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
        # The last execution may have fewer steps than Keras counts.
        step = self.start_step + min(batch + 1, self.params.get("steps") or batch + 1)
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
