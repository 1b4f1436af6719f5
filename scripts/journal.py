"""The journal of a sweep, mended where a machine stopped while it was being written.

Each line is a record of Optuna's. The last one may be cut off, or be nothing but NUL bytes: without
it the journal is what it was a moment before, and the trial that it was of is taken over.
"""

import json
import os

from tfssl.errors import UsageError

ASIDE = ".dropped"  # added to the name: where what is dropped is kept


def mend(path):
    """Drops what is no whole record from the end of a journal, and keeps it aside.

    For one that nobody else writes to meanwhile.

    Args:
        path: the file; where there is none, nothing is done.

    Returns:
        What was done, in a sentence; None where the journal was whole.

    Raises:
        UsageError: it cannot be read or written, or a record before the last is damaged.
    """
    if not os.path.lexists(path):
        return None
    try:
        with open(path, "r+b") as file:
            content = file.read()
            whole = end_of_whole(path, content)
            rest = content[whole:]
            if is_record(rest):
                write_at(file, len(content), b"\n")
                return f"{path}: its last record lacked the end of its line, which it has now"
            if not rest:
                return None
            with open(path + ASIDE, "ab") as aside:
                aside.write(rest.rstrip(b"\n") + b"\n")
            file.truncate(whole)
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"{path} must be the journal of the sweep, a file that can be read and "
            f"written. Received: {error.strerror}"
        ) from None
    return (
        f"{path}: its last record was cut off, as when a machine stops; it is dropped and kept "
        f"in {path + ASIDE}"
    )


def end_of_whole(path, content):
    """How many bytes the whole records take, with the ends of their lines.

    Raises:
        UsageError: what follows one that is not whole is more than the last line.
    """
    end = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        if not (line.endswith(b"\n") and is_record(line)):
            if end + len(line) < len(content):
                raise UsageError(
                    f"{path} is damaged in line {number}, and more follows. Give "
                    "another --sweep_dir; runs that are finished can be collected "
                    "from this one."
                )
            break
        end += len(line)
    return end


def is_record(line):
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def write_at(file, place, content):
    file.seek(place)
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
