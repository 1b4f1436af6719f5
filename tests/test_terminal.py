"""Progress on terminals of every width, as a person sees it, and in files."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata

import pytest

from tests.helpers import ROOT
from tfssl import terminal
from tfssl.callbacks import progress

# The file alone: the room that it is in loads TensorFlow.
DRAWN = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("progress", "tfssl/callbacks/progress.py")
progress = importlib.util.module_from_spec(spec)
spec.loader.exec_module(progress)
progress.TERMINAL_PERIOD = 0
shown = progress.Progress({title!r}, 40, 128)
for step in range(1, 41):
    shown(step, loss=4.2134, contrast_acc=0.12345, online_acc=0.23456)
    sys.stdin.readline()
    time.sleep(0.001)
print("after")
"""


class Screen:
    """What a terminal makes of text: rows that wrap at the last column, and the cursor.

    A dumb one shows the sequence that erases instead of obeying.
    """

    def __init__(self, columns, dumb=False):
        self.columns, self.rows, self.column = columns, [""], 0
        self.widest, self.dumb = 0, dumb

    def resize(self, columns):
        """Cuts what is there, as xterm does; others wrap it."""
        self.columns, self.widest = columns, 0
        self.rows[-1] = self.rows[-1][:columns]

    def write(self, text):
        for character in re.findall(r"\x1b\[K|.", text, re.S):
            if character == terminal.ERASE and not self.dumb:
                self.rows[-1] = self.rows[-1][: self.column]
            elif character == "\n":
                self.rows.append("")
            elif character == "\r":
                self.column = 0
            else:
                self.put(character)
                if len(character) == 1 and unicodedata.east_asian_width(character) in "WF":
                    self.put("\u200b")  # the other half of its place

    def put(self, character):
        if self.column >= self.columns:
            self.rows.append("")
            self.column = 0
        row = self.rows[-1].ljust(self.column)
        self.rows[-1] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1
        self.widest = max(self.widest, self.column)


def resize(descriptor, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def read(descriptor):
    """What a process has written; "" once it has closed the terminal."""
    try:
        return os.read(descriptor, 65536).decode(errors="replace")
    except OSError as error:
        assert error.errno == errno.EIO
        return ""


def on_terminal(code, widths, env=None):
    """The screens after each update of a program that waits for a line between two of them.

    Args:
        widths: {update: columns of the terminal from there on}.
    """
    env = {"TERM": "xterm", **(env or {})}
    ours, theirs = pty.openpty()
    resize(theirs, widths[0])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=theirs,
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, **env},
    )
    os.close(theirs)
    screen = Screen(widths[0] or terminal.COLUMNS, dumb=env["TERM"] == "dumb")
    screens, updates = [], 0
    while text := read(ours):
        screen.write(text)
        screens.append((screen.columns, screen.rows[-1], len(screen.rows), screen.widest))
        updates += 1
        if updates in widths:
            resize(ours, widths[updates])
            screen.resize(widths[updates])
        try:
            process.stdin.write("\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass
    os.close(ours)
    assert not process.stderr.read() and process.wait() == 0
    return screens, screen


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 120, 200, 0])
def test_a_bar_takes_one_line_of_a_terminal_of_any_width(columns):
    screens, screen = on_terminal(DRAWN.format(title="pretrain"), {0: columns})
    rows = [row.rstrip() for row in screen.rows]
    assert rows[1:] == ["after", ""] and len(screens) >= 40
    assert "40/40" in rows[0] and "ETA 0:00" in rows[0]
    assert screen.widest < screen.columns  # the last column begins a new line on some terminals
    for _, row, height, _ in screens[1:39]:
        assert height == 1 and "/40" in row and "ETA 0:0" in row
    assert ("online_acc" in rows[0]) == (columns >= 120)
    assert ("[=====" in rows[0]) == ("loss 4.213" in rows[0]) == (columns not in (20, 40))


def test_a_bar_follows_the_width_of_its_terminal():
    screens, screen = on_terminal(DRAWN.format(title="pretrain"), {0: 120, 10: 60, 20: 200, 30: 80})
    assert len([row for row in screen.rows if row.strip()]) == 2
    for columns, row, height, widest in screens[2:39]:
        assert height == 1 and widest < columns and "/40" in row and "ETA" in row
    told = {columns: "online_acc" in row for columns, row, *_ in screens[1:39]}
    assert told == {120: True, 60: False, 200: True, 80: False}
    last = {columns: row.rstrip() for columns, row, *_ in screens[:39]}
    assert len(last[60]) < 60 < len(last[120]) < len(last[200]) + 5


@pytest.mark.parametrize(
    "env",
    [
        {"TERM": "dumb"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"COLUMNS": "500"},
    ],
    ids=str,
)
@pytest.mark.parametrize("title", ["pretrain", "untrained: représentations 表現 of train[:90%]"])
def test_every_kind_of_terminal_and_encoding(env, title):
    _, screen = on_terminal(DRAWN.format(title=title), {0: 60}, env)
    assert [row.rstrip() for row in screen.rows[1:]] == ["after", ""]
    assert "40/40 steps" in screen.rows[0] and "ETA" in screen.rows[0]
    assert "\x1b" not in "".join(screen.rows) and screen.widest < 60


def test_a_file_gets_whole_lines_now_and_then(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRAWN.format(title="représentations")],
        cwd=ROOT,
        input="",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    first, last, after = done.stdout.splitlines()
    assert first.startswith(r"repr\xe9sentations [>   ") and "1/40 steps  loss 4.213" in first
    assert f"[{'=' * progress.LONGEST_BAR}] 40/40 steps  loss 4.213" in last
    assert "contrast_acc 0.1235" in last and last.endswith("ETA 0:00") and after == "after"
    assert "\r" not in done.stdout


@pytest.mark.parametrize(
    "room,line",
    [
        (99, "train [=========>              ] 4/10 steps  loss 1  8 images/s  acc 2  ETA 0:09"),
        (70, "train [=====>        ] 4/10 steps  loss 1  8 images/s  acc 2  ETA 0:09"),
        (63, "train [=====>        ] 4/10 steps  loss 1  8 images/s  ETA 0:09"),
        (50, "train [=====>       ] 4/10 steps  loss 1  ETA 0:09"),
        (40, "train [====>      ] 4/10 steps  ETA 0:09"),
        (30, "train 4/10 steps  ETA 0:09"),
        (25, "t... 4/10 steps  ETA 0:09"),
        (20, "4/10 steps  ETA 0:09"),
        (19, "train 4/10 ETA 0:09"),
        (16, "4/10 ETA 0:09"),
        (6, "4/1..."),
        (1, "."),
    ],
)
def test_what_goes_first(room, line):
    parts = ("train", 0.4, "4/10 steps", ["loss 1", "8 images/s", "acc 2"], "ETA 0:09")
    assert progress.fit(*parts, room) == line
    assert len(line) <= room


def test_wide_characters_take_two_columns_and_accents_none():
    assert terminal.width("表現 e\u0301") == 6
    assert terminal.cut("表現表現", 7) == "表現..." and terminal.cut("表現表現", 8) == "表現表現"
