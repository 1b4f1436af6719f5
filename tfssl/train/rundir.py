"""The directory of a run: what was asked for, and what came of it.

    flags.flags, flags.json   the configuration; the first replays it with --flagfile
    checkpoints/, newest.json see `tfssl.train.checkpoint`
    encoder.keras             the encoder, for use without tfssl
    views.png                 some images and what augmentation makes of them
    labels.json               how many labels are learned from, and the fingerprint of their places
    teacher.json, teacher_logits.npy  whom a student learns from, and all that it learns
    untrained.json            the baseline: the untrained encoder by the same protocols
    lock                      held by the process that trains here
    diagnosis.json            see `tfssl.train.callbacks.StopOnNaN`
    time.json                 seconds of training so far, over all processes, and images/s
    result.json, result_<step>.json
    linear_eval/              the classifiers of --mode=linear_eval, one directory per setting
    events.out.tfevents.*     TensorBoard, and eval/ beside it
"""

import contextlib
import json
import os
import tempfile

from tfssl.config import Config, differences
from tfssl.errors import UsageError


def recorded(model_dir):
    """The Config that a directory was made with, or None where it holds no run.

    Raises:
        UsageError: the record is unreadable, or the directory holds checkpoints without one.
    """
    path = os.path.join(model_dir, "flags.json")
    if not os.path.exists(path):
        if os.path.exists(os.path.join(model_dir, "checkpoints")):
            raise UsageError(f"--model_dir={model_dir} holds checkpoints but no flags.json: it is "
                             "not a run of tfssl.")
        return None
    try:
        with open(path) as file:
            return Config(**json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is not a record of this version of tfssl ({error}).") from None


def check_same(config, other, model_dir, names=None):
    """Raises UsageError naming the flags that differ from those of the run in the directory.

    Args:
        names: the only flags that count; None: all, as its training is to go on.
    """
    differing = [n for n in differences(config, other, goes_on=names is None)
                 if names is None or n in names]
    if differing:
        told = ", ".join(f"--{n}={getattr(config, n)} (there {getattr(other, n)})"
                         for n in differing)
        raise UsageError(f"--model_dir={model_dir} holds a run of another configuration: {told}. "
                         "Give another --model_dir, or the flags of that run.")


def make(model_dir):
    """Makes the directory and raises UsageError where it cannot be written."""
    try:
        os.makedirs(model_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=model_dir):
            pass
    except OSError as error:
        raise UsageError("--model_dir must be a directory that can be written. "
                         f"Received: {model_dir} ({error.strerror})") from None


@contextlib.contextmanager
def held(model_dir):
    """Keeps other processes from training in a directory, which is made.

    Raises:
        UsageError: one is at it, or the directory cannot be written.
    """
    make(model_dir)
    try:
        import fcntl
    except ImportError:  # Windows: two processes are not told from one
        yield
        return
    with open(os.path.join(model_dir, "lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"--model_dir={model_dir} is in use: another process trains in it. "
                             "Wait for it, or give another --model_dir.") from None
        yield


def write_record(config, flagfile):
    """Writes flags.json and flags.flags; `flagfile(config, header)` is the second's text."""
    write_json(config.model_dir, "flags.json", config.to_dict())
    path = os.path.join(config.model_dir, "flags.flags")
    header = f"Replay: python run.py --flagfile={path} --model_dir=ELSEWHERE"
    write(config.model_dir, "flags.flags", flagfile(config, header))


def read_json(model_dir, name):
    """A file of the run as a dict, or None where there is none.

    Raises:
        UsageError: it is damaged.
    """
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        return None
    try:
        with open(path) as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is damaged ({error}). Without it, the same command makes it "
                         "again.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} is damaged. Without it, the same command makes it again.")
    return value


def write_json(model_dir, name, value):
    write(model_dir, name, json.dumps(value, indent=1) + "\n")


def write(model_dir, name, text):
    write_whole(os.path.join(model_dir, name), lambda file: file.write(text.encode()))


def write_whole(path, fill):
    """Writes a file whole or not at all, even where the power goes.

    Args:
        fill: (binary file) -> anything, writes it.
    """
    with open(path + ".tmp", "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)
