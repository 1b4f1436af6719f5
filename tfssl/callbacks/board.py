"""TensorBoard files whose loss does not cost the run."""

import contextlib

import tensorflow as tf

from tfssl import files


class Board:
    """A `tf.summary` writer for a directory.

    Where it cannot write, as on a full disk, it says so once; the points are lost and the run goes
    on.
    """

    def __init__(self, directory):
        self.directory, self.told = directory, False
        self.writer = tf.summary.create_noop_writer()
        with self.forgiven():
            self.writer = tf.summary.create_file_writer(directory)

    @contextlib.contextmanager
    def forgiven(self):
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if not self.told:
                self.told = True
                print(
                    f"\nWARNING: TensorBoard's files in {self.directory} cannot be written: "
                    f"{files.why(error)}. The run goes on.",
                    flush=True,
                )

    @contextlib.contextmanager
    def as_default(self, step):
        """Summaries made inside are written here, at that step."""
        with self.forgiven(), self.writer.as_default(step=step):
            yield

    def flush(self):
        with self.forgiven():
            self.writer.flush()

    def close(self):
        with self.forgiven():
            self.writer.close()
