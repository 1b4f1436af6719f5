"""Images and labels in arrays of a file, .npy, .npz or HDF5, as a `Source`.

    images [N, H, W, C] or [N, H, W], labels [N]          one split, named train
    the same, and split [N] of names                      the splits that it names
    train_images, train_labels, test_images, ...          a split for each prefix, as in MedMNIST
    x_train, y_train, x_test, y_test                      likewise, as Keras stores its datasets

These names may be in any case; others are given by `Names`. Labels are classes: integers, of which
negative ones mean that there is none, or texts, of which those in NO_LABEL do. A split is ordered
by a hash, so that a slice of it is a random subset, whatever the order in the file.
"""

import functools
import hashlib
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfssl import files, memory
from tfssl.data import arrays, channels, values
from tfssl.data import groups as whole
from tfssl.data.source import Source, evaluation_split, parse_slice, rows_of
from tfssl.data.tree import split_name
from tfssl.errors import UsageError
from tfssl.text import printable

ENDINGS = (".npy", ".npz", ".h5", ".hdf5")
NO_LABEL = ("", "nan", "none", "null", "na", "n/a", "<na>")  # as programs write what is missing
CHUNK = 2**26  # bytes of images that are looked at together
SAMPLE = 256  # images of a split that identify it
LISTED = 20  # classes that are printed
MOST_CHANNELS = 32  # a last axis that is longer is taken for a side, if another is this short


class Names(NamedTuple):
    """Names of arrays in a file, or of columns of a table.

    Attributes:
        image, label, split: of the images, the labels and the names of splits.
        group: of what a split must not cut, or None; see `groups.py`.
    """

    image: str = "images"
    label: str = "labels"
    split: str = "split"
    group: str | None = None


class Part(NamedTuple):
    """One split of a file.

    Attributes:
        images: name of the array of its images.
        rows: int [n], its rows in the order of the split.
        labels: int64 [n], -1 where there is none; None: there are no labels.
        groups: str [n], or None.
    """

    images: str
    rows: np.ndarray
    labels: np.ndarray | None
    groups: np.ndarray | None


