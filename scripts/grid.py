"""Grids of settings, as sweep flagfiles write them beside run.py's flags.

    --grid=temperature=0.25,0.5               an axis: one run for each value
    --grid=resnet_depth,train_batch_size=18:512,50:256       settings that go together
    --range=learning_rate=0.1,10,log          an interval, for TPE; log: even over the logarithm
    --skip=resnet_depth=50,temperature=0.5    points of the grid that are left out

The axes are multiplied, the last one varies fastest. A later axis of the same names replaces an
earlier one, as with all flags.
"""

import argparse
import dataclasses
import functools
import itertools
import os

import runs  # noqa: F401  (which finds the two that follow)

import flags
from tfssl.config import Config, kind
from tfssl.errors import UsageError

KNOBS = {field.name: field for field in dataclasses.fields(Config)}
PLACES = ("model_dir", "data_dir", "probe_data_dir", "cache_dataset")  # where, not what


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one sentence, as run.py does."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.add_argument(
            "--grid",
            action="append",
            default=[],
            metavar="NAME=V1,V2",
            help="an axis of the grid: values of a flag of run.py; or of several that go together, "
            "as NAME1,NAME2=A1:A2,B1:B2",
        )
        self.add_argument(
            "--range",
            action="append",
            default=[],
            metavar="NAME=LOW,HIGH[,log]",
            help="an interval to search, for --sampler=tpe; log: even over the logarithm",
        )
        self.add_argument(
            "--skip",
            action="append",
            default=[],
            metavar="NAME=V,NAME=V",
            help="points of the grid that are left out",
        )

    def error(self, message):
        raise UsageError(message)

    def parse(self, words):
        """(options, flags of run.py) of a command line whose flagfiles may hold both."""
        return self.parse_known_args(self.expand(words))

    def expand(self, words, within=()):
        """The command line, with those flagfiles opened that hold an option of ours at any depth.

        Args:
            within: real paths of the flagfiles that the words are in.

        Raises:
            UsageError: a flagfile cannot be read, or includes itself.
        """
        found, words = [], iter(words)
        for word in words:
            name, _, path = word.partition("=")
            if name.lstrip("-") != "flagfile" or not name.startswith("-"):
                found.append(word)
                continue
            path = path or next(words, "")
            lines, real = flags.lines_of(path), os.path.realpath(path)
            if real in within:
                raise UsageError(
                    f"--flagfile must not include itself. Received: {path}, within {within[-1]}"
                )
            inside = self.expand(lines, (*within, real))
            ours = any(word.split("=")[0] in self._option_string_actions for word in inside)
            found += inside if ours else [f"--flagfile={path}"]
        return found


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is to be run: flags of run.py that all share, and what varies.

    Attributes:
        words: flags of run.py.
        axes: {names: list of tuples of values}, the grid.
        ranges: {name: (low, high, logarithmic)}.
        skip: list of {name: value}.
    """

    words: list
    axes: dict
    ranges: dict
    skip: list

    @functools.cached_property
    def points(self):
        """Every setting of the grid, a dict, in order."""
        points = [
            dict(zip(sum(self.axes, ()), sum(values, ())))
            for values in itertools.product(*self.axes.values())
        ]
        return [
            point
            for point in points
            if not any(unwanted.items() <= point.items() for unwanted in self.skip)
        ]

    @property
    def names(self):
        """All that varies."""
        return [*sum(self.axes, ()), *self.ranges]

    def flags(self, point):
        """The command line of run.py for a point."""
        return [*self.words, *assignments(point)]

    def config(self, point):
        """Its Config.

        Raises:
            UsageError: run.py would refuse it.
        """
        parsed = flags.parse(["run.py", *self.flags(point)])
        if parsed is None:
            raise UsageError("--help of run.py is not a sweep's: python run.py --help")
        return parsed[0]


def read(options, words, line, product=True):
    """The Sweep that a command line asks for.

    Args:
        options: what a `Parser` found.
        words: what it left, which are run.py's.
        line: the command line itself, for what its flagfiles do not say.
        product: whether every point of the grid will be run.

    Raises:
        UsageError: it cannot be read, or run.py would refuse one of the points.
    """
    axes = dict(axis(text) for text in options.grid)
    ranges = {name: bounds for name, *bounds in map(interval, options.range)}
    sweep = Sweep(words, axes, ranges, [unwanted(text) for text in options.skip])
    check_names(sweep, line)
    check_points(sweep, product)
    return sweep


def axis(text):
    """--grid as (names, list of tuples of values)."""
    left, equals, right = text.partition("=")
    names = tuple(left.split(","))
    if not (equals and right):
        raise UsageError(f"--grid must be NAME=VALUE,VALUE,... Received: {text}")
    rows = []
    for value in right.split(","):
        parts = value.split(":") if len(names) > 1 else [value]
        if len(parts) != len(names):
            raise UsageError(
                f"--grid={left}=... must give {len(names)} values separated by colons "
                f"for each run. Received: {value}"
            )
        rows.append(tuple(typed("grid", name, part) for name, part in zip(names, parts)))
    return names, rows


def interval(text):
    """--range as (name, low, high, logarithmic)."""
    name, _, right = text.partition("=")
    parts = right.split(",")
    logarithmic = parts[-1] == "log"
    if len(parts) != 2 + logarithmic:
        raise UsageError(f"--range must be NAME=LOW,HIGH or NAME=LOW,HIGH,log. Received: {text}")
    low, high = (typed("range", name, part) for part in parts[:2])
    if isinstance(low, (bool, str)) or low >= high or (logarithmic and low <= 0):
        raise UsageError(
            f"--range must be of numbers, LOW below HIGH, above 0 with log. Received: {text}"
        )
    return name, low, high, logarithmic


def unwanted(text):
    """--skip as {name: value}."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {name: typed("skip", name, value) for name, _, value in pairs}


