"""Opens files such that none can block the program, and writes them whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat

OWN = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # already open, such as <(...) in a shell
LARGEST = 2**26  # bytes of a file of text or settings


def opened(path):
    """Opens a regular file for reading bytes; follows links.

    Reading from a pipe, a socket or a terminal can block forever, and /dev/zero does not end.

    Raises:
        OSError: the file cannot be opened, or is a folder, a pipe, a socket or a device, or the
            name is invalid.
    """
    try:
        require_regular(path, os.stat(path))  # before opening, which can act on devices
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except ValueError as error:  # NUL, or a character that the file system's encoding lacks
        raise OSError(errno.EINVAL, str(error), path) from None
    try:
        require_regular(path, os.fstat(descriptor))  # it may have been replaced meanwhile
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path, status):
    """Raises OSError for the status of anything but a regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", path)


def read(path, largest=LARGEST):
    """Reads a regular file, or a pipe that this process was started with.

    Args:
        path: the file.
        largest: largest size in bytes.

    Raises:
        OSError: as for `opened`, or the file is larger.
    """
    own = str(path).startswith(OWN)
    with open(path, "rb") if own else opened(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"more than {largest / 2**20:,.0f} MiB", path)
    return content


def text(path, largest=LARGEST):
    """Reads a text file in UTF-8.

    Raises:
        OSError: as for `read`, or the file is not text in UTF-8.
    """
    content = read(path, largest)
    try:
        if b"\0" in content:
            raise ValueError
        return content.decode("utf-8-sig")
    except ValueError:
        raise OSError(errno.EILSEQ, "not text in UTF-8", path) from None


def remote(path):
    """Whether a path is an address that TensorFlow reads, such as gs://bucket/file."""
    return "://" in os.fspath(path)


def real(path):
    """A path without links, from the root; an address as it is."""
    return path if remote(path) else os.path.realpath(path)


def absence(path):
    """Why a path cannot be accessed, in a few words; "" if it can."""
    try:
        os.stat(path)
    except OSError as error:
        return error.strerror
    except ValueError as error:
        return str(error)
    return ""


def sha256(path):
    """The SHA-256 of a file, hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def alive(number):
    """Whether there is a process of this number here."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


def why(error):
    """What is wrong, in the words of the system."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"\{\{.*?\}\}\s*| \[Op:\w+\]", "", words.splitlines()[0])


def write_text(path, text):
    """Writes a file of text whole or not at all."""
    content = text.encode("utf-8", "surrogateescape")  # of names that are no UTF-8
    write_whole(path, lambda file: file.write(content))


def write_json(directory, name, value):
    """Writes a JSON file whole or not at all."""
    write_text(os.path.join(directory, name), json.dumps(value, indent=1) + "\n")


def write_whole(path, fill):
    """Writes a file whole or not at all, even where the power goes.

    Args:
        fill: (binary file) -> anything, writes it.
    """
    with whole(path) as unfinished, open(unfinished, "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def whole(path, ending=""):
    """Where to write what is to be at a path: it gets there at the end, or is removed.

    Args:
        path: of a file, or of a directory that is not there yet.
        ending: what the name has to end in until then.
    """
    unfinished = f"{path}.{os.getpid()}{UNFINISHED}{ending}"
    directory, name = os.path.split(path)
    clear(directory, re.escape(name))
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        remove(unfinished)
        raise


def clear(directory, names):
    """Removes what processes that died while writing have left in a directory.

    Args:
        names: regular expression of the files whose remains are meant.
    """
    pattern = rf"{names}\.(?P<number>\d+){re.escape(UNFINISHED)}(\.\w+)?"
    for other in os.listdir(directory or "."):
        match = re.fullmatch(pattern, other)
        if match and not alive(int(match["number"])):
            remove(os.path.join(directory, other))


def remove(path):
    """Removes a file or a directory, as far as that can be done."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(path)


UNFINISHED = ".tmp"  # how the name of a file ends until it is whole
