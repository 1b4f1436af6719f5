"""Texts that a terminal or a log can show."""

import os
import re

from tfssl.terminal import encodable


def printable(name):
    """A file name as one line of printable characters that standard output can encode.

    Line breaks, escape sequences, bytes that are not UTF-8 and characters that the terminal cannot
    encode become backslash escapes.

    Args:
        name: text or bytes, as returned by the file system.
    """
    text = plain(name)
    return encodable(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )


def plain(name):
    """A file name as text that UTF-8 can encode; invalid bytes become \\xNN."""
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # text with a lone surrogate
        return name.encode("utf-8", "backslashreplace").decode()


def first_sentence(text):
    """The text before the first full stop, except those of "et al." and "..."."""
    return re.split(r"(?<!al)(?<!\.\.)\.(?:\s|$)", text)[0]
