"""Lines on a terminal that are written again and again, and streams that take every character."""

import contextlib
import os
import sys
import unicodedata

ERASE = "\x1b[K"  # what is right of the cursor
COLUMNS = 80  # of a terminal that does not say how many it has


class StatusLine:
    """A line of standard output that is rewritten in place, where that is a terminal.

    It is cut to the width that the terminal has at that moment and never touches the last column,
    beyond which a terminal begins a new line. A dumb one gets no control character but the carriage
    return.
    """

    def __init__(self):
        self.terminal = sys.stdout is not None and sys.stdout.isatty()
        self.dumb = os.environ.get("TERM", "dumb") == "dumb"
        self.columns = 0  # that the text shown takes

    @property
    def room(self):
        """Columns that a text may take now."""
        columns = 0
        with contextlib.suppress(OSError, ValueError, AttributeError):
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        return max(1, (columns or COLUMNS) - 1)

    def show(self, text):
        """Writes a text in place of the one before."""
        self._write(cut(encodable(text), self.room))

    def end(self, text=""):
        """Ends the line: with a last text in its place, whole, or as it stands."""
        if text:
            self._write(encodable(text))
        if self.columns:
            print(flush=True)
        self.columns = 0

    def _write(self, text):
        new = width(text)
        blanks = " " * (min(self.columns, self.room) - new)  # over a longer text before
        if self.terminal:
            text = f"\r{text}{blanks if self.dumb else ERASE}"
        print(text, end="", flush=True)
        self.columns = new


def encodable(text):
    """The text with escapes for what standard output cannot encode, and no control characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    return "".join(c if c.isprintable() else " " for c in text)


def width(text):
    """Columns that a terminal gives a text: two to East Asian wide characters, none to accents."""
    return sum(map(columns_of, text))


def columns_of(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text, room):
    """The beginning of a text that takes at most so many columns, "..." at its end if cut."""
    if width(text) <= room:
        return text
    dots = "..."[:room]
    while width(text) > room - len(dots):
        text = text[:-1]
    return text + dots


def clock(seconds):
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def escape_unencodable():
    """Has standard output and error write escapes for what their encoding lacks, never fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
