"""The exceptions whose message is all that a user needs: shown in one line, without a traceback."""

import sys

LONGEST = 1000  # characters of a message


class UsageError(ValueError):
    """A request that cannot be honoured; exit code 2.

    Raised before anything is computed or written, so that nothing is lost. The sentence names the
    flag, what was expected and what was received; whatever that was, it is one line of visible
    characters and no longer than LONGEST.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop: a training has saved a checkpoint, and what it did is over.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message, signal):
        super().__init__(message)
        self.signal = signal


class TrainingError(RuntimeError):
    """A training that cannot go on; exit code 1. What was saved before is kept.

    Its message is one line, as that of `UsageError`.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


def one_line(message):
    """A text as one line: escapes for what is not visible, the middle left out where it is long."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(message)
    )
    if len(text) <= LONGEST:
        return text
    half = (LONGEST - len(" ... ")) // 2
    return f"{text[:half]} ... {text[-half:]}"


def told(value):
    """A value as text; an integer that Python writes no more, by its size."""
    try:
        return str(value)
    except ValueError:
        return f"a number of more than {sys.get_int_max_str_digits():,} digits"
