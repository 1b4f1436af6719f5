"""Translates errors of the library, which name arguments, into errors that name flags."""

import contextlib
import re

from tfssl.config import Config
from tfssl.errors import TrainingError, UsageError

ARGUMENT = re.compile(r"`(\w+)(=[^`]*)?`")


@contextlib.contextmanager
def naming_flags():
    """Replaces `name` and `name=value` in the message of an error by --name and --name=value.

    Only in a `UsageError` or a `TrainingError`, and if the name is a flag.
    """
    try:
        yield
    except (UsageError, TrainingError) as error:
        error.args = (with_flags(str(error)),)
        raise


def with_flags(message):
    """Replaces the names of arguments in a message by their flags."""
    return ARGUMENT.sub(as_flag, message)


def as_flag(match):
    name, value = match.groups()
    if name not in Config.__dataclass_fields__:
        return match.group(0)
    return f"--{name}{value or ''}"
