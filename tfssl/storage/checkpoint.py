"""Checkpoints: written atomically, and verified before they are used.

A checkpoint is a directory `checkpoints/step_<n>/` of the run: the files of `tf.train.Checkpoint`
and a manifest with the step, a description of the network and a SHA-256 of each file. It is written
under a temporary name, flushed to the disk and then renamed, so a process that dies while saving
leaves the previous one intact. A run resumes from the newest intact checkpoint; damaged ones are
reported and renamed. `newest.json` in the directory of the run records that checkpoints existed: if
they are all missing, the run does not silently start again.

A run starts from 1. the newest checkpoint in its own directory; 2. --checkpoint, weights only
(`pretrained.py`); 3. scratch.
"""

import json
import os
import re
import shutil

import tensorflow as tf

from tfssl import files
from tfssl.errors import UsageError
from tfssl.storage import records

FORMAT = 1
MANIFEST, UNFINISHED, NEWEST = "manifest.json", "unfinished_", "newest.json"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        model_dir: directory of the run.
        keep: integer, number of newest checkpoints to keep; 0: all.
        about: JSON-serializable dict for the manifest.
        **parts: the trackable objects to save, by name; built.
    """

    def __init__(self, model_dir, keep=0, about=None, **parts):
        self.directory = os.path.join(model_dir, "checkpoints")
        self.model_dir = model_dir
        self.keep, self.about = keep, about
        self.checkpoint = tf.train.Checkpoint(**parts)

    def steps(self):
        """The steps of all checkpoints, ascending."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else ()
        return sorted(
            int(match[1]) for name in names if (match := re.fullmatch(r"step_(\d+)", name))
        )

    def path(self, step):
        return os.path.join(self.directory, f"step_{step:08}")

    def save(self, step):
        """Writes the checkpoint of a step and removes old ones beyond `keep`."""
        if step in self.steps():
            return
        unfinished = os.path.join(self.directory, f"{UNFINISHED}{os.getpid()}")
        self.clear()
        os.makedirs(unfinished)
        self.checkpoint.write(os.path.join(unfinished, "state"))
        sums = {
            name: files.sha256(os.path.join(unfinished, name)) for name in os.listdir(unfinished)
        }
        with open(os.path.join(unfinished, MANIFEST), "w") as file:
            json.dump(
                {"format": FORMAT, "step": step, "about": self.about, "files": sums}, file, indent=1
            )
        for name in (*sums, MANIFEST):
            flush(os.path.join(unfinished, name))
        os.rename(unfinished, self.path(step))
        flush(self.directory)
        files.write_json(self.model_dir, NEWEST, {"step": step})
        self.prune()

    def prune(self):
        """Removes old checkpoints beyond `keep`."""
        for old in self.steps()[: -self.keep] if self.keep else ():
            shutil.rmtree(self.path(old))

    def clear(self):
        """Removes unfinished checkpoints of processes that died while saving."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else ()
        for name in names:
            if name.startswith(UNFINISHED):
                shutil.rmtree(os.path.join(self.directory, name), ignore_errors=True)

    def newest_whole(self, aside=False, report=print):
        """The step of the newest intact checkpoint; 0 if there have never been any.

        Args:
            aside: whether to rename damaged checkpoints, so that they are not found again.
            report: function that is called with a message for each damaged checkpoint.

        Raises:
            UsageError: all checkpoints are damaged, or all are missing although there were some.
        """
        steps, problems = self.steps(), []
        for step in reversed(steps):
            try:
                verify(self.path(step))
            except UsageError as error:
                problems.append((step, str(error)))
                continue
            break
        else:
            if steps:
                raise UsageError(
                    f"Every checkpoint in {self.directory} is damaged. The newest: "
                    f"{problems[0][1]} Give another --model_dir to start anew."
                )
            newest = os.path.join(self.model_dir, NEWEST)
            if os.path.exists(newest):
                raise UsageError(
                    f"The checkpoints of this run are gone: {newest} says that there "
                    f"were some, and {self.directory} has none. Give another "
                    "--model_dir to start anew."
                )
            return 0
        for damaged, problem in problems:
            kept = os.path.join(self.directory, f"damaged_{os.path.basename(self.path(damaged))}")
            if aside:
                shutil.rmtree(kept, ignore_errors=True)
                os.rename(self.path(damaged), kept)
            report(
                f"{problem} "
                + (f"Kept as {kept}; " if aside else "")
                + f"the one of step {step} is taken."
            )
        return step

    def restore_newest(self, aside=False):
        """Restores the newest intact checkpoint; returns its step, 0 if there is none.

        Args:
            aside: see `newest_whole`; True only in the process that trains in the directory.

        Raises:
            UsageError: all checkpoints are damaged, or it was not written for these parts.
        """
        step = self.newest_whole(aside)
        if step:
            self.restore(step)
        if step and aside:  # completes the work of a process that died while saving
            files.write_json(self.model_dir, NEWEST, {"step": step})
            self.clear()
            self.prune()
        return step

    def restore(self, step):
        """Restores the intact checkpoint of a step.

        Raises:
            UsageError: it was not written for these parts.
        """
        path = self.path(step)
        try:
            status = self.checkpoint.read(os.path.join(path, "state"))
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise UsageError(
                f"The checkpoint {path} does not fit this network ({files.why(error)})."
            ) from None


def verify(path):
    """Checks the files of a checkpoint and returns its manifest.

    Raises:
        UsageError: the manifest is missing, or a file differs from its digest.
    """
    try:
        manifest = json.loads(files.text(os.path.join(path, MANIFEST)))
        wrong = records.problem(MANIFEST, manifest)
    except (OSError, ValueError, RecursionError) as error:
        wrong = files.why(error)
    if wrong:
        raise UsageError(
            f"{path} is not a checkpoint of tfssl: it has no {MANIFEST} that can be read ({wrong})."
        )
    for name, digest in manifest["files"].items():
        if not whole(os.path.join(path, name), digest):
            raise UsageError(f"The checkpoint {path} is damaged ({name} is not what was written).")
    return manifest


def whole(path, digest):
    """Whether a file can be read and has the given digest."""
    try:
        return files.sha256(path) == digest
    except OSError:
        return False


def flush(path):
    """Waits until a file or a directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
