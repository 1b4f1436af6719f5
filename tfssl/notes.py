"""Messages of the library, one line each, on the logger "tfssl".

Silence it with `logging.getLogger("tfssl").setLevel("WARNING")`.
"""

import logging
import sys

LOGGER = logging.getLogger("tfssl")


class Stderr(logging.StreamHandler):
    """Writes to the current `sys.stderr`, which notebooks replace."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("tfssl: %(message)s"))

    @property
    def stream(self):
        return sys.stderr

    @stream.setter
    def stream(self, _):
        pass


def say(message):
    """Logs a line at level INFO, to stderr unless the program has configured logging."""
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
    if not LOGGER.hasHandlers():
        LOGGER.addHandler(Stderr())
    LOGGER.info(message)
