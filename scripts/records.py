"""What finished runs leave, as data: their settings, results and curves; never their names.

    records.load([DIRECTORY, FILE.json, ...])

A directory is searched for runs of run.py. A file holds records that `save` wrote: small enough to
be committed, and enough to make every table and figure again.
"""

import dataclasses
import functools
import json
import os
import sys

import runs

from tfssl.config import FREE, SPEED, Config, differences
from tfssl.errors import UsageError

KNOBS = {field.name: field for field in dataclasses.fields(Config)}
COLUMNS = {"resnet_depth": "resnet_depth", "train_batch_size": "batch_size",
           "temperature": "temperature",
           "color_jitter_strength": "color_jitter_strength"}  # the thesis's, in their order
ORDER = list(dict.fromkeys([*COLUMNS, *KNOBS]))
SAME = {name for name, field in KNOBS.items() if field.metadata["group"] == SPEED} | {
    "precision", "deterministic"}  # two runs that differ in these alone count as seeds of one
PLACES = ("model_dir", "data_dir", "probe_data_dir", "output", "checkpoint")
CURVES = ("train/contrast_loss", "train/representation_loss", "train/supervised_loss",
          "train/total_loss", "train/supervised_acc")
POINTS = 100  # of a curve that are kept: the thesis has one an epoch


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        flags: its settings, as in flags.json.
        result: its result.json.
        curves: {"step": [...], tag: [value at each of these steps]}, at most POINTS; {} for none.
    """

    flags: dict
    result: dict
    curves: dict

    @functools.cached_property
    def config(self):
        return Config(**{name: value for name, value in self.flags.items() if name in KNOBS})

    @property
    def scores(self):
        """{protocol: {"top_1", "top_5", ...}} of what was trained."""
        return runs.scores(self.result)

    @property
    def untrained(self):
        return self.result.get("untrained") or {}


def load(paths, curves=True):
    """All finished runs under some directories and in some files; says which are not finished.

    Raises:
        UsageError: there is none, or a file cannot be read.
    """
    found = []
    for path in paths:
        if os.path.isdir(path):
            found += search(path, curves)
            continue
        try:
            with open(path) as file:
                found += [Record(**record) for record in json.load(file)]
        except (OSError, ValueError, TypeError) as error:
            raise UsageError("a directory of runs or a runs.json was expected. Received: "
                             f"{path} ({error})") from None
    if not found:
        raise UsageError(f"no finished run (flags.json and result.json) in {', '.join(paths)}")
    return found


def search(path, curves):
    """The finished runs at or under a directory, in the order of their paths."""
    found = []
    for directory, below, files in os.walk(path):
        below.sort()
        if "flags.json" not in files:
            continue
        below.clear()
        if "result.json" not in files:
            print(f"not finished: {directory}", file=sys.stderr)
            continue
        flags = {name: value for name, value in read(directory, "flags.json").items()
                 if name not in PLACES}
        found.append(Record(flags, read(directory, "result.json"),
                            thinned(runs.scalars(directory)) if curves else {}))
    return found


def read(directory, name):
    try:
        return runs.read(os.path.join(directory, name))
    except (OSError, ValueError) as error:
        raise UsageError(f"{os.path.join(directory, name)} is damaged ({error})") from None


def thinned(scalars):
    """At most POINTS of every curve, each the mean of its neighbours."""
    tags = [tag for tag in CURVES if tag in scalars]
    if not tags:
        return {}
    steps = sorted(set.intersection(*(set(scalars[tag]) for tag in tags)))
    size = -(-len(steps) // POINTS)
    groups = [steps[i:i + size] for i in range(0, len(steps), size)]
    means = {tag: [sum(scalars[tag][step] for step in group) / len(group) for group in groups]
             for tag in tags}
    return {"step": [group[-1] for group in groups],
            **{tag: [float(f"{mean:.4g}") for mean in means[tag]] for tag in tags}}


def save(records, path):
    """One record a line, so that a new run is a new line."""
    lines = [json.dumps(dataclasses.asdict(record), separators=(",", ":")) for record in records]
    runs.write(path, "[\n" + ",\n".join(lines) + "\n]")


def varying(records):
    """The knobs in which runs differ and that decide what is learned; the seed is not one."""
    first = records[0].config
    names = {name for record in records for name in differences(first, record.config)}
    return [name for name in ORDER if name in names - SAME - {"seed"}]


def by_setting(records):
    """Runs that differ in the seed alone, together: a list of lists, in order of appearance."""
    groups = {}
    for record in records:
        key = tuple(str(getattr(record.config, name)) for name in KNOBS
                    if name not in FREE | SAME | {"seed"})
        groups.setdefault(key, []).append(record)
    return list(groups.values())
