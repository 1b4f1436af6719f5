"""What finished runs leave, as data: their settings, results and curves; never their names.

    records.load([DIRECTORY, FILE.json, ...])

A directory is searched for runs of run.py. A file holds records that `save` wrote: small enough to
be committed, and enough to make every table and figure again.
"""

import dataclasses
import functools
import json
import os
import re
import sys

import runs

from tfssl.config import FREE, SPEED, Config
from tfssl.errors import UsageError

KNOBS = {field.name: field for field in dataclasses.fields(Config)}
COLUMNS = {
    "resnet_depth": "resnet_depth",
    "train_batch_size": "batch_size",
    "temperature": "temperature",
    "color_jitter_strength": "color_jitter_strength",
}  # the thesis's, in their order
ORDER = list(dict.fromkeys([*COLUMNS, *KNOBS]))
SAME = {name for name, field in KNOBS.items() if field.metadata["group"] == SPEED} | {
    "precision",
    "deterministic",
}  # two runs that differ in these alone count as seeds of one
SCORED = {
    "eval_split",
    "eval_image_size",
    "eval_crop_proportion",
    "eval_steps",
    "knn_temperature",
    "probe_train_split",
}  # they change nothing that is learned, but how it is scored
DECIDES = [name for name in ORDER if name in SCORED or name not in FREE | SAME | {"seed"}]
PLACES = ("model_dir", "data_dir", "probe_data_dir", "output")
NAMED = ("checkpoint", "teacher", "label_list")  # files, of whose paths the last two parts are kept
USUAL = {  # what a dataset is seen and scored at where nothing is said
    "image_size": {"cifar10": "32", "imagenette/160px-v2": "128", "shapes": "32"},
    "eval_split": {"cifar10": "test", "imagenette/160px-v2": "validation", "shapes": "test"},
}
CURVES = (
    "train/contrast_loss",
    "train/representation_loss",
    "train/supervised_loss",
    "train/total_loss",
    "train/supervised_acc",
)
POINTS = 100  # of a curve that are kept: the thesis has one an epoch


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        flags: its settings, as in flags.json.
        result: its result.json; as "linear_eval" the accuracies of --mode=linear_eval, where that
            was run on its last step.
        curves: {"step": [...], tag: [value at each of these steps]}, at most POINTS; {} for none.
    """

    flags: dict
    result: dict
    curves: dict

    @functools.cached_property
    def config(self):
        return Config(**{name: value for name, value in self.flags.items() if name in KNOBS})

    @property
    def files(self):
        """What tells the images of a folder from those of another one; None for other datasets."""
        return (self.result.get("data") or {}).get("names")

    @property
    def scores(self):
        """{protocol: {"top_1", "top_5", ...}} of what was trained."""
        return runs.scores(self.result) | self.result.get("linear_eval", {})

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
            raise UsageError(
                f"a directory of runs or a runs.json was expected. Received: {path} ({error})"
            ) from None
    if not found:
        raise UsageError(f"no finished run (flags.json and result.json) in {', '.join(paths)}")
    return whole(once(found))


def once(records):
    """Without runs that are there twice: the same settings, seed and precision."""
    kept = {}
    for record in records:
        config = record.config
        key = (
            *setting(config).items(),
            record.files,
            config.seed,
            record.result.get("precision"),
            *(getattr(config, name) for name in sorted(SAME)),
        )
        if kept.setdefault(key, record) is not record:
            print(f"there twice, counted once: {told(config)}", file=sys.stderr)
    return list(kept.values())


def whole(records):
    """Without runs that were evaluated before their end: those of fewer steps than their twins."""
    ends = {
        id(record): max(twin.result["global_step"] for twin in group)
        for group in by_setting(records)
        for record in group
    }
    kept = []
    for record in records:
        step, end = record.result["global_step"], ends[id(record)]
        if step == end:
            kept.append(record)
        else:
            print(
                f"left out, evaluated at step {step} of {end}: {told(record.config)}",
                file=sys.stderr,
            )
    return kept


def told(config):
    return f"{config.method} on {config.dataset}, seed {config.seed}"


def search(path, curves):
    """The finished runs at or under a directory, in the order of their paths."""
    found = []
    for directory, below, files in os.walk(path, followlinks=True):
        below.sort()
        if "flags.json" not in files:
            continue
        below.clear()
        if "result.json" not in files:
            print(f"not finished: {directory}", file=sys.stderr)
            continue
        flags = {
            name: value
            for name, value in read(directory, "flags.json").items()
            if name not in PLACES
        }
        flags |= {
            name: "/".join(os.path.normpath(flags[name]).split(os.sep)[-2:])
            for name in NAMED
            if flags.get(name)
        }
        found.append(
            Record(flags, result_of(directory), thinned(runs.scalars(directory)) if curves else {})
        )
    return found


def result_of(directory):
    """What the evaluations of a run came to."""
    result = read(directory, "result.json")
    linear = runs.linear_evaluation(directory, result["global_step"])
    if linear is None:
        return result
    return result | {"linear_eval": read(*os.path.split(linear))["results"]}


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
    groups = [steps[i : i + size] for i in range(0, len(steps), size)]
    means = {
        tag: [sum(scalars[tag][step] for step in group) / len(group) for group in groups]
        for tag in tags
    }
    return {
        "step": [group[-1] for group in groups],
        **{tag: [float(f"{mean:.4g}") for mean in means[tag]] for tag in tags},
    }


def save(records, path):
    """One record a line, so that a new run is a new line."""
    lines = [json.dumps(dataclasses.asdict(record), separators=(",", ":")) for record in records]
    runs.write(path, "[\n" + ",\n".join(lines) + "\n]")


def setting(config):
    """{knob: value} of all that decides what is learned and what it is scored on, but the seed."""
    values = {name: getattr(config, name) for name in DECIDES}
    for name, usual in USUAL.items():
        values[name] = values[name] or usual.get(config.dataset)
    values["eval_image_size"] = values["eval_image_size"] or values["image_size"]
    values["label_list"] = re.sub(r"seed_?\d+", "seed", values["label_list"] or "")
    return values


def varying(records):
    """The knobs in which runs differ; of several methods, the method and what varies within one.

    For methods differ in their defaults too, which is no variation.
    """
    by_method = {}
    for record in records:
        by_method.setdefault(record.config.method, []).append(setting(record.config))
    names = {
        name
        for settings in by_method.values()
        for name in DECIDES
        if any(other[name] != settings[0][name] for other in settings)
    }
    return ["method"] * (len(by_method) > 1) + [name for name in DECIDES if name in names]


def by_setting(records):
    """Runs that differ in the seed alone, together: a list of lists, in order of appearance."""
    groups = {}
    for record in records:
        groups.setdefault((str(setting(record.config)), record.files), []).append(record)
    return list(groups.values())
