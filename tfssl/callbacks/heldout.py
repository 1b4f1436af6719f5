"""TensorBoard points of label-free measures on fixed views, such as those of held-out images."""

import io
import os

import numpy as np
import tensorflow as tf

from tfssl import files
from tfssl.callbacks.measures import LOSS, Information
from tfssl.callbacks.tensorboard import Points

FILE = "neighbours.npy"  # int32 [points, 2 + N k]: the step, k, the neighbours of each image
NAMES = ("lidar", "spectrum_decay", "view_retrieval", "neighbours_kept", LOSS)


class HeldOutScalars(Points):
    """Writes `Information` of fixed views as information/<name> every `every` steps.

    The neighbours of each point are kept in the directory of the run, so that a training that is
    continued compares with the same point as one that was not interrupted.

    Args:
        start_step, total_steps, writer, every: as for `Points`.
        views: a dataset of views, all of whose batches are used.
        directory: of the run.
    """

    def __init__(self, start_step, total_steps, writer, every, views, directory):
        super().__init__(start_step, total_steps, writer, every)
        self.views, self.path = views, os.path.join(directory, FILE)
        self.information, self.history = None, {}

    def on_train_begin(self, logs=None):
        self.history = remembered(self.path, self.start_step)

    def write(self, step, logs):
        if self.information is None:
            self.information = Information(self.views, num_batches=len(self.views))
            self.information.set_model(self.model)
            # Those of other images, where a run goes on with another evaluation split, are dropped.
            images = sum(len(batch["views"][0]) for batch in self.information.batches)
            self.history = {at: of for at, of in self.history.items() if len(of) == images}
            self.information.before = self.history.get(max(self.history, default=None))
        found = self.information.measure()
        if self.information.before is not None:
            self.history[step] = self.information.before
            remember(self.path, self.history)
        with self.writer.as_default(step=step):
            for name in NAMES:
                if np.isfinite(found.get(name, np.nan)):
                    tf.summary.scalar(f"information/{name}", found[name])


def remembered(path, step):
    """{step: int32 [N, k]} of a file, up to a step; {} without one, or if it cannot be read."""
    try:
        rows = np.load(io.BytesIO(files.read(path)))
        return {int(row[0]): row[2:].reshape(-1, row[1]) for row in rows if row[0] <= step}
    except (OSError, ValueError, EOFError, IndexError, TypeError):
        return {}


def remember(path, history):
    """Writes the file that `remembered` reads."""
    rows = np.stack(
        [np.concatenate([[step, of.shape[1]], of.ravel()]) for step, of in history.items()]
    )
    files.write_whole(path, lambda file: np.save(file, rows.astype(np.int32)))
