"""The directory of a run: what was asked for, and what came of it.

flags.flags, flags.json   the configuration; the first replays it with --flagfile
data.json                 what the training images are, wherever they lie, and which of their
                          values are black and white
checkpoints/, newest.json see `tfssl.storage.checkpoint`
encoder.keras             the encoder, for use without tfssl
views.png                 some images and what augmentation makes of them
labels.json               how many labels are learned from, the fingerprint of their places,
                          and what the classes are called
teacher.json, teacher_logits.npy  whom a student learns from, and all that it learns
untrained.json            the baseline: the untrained encoder by the same protocols
lock                      held by the process that trains here
diagnosis.json            see `tfssl.callbacks.alarms.StopOnNaN`
time.json                 seconds of training so far, over all processes, those that were
                          killed until their last checkpoint, and images/s of the last one
result.json, result_<step>.json
linear_eval/              the classifiers of --mode=linear_eval, one directory per setting
events.out.tfevents.*     TensorBoard, and eval/ beside it
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
    """Makes the directory and raises UsageError where it cannot be written."""
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
def held(model_dir):
    """Keeps other processes from training in a directory, which is made.

    What is decided by the files of the directory is decided inside. A request that is refused
    there leaves nothing behind that it has made.

    Raises:
        UsageError: one is at it, or the directory cannot be written.
    """
    made = absent(os.path.join(model_dir, LOCK))
    make(model_dir)
    file = locked(model_dir)
    try:
        check_files(model_dir)
        files.clear(model_dir, rf".+({'|'.join(map(re.escape, FILES))})")
        yield
    except UsageError:
        for path in made:
            with contextlib.suppress(OSError):  # something else is in it by now
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        raise
    finally:
        if file:
            file.close()


def check_files(model_dir):
    """Raises UsageError where a record in the directory is damaged, or a folder in its place."""
    for name in os.listdir(model_dir):
        if name.endswith(FILES) and os.path.isdir(os.path.join(model_dir, name)):
            raise UsageError(
                f"--model_dir={printable(model_dir)} holds a folder called {name}, "
                "where a file of the run belongs. Give another --model_dir."
            )
    for name in records.RECORDS:
        read_json(model_dir, name)


FILES = (".json", ".flags", ".keras", ".npy", ".png")  # how those of a run end


def absent(path):
    """A path and the directories above it that do not exist, the innermost first."""
    path, found = os.path.abspath(path), []
    while not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def locked(model_dir):
    """The lock of a directory, an open file that is to be closed; None where there are no locks.

    Raises:
        UsageError: another process holds it, or it cannot be had.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two processes are not told from one
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
        if is_still(path, file):
            return file
        file.close()  # its holder has removed it meanwhile


def is_still(path, file):
    """Whether a path leads to an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except OSError:
        return False


# What a file system without locks answers, as some network disks are.
UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def read_json(model_dir, name):
    """A file of the run as a dict, or None where there is none.

    Raises:
        UsageError: it is damaged, or does not hold what `tfssl.storage.records` says.
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
