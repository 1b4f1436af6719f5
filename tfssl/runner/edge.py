"""Where errors of the library, which name arguments, become errors that name flags."""

import contextlib
import re

from tfssl.config import Config
from tfssl.errors import UsageError

ARGUMENT = re.compile(r"`(\w+)(=[^`]*)?`")


@contextlib.contextmanager
def naming_flags():
    """Turns `name` and `name=value` in the message of a `UsageError` into --name and --name=value.

    Where name is a flag: `batch_size` stays.
    """
    try:
        yield
    except UsageError as error:
        error.args = (with_flags(str(error)),)
        raise


def with_flags(message):
    """A message with flags in place of the arguments that they set."""
    return ARGUMENT.sub(as_flag, message)


def as_flag(match):
    name, value = match.groups()
    if name not in Config.__dataclass_fields__:
        return match.group(0)
    return f"--{name}{value or ''}"
