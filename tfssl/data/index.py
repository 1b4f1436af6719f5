"""What was found in the files of a folder, kept from one start to the next.

A file whose name, size and times are as they were is not read again. The index lies in
$TFSSL_CACHE_DIR, or else `tfssl` in the user's cache directory, one SQLite file per folder.
Nothing depends on it: where it cannot be read or written, files are read anew.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time

from tfssl.data.images import Found

FORMAT = 2
SETTLED = 2e9  # nanoseconds after its last change from which on a file's time can be relied on


def cache_directory():
    """Where indexes are kept."""
    own = os.environ.get("TFSSL_CACHE_DIR")
    return own or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tfssl"
    )


class Index:
    """The index of a folder.

    Args:
        directory: the folder.
        rules: those that files are read by.
    """

    def __init__(self, directory, rules):
        name = f"{FORMAT}\0{rules}\0{os.path.realpath(directory)}"
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        self.path = os.path.join(cache_directory(), f"folder-{digest}.sqlite")

    @contextlib.contextmanager
    def opened(self):
        """A connection with the table; None where there can be none."""
        connection = None
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS files (name BLOB PRIMARY KEY, "
                "bytes INTEGER, modified INTEGER, changed INTEGER, found TEXT)"
            )
        except (OSError, sqlite3.Error) as error:
            if connection:
                connection.close()
            if type(error) is sqlite3.DatabaseError:  # damaged; others are passing
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
            yield None
            return
        with contextlib.closing(connection):
            yield connection

    def known(self, files):
        """{name: `Found`} of the files that are as they were."""
        now = {os.fsencode(file.name): file for file in files}
        there = {}
        with self.opened() as connection, contextlib.suppress(sqlite3.Error):
            for name, *status, found in (
                connection.execute("SELECT * FROM files") if connection else ()
            ):
                file = now.get(name)
                if file and [file.bytes, file.modified, file.changed] == status:
                    there[file.name] = found
        return {name: found for name, text in there.items() if (found := read(text))}

    def add(self, files):
        """Keeps what was found.

        Args:
            files: pairs of a `tree.File` and the `Found` of it.
        """
        settled = time.time_ns() - SETTLED
        rows = [
            (os.fsencode(file.name), file.bytes, file.modified, file.changed, json.dumps(found))
            for file, found in files
            if file.modified < settled and not found.problem
        ]
        with self.opened() as connection, contextlib.suppress(sqlite3.Error):
            if connection and rows:
                with connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows
                    )


def read(text):
    """The `Found` that a row holds; None where it holds something else."""
    try:
        size, *others = json.loads(text)
        found = Found(tuple(size), *others)
        whole = [type(value) for value in found] == [type(value) for value in Found()]
        return found if whole and len(size) == 2 and min(size) > 0 else None
    except (TypeError, ValueError):
        return None
