"""What a run directory says of the run: its settings and its images."""

import json
import os

from tfssl import files
from tfssl.config import ABSENT, FREE, LATER, METHODS, Config, default_model_dir, differences
from tfssl.errors import UsageError
from tfssl.storage import rundir
from tfssl.text import printable


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


def write_record(config, data, flagfile):
    """Writes what a run is.

    Args:
        data: `Job.data`.
        flagfile: (Config, header) -> text of flags.flags.
    """
    files.write_json(config.model_dir, rundir.DATA, data)
    files.write_json(config.model_dir, "flags.json", config.to_dict())
    path = os.path.join(config.model_dir, "flags.flags")
    header = f"Replay: python run.py --flagfile={path} --model_dir=ELSEWHERE"
    files.write_text(path, flagfile(config, header))
