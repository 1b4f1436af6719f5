"""Parses the command line into a `tfssl.Config`, with one flag per setting.

No other module reads flags. absl parses them, so `--flagfile`, `--nouse_blur` and repeated flags
behave as in other programs with absl. The flags are not in absl's global set: flags of other
libraries do not appear in the help, and a process can parse several command lines.
"""

import dataclasses
import functools
import itertools
import os
import re
import textwrap

from absl import flags as absl_flags

from tfssl import files
from tfssl.config import (
    BUILT_IN,
    METHODS,
    MODES,
    STANDARD,
    TASKS,
    Config,
    google_defaults,
    kind,
    listed,
)
from tfssl.errors import UsageError
from tfssl.runner import completion, plugins
from tfssl.text import first_sentence, printable

HELP = {
    "help": "Show the most common flags.",
    "helpshort": "The same as --help.",
    "h": "The same as --help.",
    "helpfull": "Show every flag, with its full description.",
}
COMPLETION = "Print a script for completion by a shell; see docs/command_line.md."
USAGE = """usage: {command} [mode] [--flag=value ...] [--flagfile=FILE]

  {command} --flagfile=flags/shapes.flags               a first run, no download, minutes
  {command} --dataset=cifar10 --resnet_depth=50 --use_blur
  {command} finetune --help                            the flags of one mode alone
  {command} --mode=finetune --checkpoint=runs/NAME --dataset=imagenette/160px-v2
  {command} --mode=predict --checkpoint=runs/NAME --data_dir=FOLDER   classes, as CSV
  {command} --flagfile=runs/NAME/flags.flags --model_dir=runs/AGAIN    the same run again
"""
OF_A_MODE = """usage: {command} {mode} [--flag=value ...] [--flagfile=FILE]

{help}:

  {command} {mode} {example}
"""
FULL = (
    "[defaults in brackets]  {command} --helpfull lists all {count} flags with full descriptions."
)
TEXT, WIDTH = 28, 100  # first and last column of the texts of --help
FLAGFILE, A_FLAGFILE = ("--flagfile", "-flagfile"), "--flagfile must be a file of flags"
MOST_FLAGFILES = 200  # limit of flagfiles per command line
EXPECTED = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def define():
    """Creates an absl flag set with one flag for every setting and every option of a plug-in.

    Raises:
        UsageError: an option has the name of a flag.
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
    absl_flags.DEFINE_enum("completion", None, [*completion.SHELLS], COMPLETION, flag_values=values)
    for field in options():
        if field.name in values:
            raise UsageError(f"--{field.name} is a flag of tfssl: an option must have another name")
        # A truth value may stand alone, or as --noNAME; the types of others are checked later.
        define_option = DEFINE[bool if plugins.type_of(field) is bool else str]
        define_option(field.name, None, field.metadata.get("help", ""), flag_values=values)
    return values


def options():
    """The options of all methods of plug-ins, as dataclass fields; each name once."""
    fields = [field for method in METHODS for field in plugins.fields_of(method)]
    return {field.name: field for field in fields}.values()


DEFINE = {
    str: absl_flags.DEFINE_string,
    bool: absl_flags.DEFINE_bool,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
}


def parse(argv):
    """Parses a command line.

    A first word without dashes is the mode: `tfssl knn --model_dir=DIR`. After `report` come the
    directories of runs: `tfssl report DIR DIR`.

    Args:
        argv: list of strings; argv[0] is the program's name.

    Returns:
        (Config, set of the names of given flags); None: a text was requested, that of `help_text`.

    Raises:
        UsageError: an unknown flag, an invalid value, or a failed check.
    """
    words = with_flagfiles(with_mode(argv[1:]))
    plugins.load(last_value(plugins.FLAG, words))
    values = define()
    try:
        rest = values([argv[0], *words])
    except (absl_flags.Error, ValueError) as error:  # absl raises its own, and ValueErrors too
        raise UsageError(refusal(error)) from None
    if len(rest) > 1:
        raise UsageError(
            "Only --flags are expected, and before them a mode "
            f"({', '.join(modes())}). Received: {printable(rest[1])}"
        )
    if any(values[name].value for name in (*HELP, "completion")):
        return None
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: values[name].value for name in names if values[name].present}
    separate = [f"{f.name}={values[f.name].value}" for f in options() if values[f.name].present]
    if separate:
        given["method_options"] = ",".join(filter(None, [given.get("method_options"), *separate]))
    theirs = {}
    if "train_mode" in given:
        theirs = google_defaults(given["train_mode"], values["method"].value)
        theirs = {"mode": "train"} | theirs
    config = Config(**{**theirs, **given})
    plugins.values_of(config)
    return config, set(given)


def last_value(flag, words):
    """The last value of a flag on a command line, read before the others; None: not given."""
    found = None
    for word, after in zip(words, [*words[1:], None]):
        name, given, value = word.partition("=")
        if name.lstrip("-") == flag and word.startswith("-"):
            found = value if given else after
    return found


def with_mode(words):
    """Replaces a mode as the first word by its flag, and runs after `report` by theirs."""
    if words and words[0].lstrip("-") in HELP:
        return [words[0], *with_mode(words[1:])]
    if not words or words[0] not in modes():
        return words
    mode, *rest = words
    other = last_value("mode", rest)
    if other not in (None, mode):
        raise UsageError(f"{mode} and --mode={printable(other)} contradict each other: give one.")
    runs = list(itertools.takewhile(lambda word: not word.startswith("-"), rest))
    if mode != "report" or not runs:
        return [f"--mode={mode}", *rest]
    others = [f"--compare={','.join(runs[1:])}"] if runs[1:] else []
    return [f"--mode={mode}", f"--model_dir={runs[0]}", *others, *rest[len(runs) :]]


def modes():
    return kind(Config.__dataclass_fields__["mode"])[2]


def with_flagfiles(words):
    """Replaces every --flagfile by the flags in that file.

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
                yield from inside(path, around) if path != "" else ()  # absl ignores it too

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
    """The path of a flagfile; flags/NAME is searched among those of tfssl if it does not exist."""
    name = os.path.normpath(path).removeprefix(f"flags{os.sep}")
    if name != os.path.normpath(path) and not os.path.lexists(path):
        for folder in SHIPPED:
            there = os.path.join(folder, name)
            if os.path.isfile(there):
                return there
    return path


HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# In an installed package, and in a clone of the repository.
SHIPPED = (os.path.join(HERE, "flagfiles"), os.path.join(os.path.dirname(HERE), "flags"))


def lines_of(path):
    """The lines of a flagfile without comments.

    Raises:
        UsageError: it cannot be read, or is not a text file.
    """
    try:
        lines = [line.strip() for line in re.split("[\r\n]", files.text(path))]
    except OSError as error:
        raise UsageError(f"{A_FLAGFILE}. Received: {printable(path)} ({error.strerror})") from None
    return [line for line in lines if line and not line.startswith(("#", "//"))]


def refusal(error):
    """Rewrites an error of absl: the flag, what was expected, what was received."""
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
    """The error message for an unknown flag, with suggestions."""
    if name in ("grid", "range", "skip"):
        return (
            f"--{name} is a flag of scripts/sweep.py, for many runs: python scripts/sweep.py --help"
        )
    near = text.partition("Did you mean: ")[2].rstrip(" ?")
    return f"--{printable(name)} is an unknown flag." + (
        f" Did you mean --{near.replace(' or ', ' or --')}?" if near else " --helpfull lists all."
    )


def expected_of(name):
    """A description of the valid values of a flag."""
    if name == "completion":
        return f"one of {', '.join(completion.SHELLS)}"
    field = next((field for field in dataclasses.fields(Config) if field.name == name), None)
    if field is None:
        known = [plugins.type_of(option) for option in options() if option.name == name]
        return EXPECTED[known[0]] if known else "given a value"
    of_type, _, choices = kind(field)
    return f"one of {', '.join(map(str, choices))}" if choices else EXPECTED[of_type]


def dump(config, header=""):
    """The text of a flagfile that `parse` turns into the same Config."""
    lines = [f"# {line}" for line in header.splitlines()]
    for name, value in config.to_dict().items():
        if value is not None:
            lines.append(spelled(name, value))
    return "\n".join(lines) + "\n"


def spelled(name, value):
    """A setting as a flag, such as --use_blur=true."""
    return f"--{name}={str(value).lower() if isinstance(value, bool) else value}"


def help_text(argv):
    """The help that a command line requests, in groups of flags.

    With --helpfull, every flag with its type, default and full text; otherwise those of the mode,
    or the most common ones, with one or two lines each. With --completion, a script.
    """
    shell = last_value("completion", argv)
    if shell:
        return completion.script(shell, more_to_complete())
    fields, name = dataclasses.fields(Config), program(argv)
    command = f"python {name}" if name.endswith(".py") else name
    usage = USAGE.format(command=command)
    words = with_flagfiles(with_mode(argv[1:]))
    named = last_value("method", words)
    method = named or STANDARD
    if any(word.lstrip("-") == "helpfull" for word in argv):
        rows = grouped(fields, functools.partial(describe, method=method))
        return f"{usage}\n{rows}\n" + "".join(map(of_method, METHODS))
    mode = last_value("mode", words)
    if mode in MODES and MODES[mode].flags:
        return of_mode(mode, command, method)
    common = [field for field in fields if field.metadata["common"]]
    rows = grouped(common, functools.partial(in_short, method=method))
    own = "".join(
        of_method(name, shared=name == named)
        for name in METHODS
        if name == method or name not in BUILT_IN
    )
    return f"{usage}\n{rows}\n{own}" + FULL.format(command=command, count=len(fields))


