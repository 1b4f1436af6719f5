"""Reads a folder of images: which of its folders are splits, and which are classes.

    splits     DIR/<split>/<class>/*    classes are sorted by name; a class may have subfolders.
               DIR/<split>/*            Images in a split without classes have no label.
    classes    DIR/<class>/*            likewise, in one split named train
    flat       DIR/**                   without labels, in one split named train
    bands      one of these, but that in place of each image there is a folder of files, one for
               each band: DIR/<class>/<scene>/B02.tif

`auto` chooses a layout, reports it, and refuses a folder that fits two of them.
"""

import errno
import hashlib
import os
import re
import unicodedata
from typing import NamedTuple

from tfssl.data.images import EXTENSIONS, kind_of
from tfssl.errors import UsageError
from tfssl.files import absence
from tfssl.text import plain, printable

SPLITS = (
    "train",
    "training",
    "test",
    "testing",
    "validation",
    "valid",
    "val",
    "unlabelled",
    "unlabeled",
    "unsupervised",
)  # compared in lower case
SPELLED = {"training": "train", "testing": "test"}
NO_IMAGES = (
    "@eaDir",
    "__MACOSX",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "Thumbs.db",
    "desktop.ini",
)  # files and folders of operating systems
EXTENSIONS_OF_0_1 = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp")
FORMS = {
    "splits": "DIR/<split>/<class>/*",
    "classes": "DIR/<class>/*",
    "flat": "images without labels",
    "bands": "folders of bands",
    "table": "a table of image files",
}
CLASSES_LISTED = 10
NOWHERE = tuple(map(os.strerror, (errno.ENOENT, errno.ELOOP)))


class File(NamedTuple):
    """An image file: its path, its name below the folder, and its label."""

    path: str
    name: str
    label: int
    bytes: int
    modified: int  # nanoseconds, time of the last change of the content
    changed: int  # nanoseconds, time of the last change of content or metadata
    group: str = ""  # what it belongs to


class Tree(NamedTuple):
    """The images of a folder.

    Attributes:
        layout: a key of FORMS.
        splits: {name: list of `File`s in order}.
        classes: names of the classes; labels are indices into it.
        others: {split: paths of files that are neither images nor texts}.
        remarks: lines about what was left out.
    """

    layout: str
    splits: dict
    classes: tuple
    others: dict
    remarks: tuple


def read(directory, layout="auto", wanted=None, rules=2):
    """Reads the structure of a folder.

    Args:
        directory: the folder.
        layout: "auto", "splits", "classes" or "flat".
        wanted: the requested split, which identifies a split with an unusual name.
        rules: 1: read folders as tfssl 0.1 did; as for `folder.load`.

    Returns:
        A `Tree`.

    Raises:
        UsageError: `directory` is not a folder, has no images, or fits two layouts.
    """
    why = "" if directory is None else absence(directory)
    if directory is None or why or not os.path.isdir(directory):
        raise UsageError(
            "`data_dir` must be the folder of the images for `dataset=folder`. "
            f"Received: {directory}" + (f" ({why})" if why else "")
        )
    walk = Walk(directory, rules)
    images = walk.images
    if not images:
        raise UsageError(f"`data_dir={directory}` holds no images.")
    if layout == "bands":
        images = scenes(directory, images)
        layout = chosen_layout(directory, images, wanted)
        walk.others = {}
    if layout == "auto":
        choose = chosen_layout if rules == 2 else layout_of_0_1
        layout = choose(directory, images, wanted)
    found, classes = LAYOUTS[layout](directory, images)
    refuse_similar_names(directory, classes)
    splits = {
        split: in_order(directory, split, files, classes, walk.remarks)
        for split, files in found.items()
    }
    others = {}
    for folders, files in walk.others.items():
        split = split_name(folders[0]) if layout == "splits" and folders else "train"
        others.setdefault(split, []).extend(path for path, _ in files)
    names = tuple(plain(name) for name in classes)
    return Tree(layout, splits, names, others, (*walk.remarks, *lacking(splits, names)))


def scenes(directory, images):
    """The images of a folder of bands, as `Walk.images`: a path is that of the folder."""
    found = {}
    for folders in images:
        if not folders:
            raise UsageError(
                f"`data_dir={directory}` holds images beside its folders, which are no bands of "
                "one: `folder_layout=bands` expects a folder of files for each image."
            )
        path = os.path.join(directory, *folders)
        found.setdefault(folders[:-1], []).append((path, os.path.realpath(path)))
    return found


