"""A cache of what was found in the files of a folder: images, or shards of records.

A file whose name, size and times have not changed is not examined again. The index is one SQLite
file per folder in $TFSSL_CACHE_DIR, or in `tfssl` in the user's cache directory. If it cannot be
read or written, files are examined again.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time

from tfssl import files as paths
from tfssl.data.images import Found

FORMAT = 4
SETTLED = 2e9  # nanoseconds after which the modification time of a file is reliable


def cache_directory():
    """The directory of the indexes."""
    own = os.environ.get("TFSSL_CACHE_DIR")
    return own or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tfssl"
    )


class Index:
    """The index of a folder.

    Args:
        directory: the folder.
        rules: what else decides what is found: the version of the rules for reading files, as for
            `folder.load`; or a text, for shards.
        missing: values that stand for no data, which extremes leave out.
        parse: function of what JSON kept of a file, that makes what was found of it; None if it is
            malformed.
    """

    def __init__(self, directory, rules, missing=(), parse=None):
        self.parse = parse or found_of
        without = f"{missing}\0" if missing else ""
        name = f"{FORMAT}\0{rules}\0{without}{paths.real(directory)}"
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        self.path = os.path.join(cache_directory(), f"folder-{digest}.sqlite")

    @contextlib.contextmanager
    def opened(self):
        """Context of a connection to the table; None if it cannot be opened."""
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
        """{name: what was found} of the files that have not changed."""
        now = {os.fsencode(file.name): file for file in files}
        there = {}
        with self.opened() as connection, contextlib.suppress(sqlite3.Error):
            for name, *status, found in (
                connection.execute("SELECT * FROM files") if connection else ()
            ):
                file = now.get(name)
                if file and [file.bytes, file.modified, file.changed] == status:
                    there[file.name] = found
        return {name: found for name, text in there.items() if (found := self.read(text))}

    def read(self, text):
        """Parses the text of a row; None if it is malformed."""
        try:
            return self.parse(json.loads(text))
        except (TypeError, ValueError):
            return None

    def add(self, files):
        """Stores results.

        Args:
            files: pairs of a `tree.File` and what was found, of JSON types; not None.
        """
        settled = time.time_ns() - SETTLED
        rows = [
            (os.fsencode(file.name), file.bytes, file.modified, file.changed, json.dumps(found))
            for file, found in files
            if file.modified < settled
        ]
        with self.opened() as connection, contextlib.suppress(sqlite3.Error):
            if connection and rows:
                with connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows
                    )


def found_of(values):
    """A `Found` of its values as JSON keeps them; None if they are those of a problem, or wrong."""
    size, *others = values
    found = Found(tuple(size), *others)
    whole = [type(value) for value in found] == [type(value) for value in Found()]
    return found if whole and len(size) == 2 and min(size) > 0 else None
