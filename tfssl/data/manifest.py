"""Tables of image files, CSV, TSV or Parquet: a row for each image, read into a `tree.Tree`.

    path          the file; a relative path is one below the folder of the table
    label         its class, any text or number; empty: none (this column may be missing)
    split         train, test, ...; without this column, all images are of train
    another       a patient, a field: `group_by` may name one

Names of columns other than these are given by `stored.Names`; these may be in any case.
"""

import csv
import io
import os
import re

from tfssl import files
from tfssl.data import groups as whole
from tfssl.data import tree
from tfssl.data.stored import Names, spelled, unlabelled, unless_missing
from tfssl.errors import UsageError
from tfssl.text import plain, printable

ENDINGS = (".csv", ".tsv", ".parquet")
USUAL = Names("path", "label", "split", None)
ALSO = {"image": ("path", "file", "filename", "image"), "label": ("label", "class")}
LARGEST = 2**31  # bytes of a table
NUMBER = re.compile(r"[-+]?\d{1,15}(\.\d{0,15})?")


def read(path, names=USUAL, given=()):
    """Reads a table.

    Args:
        path: the file.
        names: `Names` of its columns.
        given: those fields of `names` that were asked for, and must be there.

    Returns:
        A `tree.Tree`.

    Raises:
        UsageError: the table cannot be read, lacks a column or a path, or has an image twice with
            different labels.
    """
    columns = columns_of(path)
    used = {
        field: column_of(columns, getattr(names, field), field, field in given, path)
        for field in ("image", "label", "split")
    }
    if used["image"] is None:
        raise UsageError(
            f"`image_key` must name a column of `data_dir={path}`, which has "
            f"{', '.join(map(printable, columns))}, and none called "
            f"{' or '.join(ALSO['image'])}. Received: none"
        )
    paths, labels, splits = (columns.get(name) for name in used.values())
    grouped = None
    if names.group:
        if names.group not in columns:
            raise missing(path, columns, "group_by", names.group)
        grouped = [unless_missing(word.strip()) for word in columns[names.group]]
        grouped = whole.completed(grouped, paths, names.group)
    words = [""] * len(paths) if labels is None else classes_in(labels)
    classes = sorted(set(words) - {""}, key=by_number)
    places = {word: place for place, word in enumerate(classes)} | {"": -1}
    root, made, without = os.path.dirname(os.path.realpath(path)), {}, []
    remarks = whole.remarks(grouped) if grouped else []
    for field, usual in ALSO.items():
        there = [name for name in columns if name.lower() in usual and name != used[field]]
        if there and used[field] and field not in given:
            remarks.append(
                f"{field}: column {used[field]}; `{field}_key={there[0]}` takes that one instead"
            )
    others = {name for name in columns if name.lower() not in ALSO["image"]}
    if labels is None and others - {*used.values(), names.group}:
        remarks.append(unlabelled(columns, "column"))
    for row, name in enumerate(paths):
        if not name.strip():
            raise UsageError(f"`data_dir={path}`: row {row + 1} must have a path. Received: none")
        split = tree.split_name(splits[row].strip()) if splits else "train"
        if not split:
            without.append(row + 1)
            continue
        file = file_of(root, name, places[words[row]], grouped[row] if grouped else "")
        other = made.setdefault(split, {}).setdefault(file.path, file)
        if other.label != file.label:
            raise UsageError(
                f"`data_dir={path}`: {printable(name)} must have one label. Received: "
                f"{printable(classes[other.label] if other.label >= 0 else 'none')} and "
                f"{printable(words[row] or 'none')}, in row {row + 1}"
            )
    if not made:
        raise UsageError(f"`split_key` must name the split of some row of `data_dir={path}`.")
    if without:
        remarks.append(f"left out: {len(without):,} rows without a split, first row {without[0]}")
    twice = len(paths) - len(without) - sum(map(len, made.values()))
    if twice:
        remarks.append(f"left out: {twice:,} rows of images that have another row")
    made = {split: tree.sorted_files(of.values()) for split, of in made.items()}
    return tree.Tree("table", made, tuple(map(plain, classes)), {}, tuple(remarks))


