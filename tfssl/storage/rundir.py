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
import shutil
import tempfile

from tfssl import files
from tfssl.config import ABSENT, FREE, LATER, METHODS, Config, default_model_dir, differences
from tfssl.errors import UsageError
from tfssl.storage import records
from tfssl.text import printable

DATA, TIME, LOCK = "data.json", "time.json", "lock"


def recorded(model_dir):
    """The Config that a directory was made with, or None where it holds no run.

    Raises:
        UsageError: the record is unreadable, or the directory holds checkpoints without one.
    """
    path = os.path.join(model_dir, "flags.json")
    if not os.path.exists(path):
        if os.path.exists(os.path.join(model_dir, "checkpoints")):
            raise UsageError(
                f"--model_dir={model_dir} holds checkpoints but no flags.json: it is "
                "not a run of tfssl."
            )
        return None
    try:
        there = {**ABSENT, **LATER, **json.loads(files.text(path))}
        missing = [
            name for name in Config.__dataclass_fields__ if name not in there and name not in FREE
        ]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        wanted = needs_plugin(there)
        if not wanted:
            return Config(**there)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} is not a record of this version of tfssl ({error}).") from None
    raise UsageError(
        f"--model_dir={model_dir} is a run of --method={printable(there['method'])}, which a "
        f"plug-in adds: give --plugin={printable(wanted)} again."
    )


def needs_plugin(settings):
    """The plug-in without which the recorded settings of a run mean nothing; None without one."""
    plugin, method = settings["plugin"], settings["method"]
    return plugin if isinstance(plugin, str) and method not in METHODS else None


def continued(config, there, given):
    """The Config of a run that goes on: knobs that it did not have yet are as they were then.

    Args:
        there: the Config that the directory was made with; None where it holds no run.
        given: names of the settings that were chosen now.
    """
    if there is None:
        return config
    return config.replace(**{name: getattr(there, name) for name in ABSENT if name not in given})


def directory_of(config, data):
    """The name of a run that was given none: by its settings and the images that it learns from.

    Where there is none of that name, and tfssl 0.1 left one of these settings, that one.

    Args:
        data: `Source.identity` of its training images.
    """
    name, old = default_model_dir(config, data), default_model_dir(config, None)
    plain = Config(mode=config.mode, checkpoint=config.checkpoint, teacher=config.teacher)
    as_then = all(getattr(config, knob) == getattr(plain, knob) for knob in ABSENT)
    if os.path.isdir(name) or not (as_then and os.path.isdir(old)):
        return name
    there = recorded(old)
    if there is None:  # of a frozen encoder; which folder it was of is not known
        return name if config.dataset == "folder" else old
    same_place = (
        there.data_dir
        and config.data_dir
        and os.path.realpath(there.data_dir) == os.path.realpath(config.data_dir)
    )
    return old if same_place or config.dataset != "folder" else name


def check_images(model_dir, here, there):
    """Raises UsageError naming what differs between the images of a run and those that it had."""
    told = [
        difference(key, here.get(key), there.get(key))
        for key in dict.fromkeys([*there, *here])
        if here.get(key) != there.get(key)
    ]
    if told:
        raise UsageError(
            f"--model_dir={model_dir} holds a run on other images: "
            f"{', '.join(told)}. Give another --model_dir, or the images of that run."
        )


def difference(key, here, there):
    """How two identities differ in one of their entries, in words."""
    if isinstance(here, dict) and isinstance(there, dict):
        if here.keys() != there.keys():
            here, there = (" ".join(map(printable, one)) for one in (here, there))
        else:
            key = "images of " + ", ".join(printable(k) for k in here if here[k] != there[k])
            here, there = (
                "+".join(str(one[k]) for k in one if here[k] != there[k])
                for one in (dict(here), dict(there))
            )
    if key in DIGESTS:
        return DIGESTS[key]
    return f"{key} {here} (there {there})"


DIGESTS = {
    "names": "names or sizes of files",
    "content": "contents of files",
    "info": "features or splits",
}


def check_same(config, other, model_dir, names=None):
    """Raises UsageError naming the flags that differ from those of the run in the directory.

    Args:
        names: the only flags that count; None: all, as its training is to go on.
    """
    differing = [
        n for n in differences(config, other, goes_on=names is None) if names is None or n in names
    ]
    if differing:
        told = ", ".join(
            f"--{n}={getattr(config, n)} (there {getattr(other, n)})" for n in differing
        )
        raise UsageError(
            f"--model_dir={model_dir} holds a run of another configuration: {told}. "
            "Give another --model_dir, or the flags of that run."
        )


def make(model_dir):
    """Makes the directory and raises UsageError where it cannot be written."""
    try:
        os.makedirs(model_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=model_dir):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(
            "--model_dir must be a directory that can be written. Received: "
            f"{printable(model_dir)} ({why(error)})"
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
        clear(model_dir)
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
                    f"it cannot be written ({why(error)})."
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


def alive(number):
    """Whether there is a process of this number here."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


def why(error):
    """What is wrong, in the words of the system."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"\{\{.*?\}\}\s*| \[Op:\w+\]", "", words.splitlines()[0])


def write_record(config, data, flagfile):
    """Writes what a run is.

    Args:
        data: `Job.data`.
        flagfile: (Config, header) -> text of flags.flags.
    """
    write_json(config.model_dir, DATA, data)
    write_json(config.model_dir, "flags.json", config.to_dict())
    path = os.path.join(config.model_dir, "flags.flags")
    header = f"Replay: python run.py --flagfile={path} --model_dir=ELSEWHERE"
    write(config.model_dir, "flags.flags", flagfile(config, header))


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
        wrong = why(error)
    if wrong:
        raise UsageError(
            f"{path} is damaged ({wrong}). Without it, the same command makes it again."
        )
    return value


def write_json(model_dir, name, value):
    write(model_dir, name, json.dumps(value, indent=1) + "\n")


def write(model_dir, name, text):
    content = text.encode("utf-8", "surrogateescape")  # of names that are no UTF-8
    write_whole(os.path.join(model_dir, name), lambda file: file.write(content))


def write_whole(path, fill):
    """Writes a file whole or not at all, even where the power goes.

    Args:
        fill: (binary file) -> anything, writes it.
    """
    with whole(path) as unfinished, open(unfinished, "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def whole(path, ending=""):
    """Where to write what is to be at a path: it gets there at the end, or is removed.

    Args:
        path: of a file, or of a directory that is not there yet.
        ending: what the name has to end in until then.
    """
    unfinished = f"{path}.{os.getpid()}{UNFINISHED}{ending}"
    clear(*os.path.split(path))
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        remove(unfinished)
        raise


def clear(directory, name=None):
    """Removes what processes that died while writing have left in a directory.

    Args:
        name: of the one file whose remains are meant; None: all that may be a run's.
    """
    names = re.escape(name) if name else rf".+({'|'.join(map(re.escape, FILES))})"
    pattern = rf"{names}\.(?P<number>\d+){re.escape(UNFINISHED)}(\.\w+)?"
    for other in os.listdir(directory or "."):
        match = re.fullmatch(pattern, other)
        if match and not alive(int(match["number"])):
            remove(os.path.join(directory, other))


def remove(path):
    """Removes a file or a directory, as far as that can be done."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(path)


UNFINISHED = ".tmp"  # how the name of a file ends until it is whole
