"""Output that cannot be written: a run is not lost by it, and no file takes the output's place."""

import errno
import io
import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT, TINY_FLAGS, spared
from tfssl import terminal

SHORT = "--train_steps=1 --noeval_baseline --nolinear_probe"
RUN = f"'{sys.executable}' run.py"


class Full(io.StringIO):
    """A stream that fails as often as it is told."""

    def __init__(self, *errors):
        super().__init__()
        self.left = list(errors)

    def write(self, text):
        if self.left:
            raise OSError(self.left.pop(0), "no")
        return super().write(text)


def shell(line):
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, text=True, capture_output=True, timeout=300
    )


def test_what_cannot_be_written_is_lost_and_told_once():
    told, stream = [], Full(errno.ENOSPC, errno.ENOSPC)
    lossy = terminal.Lossy(stream, told.append)
    for text in ("a", "b", "c"):
        assert lossy.write(text) == 1
    assert stream.getvalue() == "c" and [error.errno for error in told] == [errno.ENOSPC]


def test_the_stream_is_put_back(monkeypatch):
    stream = Full()
    monkeypatch.setattr(sys, "stdout", stream)
    with terminal.unfailing("stdout"):
        assert isinstance(sys.stdout, terminal.Lossy) and not sys.stdout.isatty()
        print("x")
    assert sys.stdout is stream and stream.getvalue() == "x\n"
    monkeypatch.setattr(sys, "stdout", None)
    with terminal.unfailing("stdout"):
        print("nobody sees this")


@pytest.mark.slow
def test_a_training_goes_on_after_its_reader_has_gone(tmp_path):
    """`| head -1` closes the pipe long before the end."""
    done = shell(
        f"{RUN} {' '.join(TINY_FLAGS)} {SHORT} --model_dir={tmp_path}/run | head -1; "
        "echo ${PIPESTATUS[0]}"
    )
    first, code = done.stdout.strip().splitlines()
    assert first.startswith("simclr on shapes") and code == "0"
    assert (tmp_path / "run/result.json").exists()
    assert done.stderr.count("standard output cannot be written (Broken pipe)") == 1
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize(
    "where,code",
    [
        spared(">&- 2>&-", 0),
        pytest.param(">/dev/full", 0, marks=pytest.mark.slow),  # as is refused below
        pytest.param(">/dev/full 2>/dev/full", 0, marks=pytest.mark.slow),
        pytest.param("2>&1 | true", 0, marks=pytest.mark.slow),  # as the reader above
        ("--seed=x >/dev/full 2>/dev/full", 2),
        ("--help | true", 0),
        ("--seed=x 2>&1 | true", 2),
    ],
)
def test_the_exit_code_is_that_of_the_work(where, code, tmp_path):
    done = shell(
        f"{RUN} {' '.join(TINY_FLAGS)} --model_dir={tmp_path}/run {SHORT} {where}; "
        "exit ${PIPESTATUS[0]}"
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if "=x" not in where and "help" not in where:
        assert (tmp_path / "run/result.json").exists()


def test_no_file_takes_the_place_of_a_closed_stream():
    """Else what libraries print would be written into a checkpoint."""
    code = (
        "import sys; from tfssl.terminal import stand_in; stand_in(); "
        "file = open(sys.argv[1], 'w'); file.write(str(file.fileno() > 2))"
    )
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        done = shell(
            f"cd {ROOT}; '{sys.executable}' -c \"{code}\" /tmp/$$ {closed}; cat /tmp/$$; rm /tmp/$$"
        )
        assert done.stdout == "True", closed


def test_nothing_is_opened_where_all_are_there():
    before = len(os.listdir("/proc/self/fd"))
    terminal.stand_in()
    assert len(os.listdir("/proc/self/fd")) == before