def lacking(splits, classes):
    """Yields a line for each labelled split that lacks some class."""
    for split, files in splits.items():
        there = {file.label for file in files}
        missing = [name for label, name in enumerate(classes) if label not in there]
        if missing and there != {-1}:
            more = ", ..." if len(missing) > CLASSES_LISTED else ""
            yield (
                f"{printable(split)} has no image of "
                f"{', '.join(map(printable, missing[:CLASSES_LISTED]))}{more}"
            )


class Walk:
    """Walks through a folder and groups its files by subfolder.

    Follows links, except those to an enclosing folder.

    Attributes:
        images: {(folder, ...): [(path, real path)]} of the images.
        others: the same for files that are neither images nor texts.
        remarks: a line for each thing that was left out.
    """

    def __init__(self, directory, rules):
        self.images, self.others, self.remarks, self.texts = {}, {}, [], 0
        self.directory, self.rules = directory, rules
        self.seen = set()  # (possible split and class, real path): links can form cycles
        # A stack instead of recursion: folders can be nested deeper than Python's limit.
        self.ahead = [(directory, os.path.realpath(directory), (), ())]
        while self.ahead:
            self.enter(*self.ahead.pop())
        if self.texts:
            self.remarks.append(f"left out: {self.texts:,} texts")

    def enter(self, path, real, folders, around):
        """Visits the entries of a folder; `around` are the real paths of the enclosing folders."""
        if real in around:
            self.left_out(path, "links to an enclosing folder")
            return
        if (folders[:2], real) in self.seen:
            self.left_out(path, "was already read, by another path")
            return
        self.seen.add((folders[:2], real))
        try:
            with os.scandir(path) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable(self.directory, path, error.strerror) from None
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        beside = any(kind_of_entry(entry) == "folder" for entry in entries)
        for entry in entries:
            self.visit(entry, os.path.join(path, entry.name), folders, (*around, real), beside)

    def visit(self, entry, path, folders, around, beside):
        """Classifies an entry of a folder.

        Args:
            path: path of the entry.
            beside: whether the folder has subfolders.
        """
        real = (
            os.path.realpath(path) if entry.is_symlink() else os.path.join(around[-1], entry.name)
        )
        kind = kind_of_entry(entry)
        if entry.name in NO_IMAGES:
            self.left_out(path, "is a system's own")
        elif kind == "folder":
            self.ahead.append((path, real, (*folders, entry.name), around))
        elif kind == "nothing":
            self.leads_nowhere(path, beside)
        elif kind != "file":
            self.left_out(path, "is no regular file")
        elif self.rules == 1:
            if entry.name.lower().endswith(EXTENSIONS_OF_0_1):
                self.images.setdefault(folders, []).append((path, real))
        else:
            kind = kind_of(path)
            self.texts += kind == "text"
            if kind != "text":
                of_kind = self.images if kind == "image" else self.others
                of_kind.setdefault(folders, []).append((path, real))

    def leads_nowhere(self, path, beside):
        """Leaves out a broken link, unless it may stand for a class, which would shift labels.

        Raises:
            UsageError: it may stand for a class, or its target cannot be accessed.
        """
        why, named = absence(path), path.lower().endswith(EXTENSIONS)
        if self.rules == 2 and (why not in NOWHERE or beside and not named):
            raise unreadable(self.directory, path, why)
        self.left_out(path, "is no regular file")

    def left_out(self, path, why):
        if self.rules == 1 and "an enclosing folder" in why:
            raise UsageError(
                f"`data_dir={self.directory}`: {printable(path)} {why}, so that this "
                "run learned from the same images under several classes. Begin "
                "another one."
            )
        self.remarks.append(f"left out: {printable(path)} {why}")


def unreadable(directory, path, why):
    """The UsageError for an entry that may hold images but cannot be read."""
    return UsageError(
        f"`data_dir={directory}`: {printable(path)} cannot be read ({why}). "
        "Repair it, or remove it from the folder."
    )


