"""Lines on a terminal that are written again and again, and streams that take every character."""

import contextlib
import errno
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


class Lossy:
    """A text stream to which writing never fails: what cannot be written is lost.

    A reader that has gone, as of `| head`, a terminal that was closed or a full disk is no reason
    to lose a training. Once the place can be written again, what follows is.

    Args:
        stream: the stream; all else is as it is there.
        tell: (OSError) -> anything; called at the first loss.
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
        """Has Python's own last flush find a place that takes everything, where this one cannot."""
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


GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # what can be written before such can never be again


def to_nowhere(stream):
    """Has a stream lose everything, also what it holds back."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def unfailing(name, tell=lambda error: None):
    """Has sys.stdout or sys.stderr be `Lossy` within.

    Args:
        name: "stdout" or "stderr".
        tell: as of `Lossy`.
    """
    stream = getattr(sys, name)
    if stream is None:  # closed by whoever started the process
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
    """Opens what a process was started without of standard input, output and error, to nowhere.

    Else the first files that it opens have these numbers, and libraries write messages into them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
