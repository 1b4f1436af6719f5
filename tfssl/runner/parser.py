"""The command line as a `tfssl.Config`: a flag for each knob of `tfssl.config.options`.

Nothing else in the project reads flags. absl parses them, so `--flagfile`, `--nouse_blur` and "the
later one wins" work as everywhere with absl. The flag set is not absl's global one: other
libraries' flags stay out of the help, and two command lines can be parsed in one process.
"""

import dataclasses
import os
import re
import textwrap

from absl import flags as absl_flags

from tfssl import files
from tfssl.config import METHODS, Config, google_defaults, kind, listed
from tfssl.errors import UsageError
from tfssl.runner import plugins
from tfssl.text import printable

HELP = {
    "help": "Show the flags that are used most.",
    "helpshort": "The same as --help.",
    "h": "The same as --help.",
    "helpfull": "Show every flag, with all that it means.",
}
USAGE = """usage: {command} [mode] [--flag=value ...] [--flagfile=FILE]

  {command} --flagfile=flags/shapes.flags               a first run, no download, minutes
  {command} --dataset=cifar10 --resnet_depth=50 --use_blur
  {command} --mode=eval --model_dir=runs/NAME
  {command} --mode=finetune --checkpoint=runs/NAME --dataset=imagenette/160px-v2
  {command} --mode=predict --checkpoint=runs/NAME --data_dir=FOLDER   classes, as CSV
  {command} --flagfile=runs/NAME/flags.flags --model_dir=runs/AGAIN    the same run again
"""
FULL = (
    "[defaults in brackets]  {command} --helpfull lists all {count} flags and all that they mean."
)
TEXT, WIDTH = 28, 100  # where the text of --help begins, and where it ends
FLAGFILE, A_FLAGFILE = ("--flagfile", "-flagfile"), "--flagfile must be a file of flags"
MOST_FLAGFILES = 200  # that may be opened for one command line
EXPECTED = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def define():
    """A fresh absl flag set with one flag for every knob, and for every option of a plug-in.

    Raises:
        UsageError: an option bears the name of a flag, or of another type's option.
    """
    values = absl_flags.FlagValues()
    for field in dataclasses.fields(Config):
        of_type, _, choices = kind(field)
        args = (field.name, field.default, field.metadata["help"])
        if choices and of_type is str:
            absl_flags.DEFINE_enum(
                field.name, field.default, choices, field.metadata["help"], flag_values=values
            )
        else:
            DEFINE[of_type](*args, flag_values=values)
    for name, text in HELP.items():
        absl_flags.DEFINE_bool(name, False, text, flag_values=values)
    for field in options():
        if field.name in values:
            raise UsageError(f"--{field.name} is a flag of tfssl: an option must bear another name")
        absl_flags.DEFINE_string(
            field.name, None, field.metadata.get("help", ""), flag_values=values
        )
    return values


def options():
    """The options of all methods that plug-ins registered, as dataclass fields; each name once."""
    fields = [field for method in METHODS for field in plugins.fields_of(method)]
    return {field.name: field for field in fields}.values()


DEFINE = {
    str: absl_flags.DEFINE_string,
    bool: absl_flags.DEFINE_bool,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
}


def parse(argv):
    """A command line as (Config, names of the flags given), or None where help was asked for.

    A first word without dashes is the mode: `tfssl knn --model_dir=DIR`.

    Args:
        argv: list of strings; argv[0] is the program's name.

    Raises:
        UsageError: an unknown flag, a value that cannot be read, a failed check.
    """
    words = with_flagfiles(with_mode(argv[1:]))
    plugins.load(plugin_in(words))
    values = define()
    try:
        rest = values([argv[0], *words])
    except (absl_flags.Error, ValueError) as error:  # absl raises its own, and ValueErrors too
        raise UsageError(refusal(error)) from None
    if any(values[name].value for name in HELP):
        return None
    if len(rest) > 1:
        raise UsageError(
            "Only --flags are expected, and before them a mode "
            f"({', '.join(modes())}). Received: {printable(rest[1])}"
        )
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: values[name].value for name in names if values[name].present}
    chosen = [f"{f.name}={values[f.name].value}" for f in options() if values[f.name].present]
    if chosen:
        given["method_options"] = ",".join(filter(None, [given.get("method_options"), *chosen]))
    theirs = {}
    if "train_mode" in given:
        theirs = google_defaults(given["train_mode"], values["method"].value)
        theirs = {"mode": "train"} | theirs
    config = Config(**{**theirs, **given})
    plugins.values_of(config)
    return config, set(given)


