"""Signals as exceptions, which no destructor can swallow."""

import os
import signal
import subprocess
import sys
import time

import pytest

import run
from tests.helpers import ROOT
from tfssl.errors import Interrupted
from tfssl.signals import stoppable


class Swallowing:
    """What Python drops exceptions of."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # where the handler runs


def test_a_signal_that_falls_into_a_destructor_is_not_lost():
    began = time.monotonic()
    with pytest.raises(Interrupted, match="stopped by SIGTERM while at it; then again") as stopped:
        with stoppable("then again", " while at it"):
            Swallowing()
            while time.monotonic() - began < 10:
                time.sleep(0.01)
    assert time.monotonic() - began < 5 and stopped.value.signal == signal.SIGTERM


def test_a_stop_that_comes_too_late_stops_nothing_afterwards():
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with stoppable("never"):
        Swallowing()
    assert before == (signal.getsignal(signal.SIGTERM), sys.unraisablehook)
    time.sleep(0.3)  # it would be the end of this process


def test_what_else_is_dropped_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Failing:
        def __del__(self):
            raise ValueError("of its own")

    with stoppable("never"):
        Failing()
    assert [str(one.exc_value) for one in told] == ["of its own"]


def test_nothing_ends_a_process_whose_work_is_done():
    code = (
        "import os, sys, signal, atexit, run; atexit.register(os.kill, os.getpid(), "
        "signal.{}); run.leave(7)"
    )
    for name in ("SIGINT", "SIGTERM"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(name)], cwd=ROOT, text=True, capture_output=True
        )
        assert (done.returncode, done.stderr) == (7, "")


def test_help_that_cannot_be_written_is_told(capfd):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "run.py", "--help"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "run.py: standard output cannot be written (No space left on device)\n"
    assert run.show("text", "run.py") == 0 and capfd.readouterr().out == "text\n"