def typed(option, name, text):
    """A value as the type that its flag has."""
    if name not in KNOBS:
        raise UsageError(
            f"--{option} must name flags of run.py (python run.py --help). Received: {name}"
        )
    of_type, _, choices = kind(KNOBS[name])
    try:
        if of_type is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        return of_type(text)
    except (ValueError, KeyError):
        raise UsageError(
            f"--{option}: --{name} must be of type {of_type.__name__}. Received: {text}"
        ) from None


def assignments(point):
    """A point as flags."""
    return [f"--{name}={told(value)}" for name, value in point.items()]


def told(value):
    """A value as on a command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def check_names(sweep, line):
    """Raises UsageError for what varies in two ways, or may not."""
    names = sweep.names
    if not names:
        raise UsageError(
            "--grid must say what varies, such as --grid=temperature=0.25,0.5; none was given"
        )
    for name in names:
        if names.count(name) > 1 or any(word.split("=")[0] == f"--{name}" for word in line):
            raise UsageError(
                f"--{name} must be given once; it is in the grid and given again. "
                f"To narrow the grid: --grid={name}=VALUE"
            )
        if name == "mode":
            raise UsageError("--grid must not vary --mode: a sweep compares trainings of one kind")
    if any(word.split("=")[0] == "--model_dir" for word in sweep.words) or "model_dir" in names:
        raise UsageError(
            "--model_dir is not for a sweep, which gives each run a directory of its "
            "own in --sweep_dir"
        )
    for left_out in sweep.skip:
        if not left_out.keys() <= set(names):
            raise UsageError(
                f"--skip must name what the grid varies: {', '.join(names)}. "
                f"Received: {', '.join(left_out)}"
            )


def check_points(sweep, product):
    """Raises UsageError for what run.py would refuse, and for runs that are listed twice."""
    points = sweep.points if product else each_value(sweep.axes)
    if not points:
        raise UsageError("--skip must leave something of the grid; it leaves nothing")
    ends = [{name: bounds[end] for name, bounds in sweep.ranges.items()} for end in (0, 1)]
    configs = [
        sweep.config(point | end)
        for point in points
        for end in (ends if sweep.ranges else ends[:1])
    ]
    if not (configs[0].trains and configs[0].evaluates):
        raise UsageError(
            "--mode must be pretrain, finetune, distill or train_then_eval: a sweep "
            f"compares results of trainings. Received: {configs[0].mode}"
        )
    if product and not sweep.ranges:
        for i, config in enumerate(configs):
            if config in configs[:i]:
                raise UsageError(
                    "--grid must list every run once. Received twice: "
                    + " ".join(assignments(points[i]))
                )


def each_value(axes):
    """Points that show every value of every axis, without their product."""
    first = {name: value for names, rows in axes.items() for name, value in zip(names, rows[0])}
    return [
        first,
        *(first | dict(zip(names, row)) for names, rows in axes.items() for row in rows[1:]),
    ]


def identity(sweep):
    """All that says which sweep it is, as JSON can hold it: not where its data are."""
    some = each_value(sweep.axes)[0] | {name: low for name, (low, *_) in sweep.ranges.items()}
    fixed = {
        name: value
        for name, value in sweep.config(some).to_dict().items()
        if name not in PLACES and name not in sweep.names
    }
    return {
        "flags": fixed,
        "axes": [[list(names), rows] for names, rows in sweep.axes.items()],
        "ranges": sweep.ranges,
        "skip": sweep.skip,
    }