def kind_of_entry(entry):
    """Returns "folder", "file", "nothing" or "" for an entry of a folder, following links."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "nothing" if entry.is_symlink() and absence(entry.path) else ""
    except OSError:  # cyclic links, or no permission
        return "nothing"


def split_name(folder):
    """The name of a split: usual names in lower case and in one spelling."""
    small = folder.lower()
    return SPELLED.get(small, small) if small in SPLITS else folder


def usual(folder):
    return folder.lower() in SPLITS


def chosen_layout(directory, images, wanted):
    """The layout of a folder.

    Raises:
        UsageError: the folder fits two layouts.
    """
    tops = sorted({folders[0] for folders in images if folders})
    if not tops:
        return "flat"
    if () in images:
        raise ambiguous(
            directory,
            f"there are images beside the folder {printable(tops[0])}",
            "`folder_layout=flat` takes all of them without labels",
        )
    deep = {
        top: {folders[1] for folders in images if folders[0] == top and len(folders) > 1}
        for top in tops
    }
    direct = {top for top in tops if (top,) in images}
    known = [top for top in tops if usual(top)]
    unknown = [top for top in tops if not usual(top)]
    if not unknown:
        return "splits"
    if not known:
        if direct:
            return "classes"
        if wanted in tops:
            return "splits"
        top = tops[0]
        inner = sorted(deep[top])[0]
        if len(tops) == 1 and all(map(usual, deep[top])):
            raise UsageError(
                f"`data_dir={directory}` has its splits one folder further down: "
                f"`data_dir={os.path.join(directory, top)}`."
            )
        raise ambiguous(
            directory,
            f"{printable(os.path.join(top, inner))}/* could be the class "
            f"{printable(inner)} of a split {printable(top)}, or a part of the class "
            f"{printable(top)}",
            "`folder_layout=splits` or `folder_layout=classes` says which",
        )
    classes = set().union(*(deep[top] for top in known))
    if not direct & set(unknown) and all(deep[top] <= classes for top in unknown):
        return "splits"
    raise ambiguous(
        directory,
        f"{printable(known[0])} is a usual name of a split and {printable(unknown[0])} is not",
        "`folder_layout=classes` takes each for a class, `folder_layout=splits` for a split",
    )


def layout_of_0_1(directory, images, wanted):
    if set(images) == {()}:
        return "flat"
    one_deep = all(len(folders) == 1 and folders[0] not in SPLITS for folders in images)
    return "classes" if one_deep else "splits"


def ambiguous(directory, why, way_out):
    return UsageError(f"`data_dir={directory}` can be read in more than one way: {why}. {way_out}.")


def as_splits(directory, images):
    """Returns {split: [(path, real path, class or None)]} and the sorted classes."""
    splits, folder_of = {}, {}
    for folders, files in images.items():
        if not folders:
            raise UsageError(
                f"`data_dir={directory}` holds images beside its folders, which no "
                "split has: `folder_layout=splits` expects DIR/<split>/<class>/*."
            )
        name = split_name(folders[0])
        other = folder_of.setdefault(name, folders[0])
        if other != folders[0]:
            both = " and ".join(map(printable, sorted([other, folders[0]])))
            raise UsageError(f"`data_dir={directory}` has the split {name} twice: {both}.")
        of_class = folders[1] if len(folders) > 1 else None
        splits.setdefault(name, []).extend((*paths, of_class) for paths in files)
    for name, files in splits.items():
        if len({of_class is None for *_, of_class in files}) > 1:
            raise ambiguous(
                directory,
                f"{printable(folder_of[name])} has images beside folders of images",
                "Give every image a class, or none",
            )
    classes = {of_class for files in splits.values() for *_, of_class in files} - {None}
    return splits, sorted(classes)


def as_classes(directory, images):
    if () in images:
        raise UsageError(
            f"`data_dir={directory}` holds images beside its folders, which have no "
            "class: `folder_layout=classes` expects DIR/<class>/*."
        )
    found = [(*paths, folders[0]) for folders, files in images.items() for paths in files]
    return {"train": found}, sorted({of_class for *_, of_class in found})


def as_flat(directory, images):
    return {"train": [(*paths, None) for files in images.values() for paths in files]}, []


LAYOUTS = {"splits": as_splits, "classes": as_classes, "flat": as_flat}


def refuse_similar_names(directory, classes):
    """Raises UsageError for classes whose names differ only in case or Unicode normalization."""
    seen = {}
    for name in classes:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise UsageError(
                f"`data_dir={directory}` has the classes {printable(other)} and "
                f"{printable(name)}, which differ only in case or Unicode normalization: "
                "give them one name, or two different ones."
            )


def in_order(directory, split, files, classes, remarks):
    """The `File`s of a split in order, without duplicates by links.

    Raises:
        UsageError: a file is in two classes.
    """
    labels = {name: label for label, name in enumerate(classes)}
    root, chosen = os.path.join(directory, ""), {}
    for path, real, of_class in files:
        try:
            status = status_of(path)
        except OSError as error:  # no permission, or removed meanwhile
            raise unreadable(directory, path, error.strerror) from None
        file = File(path, path[len(root) :], labels.get(of_class, -1), *status)
        other = chosen.setdefault(real, file)
        if other.label != file.label:
            raise UsageError(
                f"`data_dir={directory}`: {printable(other.name)} and "
                f"{printable(file.name)} are one file in two classes."
            )
    if len(chosen) < len(files):
        remarks.append(f"left out: {len(files) - len(chosen):,} links to other images of {split}")
    return sorted_files(chosen.values())


def status_of(path):
    """(bytes, time of modification, time of change) of a file, or of the files of a folder."""
    folder = os.path.isdir(path)
    paths = [os.path.join(path, name) for name in os.listdir(path)] if folder else [path]
    found = [os.stat(path) for path in paths]
    return (
        sum(status.st_size for status in found),
        max(status.st_mtime_ns for status in found),
        max(status.st_ctime_ns for status in found),
    )


def sorted_files(files):
    """Files in the order of a split: by a hash of their names, those of a group together."""
    return sorted(files, key=lambda file: (file.group and place(file.group), place(file.name)))


def place(name):
    """A hash of a name, for sorting."""
    return hashlib.sha1(os.fsencode(name)).digest()


def grouped(tree, pattern, report=print):
    """A tree whose files are grouped by what a regular expression finds in their names.

    Args:
        tree: a `Tree`.
        pattern: the expression, whose first parentheses, or else the whole, name the group.
        report: function that takes a line about names without a match, each a group of its own.

    Raises:
        UsageError: it is no regular expression, or finds nothing in any name.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"`group_by` must be a regular expression for names of files ({error}). "
            f"Received: {pattern}"
        ) from None
    without = []

    def of(file):
        match = expression.search(file.name)
        if match is None:
            without.append(file.name)
        group = match and match[1 if expression.groups else 0]
        return file._replace(group=group or file.name)

    splits = {name: sorted_files(map(of, files)) for name, files in tree.splits.items()}
    every = sum(map(len, splits.values()))
    if without:
        said = f"{len(without):,} of {every:,} names of files, such as {printable(without[0])}"
        if len(without) == every:
            raise UsageError(
                f"`group_by` must match the names of files below `data_dir`. Received: {pattern}, "
                f"which matches none of {said}"
            )
        report(f"not matched by `group_by={pattern}`, each of its own group: {said}")
    return tree._replace(splits=splits)


