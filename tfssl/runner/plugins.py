"""Loads the Python files of --plugin, and parses the options of methods."""

import dataclasses
import os

from tfssl import files, registry
from tfssl.config import METHODS, Method
from tfssl.errors import UsageError
from tfssl.text import printable

FLAG = "plugin"
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")


def load(paths):
    """Runs Python files, and adds the methods that they register to METHODS.

    Args:
        paths: file names separated by commas, or None.

    Raises:
        UsageError: a file does not exist, fails, or registers a name that is taken.
    """
    for path in split(paths):
        files_there(path)
        try:
            registry.module_of(path)
        except ValueError as error:
            raise UsageError(f"--{FLAG}={printable(path)} cannot be used: {error}") from error
    for name, entry in registry.ENTRIES["method"].items():
        METHODS.setdefault(name, Method(options=entry.options, num_views=None))


def split(paths):
    return [path.strip() for path in (paths or "").split(",") if path.strip()]


def files_there(path, flag=FLAG):
    """Raises UsageError if a Python file of the user's cannot be read."""
    try:
        with files.opened(path):
            pass
    except OSError as error:
        expected = "Python files, separated by commas" if flag == FLAG else "a function of a file"
        raise UsageError(
            f"--{flag} must be {expected}. Received: {printable(path)} ({error.strerror})"
        ) from None


def check_encoder(encoder):
    """Raises UsageError if the file that --encoder names does not exist."""
    for path in file_of(encoder):
        if not os.path.isfile(path):
            raise UsageError(
                f"--encoder must name an existing file. Received: {printable(encoder)}"
            )


def digests(config):
    """{file name: SHA-256} of the plug-ins, and of the files of --encoder and --views."""
    of_views = filter(os.path.isfile, file_of(config.views or ""))  # evaluation does not need it
    paths = split(config.plugin) + file_of(config.encoder) + [*of_views]
    return {path.rpartition("/")[2]: files.sha256(path) for path in paths}


def file_of(value):
    """A list of the file that --encoder or --views names; empty if it names none."""
    name = value.partition("(")[0]
    path = name if name.endswith(".keras") else name.rpartition(":")[0]
    return [path] if path.endswith((".py", ".keras")) else []


def permit(encoder):
    """Permits running the Python file of an --encoder that the user gave."""
    registry.PERMITTED.update(map(os.path.realpath, file_of(encoder)))


def fields_of(method):
    """The options of a method, as dataclass fields."""
    options = METHODS[method].options if method in METHODS else None
    return dataclasses.fields(options) if options else ()


def values_of(config):
    """Parses --method_options into {option: value}, with the defaults of others."""
    given = {}
    fields = {field.name: field for field in fields_of(config.method)}
    for word in split(config.method_options):
        name, _, text = word.partition("=")
        others = [f"--method={m}" for m in METHODS if name in {f.name for f in fields_of(m)}]
        if name not in fields and others:
            raise UsageError(
                f"--{name} concerns {' and '.join(others)}. "
                f"Received: {printable(text)} with --method={config.method}"
            )
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise UsageError(
                f"--method_options must be options of --method={config.method} ({known}). "
                f"Received: {printable(word)}"
            )
        given[name] = parsed(fields[name], text)
    return checked(config.method, given)


def parsed(field, text):
    """Parses a text as the type of an option."""
    kind = type_of(field)
    try:
        if kind is bool:
            return {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        raise UsageError(
            f"--{field.name} must be of type {kind.__name__}. Received: {printable(text)}"
        ) from None


def type_of(field):
    """The type of an option, whose annotation may be a text."""
    return field.type if isinstance(field.type, type) else TYPES.get(field.type, str)


TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def checked(method, given):
    """Validates options by their dataclass, and returns all of them."""
    options = METHODS[method].options if method in METHODS else None
    if options is None:
        return given
    try:
        return dataclasses.asdict(options(**given))
    except UsageError:
        raise
    except (TypeError, ValueError) as error:  # raised by the user's own checks
        raise UsageError(f"An option of --method={method} is refused: {error}") from None
