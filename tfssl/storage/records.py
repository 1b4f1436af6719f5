"""Schemas of the JSON files of a run, against which every file is validated when it is read.

A check is a function of a value that returns None, or a text that says what is wrong. Further keys
are allowed.
"""

import sys

from tfssl.config import ARCHITECTURE, LATER, Config, check_range, check_type
from tfssl.errors import UsageError


def checked(expected, holds):
    """A check of a single value.

    Args:
        expected: what is expected, for messages.
        holds: function (value) -> whether it is valid.
    """
    return lambda value: None if holds(value) else f"must be {expected}"


def is_number(value):
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


TEXT = checked("text", lambda value: isinstance(value, str))
BOOLEAN = checked("true or false", lambda value: isinstance(value, bool))
NUMBER = checked("a number", is_number)
AMOUNT = checked("a number of at least 0", lambda value: is_number(value) and value >= 0)
COUNT = checked("an integer of at least 0", lambda value: is_integer(value) and value >= 0)
POSITIVE = checked("an integer of at least 1", lambda value: is_integer(value) and value >= 1)
SHARE = checked("a number in [0, 1]", lambda value: is_number(value) and 0 <= value <= 1)
OBJECT = checked("an object", lambda value: isinstance(value, dict))


def optional(check):
    """A check that also accepts null."""
    return lambda value: None if value is None else check(value)


def either(one, other):
    """A check that accepts what one of two accepts."""
    return lambda value: other(value) and one(value)


def several(check, *counts):
    """A check of a list: of its items and, if any are given, of its allowed lengths."""

    def check_list(value):
        if not isinstance(value, list) or counts and len(value) not in counts:
            length = " or ".join(map(str, counts))
            return f"must be a list{' of ' + length if length else ''}"
        return next(
            (f"[{place}] {wrong}" for place, item in enumerate(value) if (wrong := check(item))),
            None,
        )

    return check_list


def by_name(check):
    """A check of all values of an object."""

    def check_values(value):
        if not isinstance(value, dict):
            return "must be an object"
        return next(
            (f"{key}: {wrong}" for key, item in value.items() if (wrong := check(item))), None
        )

    return check_values


def holding(required=None, may=None):
    """A check of an object by its keys.

    Args:
        required: {key: check}.
        may: {key: check} of optional keys.
    """
    required, may = required or {}, may or {}

    def check_object(value):
        if not isinstance(value, dict):
            return "must be an object"
        missing = [key for key in required if key not in value]
        if missing:
            return f"{missing[0]} is missing"
        known = {**required, **may}
        return next(
            (
                f"{key}: {wrong}"
                for key, item in value.items()
                if key in known and (wrong := known[key](item))
            ),
            None,
        )

    return check_object


def of_knob(name):
    """A check of a setting of `tfssl.Config`, in JSON."""
    field = Config.__dataclass_fields__[name]

    def check_setting(value):
        try:
            check_range(field, check_type(field, value))
        except UsageError as error:
            return str(error).removeprefix(f"--{name} ").partition(". Received")[0]

    return check_setting


SIZE = several(POSITIVE, 2)
RISING = checked(
    "a list of two numbers, the lower one first",
    lambda value: several(NUMBER, 2)(value) is None and value[0] < value[1],
)
RISING_BY_CHANNEL = checked(
    "a list of two lists of as many numbers, the lower ones first",
    lambda value: (
        isinstance(value, list)
        and len(value) == 2
        and all(several(NUMBER)(side) is None for side in value)
        and len(value[0]) == len(value[1]) > 0
        and all(low < high for low, high in zip(*value))
    ),
)
VALUE_RANGES = by_name(either(RISING, RISING_BY_CHANNEL))
# Descriptions of weights: the architecture, and the origin.
NETWORK = {
    **{name: of_knob(name) for name in ARCHITECTURE if name not in LATER},
    # Plug-ins add methods: whether there is one of the name, `export.check_about` says.
    "method": checked("the name of a method", lambda v: isinstance(v, str) and v.isidentifier()),
    "stem": checked("cifar or imagenet", lambda value: value in ("cifar", "imagenet")),
}
ORIGIN = {
    **{name: of_knob(name) for name in ARCHITECTURE if name in LATER},
    "image_size": optional(SIZE),
    "dataset": TEXT,
    "train_split": TEXT,
    "task": TEXT,
    "seed": COUNT,
    "step": COUNT,
    "value_ranges": VALUE_RANGES,
    "no_data": of_knob("no_data"),
    "no_data_fill": of_knob("no_data_fill"),
    "weights": TEXT,
}
WEIGHTS = holding({**NETWORK, "path": TEXT, "step": COUNT}, ORIGIN)
CLASSES = {"classes": COUNT, "class_names": several(TEXT)}
ABOUT = holding(
    may={  # in an exported file or a manifest
        **NETWORK,
        **ORIGIN,
        "classes": POSITIVE,
        "class_names": several(TEXT),
        "eval_size": SIZE,
        "export_input": of_knob("export_input"),
        "eval_crop_proportion": of_knob("eval_crop_proportion"),
    }
)

