"""Python files named by --plugin: what they register, and the options of their methods."""

import dataclasses
import os

from tfssl import files, registry
from tfssl.config import METHODS, Method
from tfssl.errors import UsageError
from tfssl.text import printable

FLAG = "plugin"
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")


def load(paths):
    """Runs Python files, and makes the methods that they register choices of --method.

    Args:
        paths: their names, separated by commas; None for none.

    Raises:
        UsageError: a file is not there, fails, or registers a name that is taken.
    """
    for path in split(paths):
        files_there(path)
        try:
            registry.module_of(path)
        except ValueError as error:
            raise UsageError(f"--{FLAG}={printable(path)} cannot be used: {error}") from error
    for name, entry in registry.ENTRIES["method"].items():
        METHODS.setdefault(name, Method(options=entry.options))


def split(paths):
    return [path.strip() for path in (paths or "").split(",") if path.strip()]


def files_there(path):
    """Raises UsageError where a plug-in is no Python file that can be read."""
    try:
        with files.opened(path):
            pass
    except OSError as error:
        raise UsageError(
            f"--{FLAG} must be Python files, separated by commas. "
            f"Received: {printable(path)} ({error.strerror})"
        ) from None


def digests(config):
    """{name of a file: its SHA-256} of the plug-ins, and of the code or weights of --encoder."""
    paths = split(config.plugin) + file_of(config.encoder)
    return {path.rpartition("/")[2]: files.sha256(path) for path in paths}


def file_of(encoder):
    """The file that --encoder names, in a list; an empty one where it names none."""
    name = encoder.partition("(")[0]
    path = name if name.endswith(".keras") else name.rpartition(":")[0]
    return [path] if path.endswith((".py", ".keras")) else []


def permit(encoder):
    """Allows the code that --encoder names to be run, as the user asked for it."""
    registry.PERMITTED.update(map(os.path.realpath, file_of(encoder)))


def fields_of(method):
    """The options of a method that a plug-in registered, as dataclass fields."""
    options = METHODS[method].options if method in METHODS else None
    return dataclasses.fields(options) if options else ()


def values_of(config):
    """{option: value} of a Config's method, of those that --method_options gives."""
    given = {}
    fields = {field.name: field for field in fields_of(config.method)}
    for word in split(config.method_options):
        name, _, text = word.partition("=")
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise UsageError(
                f"--method_options must be options of --method={config.method} ({known}). "
                f"Received: {printable(word)}"
            )
        given[name] = parsed(fields[name], text)
    return checked(config.method, given)


def parsed(field, text):
    """A text as the type of an option."""
    kind = field.type if isinstance(field.type, type) else TYPES.get(field.type, str)
    try:
        if kind is bool:
            return {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        raise UsageError(
            f"--{field.name} must be of type {kind.__name__}. Received: {printable(text)}"
        ) from None


TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def checked(method, given):
    """The values of options, once the dataclass that they belong to has taken them."""
    options = METHODS[method].options if method in METHODS else None
    if options is None:
        return given
    try:
        return dataclasses.asdict(options(**given))
    except (TypeError, ValueError) as error:  # of the user's own checks
        raise UsageError(f"An option of --method={method} is refused: {error}") from None
