"""The directory of a run: what was asked for, and what came of it.

    flags.flags, flags.json   the configuration; the first replays it with --flagfile
    data.json                 what the training images are, wherever they lie, and which of their
                              values are black and white
    checkpoints/, newest.json see `tfssl.train.checkpoint`
    encoder.keras             the encoder, for use without tfssl
    views.png                 some images and what augmentation makes of them
    labels.json               how many labels are learned from, the fingerprint of their places,
                              and what the classes are called
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

from tfssl.config import ABSENT, Config, default_model_dir, differences
from tfssl.errors import UsageError
from tfssl.text import printable

DATA = "data.json"


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
            return Config(**{**ABSENT, **json.load(file)})
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is not a record of this version of tfssl ({error}).") from None


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
    same_place = there.data_dir and config.data_dir and os.path.realpath(
        there.data_dir) == os.path.realpath(config.data_dir)
    return old if same_place or config.dataset != "folder" else name


def check_images(model_dir, here, there):
    """Raises UsageError naming what differs between the images of a run and those that it had."""
    told = [difference(key, here.get(key), there.get(key))
            for key in dict.fromkeys([*there, *here]) if here.get(key) != there.get(key)]
    if told:
        raise UsageError(f"--model_dir={model_dir} holds a run on other images: "
                         f"{', '.join(told)}. Give another --model_dir, or the images of that run.")


def difference(key, here, there):
    """How two identities differ in one of their entries, in words."""
    if isinstance(here, dict) and isinstance(there, dict):
        if here.keys() != there.keys():
            here, there = (" ".join(map(printable, one)) for one in (here, there))
        else:
            key = "images of " + ", ".join(printable(k) for k in here if here[k] != there[k])
            here, there = ("+".join(str(one[k]) for k in one if here[k] != there[k])
                           for one in (dict(here), dict(there)))
    if key in DIGESTS:
        return DIGESTS[key]
    return f"{key} {here} (there {there})"


DIGESTS = {"names": "names or sizes of files", "content": "contents of files",
           "info": "features or splits"}


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
