"""Groups of images that belong together, such as those of a patient: no split cuts one."""

import hashlib

import numpy as np

from tfssl.errors import UsageError


def texts(values):
    """An array of values as texts; "" for those that are missing."""
    found = np.asarray(values)
    if found.dtype.kind == "S":
        return np.char.decode(found, "utf-8", "replace")
    if found.dtype.kind == "O":
        return np.array([text(value) for value in found], np.str_)
    return found.astype(np.str_)


def text(value):
    """A single value as text; "" for None and NaN."""
    if value is None or value != value:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def completed(groups, names, by):
    """Groups [n] in which each image without one is a group of its own.

    Args:
        groups: str [n], "" where there is none.
        names: n names of images.
        by: the name of the column, for messages.

    Raises:
        UsageError: no image has a group.
    """
    if not any(groups):
        raise UsageError(
            f"`group_by={by}` must say what images belong to. Received: no value for any image"
        )
    made = [group or f"{ALONE}{name}" for group, name in zip(groups, names)]
    return np.array(made) if isinstance(groups, np.ndarray) else made


def remarks(groups):
    """A list with a line about images that are groups of their own; empty if there are none."""
    alone = sum(str(group).startswith(ALONE) for group in groups)
    line = (
        f"{alone:,} of {len(groups):,} images have no group by `group_by`: each is one of its own"
    )
    return [line] if alone else []


ALONE = "no group: "  # begins the group of an image that has none


def order(keys, groups=None):
    """A random-looking order of rows, the same everywhere; those of a group are together.

    Args:
        keys: [n], what identifies the rows.
        groups: str [n], or None.

    Returns:
        int [n], places in `keys`.
    """
    own = [digest(key) for key in keys]
    if groups is None:
        return np.array(sorted(range(len(own)), key=own.__getitem__), np.int64)
    of_groups = {group: digest(group) for group in set(groups)}
    return np.array(
        sorted(range(len(own)), key=lambda place: (of_groups[groups[place]], own[place])), np.int64
    )


def digest(key):
    return hashlib.sha1(str(key).encode("utf-8", "surrogateescape")).digest()


def boundaries(groups, start, stop, split, flag):
    """Moves the ends of a slice to the next beginnings of groups.

    Args:
        groups: str [n], those of a group are together.
        start, stop: the slice, integers in [0, n].
        split, flag: the slice as it was given, and by what, for messages.

    Returns:
        (start, stop); neither cuts a group. The parts [a:b] and [b:c] stay disjoint, and together
        are [a:c].

    Raises:
        UsageError: no whole group is in the slice.
    """

    def moved(place):
        while 0 < place < len(groups) and groups[place] == groups[place - 1]:
            place += 1
        return place

    start, stop = moved(start), moved(stop)
    if start == stop:
        raise UsageError(
            f"`{flag}` must hold a whole group of `group_by`, of which there are "
            f"{len(set(groups)):,}. Received: {split}"
        )
    return start, stop
