"""What a request takes of memory at the least, against what this machine can have of it."""

import contextlib
import os

from tfssl.errors import UsageError

GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available():
    """Bytes that this process can have: the machine's, or what its limits leave of them."""
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
    """Refuses what cannot be held in memory.

    Args:
        parts: [(flags, what they ask for, bytes that it takes at the least)], all at once.
        limit: bytes that there are; None: `available`.

    Raises:
        UsageError: together they are more; it names the largest.
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
