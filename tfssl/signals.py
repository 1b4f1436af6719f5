"""Turns SIGINT and SIGTERM into exceptions."""

import contextlib
import os
import signal
import sys
import threading

from tfssl.errors import Interrupted


@contextlib.contextmanager
def handled(handler):
    """Context in which `handler` handles SIGTERM and SIGINT, if it is in the main thread."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {
            number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)
        }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def stoppable(then, while_=""):
    """A context in which SIGTERM and SIGINT raise `Interrupted`.

    Args:
        then: end of the message: how to continue.
        while_: text after the name of the signal: what was interrupted.
    """

    def stop(number, frame):
        raise Interrupted(f"stopped by {signal.Signals(number).name}{while_}; {then}", number)

    with handled(stop), insistent():
        yield


@contextlib.contextmanager
def insistent():
    """Context that raises `Interrupted` again if Python drops it, as in a destructor."""
    before, timers = sys.unraisablehook, []

    def come_again(dropped):
        if not isinstance(dropped.exc_value, Interrupted):
            return before(dropped)
        timer = threading.Timer(SOON, os.kill, (os.getpid(), dropped.exc_value.signal))
        timer.daemon = True
        timers.append(timer)
        timer.start()

    sys.unraisablehook = come_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


SOON = 0.1  # seconds