def more_to_complete():
    """What is completed besides the settings: flags of help, flagfiles, options of methods."""
    own = [
        completion.Flag(field.name, first_sentence(field.metadata.get("help", "")))
        for field in options()
    ]
    return [completion.Flag("flagfile", "A file of flags"), *own] + [
        completion.Flag(name, text.rstrip("."), completion.TRUTH)
        for name, text in HELP.items()
        if len(name) > 1
    ]


def of_mode(name, command, method):
    """The help on a mode of its own: what it does, an example, and its flags."""
    mode = MODES[name]
    text = textwrap.fill(mode.help[0].upper() + mode.help[1:], WIDTH)
    usage = OF_A_MODE.format(command=command, mode=name, help=text, example=mode.example)
    settings = Config.__dataclass_fields__
    rows = "".join(in_short(settings[flag], method, name) for flag in mode.flags)
    return f"{usage}\n{rows}\n" + FULL.format(command=command, count=len(settings))


def of_method(method, shared=False):
    """The help on the options that a method has for itself; "" if it has none.

    Args:
        method: its name.
        shared: whether to list the settings too that it has in common with some others.
    """
    settings = Config.__dataclass_fields__
    rows = [in_short(settings[name], method) for name in METHODS[method].settings if shared]
    rows += [
        textwrap.fill(
            f"{field.metadata.get('help', '')} [{field.default}]",
            WIDTH,
            initial_indent=f"  --{field.name}".ljust(TEXT - 1) + " ",
            subsequent_indent=" " * TEXT,
        )
        + "\n"
        for field in plugins.fields_of(method)
    ]
    return "".join([f"Options of --method={method}\n", *rows, "\n"]) if rows else ""


def program(argv):
    """The name of the program: run.py, or tfssl."""
    name = os.path.basename(argv[0])
    return name if name == "run.py" else "tfssl"


def grouped(fields, text_of):
    """The texts of flags under the headings of their groups.

    Args:
        fields: dataclass fields of settings.
        text_of: function (field) -> text.
    """
    groups = {}
    for field in fields:
        groups.setdefault(field.metadata["group"], []).append(text_of(field))
    return "\n".join(f"{name}\n" + "".join(rows) for name, rows in groups.items())


def in_short(field, method, mode=None):
    """The entry of a flag in --help: its first sentence, on the line of its name if it fits.

    Args:
        field: of the setting.
        method: whose default is listed too.
        mode: the one whose default is listed; None: those of all.
    """
    default = listed(field, method)
    if mode and isinstance(default, dict) and set(default) & set(TASKS):
        default = default.get(mode)  # of what is no training, there is none
    default = default_text(default, elsewhere="see --helpfull")
    text = first_sentence(field.metadata["help"])
    name = f"  --{field.name}={values_text(field)}"
    if len(name) > WIDTH:
        cut = name.rindex("|", 0, WIDTH) + 1
        name = f"{name[:cut]}\n{' ' * TEXT}{name[cut:]}"
    lines = textwrap.fill(f"{text} [{default}]" if default else text, WIDTH - TEXT)
    lines = textwrap.indent(lines, " " * TEXT)
    return f"{name}\n{lines}\n" if len(name) >= TEXT else f"{name}{lines[len(name) :]}\n"


def describe(field, method):
    """The entry of a flag in --helpfull."""
    default = default_text(listed(field, method))
    default = default and f"  (default: {default})"
    text = textwrap.indent(textwrap.fill(field.metadata["help"], 90), " " * 6)
    return f"\n  --{field.name}={values_text(field)}{default}\n{text}\n"


def values_text(field):
    of_type, _, choices = kind(field)
    return "|".join(map(str, choices)) if choices else of_type.__name__


def default_text(default, elsewhere="see below"):
    """A default as text; "" without one.

    Args:
        default: result of `tfssl.config.listed`.
        elsewhere: text for a default that the help text describes.
    """
    if not isinstance(default, dict):
        return "" if default is None else str(default)
    texts = {
        case: elsewhere if callable(value) else default_text(value, elsewhere)
        for case, value in default.items()
    }
    return "; ".join(f"{case}: {text}" for case, text in texts.items() if text)
