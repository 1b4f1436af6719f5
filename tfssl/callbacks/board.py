"""A TensorBoard writer that survives write errors."""

import contextlib

import tensorflow as tf

from tfssl import files
from tfssl.callbacks import trackers


class Board:
    """A `tf.summary` writer for a directory.

    If it cannot write, for example on a full disk, it warns once, drops the points, and the run
    continues.
    """

    def __init__(self, directory):
        self.directory, self.warned = directory, False
        self.writer = tf.summary.create_noop_writer()
        with self.forgiven():
            self.writer = tf.summary.create_file_writer(directory)

    @contextlib.contextmanager
    def forgiven(self):
        """Context in which write errors are reported once and otherwise ignored."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if not self.warned:
                self.warned = True
                print(
                    f"\nWARNING: TensorBoard's files in {self.directory} cannot be written: "
                    f"{files.why(error)}. The run goes on.",
                    flush=True,
                )

    @contextlib.contextmanager
    def as_default(self, step):
        """Context in which summaries are written here, at that step."""
        with self.forgiven(), self.writer.as_default(step=step):
            yield

    def scalars(self, step, values):
        """Writes {tag: number} of a step, here and to the services in `trackers.tracking`."""
        with self.as_default(step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)
        for tracker in trackers.ACTIVE.get():
            tracker.scalars(step, values)

    def flush(self):
        with self.forgiven():
            self.writer.flush()

    def close(self):
        with self.forgiven():
            self.writer.close()