def plugin_in(words):
    """The value of --plugin on a command line, read before the other flags; the last one wins."""
    found = None
    for word, after in zip(words, [*words[1:], None]):
        name, given, value = word.partition("=")
        if name.lstrip("-") == plugins.FLAG and word.startswith("-"):
            found = value if given else after
    return found


def with_mode(words):
    """The words of a command line, the mode among them as a flag."""
    if words and words[0] in modes():
        return [f"--mode={words[0]}", *words[1:]]
    return words


def modes():
    return kind(Config.__dataclass_fields__["mode"])[2]


def with_flagfiles(words):
    """The words of a command line, with those of every flagfile in its place.

    Raises:
        UsageError: a flagfile cannot be read, or includes itself.
    """
    opened = []

    def expanded(words, around):
        words = iter(words)
        for word in words:
            name, given, path = word.partition("=")
            if word == "--":
                yield from (word, *words)
            elif name not in FLAGFILE:
                yield word
            else:
                path = path.strip() if given else next(words, None)
                yield from inside(path, around) if path != "" else ()  # as absl does

    def inside(path, around):
        if path is None:
            raise UsageError(f"{A_FLAGFILE}. Received: nothing")
        path = shipped(os.path.expanduser(path))
        place = os.path.realpath(path)
        if place in around:
            raise UsageError(
                f"--flagfile={printable(path)} includes itself"
                + (f", by {printable(around[-1])}." if around[-1] != place else ".")
            )
        opened.append(path)
        if len(opened) > MOST_FLAGFILES:
            raise UsageError(
                f"--flagfile={printable(path)} is one of more than {MOST_FLAGFILES} "
                "flagfiles that include each other."
            )
        yield from expanded(lines_of(path), (*around, place))

    return list(expanded(words, ()))


def shipped(path):
    """Where a flagfile is: flags/NAME, where there is none here, is the one that tfssl brings."""
    name = os.path.normpath(path).removeprefix(f"flags{os.sep}")
    if name != os.path.normpath(path) and not os.path.lexists(path):
        for folder in SHIPPED:
            there = os.path.join(folder, name)
            if os.path.isfile(there):
                return there
    return path


HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Of an installed package, and of a clone of the repository.
SHIPPED = (os.path.join(HERE, "flagfiles"), os.path.join(os.path.dirname(HERE), "flags"))


def lines_of(path):
    """The lines of a flagfile that are no remarks.

    Raises:
        UsageError: it cannot be read, or is no text.
    """
    try:
        lines = [line.strip() for line in re.split("[\r\n]", files.text(path))]
    except OSError as error:
        raise UsageError(f"{A_FLAGFILE}. Received: {printable(path)} ({error.strerror})") from None
    return [line for line in lines if line and not line.startswith(("#", "//"))]


def refusal(error):
    """What absl refuses, in our words: the flag, what was expected, what was received."""
    text = " ".join(str(error).split())
    if isinstance(error, absl_flags.UnrecognizedFlagError):
        return unknown(error.flagname, text)
    if missing := re.fullmatch(r"Missing value for flag --?(\S+)", text):
        return f"--{missing[1]} must be {expected_of(missing[1])}. Received: nothing"
    if argument := re.fullmatch(r"--?no(\w+)=(.*) does not take an argument", text):
        return f"--no{argument[1]} takes no value. Received: {printable(argument[2])}"
    if not isinstance(error, absl_flags.IllegalFlagValueError):
        return text
    name, _, value = str(error).removeprefix("flag --").partition("=")
    value = value.removesuffix(f": {error.__context__}")
    return f"--{name} must be {expected_of(name)}. Received: {printable(value) or 'nothing'}"


