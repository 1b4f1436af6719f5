"""Compares the memory that a request needs at least with the available memory."""

import contextlib
import os

from tfssl.errors import UsageError

GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available():
    """Memory of the machine in bytes, or the limit of the process if that is lower."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in GROUPS:
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            found.append(int(file.read()))
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        found += [limit] if limit != resource.RLIM_INFINITY else []
    return min(found)


def require(parts, limit=None):
    """Raises UsageError for a request that does not fit into memory.

    Args:
        parts: [(flags, description, least number of bytes)], needed at the same time.
        limit: available bytes; None: `available()`.

    Raises:
        UsageError: the sum exceeds the limit; the message names the largest part.
    """
    limit = available() if limit is None else limit
    if sum(size for _, _, size in parts) <= limit:
        return
    flags, what, size = max(parts, key=lambda part: part[-1])
    raise UsageError(
        f"{flags} must leave what is computed within {gib(limit)} of memory. "
        f"Received: {what}, which takes at least {gib(size)}"
    )


def gib(size):
    """Bytes as text."""
    return f"{size / 2**30:,.3g} GiB" if size < 2**50 else f"{size / 2**40:,.0f} TiB"
