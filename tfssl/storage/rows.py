"""Rows of numbers on disk, written in order by a computation that may be interrupted."""

import contextlib
import hashlib
import json
import os
import shutil

import numpy as np

from tfssl import files
from tfssl.errors import UsageError

NARROW = np.float16
SAFE = 1000.0  # absolute value up to which rows are stored as NARROW, which ends at 65,504
EVERY = 64  # blocks between two records of how far it is


class Rows:
    """float16 or float32 [N, D] and int64 [N] in a directory, for what does not fit in memory.

    A directory of the same rows that was not finished is gone on with.

    Args:
        parent: directory in which that of these rows is.
        most: integer, number of rows at most.
        first: float32 [B, D], the first block. What was stored before belongs to these rows only if
            it begins with it, and was given the same `about`.
        about: JSON-serializable, what else the rows depend on.

    Attributes:
        directory: of these rows.
        blocks: integer, how many are stored already.

    Raises:
        UsageError: the disk is too full.
    """

    def __init__(self, parent, most, first, about):
        narrow = np.abs(first).max(initial=0.0) < SAFE
        self.shape, self.dtype = (most, first.shape[1]), np.dtype(NARROW if narrow else np.float32)
        known = json.dumps([about, self.shape], sort_keys=True).encode()
        digest = hashlib.sha256(known + np.ascontiguousarray(first).tobytes()).hexdigest()[:16]
        self.directory = os.path.join(parent, digest)
        self.blocks = self.count = 0
        if not self._go_on():
            self._begin()

    def _go_on(self):
        """Whether rows were stored before, and opens them."""
        try:
            there = json.loads(files.read(self._path("progress.json")))
            self.h = np.load(self._path("h.npy"), mmap_mode="r+")
            self.labels = np.load(self._path("labels.npy"), mmap_mode="r+")
            if self.h.shape != self.shape or self.labels.shape != self.shape[:1]:
                return False
            self.blocks, self.count = int(there["blocks"]), int(there["rows"])
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return False
        return True

    def _begin(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory, exist_ok=True)
        needed = self.shape[0] * (self.shape[1] * self.dtype.itemsize + 8)
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            os.rmdir(self.directory)
            raise UsageError(
                f"--model_dir must be on a disk with {needed / 2**30:.1f} GiB free, for "
                f"{self.shape[0]:,} representations of {self.shape[1]:,} numbers. "
                f"Received: {self.directory}, with {free / 2**30:.1f} GiB"
            )
        self.h = self._file("h.npy", self.dtype, self.shape)
        self.labels = self._file("labels.npy", np.dtype(np.int64), self.shape[:1])

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _file(self, name, dtype, shape):
        return np.lib.format.open_memmap(self._path(name), "w+", dtype, shape)

    def add(self, h, labels):
        """Stores the next block, float32 [B, D] and int [B]; blocks may be of any size, also 0."""
        if self.h.dtype == NARROW and np.abs(h).max(initial=0.0) > np.finfo(NARROW).max:
            self._widen()
        end = self.count + len(h)
        self.h[self.count : end], self.labels[self.count : end] = h, labels
        self.count, self.blocks = end, self.blocks + 1
        if self.blocks % EVERY == 0:
            self.note()

    def _widen(self):
        """Stores the rows so far as float32."""
        wide = self._file("wide.npy", np.dtype(np.float32), self.shape)
        for start in range(0, self.count, 2**14):
            wide[start : start + 2**14] = self.h[start : start + 2**14]
        wide.flush()
        os.replace(self._path("wide.npy"), self._path("h.npy"))
        self.h = np.load(self._path("h.npy"), mmap_mode="r+")

    def note(self):
        """Records how far it is, once that is on disk."""
        self.h.flush()
        self.labels.flush()
        files.write_json(
            self.directory, "progress.json", {"blocks": self.blocks, "rows": self.count}
        )

    def read(self):
        """All rows, a `np.memmap` [n, D], and their labels, int64 [n] in memory."""
        return self.h[: self.count], np.array(self.labels[: self.count])


def remove(h):
    """Deletes the directory of rows that were read, and its parent if that is empty then.

    Args:
        h: result of `Rows.read`; nothing happens for an array in memory.
    """
    if not isinstance(h, np.memmap):
        return
    directory = os.path.dirname(h.filename)
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(directory))
