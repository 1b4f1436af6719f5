"""Status lines on a terminal, and output streams that never fail."""

import contextlib
import errno
import os
import sys
import unicodedata

ERASE = "\x1b[K"  # erases to the end of the line
COLUMNS = 80  # of a terminal of unknown width


class StatusLine:
    """A line of standard output that is rewritten in place on a terminal.

    It is cut to the current width of the terminal, without the last column, after which a terminal
    wraps. On a dumb terminal the only control character is the carriage return.
    """

    def __init__(self):
        self.terminal = sys.stdout is not None and sys.stdout.isatty()
        self.dumb = os.environ.get("TERM", "dumb") == "dumb"
        self.columns = 0  # width of the current text

    @property
    def room(self):
        """Columns available for a text."""
        columns = 0
        with contextlib.suppress(OSError, ValueError, AttributeError):
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        return max(1, (columns or COLUMNS) - 1)

    def show(self, text):
        """Replaces the text."""
        self._write(cut(encodable(text), self.room))

    def end(self, text=""):
        """Ends the line, optionally with a last text, which is not cut."""
        if text:
            self._write(encodable(text))
        if self.columns:
            print(flush=True)
        self.columns = 0

    def _write(self, text):
        new = width(text)
        blanks = " " * (min(self.columns, self.room) - new)  # cover a longer previous text
        if self.terminal:
            text = f"\r{text}{blanks if self.dumb else ERASE}"
        print(text, end="", flush=True)
        self.columns = new


def encodable(text):
    """Escapes what standard output cannot encode, and replaces control characters by spaces."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    return "".join(c if c.isprintable() else " " for c in text)


def width(text):
    """Width of a text in columns: 2 for East Asian wide characters, 0 for combining ones."""
    return sum(map(columns_of, text))


def columns_of(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text, room):
    """Cuts a text to at most `room` columns, ending in "..."."""
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
    """Makes standard output and error escape characters that they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class Lossy:
    """A text stream that drops what cannot be written instead of raising errors.

    So a closed pipe, as after `| head`, a closed terminal or a full disk does not end a training.
    Later text is written if that is possible again.

    Args:
        stream: the wrapped stream.
        tell: (OSError) -> None, called at the first loss.
    """

    def __init__(self, stream, tell):
        self.stream, self.tell, self.lost = stream, tell, False

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        self._try(self.stream.write, text)
        return len(text)

    def writelines(self, lines):
        self._try(self.stream.writelines, lines)

    def flush(self):
        self._try(self.stream.flush)

    def end(self):
        """Flushes, or redirects the stream to nowhere, so that Python's last flush cannot fail."""
        try:
            self.stream.flush()
        except OSError:
            to_nowhere(self.stream)

    def _try(self, function, *args):
        try:
            function(*args)
        except OSError as error:
            if error.errno in GONE:
                to_nowhere(self.stream)
            if not self.lost:
                self.lost = True
                self.tell(error)


class Warnings:
    """A text stream that passes on warnings, and drops all else.

    Args:
        stream: where they go.
    """

    def __init__(self, stream):
        self.stream, self.warning = stream, False

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def isatty(self):
        return False

    def write(self, text):
        ends = text == "\n"  # as `print` writes it after what it ends
        self.warning = text.lstrip().startswith("WARNING") or self.warning and ends
        if self.warning:
            self.stream.write(text)
        return len(text)


GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # errors after which a stream stays unusable


def to_nowhere(stream):
    """Redirects a stream, including its buffered text, to the null device."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def unfailing(name, tell=lambda error: None):
    """Context in which sys.stdout or sys.stderr is `Lossy`.

    Args:
        name: "stdout" or "stderr".
        tell: as for `Lossy`.
    """
    stream = getattr(sys, name)
    if stream is None:  # the process was started without it
        yield
        return
    lossy = Lossy(stream, tell)
    setattr(sys, name, lossy)
    try:
        yield
    finally:
        lossy.end()
        setattr(sys, name, stream)


def stand_in():
    """Opens closed standard input, output or error on the null device.

    Otherwise the first files that are opened get these descriptors, and libraries write messages
    into them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