def load(
    path,
    split,
    *,
    flag="train_split",
    names=Names(),
    value_range="auto",
    ranges=None,
    wanted_channels=None,
    limit_bytes=2**31,
    missing=values.NONE,
    report=print,
):
    """Loads one split of a file as a `Source`.

    Args:
        path: the file.
        split: a split or a slice of one; None: test, validation, valid or val.
        flag: the flag that `split` comes from, for messages.
        names: `Names` of the arrays.
        value_range: "auto", "dtype" or (low, high), the values that become 0 and 1.
        ranges: {dtype: (low, high)} to use instead of those that would be found in the images.
        wanted_channels: number of channels to convert to; None: those of the array.
        limit_bytes: largest size of the images that are read into memory.
        missing: `values.Missing`.
        report: function that takes lines about the file, one at a time.

    Returns:
        A `Source`, with arrays if they are small enough.

    Raises:
        UsageError: the file cannot be read, lacks an array, has arrays that do not fit each other,
            or an unknown split.
    """
    found = opened(path)
    parts, classes = parts_of(found, path, names)
    base, start, stop = chosen_part(parts, path, split, flag)
    part = parts[base]
    if part.groups is not None:
        start, stop = whole.boundaries(part.groups, start, stop, split, flag)
        for line in whole.remarks(part.groups):
            report(f"{os.path.basename(path)} {base}: {line}")
    rows = part.rows[start:stop]
    labels = None if part.labels is None else part.labels[start:stop]
    stored, first = found[part.images], shape_of(found[part.images], part.images, wanted_channels)
    dtype = np.dtype(stored.dtype)
    known = (ranges or {}).get(dtype.name) if values.by_data(value_range) else None

    def unmoved(images):
        images = images[..., np.newaxis] if images.ndim == 3 else images
        return np.moveaxis(images, 1, -1) if moved else images

    moved = stored.ndim == 4 and first[-1] != stored.shape[-1]
    scale, line = values.settle(
        values.as_range(known) if known else value_range,
        dtype,
        lambda: extremes(stored, rows, missing),
        lambda: (unmoved(taken(stored, np.array([row])))[0] for row in values.spaced(rows)),
        missing,
        lambda: f"{part.images}:{first_broken(stored, rows, missing)}",
    )
    if line and not known:
        report(f"{os.path.basename(path)} {base}: {line}")
    scale = scale or (0.0, 255.0)
    plain = dtype in (np.uint8, np.uint16) and not missing.values
    plain = plain and scale == (0, np.iinfo(dtype).max)  # what the pipeline takes as it is
    count = channels.choose(first[-1], wanted_channels)

    def pixels(places):
        """Images [n, H, W, C] of rows of the array, in the type of the source."""
        images = unmoved(taken(stored, places))
        images = images if plain else values.scaled_array(images, *scale, missing)
        return channels.converted_array(images, count)

    kept_type = dtype.type if plain else np.float32
    size = len(rows) * count * first[0] * first[1] * np.dtype(kept_type).itemsize
    num_classes = len(classes) if labels is not None and (labels >= 0).any() else 0
    labels = np.full(len(rows), -1, np.int64) if labels is None or not num_classes else labels
    report(f"{os.path.basename(path)} {split or base}: {told(labels, classes, num_classes)}")
    of_images = {each.images for each in parts.values()}
    others = set(found) - of_images - set(as_spelled(found, names)[2:])
    if part.labels is None and others:
        report(f"{os.path.basename(path)}: {unlabelled(found, 'array')}")
    held = (pixels(rows), labels) if size <= limit_bytes else None
    columns = {"row": rows.astype(np.int64), "label": labels}
    return Source(
        name=os.path.basename(path),
        split=split or base,
        examples=(base, start, stop),
        num_classes=num_classes,
        classes=classes if num_classes else (),
        image_shape=first[:2],
        dtype=kept_type,
        channels=count,
        value_ranges={dtype.name: scale},
        records=arrays.records_of(*held)
        if held
        else functools.partial(tf.data.Dataset.from_tensor_slices, columns),
        at=None if held else rows_of(columns),
        decode=(lambda example: (example["image"], example["label"]))
        if held
        else functools.partial(decode, pixels, (*first[:2], count), kept_type),
        fetch=None if held else functools.partial(fetch, pixels, (*first[:2], count), kept_type),
        arrays=held,
        labels=lambda: labels,
        ids=lambda: [f"{part.images}:{row}" for row in rows],
        groups=None if part.groups is None else lambda: list(part.groups[start:stop]),
        origin=("file", os.path.realpath(path)),
        identity=identity_of(found, part, classes),
    )


def told(labels, classes, num_classes):
    """What a split holds, as text."""
    images = f"{len(labels):,} images"
    if not num_classes:
        return f"{images}, without labels"
    missing = np.count_nonzero(labels < 0)
    without = f", {missing:,} of them without a label" if missing else ""
    names = [printable(name) for name in classes[:LISTED]] + ["..."] * (len(classes) > LISTED)
    return f"{images}{without}; {len(classes):,} classes: {', '.join(names)}"


def identify(path, split, *, flag="train_split", names=Names()):
    """The `Source.identity` of a split; see `load`."""
    found = opened(path)
    parts, classes = parts_of(found, path, names)
    return identity_of(found, parts[chosen_part(parts, path, split, flag)[0]], classes)


def decode(pixels, shape, dtype, example):
    """Reads the image of an example, unless `fetch` has done so, as graph code."""
    if "image" not in example:
        rows = {name: value[tf.newaxis] for name, value in example.items()}
        example = {**example, "image": fetch(pixels, shape, dtype, rows)["image"][0]}
    return example["image"], example["label"]


def fetch(pixels, shape, dtype, examples):
    """Reads the images of several examples, as graph code."""
    images = tf.numpy_function(pixels, [examples["row"]], dtype, stateful=False)
    return {**examples, "image": tf.ensure_shape(images, [None, *shape])}


