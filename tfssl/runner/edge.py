"""Translates errors of the library, which name arguments, into errors that name flags.

And checks the file of --output.
"""

import contextlib
import os
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


def output_file(path, replaced):
    """Raises UsageError unless a file can be written to a path; returns the path.

    Args:
        path: --output, or its default.
        replaced: whether a file that is there is replaced.
    """
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.path.isdir(directory):
        raise UsageError(f"--output must be a file in an existing directory. Received: {path}")
    if not os.access(directory, os.W_OK):
        raise UsageError(f"--output must be in a directory to write to. Received: {path}")
    if not replaced and os.path.lexists(path):
        raise UsageError(f"--output must be a new file. Received: {path}, which exists")
    return path