def summary(directory, tree):
    """One line about how a folder was read."""
    splits = ", ".join(
        f"{printable(name)} {len(files):,}" for name, files in sorted(tree.splits.items())
    )
    line = f"{printable(directory)} read as {FORMS[tree.layout]}: {splits}"
    if tree.classes:
        names = [printable(name) for name in tree.classes[:CLASSES_LISTED]]
        more = ", ..." if len(tree.classes) > CLASSES_LISTED else ""
        line += f"; {len(tree.classes):,} classes: {', '.join(names)}{more}"
    return line


def identity(tree, split):
    """Identifies a split by the names, sizes and classes of its files, wherever the folder is.

    Returns:
        {"kind", "images", "bytes": int, "classes": {name: images}, "names": a digest}.
    """
    files = tree.splits[split]
    counts = {}
    for file in files:
        name = tree.classes[file.label] if file.label >= 0 else ""
        counts[name] = counts.get(name, 0) + 1
    digest = hashlib.sha256()
    for file in files:
        digest.update(
            os.fsencode(file.name).replace(os.sep.encode(), b"/")
            + b"\0"
            + str(file.bytes).encode()
            + b"\0"
        )
    return {
        "kind": "folder",
        "images": len(files),
        "bytes": sum(file.bytes for file in files),
        "classes": dict(sorted(counts.items())),
        "names": digest.hexdigest()[:32],
    }
