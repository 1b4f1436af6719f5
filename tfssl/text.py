"""Text that a terminal or a log can show, whatever a file is called."""

import os

from tfssl.terminal import encodable


def printable(name):
    """A file name as one line of visible characters that standard output can encode.

    Line breaks, escape sequences, bytes that are no UTF-8 and characters that the terminal's
    encoding lacks become backslash escapes.

    Args:
        name: text or bytes, as the file system gives it.
    """
    text = plain(name)
    return encodable(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )


def plain(name):
    """A file name as text that UTF-8 can hold: bytes that are no UTF-8 become \\xNN."""
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # text that no file is called, as half of a surrogate pair
        return name.encode("utf-8", "backslashreplace").decode()