SCORES = holding(
    {"examples": POSITIVE, "top_1": SHARE, "top_5": SHARE},
    {
        "correct_top_1": COUNT,
        "correct_top_5": COUNT,
        "classes": POSITIVE,
        "information_bound": optional(NUMBER),
    },
)
PROTOCOLS = by_name(SCORES)
ACCURACIES = ("pretrained", "finetuned", "distilled", "results")
VERDICT = holding({"kind": TEXT, "step": COUNT, "why": TEXT, "advice": TEXT})
EVALUATED = holding(
    {"dataset": TEXT, "eval_split": TEXT},
    {
        "global_step": COUNT,
        "eval_dataset": TEXT,
        "labels": COUNT,
        "left_out": TEXT,
        "train_seconds": AMOUNT,
        "verdict": VERDICT,
        "class_names": several(TEXT),
        "evaluated": OBJECT,
        "untrained": optional(PROTOCOLS),
        **{name: PROTOCOLS for name in ACCURACIES},
    },
)


def result(value):
    """The check of result.json."""
    wrong = EVALUATED(value)
    if wrong or any(name in value for name in ACCURACIES):
        return wrong or lacking(value)
    return f"{' or '.join(ACCURACIES)} is missing"


def lacking(value):
    """Names a missing key that the table of a result needs: its step, or its labels."""
    needed = {"pretrained": ["global_step"], "results": ["labels"]}
    done = next(name for name in ACCURACIES if name in value)
    return next(
        (
            f"{key} is missing"
            for key in needed.get(done, ["global_step", "labels"])
            if key not in value
        ),
        None,
    )


def sums(value):
    """The check of {file: digest}, for files in the same directory."""
    if wrong := by_name(TEXT)(value):
        return wrong
    return next(
        (
            f"{name}: must be the name of a file"
            for name in value
            if name in ("", ".", "..") or set(name) & set("/\\\0")
        ),
        None,
    )


RECORDS = {
    "data.json": holding(
        {"train": OBJECT}, {"value_ranges": VALUE_RANGES, "plugins": by_name(TEXT)}
    ),
    "time.json": holding({"train_seconds": AMOUNT, "images_per_second": AMOUNT}),
    "result.json": result,
    "untrained.json": holding({"settings": OBJECT, "results": PROTOCOLS}),
    "labels.json": holding({"labels": COUNT}, {"sha256": TEXT, **CLASSES}),
    "teacher.json": holding(
        {
            **NETWORK,
            "path": TEXT,
            "sha256": TEXT,
            "classes": POSITIVE,
            "step": COUNT,
            "answered": holding({"image_size": SIZE, "crop_proportion": SHARE, "precision": TEXT}),
        },
        {**ORIGIN, "class_names": several(TEXT)},
    ),
    "pretrained.json": lambda value: None if value == {} else WEIGHTS(value),
    "manifest.json": holding({"step": COUNT, "files": sums}, {"about": optional(ABOUT)}),
}


def problem(name, value):
    """Validates the content of a file; returns what is wrong with it, or None.

    Args:
        name: name of the file, without its directory.
        value: its parsed JSON.
    """
    return RECORDS.get(name, OBJECT)(value)