# Files ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def of_file(path, modified):
    """The arrays of a file: {name: array}, read when they are used."""
    small = path.lower()
    if small.endswith(".npy"):
        return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
    if small.endswith(".npz"):
        return Archive(path)
    import h5py

    found, file = {}, h5py.File(path, "r")
    file.visititems(
        lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    return found


class Archive(dict):
    """The arrays of an .npz file, each unpacked when it is first used."""

    def __init__(self, path):
        self.archive = np.load(path, allow_pickle=False)
        super().__init__(dict.fromkeys(self.archive.files))
        self.path = path

    def __getitem__(self, name):
        if super().__getitem__(name) is None:
            info = self.archive.zip.getinfo(f"{name}.npy")
            memory.require([("`data_dir`", f"{name} of {self.path}", info.file_size)])
            try:
                self[name] = self.archive[name]
            except ValueError as error:  # objects of Python, which could run code
                raise UsageError(
                    f"`data_dir={self.path}`: {name} must be of numbers or texts. Received: {error}"
                ) from None
        return super().__getitem__(name)


def opened(path):
    """The arrays of a file by name.

    Raises:
        UsageError: the file is missing, damaged, or of another form.
    """
    why = "is a folder" if path and os.path.isdir(path) else files.absence(path) if path else ""
    if not path or why:
        raise UsageError(
            f"`data_dir` must be a file of arrays. Received: {path}{f' ({why})' if why else ''}"
        )
    try:
        return of_file(os.path.realpath(path), os.stat(path).st_mtime_ns)
    except UsageError:
        raise
    except Exception as error:  # of zipfile, NumPy and h5py, on whatever the bytes are
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"`data_dir={path}` is damaged, or not of the form that its name says "
            f"({lines[0][:200]})."
        ) from None


# Arrays ---------------------------------------------------------------------------------------


def parts_of(found, path, names):
    """The splits {name: `Part`} of the arrays of a file, and the names of the classes.

    Raises:
        UsageError: arrays are missing or do not fit each other.
    """
    asked, names = names, as_spelled(found, names)
    triples = {}
    for split, images, labels in named_arrays(found, names):
        if split in triples:
            raise UsageError(
                f"`image_key` must name one array of images for the split {printable(split)} of "
                f"`data_dir={path}`. Received: {printable(triples[split][0])} and "
                f"{printable(images)}"
            )
        triples[split] = (images, labels)
    if not triples:
        there = ", ".join(map(printable, sorted(found))) or "none"
        usual = asked.image == Names().image
        raise UsageError(
            f"`image_key` must name an array of `data_dir={path}`, alone or after the name of a "
            f"split. It has {there}"
            + (
                f", of which none is called {asked.image}. Received: none"
                if usual
                else f". Received: {asked.image}"
            )
        )
    raw, counts = {}, {}
    for split, (images, label) in triples.items():
        counts[split] = length(found[images], images, path)
        raw[split] = column(found, label, counts[split], path) if label in found else None
    coded, classes = coded_labels(raw, names.label)
    parts = {}
    for split, (images, _) in triples.items():
        grouped = column(found, names.group, counts[split], path) if names.group else None
        if grouped is not None:
            grouped = np.array([unless_missing(word) for word in whole.texts(grouped)], np.str_)
            grouped = whole.completed(grouped, range(counts[split]), names.group)
        apart = {split: np.arange(counts[split])}
        if split == "train" and images == names.image and names.split in found:
            words = whole.texts(column(found, names.split, counts[split], path))
            words = np.array([split_name(word.strip()) for word in words])
            apart = {word: np.flatnonzero(words == word) for word in dict.fromkeys(words.tolist())}
        for name, rows in apart.items():
            of_rows = None if grouped is None else grouped[rows]
            rows = rows[whole.order(rows, of_rows)]
            parts[name] = Part(
                images,
                rows,
                None if coded[split] is None else coded[split][rows],
                None if grouped is None else grouped[rows],
            )
    return parts, classes


def as_spelled(found, names):
    """`Names` in which those that are the usual ones are spelled as in a file."""
    flags = ("image_key", "label_key", "split_key")
    return names._replace(
        **{
            field: spelled(found, (name,), flag) or name
            for field, name, usual, flag in zip(Names._fields, names, Names(), flags)
            if name == usual
        }
    )


