"""Exceptions that the command line shows as one line, without a traceback."""

import sys

LONGEST = 1000  # characters of a message


class UsageError(ValueError):
    """Raised for invalid settings, before anything is computed or written; exit code 2.

    The message names the flag, what was expected and what was received. It is one line of printable
    characters, no longer than LONGEST.

    Args:
        message: the text.

    Example:

    ```python
    try:
        tfssl.Config(temperature=-1.0)
    except tfssl.UsageError as error:
        message = str(error)
    message  # --temperature must be a number above 0. Received: -1.0
    ```
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class Interrupted(KeyboardInterrupt):
    """Raised after SIGINT or SIGTERM, once a training has saved a checkpoint.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message, signal):
        super().__init__(message)
        self.signal = signal


class TrainingError(RuntimeError):
    """Raised when a training cannot continue; exit code 1. Earlier checkpoints are kept.

    Args:
        message: the text; like that of `UsageError`, it becomes one line.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


def one_line(message):
    """Escapes unprintable characters, and drops the middle of a text longer than LONGEST."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(message)
    )
    if len(text) <= LONGEST:
        return text
    half = (LONGEST - len(" ... ")) // 2
    return f"{text[:half]} ... {text[-half:]}"


def told(value):
    """A value as text; integers beyond Python's limit of digits are described."""
    try:
        return str(value)
    except ValueError:
        return f"a number of more than {sys.get_int_max_str_digits():,} digits"