def classes_in(labels):
    """The texts of labels: "" where there is none, and whole numbers without a decimal point.

    Raises:
        UsageError: they are numbers that are not all whole.
    """
    words = [unless_missing(word.strip()) for word in labels]
    there = [word for word in words if word]
    if not all(NUMBER.fullmatch(word) for word in there):
        return words
    for row, word in enumerate(words, 1):
        if word and float(word) % 1:
            raise UsageError(
                f"`label_key`: labels must be integers, or texts. Received: {word}, in row {row}"
            )
    whole_ones = [word if word.isdecimal() or not word else str(int(float(word))) for word in words]
    return ["" if word.startswith("-") else word for word in whole_ones]


def by_number(word):
    """A sort key of classes: numbers by their value, before other texts."""
    return (0, int(word), "") if word.isdecimal() and len(word) < 19 else (1, 0, word)


def file_of(root, name, label, group):
    """A `tree.File` of a path in a table; one that does not exist is reported when it is read.

    Spaces at its ends count where there is such a file.
    """
    for written in dict.fromkeys((name, name.strip())):
        path = os.path.join(root, os.path.expanduser(written))
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        return tree.File(path, written, label, *times, group=group)
    path = os.path.join(root, os.path.expanduser(name))
    return tree.File(path, name, label, 0, 0, 0, group=group)


def column_of(columns, name, field, required, path):
    """The name of a column, or None.

    Args:
        columns: {name: texts}.
        name: the name that was asked for, if `required`, or the most usual one.
        field: of `Names`.

    Raises:
        UsageError: a required column is missing, or two could be meant.
    """
    flag = f"{field}_key"
    if not required:
        return spelled(columns, (name, *ALSO.get(field, ())), flag)
    if name not in columns:
        raise missing(path, columns, flag, name)
    return name


def missing(path, columns, flag, name):
    return UsageError(
        f"`{flag}` must name a column of `data_dir={path}`, which has "
        f"{', '.join(map(printable, columns))}. Received: {name}"
    )


def columns_of(path):
    """The columns of a table, {name: list of texts}.

    Raises:
        UsageError: the file is missing, no table, or has no rows.
    """
    if not path:
        raise UsageError("`data_dir` must be the file of a table. Received: None")
    try:
        if path.lower().endswith(".parquet"):
            columns = of_parquet(path)
        else:
            columns = of_text(files.text(path, LARGEST), path)
    except OSError as error:
        raise UsageError(
            f"`data_dir` must be the file of a table. Received: {path} ({error.strerror})"
        ) from None
    if not columns or not len(next(iter(columns.values()))):
        raise UsageError(f"`data_dir={path}` must have a line of names and rows below it.")
    return columns


def of_text(text, path):
    """The columns of CSV or TSV; the separator is that of the first line."""
    first = text.partition("\n")[0]
    separator = max("\t;,", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names, *rows = [row for row in lines if row] or [[]]
    except csv.Error as error:
        raise UsageError(f"`data_dir={path}` is no table ({error}).") from None
    uneven = next((place for place, row in enumerate(rows, 1) if len(row) != len(names)), None)
    if uneven:
        raise UsageError(
            f"`data_dir={path}`: row {uneven} must have {len(names)} values, as many as the first "
            f"line has names. Received: {len(rows[uneven - 1])}"
        )
    return {name.strip(): [row[place] for row in rows] for place, name in enumerate(names)}


def of_parquet(path):
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            f"`data_dir={path}` needs the parquet extra: pip install 'tfssl[parquet]'"
        ) from None
    if not os.path.isfile(path):
        raise FileNotFoundError(2, os.strerror(2), path)
    try:
        table = pyarrow.parquet.read_table(path)
    except Exception as error:  # of pyarrow, on whatever the bytes are
        raise UsageError(f"`data_dir={path}` is damaged ({str(error)[:200]}).") from None
    return {
        name: [whole.text(value) for value in table.column(name).to_pylist()]
        for name in table.column_names
    }