def spelled(there, usual, flag):
    """The first of the usual names that there is, or else one in another case; None if none is.

    Args:
        there: names in a file.
        usual: names, the most usual first.
        flag: name of the argument that says which one is meant, for messages.

    Raises:
        UsageError: two names differ only in case.
    """
    for name in usual:
        if name in there:
            return name
    for name in usual:
        alike = sorted(other for other in there if other.lower() == name.lower())
        if len(alike) > 1:
            raise UsageError(
                f"`{flag}` must say which is meant of {' and '.join(map(printable, alike))}, which "
                "differ only in case. Received: none"
            )
        if alike:
            return alike[0]
    return None


def named_arrays(found, names):
    """Yields (split, name of its images, name of its labels) of the arrays of a file."""
    if names.image in found:
        yield "train", names.image, names.label
        return
    usual = names.image == Names().image
    for name in found:
        known = name.lower() if usual else name
        if known.endswith(f"_{names.image}"):
            prefix = name[: -len(names.image)]
            label = prefix + names.label
        elif usual and known.startswith("x_"):
            prefix, label = f"{name[2:]}_", f"y_{name[2:]}"
        else:
            continue
        label = (spelled(found, (label,), "label_key") if usual else None) or label
        yield split_name(prefix[:-1]), name, label


def unlabelled(there, what):
    """A line about the names in a file without labels."""
    names = ", ".join(map(printable, there))
    return f"no {what} of labels among {names}: `label_key` names one"


def length(images, name, path):
    """The number of images of an array; raises UsageError if it holds none."""
    kind, shape = getattr(images.dtype, "kind", "O"), images.shape
    if kind not in "uifb" or len(shape) not in (3, 4) or not all(shape):
        raise UsageError(
            f"`data_dir={path}`: {name} must be images of one size, [N, H, W, C] or [N, H, W]. "
            f"Received: {images.dtype} {list(shape)}"
        )
    return shape[0]


def shape_of(images, name, wanted):
    """(H, W, C) of the images of an array.

    Raises:
        UsageError: the channels seem to be in front.
    """
    if len(images.shape) == 3:
        return (*images.shape[1:], 1)
    front, side, last = images.shape[1:]
    if wanted == front and last != front and (wanted, last) not in ((1, 3), (3, 1)):
        return (*images.shape[2:], front)
    if MOST_CHANNELS >= front < last and (last > MOST_CHANNELS or last == side) and wanted != last:
        raise UsageError(
            f"`channels` must say how many there are where they are in front: {name} is "
            f"{list(images.shape)}, so channels={front} may be meant; or channels={last}, where "
            f"they are not. Received: {wanted}"
        )
    return images.shape[1:]


def column(found, name, count, path):
    """A one-dimensional array of a file as NumPy values; None for h5 references and the like.

    Raises:
        UsageError: there is none of that length.
    """
    if name not in found:
        raise UsageError(
            f"`data_dir={path}` must have an array {name}. It has "
            f"{', '.join(map(printable, sorted(found)))}. Received: none"
        )
    column = np.asarray(found[name])
    column = column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column
    if column.shape != (count,):
        raise UsageError(
            f"`data_dir={path}`: {name} must have a value for each of {count} images. "
            f"Received: {list(column.shape)}"
        )
    return column


def coded_labels(raw, name):
    """Labels as int64, -1 where there is none, and the names of all classes.

    Args:
        raw: {split: array of integers or texts, or None}.
        name: of the arrays, for messages.

    Returns:
        ({split: int64 [n] or None}, tuple of names).

    Raises:
        UsageError: labels are neither integers nor texts, or a mixture of both.
    """
    there = {split: values for split, values in raw.items() if values is not None}
    kinds = {kind_of(values, name) for values in there.values()}
    if len(kinds) > 1:
        raise UsageError(f"`label_key={name}`: labels must be integers, or texts. Received: both")
    if kinds == {"text"}:
        words = {
            split: list(map(unless_missing, whole.texts(values))) for split, values in there.items()
        }
        classes = tuple(sorted(set().union(*(set(values) for values in words.values())) - {""}))
        places = {word: place for place, word in enumerate(classes)} | {"": -1}
        coded = {
            split: np.array([places[word] for word in values], np.int64)
            for split, values in words.items()
        }
    else:
        coded = {
            split: np.maximum(np.nan_to_num(values, nan=-1).astype(np.int64), -1)
            for split, values in there.items()
        }
        most = max((int(values.max(initial=-1)) for values in coded.values()), default=-1)
        classes = tuple(map(str, range(most + 1)))
    return {split: coded.get(split) for split in raw}, classes


