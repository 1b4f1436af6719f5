"""The record of a run in its directory: its settings and its images."""

import json
import os
import shlex

from tfssl import files
from tfssl.config import (
    ABSENT,
    CHOSEN,
    FREE,
    LATER,
    METHODS,
    NEED_RGB,
    Config,
    default_model_dir,
    differences,
    moments,
)
from tfssl.errors import UsageError
from tfssl.storage import rundir
from tfssl.text import printable


def recorded(model_dir):
    """The Config of the run in a directory; None: there is no run.

    Raises:
        UsageError: the record is unreadable, or there are checkpoints without one.
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
    """The plug-in that defines the recorded method of a run, if it is not loaded; or None."""
    plugin, method = settings["plugin"], settings["method"]
    return plugin if isinstance(plugin, str) and method not in METHODS else None


def continued(config, there, given):
    """The Config to continue a run with: what is not given stays as it was chosen at its start.

    Args:
        config: the Config of this command.
        there: the recorded Config; None: there is no run.
        given: names of the flags that the user gave.
    """
    if there is None:
        return config
    given = set(given)
    of_images = config.input_normalization == "dataset" or (
        config.input_normalization == "imagenet"  # by the method, for which those of the images
        and "input_normalization" not in given  # stand in where these are of other channels than 3
        and there.channels
    )
    if of_images and moments(there.input_normalization):
        given -= {"input_normalization"}  # of the images, which are compared by themselves
        config = config.replace(input_normalization=there.input_normalization)
    kept = [*ABSENT, *CHOSEN, "train_batch_size"]
    kept += ("channels", "views", *NEED_RGB) if there.channels else ()
    kept += ["image_size"] if there.task != "pretrain" else []  # it may be that of the weights
    given -= {name for name, (unsaid, _) in CHOSEN.items() if getattr(config, name) == unsaid}
    return config.replace(**{name: getattr(there, name) for name in kept if name not in given})


def directory_of(config, data):
    """The default directory of a run, named by its settings and its training images.

    If it does not exist, but a directory of tfssl 0.1 with these settings does, that one.

    Args:
        config: a `tfssl.Config`.
        data: `Source.identity` of its training images.
    """
    name, old = default_model_dir(config, data), default_model_dir(config, None)
    plain = Config(mode=config.mode, checkpoint=config.checkpoint, teacher=config.teacher)
    as_in_0_1 = all(getattr(config, knob) == getattr(plain, knob) for knob in ABSENT)
    if os.path.isdir(name) or not (as_in_0_1 and os.path.isdir(old)):
        return name
    there = recorded(old)
    if there is None:  # results of a frozen encoder, which do not record the folder of images
        return name if config.dataset == "folder" else old
    same_place = (
        there.data_dir
        and config.data_dir
        and os.path.realpath(there.data_dir) == os.path.realpath(config.data_dir)
    )
    return old if same_place or config.dataset != "folder" else name


def check_images(model_dir, here, there):
    """Raises UsageError, with the differences, if the images of a run have changed."""
    differing = [
        difference(key, here.get(key), there.get(key))
        for key in dict.fromkeys([*there, *here])
        if here.get(key) != there.get(key)
    ]
    if differing:
        raise UsageError(
            f"--model_dir={model_dir} holds a run on other images: "
            f"{', '.join(differing)}. Give another --model_dir, or the images of that run."
        )


def difference(key, here, there):
    """The difference of two identities in one of their entries, as text."""
    if isinstance(here, dict) and isinstance(there, dict):
        if here.keys() != there.keys():
            here, there = (" ".join(map(class_told, one)) for one in (here, there))
        else:
            key = "images of " + ", ".join(class_told(k) for k in here if here[k] != there[k])
            here, there = (
                "+".join(str(one[k]) for k in one if here[k] != there[k])
                for one in (dict(here), dict(there))
            )
    if key in DIGESTS:
        return DIGESTS[key]
    return f"{key} {here} (there {there})"


def class_told(name):
    """The name of a class; of the images without one, whose name is empty, what they are."""
    return printable(name) or "(without a label)"


DIGESTS = {
    "names": "names or sizes of files",
    "content": "contents of files",
    "info": "features or splits",
}


def check_same(config, other, model_dir, names=None):
    """Raises UsageError, with the differing flags, if a directory holds another run.

    Args:
        config: the Config of this command.
        other: the recorded Config.
        model_dir: the directory, for the message.
        names: names of the flags to compare; None: all that affect training, to continue it.
    """
    differing = [
        n for n in differences(config, other, goes_on=names is None) if names is None or n in names
    ]
    if differing:
        flags = ", ".join(
            f"--{n}={getattr(config, n)} (there {getattr(other, n)})" for n in differing
        )
        raise UsageError(
            f"--model_dir={model_dir} holds a run of another configuration: {flags}. "
            "Give another --model_dir, or the flags of that run."
        )


def write_record(config, data, flagfile):
    """Writes data.json, flags.json and flags.flags.

    Args:
        config: the `tfssl.Config` of the run.
        data: `Job.data`.
        flagfile: function (Config, header) -> text of flags.flags.
    """
    files.write_json(config.model_dir, rundir.DATA, data)
    files.write_json(config.model_dir, "flags.json", config.to_dict())
    path = os.path.join(config.model_dir, "flags.flags")
    header = f"Replay: python run.py --flagfile={shlex.quote(path)} --model_dir=ELSEWHERE"
    files.write_text(path, flagfile(config, header))