def unknown(name, text):
    """The refusal of a flag that there is not, with those that it may have been meant for."""
    if name in ("grid", "range", "skip"):
        return (
            f"--{name} says what varies over many runs, which scripts/sweep.py makes: "
            "python scripts/sweep.py --help"
        )
    meant = text.partition("Did you mean: ")[2].rstrip(" ?")
    return f"--{printable(name)} is an unknown flag." + (
        f" Did you mean --{meant.replace(' or ', ' or --')}?" if meant else " --helpfull lists all."
    )


def expected_of(name):
    """What a flag may be, in words."""
    field = next((field for field in dataclasses.fields(Config) if field.name == name), None)
    if field is None:
        return "given a value"
    of_type, _, choices = kind(field)
    return f"one of {', '.join(map(str, choices))}" if choices else EXPECTED[of_type]


def dump(config, header=""):
    """The text of a flagfile from which `parse` makes the same Config."""
    lines = [f"# {line}" for line in header.splitlines()]
    for name, value in config.to_dict().items():
        if value is not None:
            lines.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines) + "\n"


def help_text(argv):
    """The help that a command line asks for, grouped by what flags concern.

    --helpfull: every flag with its type, default and meaning; else those that are used most, in a
    line or two each.
    """
    fields, name = dataclasses.fields(Config), program(argv)
    command = f"python {name}" if name.endswith(".py") else name
    usage = USAGE.format(command=command)
    if any(word.lstrip("-") == "helpfull" for word in argv):
        return f"{usage}\n{grouped(fields, describe)}{of_plugins()}"
    common = [field for field in fields if field.metadata["common"]]
    return f"{usage}\n{grouped(common, in_short)}\n{of_plugins()}" + FULL.format(
        command=command, count=len(fields)
    )


def of_plugins():
    """The options of methods that plug-ins registered, as help has them; "" without any."""
    rows = [
        f"  --{field.name}".ljust(TEXT)
        + f"{field.metadata.get('help', '')} [{field.default}] ({method})\n"
        for method in METHODS
        for field in plugins.fields_of(method)
    ]
    return "".join(["Options of methods of --plugin\n", *rows, "\n"]) if rows else ""


def program(argv):
    """What a command line calls the program: run.py, or tfssl where it is installed."""
    name = os.path.basename(argv[0])
    return name if name == "run.py" else "tfssl"


def grouped(fields, told):
    """Texts of flags under the names of their groups.

    Args:
        told: field -> its text.
    """
    groups = {}
    for field in fields:
        groups.setdefault(field.metadata["group"], []).append(told(field))
    return "\n".join(f"{name}\n" + "".join(rows) for name, rows in groups.items())


def in_short(field):
    """A flag as --help has it: the first sentence alone, beside the name where there is room."""
    default = told_default(listed(field), elsewhere="see --helpfull")
    text = first_sentence(field.metadata["help"])
    name = f"  --{field.name}={told_values(field)}"
    told = textwrap.fill(f"{text} [{default}]" if default else text, WIDTH - TEXT)
    told = textwrap.indent(told, " " * TEXT)
    return f"{name}\n{told}\n" if len(name) >= TEXT else f"{name}{told[len(name) :]}\n"


def first_sentence(text):
    """What comes before the first full stop, which "et al." and "..." have none of."""
    return re.split(r"(?<!al)(?<!\.\.)\.(?:\s|$)", text)[0]


def describe(field):
    """A flag as --helpfull has it."""
    default = told_default(listed(field))
    default = default and f"  (default: {default})"
    text = textwrap.indent(textwrap.fill(field.metadata["help"], 90), " " * 6)
    return f"\n  --{field.name}={told_values(field)}{default}\n{text}\n"


def told_values(field):
    of_type, _, choices = kind(field)
    return "|".join(map(str, choices)) if choices else of_type.__name__


def told_default(default, elsewhere="see below"):
    """A default as text; "" where there is none.

    Args:
        default: as `tfssl.config.listed` gives it.
        elsewhere: what stands for one that the help text has to say.
    """
    if not isinstance(default, dict):
        return "" if default is None else str(default)
    told = {
        case: elsewhere if callable(value) else told_default(value, elsewhere)
        for case, value in default.items()
    }
    return "; ".join(f"{case}: {text}" for case, text in told.items() if text)
