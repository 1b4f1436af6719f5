"""The exceptions whose message is all that a user needs: shown in one line, without a traceback."""


class UsageError(ValueError):
    """A request that cannot be honoured; exit code 2.

    Raised before anything is computed or written, so that nothing is lost. The sentence names the
    flag, what was expected and what was received.
    """


class Interrupted(Exception):
    """A signal asked a training to stop; it has saved a checkpoint and stopped.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message, signal):
        super().__init__(message)
        self.signal = signal


class TrainingError(RuntimeError):
    """A training that cannot go on; exit code 1. What was saved before is kept."""