def unless_missing(text):
    """The text of a label, or "" where it says that there is none."""
    return "" if text.strip().lower() in NO_LABEL else text


def are_whole(labels):
    """Whether floats are whole numbers; NaN stands for no label."""
    there = labels[~np.isnan(labels)]
    return bool(np.isfinite(there).all() and (there % 1 == 0).all())


def kind_of(labels, name):
    """ "text" or "integer"."""
    received = labels.dtype
    if labels.dtype.kind in "iub" or labels.dtype.kind == "f" and are_whole(labels):
        return "integer"
    if labels.dtype.kind in "OSU":
        return "text"
    if labels.dtype.kind == "f":
        place = next(
            place for place in range(len(labels)) if not are_whole(labels[place : place + 1])
        )
        received = f"{labels[place]:g}, at index {place}"
    raise UsageError(f"`label_key={name}`: labels must be integers, or texts. Received: {received}")


def chosen_part(parts, path, split, flag):
    """A split or a slice of one as (split, start, stop)."""
    if split is None:
        split = evaluation_split(parts, path, "split")
    sizes = {name: len(part.rows) for name, part in parts.items()}
    return parse_slice(split, sizes, flag, os.path.basename(path))


def taken(stored, rows):
    """Rows of an array that may be in a file, in any order."""
    if isinstance(stored, np.ndarray):
        return np.asarray(stored[rows])
    order = np.argsort(rows, kind="stable")  # HDF5 takes rising indices only
    made = np.empty((len(rows), *stored.shape[1:]), stored.dtype)
    made[order] = stored[rows[order]]
    return made


def chunks(stored, rows):
    """Yields images of some rows, as many at once as CHUNK holds, in the order of the file."""
    each = max(1, int(np.prod(stored.shape[1:])) * stored.dtype.itemsize)
    rows, many = np.sort(rows), max(1, CHUNK // each)
    for start in range(0, len(rows), many):
        yield taken(stored, rows[start : start + many])


def extremes(stored, rows, missing=values.NONE):
    """The smallest and the largest value; None if all are missing. Not finite if one is not."""
    low, high = np.inf, -np.inf
    for images in chunks(stored, rows):
        there = images[~missing.where(images)] if missing.values else images
        if not np.isfinite(there).all():
            return (float(there.min()), float(there.max()))
        if there.size:
            low, high = min(low, float(there.min())), max(high, float(there.max()))
    return (low, high) if low <= high else None


def first_broken(stored, rows, missing):
    """The first row that has a value that is not finite, and not missing."""
    for row in np.sort(rows):
        image = taken(stored, np.array([row]))
        if not np.isfinite(image[~missing.where(image)]).all():
            return int(row)
    return None


def identity_of(found, part, classes):
    """Identifies a split by a sample of its images, its labels and classes."""
    stored, content = found[part.images], hashlib.sha256()
    some = part.rows[:: max(1, len(part.rows) // SAMPLE)]
    for images in chunks(stored, some):
        content.update(np.ascontiguousarray(images).data)
    labels = part.labels if part.labels is not None else np.zeros(0, np.int64)
    content.update(labels.astype("<i8").tobytes())
    return {
        "kind": "arrays",
        "images": len(part.rows),
        "shape": list(stored.shape[1:]),
        "dtype": np.dtype(stored.dtype).name,
        "classes": {
            name: int(count)
            for name, count in zip(
                classes, np.bincount(labels[labels >= 0], minlength=len(classes))
            )
        },
        "content": content.hexdigest()[:32],
    }
