"""The directory of a run: its configuration and its results.

flags.flags, flags.json   the configuration; --flagfile=flags.flags repeats the run
data.json                 identity of the training images, independent of their location, and
                          which of their values are black and white
checkpoints/, newest.json see `tfssl.storage.checkpoint`
encoder.keras             the encoder, for use without tfssl
report.html, compare.html see `tfssl.runner.page`
views.png                 some images and their augmented views
attention.png             where the heads of a Vision Transformer with a class token look
reconstructions.png       masked images and how they are completed, with --method=mae and simmim
neighbours.npy, verdict.json  see `tfssl.callbacks.heldout`
labels.json               number of training labels, a digest of the indices of their images,
                          and the names of the classes
teacher.json, teacher_logits.npy  the teacher of a student, and its outputs
untrained.json            the baseline: the untrained encoder by the same protocols
lock                      locked by the process that trains here
diagnosis.json            see `tfssl.callbacks.alarms.StopOnNaN`
time.json                 seconds of training of all processes, killed ones up to their last
                          checkpoint, and images/s of the last process
result.json, result_<step>.json
linear_eval/              the classifiers of --mode=linear_eval, one directory per setting
events.out.tfevents.*     TensorBoard, and those of the evaluation in eval/
"""

import contextlib
import errno
import json
import os
import re
import tempfile

from tfssl import files
from tfssl.errors import UsageError
from tfssl.storage import records
from tfssl.text import printable

DATA, TIME, LOCK = "data.json", "time.json", "lock"


def make(model_dir):
    """Creates the directory; raises UsageError if it is not writable."""
    try:
        os.makedirs(model_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=model_dir):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(
            "--model_dir must be a directory that can be written. Received: "
            f"{printable(model_dir)} ({files.why(error)})"
        ) from None


@contextlib.contextmanager
def lock(model_dir):
    """A context in which no other process can train in a directory, which is created.

    Decisions that depend on files of the directory must be made inside. If a `UsageError` is raised
    inside, files and directories created here are removed.

    Raises:
        UsageError: another process trains in it, or the directory is not writable.
    """
    created = missing_paths(os.path.join(model_dir, LOCK))
    make(model_dir)
    file = open_lock(model_dir)
    try:
        check_files(model_dir)
        files.clear(model_dir, rf".+({'|'.join(map(re.escape, FILES))})")
        yield
    except UsageError:
        for path in created:
            with contextlib.suppress(OSError):  # a directory that is not empty any more
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        raise
    finally:
        if file:
            file.close()


def check_files(model_dir):
    """Raises UsageError if a record in the directory is damaged, or is a folder."""
    for name in os.listdir(model_dir):
        if name.endswith(FILES) and os.path.isdir(os.path.join(model_dir, name)):
            raise UsageError(
                f"--model_dir={printable(model_dir)} holds a folder called {name}, "
                "where a file of the run belongs. Give another --model_dir."
            )
    for name in records.RECORDS:
        read_json(model_dir, name)


FILES = (".json", ".flags", ".keras", ".npy", ".png")  # endings of the files of a run


def missing_paths(path):
    """A path and the directories above it that do not exist, the innermost first."""
    path, found = os.path.abspath(path), []
    while not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def open_lock(model_dir):
    """Locks a directory: an open file, which the caller closes; None: locks are not supported.

    Raises:
        UsageError: another process has the lock, or it cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    path = os.path.join(model_dir, LOCK)
    while True:
        try:
            file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666), "rb+", 0)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"--model_dir={printable(model_dir)} is in use: another process "
                "trains in it. Wait for it, or give another --model_dir."
            ) from None
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                raise UsageError(
                    f"--model_dir={printable(model_dir)} cannot be locked: {LOCK} in "
                    f"it cannot be written ({files.why(error)})."
                ) from None
            print(
                f"WARNING: nothing keeps other processes from training in "
                f"{printable(model_dir)}: its disk has no locks.",
                flush=True,
            )
            return None
        if is_same_file(path, file):
            return file
        file.close()  # the process that had the lock has removed the file


def is_same_file(path, file):
    """Whether a path still refers to an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except OSError:
        return False


# Errors of file systems without locks, such as some network disks.
UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def read_json(model_dir, name):
    """Reads a JSON file of the run; None: there is no such file.

    Raises:
        UsageError: it is damaged, or does not match its schema in `tfssl.storage.records`.
    """
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        return None
    try:
        value = json.loads(files.text(path))
        wrong = records.problem(name, value)
    except (OSError, ValueError, RecursionError) as error:
        wrong = files.why(error)
    if wrong:
        raise UsageError(
            f"{path} is damaged ({wrong}). Without it, the same command makes it again."
        )
    return value
