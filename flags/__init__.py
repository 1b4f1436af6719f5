"""The command-line face of `tfssl.Config`, and (beside this file) the experiments as flagfiles.

Nothing else in the project reads flags. Each knob of the table in `tfssl/config.py` becomes one
absl flag, so `--flagfile`, `--nouse_blur` and "the later one wins" work as everywhere with absl. A
flag set of our own is used, not absl's global one: other libraries' flags stay out of the help, and
two command lines can be parsed in one process.
"""

import dataclasses
import textwrap

from absl import flags as absl_flags

from tfssl.config import ByMethod, ByTask, Config, google_defaults, kind
from tfssl.errors import UsageError

HELP = ("help", "helpshort", "helpfull", "h")
USAGE = """usage: python run.py [--flag=value ...] [--flagfile=FILE]

  python run.py --flagfile=flags/shapes.flags               a first run, no download, minutes
  python run.py --dataset=cifar10 --resnet_depth=50 --use_blur
  python run.py --mode=eval --model_dir=runs/NAME
  python run.py --mode=finetune --checkpoint=runs/NAME --dataset=imagenette/160px-v2
  python run.py --flagfile=runs/NAME/flags.flags --model_dir=runs/AGAIN    the same run again
"""


def define():
    """A fresh absl flag set with one flag for every knob."""
    values = absl_flags.FlagValues()
    for field in dataclasses.fields(Config):
        of_type, _, choices = kind(field)
        args = (field.name, field.default, field.metadata["help"])
        if choices and of_type is str:
            absl_flags.DEFINE_enum(field.name, field.default, choices, field.metadata["help"],
                                   flag_values=values)
        else:
            DEFINE[of_type](*args, flag_values=values)
    for name in HELP:
        absl_flags.DEFINE_bool(name, False, "Show this help.", flag_values=values)
    return values


DEFINE = {str: absl_flags.DEFINE_string, bool: absl_flags.DEFINE_bool,
          int: absl_flags.DEFINE_integer, float: absl_flags.DEFINE_float}


def parse(argv):
    """A command line as (Config, names of the flags given), or None where help was asked for.

    Args:
        argv: list of strings; argv[0] is the program's name.

    Raises:
        UsageError: an unknown flag, a value that cannot be read, a failed check.
    """
    values = define()
    try:
        rest = values(argv)
    except absl_flags.UnrecognizedFlagError as error:
        if error.flagname in ("grid", "range", "skip"):
            raise UsageError(f"--{error.flagname} says what varies over many runs, which "
                             "scripts/sweep.py makes: python scripts/sweep.py --help") from None
        raise UsageError(" ".join(str(error).split())) from None
    except absl_flags.Error as error:
        raise UsageError(" ".join(str(error).split())) from None
    if any(values[name].value for name in HELP):
        return None
    if len(rest) > 1:
        raise UsageError(f"Only --flags are expected. Received: {rest[1]}")
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name for name in names if values[name].present}
    settings = {name: values[name].value for name in names}
    if "train_mode" in given:
        theirs = google_defaults(settings["train_mode"]) if settings["method"] == "simclr" else {}
        theirs = {"mode": "train"} | theirs
        settings |= {k: v for k, v in theirs.items() if k not in given}
    return Config(**settings), given


def dump(config, header=""):
    """The text of a flagfile from which `parse` makes the same Config."""
    lines = [f"# {line}" for line in header.splitlines()]
    for name, value in config.to_dict().items():
        if value is not None:
            lines.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines) + "\n"


def help_text():
    """Every flag, grouped by what it concerns, with its type, default and meaning."""
    groups = {}
    for field in dataclasses.fields(Config):
        groups.setdefault(field.metadata["group"], []).append(describe(field))
    return USAGE + "".join(f"\n{name}\n\n" + "\n".join(rows) for name, rows in groups.items())


def describe(field):
    of_type, _, choices = kind(field)
    values = "|".join(map(str, choices)) if choices else of_type.__name__
    default = told_default(field.metadata["default"])
    default = default and f"  (default: {default})"
    text = textwrap.fill(field.metadata["help"], 96, initial_indent=" " * 6,
                         subsequent_indent=" " * 6)
    return f"  --{field.name}={values}{default}\n{text}\n"


def told_default(default):
    """A default as text; "" where there is none, or the help text has to say it."""
    if not isinstance(default, (ByMethod, ByTask)):
        return "" if default is None else str(default)
    told = {case: "see below" if callable(value) else told_default(value)
            for case, value in default.cases.items()}
    return "; ".join(f"{case}: {text}" for case, text in told.items() if text)
