"""SIGINT and SIGTERM as exceptions: what they interrupt can end in order, and say so."""

import contextlib
import signal
import threading

from tfssl.errors import Interrupted


@contextlib.contextmanager
def handled(handler):
    """SIGTERM and SIGINT are handled so, where Python allows it, in the main thread."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler)
                  for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def stoppable(then, while_=""):
    """A context in which SIGTERM and SIGINT raise `Interrupted`.

    Args:
        then: how what was interrupted can be had.
        while_: what was being done, to follow the name of the signal.
    """
    def stop(number, frame):
        raise Interrupted(f"stopped by {signal.Signals(number).name}{while_}; {then}", number)

    return handled(stop)
