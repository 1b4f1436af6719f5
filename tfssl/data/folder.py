"""Image folders, with or without classes, as a `Source`.

`tree.py` reads folders, `images.py` reads files. Grey, palette, RGBA (alpha is dropped) and CMYK
images become RGB: uint8, or floats in [0, 1] for files of more than 8 bits.

Every file is decoded once before training, so that a damaged file is reported then and does not
stop the run later; `index.py` caches the results. A split is ordered by a hash of the file names,
so that a slice of it is a random subset.
"""

import collections
import concurrent.futures
import functools
import hashlib
import os
import re
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image

from tfssl.compat import as_it_is
from tfssl.data import channels as colours
from tfssl.data import groups as whole
from tfssl.data import images, tree, values
from tfssl.data.index import Index
from tfssl.data.source import Source, Texts, evaluation_split, parse_slice, rows_of
from tfssl.errors import UsageError
from tfssl.text import plain, printable

MAX_PIXELS = 89_000_000
LISTED = 20  # names of unreadable files that are printed
PERIOD = 10_000  # files between two lines of progress
PLAIN = {"uint8": (0.0, 255.0)}  # values that need no scaling


def load(
    directory,
    split,
    *,
    flag="train_split",
    max_bad_fraction=0.1,
    max_pixels=MAX_PIXELS,
    layout="auto",
    value_range="auto",
    ranges=None,
    rules=2,
    again=False,
    channels=None,
    group_by=None,
    table=None,
    missing=values.NONE,
    report=print,
):
    """Loads one split of a folder, or of the files that a table names, as a `Source`.

    Args:
        directory: the folder, or the file of the table.
        split: a split or a slice of one; None: test, validation, valid or val.
        flag: the flag that `split` comes from, for messages.
        max_bad_fraction: fraction of the files of a split that may be unreadable.
        max_pixels: larger images are left out.
        layout: "auto", "splits", "classes", "flat" or "bands"; see `tree.py`.
        value_range: "auto", "dtype", (low, high) or ("percentiles", low, high), the values that
            become 0 and 1; see `values.py`.
        ranges: {dtype: (low, high)} to use instead of those that would be found in the images.
        rules: 1: read files as tfssl 0.1 did; 2: the current rules.
        again: whether another split of the folder was just loaded, whose remarks are not repeated.
        channels: number of channels to convert the images to, or to find in the pages of a TIFF;
            None: those of the files, 3 for grey and colours.
        group_by: regular expression for what files belong to, in their names; None: nothing. Not
            for tables, which say it themselves.
        table: the `tree.Tree` of a table; None: the folder is read.
        missing: `values.Missing`.
        report: function that takes lines about the folder, one at a time.

    Returns:
        A `Source`. With one class or none, `num_classes` is 0 and the labels are -1.

    Raises:
        UsageError: no folder, no images, an unknown split, or too many unreadable files.
    """
    found = table or tree.read(directory, layout, wanted_split(split), rules)
    if group_by and not table:
        found = tree.grouped(found, group_by, (lambda line: None) if again else report)
    name, start, stop = part_of(found, directory, split, flag)
    split = split or name
    for line in () if again else (tree.summary(directory, found), *found.remarks):
        report(line)
    files = found.splits[name][start:stop]
    pairs = [
        (file, images.stacked(image, channels))
        for file, image in zip(files, examined(directory, files, max_pixels, rules, missing))
    ]
    good = [(file, image) for file, image in pairs if not image.problem]
    report_unreadable(directory, split, pairs, found.others.get(name, ()), max_bad_fraction, report)
    named = bands_of(good)
    of_files = channels_of(directory, good, named)
    channels = colours.choose(of_files, channels)
    classes = classes_of(found, name, rules, report)
    chosen = chosen_ranges(
        [image for _, image in good],
        value_range,
        ranges or {},
        report,
        lambda places: (stored_values(*good[place], rules) for place in places),
        missing,
    )
    report_duplicates(good, split, report)
    sizes = {image.size for _, image in good}
    deep = chosen != PLAIN or bool(missing.values)
    alike = not deep and all(
        (image.reader, image.orientation) == (images.BY_TENSORFLOW, 1) for _, image in good
    )
    turned = any(image.orientation > 1 for _, image in good)
    readers = {image.reader for _, image in good}
    labels = labels_in(good, bool(classes))
    thumbs = images.thumbnails(image for _, image in good)
    count = len(good)
    at = reader(good, labels, chosen, alike)
    return Source(
        name=name_of(directory, found),
        split=split,
        examples=(name, start, stop),
        kept=len(good),
        num_classes=len(classes),
        classes=classes,
        image_shape=sizes.pop() if len(sizes) == 1 else (None, None),
        dtype=np.float32 if deep else np.uint8,
        value_ranges=chosen,
        records=lambda: tf.data.Dataset.range(count).map(at),
        at=at,
        decode=lambda example: (
            images.decode(example, deep, rules, of_files, missing, channels, readers),
            example["label"],
        ),
        channels=channels,
        bands=next(iter(named), ()),
        content=content_of,
        orientation=(lambda example: example["orientation"]) if turned else None,
        # Not from the lists of what was found, which take much more memory.
        ids=Texts(plain(file.name) for file, _ in good),
        paths=Texts(plain(os.path.abspath(file.path)) for file, _ in good),
        labels=lambda: labels,
        digests=Texts(image.digest for _, image in good),
        thumbnails=lambda: thumbs,
        groups=Texts(file.group for file, _ in good) if any(f.group for f in files) else None,
        origin=("folder", os.path.realpath(directory)),
        identity={
            **tree.identity(found, name),
            "content": content_digest(image for _, image in good),
        },
    )


def name_of(directory, found):
    """The name of the dataset: "folder", or the file of a table."""
    return os.path.basename(directory) if found.layout == "table" else "folder"


def bands_of(good):
    """The bands of images that are folders of files: {names: path of an image}, most usual first.

    Empty where images are files, or where no two of them have a band of one name.
    """
    if not os.path.isdir(good[0][0].path):
        return {}
    paths, seen = {}, collections.Counter()
    for file, _ in good:
        paths.setdefault(images.names_of_bands(file.path), []).append(file.path)
    for names, of_names in paths.items():
        seen.update({name.lower(): len(of_names) for name in names if name})
    matched = len(good) == 1 or max(seen.values(), default=0) > 1
    usual = sorted(paths, key=lambda names: -len(paths[names]))
    return {names: paths[names][0] for names in usual} if matched else {}


def differ(bands, others):
    """Whether names of bands, or their order, differ in more than case."""
    return [name.lower() for name in bands] != [name.lower() for name in others]


def bands_told(names):
    return " ".join(printable(name or "-") for name in names)


def channels_of(directory, good, bands):
    """The number of channels of the files.

    Args:
        good: pairs of a `tree.File` and its `Found`.
        bands: as returned by `bands_of`.

    Raises:
        UsageError: they differ, or other bands have their place.
    """
    seen = {}
    for file, image in good:
        seen.setdefault(image.channels, file.path)
    if len(seen) > 1:
        (few, one), (many, other), *_ = sorted(seen.items())
        named = {path: f" ({bands_told(names)})" for names, path in bands.items()}
        raise UsageError(
            f"`data_dir={directory}` must hold images of as many channels. Received: {few} in "
            f"{printable(one)}{named.get(one, '')}, and {many} in {printable(other)}"
            f"{named.get(other, '')}"
        )
    first, *others = bands or [()]
    other = next((names for names in others if differ(names, first)), None)
    if other:
        raise UsageError(
            f"`data_dir={directory}` must hold images of the same bands. Received: "
            f"{bands_told(first)} in {printable(bands[first])}, and {bands_told(other)} in "
            f"{printable(bands[other])}"
        )
    return next(iter(seen))


def wanted_split(split):
    """The name of the split in a slice such as train[:90%]."""
    return split and re.split(r"\[", split)[0]


def part_of(found, directory, split, flag):
    """A split or a slice of one as (split, start, stop)."""
    if split is None:
        split = evaluation_split(found.splits, directory, "folder")
    sizes = {name: len(files) for name, files in found.splits.items()}
    name, start, stop = parse_slice(split, sizes, flag, name_of(directory, found))
    groups = [file.group for file in found.splits[name]]
    if not any(groups):
        return name, start, stop
    return (name, *whole.boundaries(groups, start, stop, split, flag))


def classes_of(found, split, rules, report):
    """The names of the classes of a split; () if it has no labels or a single class."""
    if all(file.label < 0 for file in found.splits[split]):
        return ()
    if len(found.classes) == 1 and rules == 2:
        report(
            f"{split}: taken as images without labels, as {printable(found.classes[0])} is the "
            "only class"
        )
        return ()
    return found.classes


def stored_values(file, found, rules):
    """The values of a file as they are stored, [H, W, C]."""
    content = images.content_of(file.path)
    if found.reader == images.BY_PYTHON:
        return images.by_python(content, rules)
    return np.asarray(images.READERS[found.reader](content))


def chosen_ranges(found, value_range, known, report, sample, missing=values.NONE):
    """The values that become 0 and 1, {dtype: (low, high)} for each dtype in a split.

    Args:
        found: the `Found` of each image.
        value_range, report, missing: as for `load`.
        known: `ranges` of `load`.
        sample: (places in `found`) -> the values of these images, [H, W, C].
    """
    seen = {}
    for image in found:
        low, high = seen.get(image.dtype, (image.low, image.high))
        seen[image.dtype] = (min(low, image.low), max(high, image.high))
    chosen = {}
    for dtype, extremes in seen.items():
        if values.by_data(value_range) and known.get(dtype):
            chosen[dtype] = values.as_range(known[dtype])
        elif values.between(value_range):
            places = [place for place, image in enumerate(found) if image.dtype == dtype]
            images_of = sample(values.spaced(places))
            chosen[dtype] = values.percentiles(images_of, value_range, missing)
        elif isinstance(value_range, tuple):
            chosen[dtype] = value_range
        elif dtype in PLAIN:
            chosen[dtype] = PLAIN[dtype]
        elif value_range == "dtype":
            chosen[dtype] = values.dtype_range(dtype)
        else:
            chosen[dtype] = tuple(values.choose_range(dtype, *extremes))
        line = values.range_summary(dtype, chosen[dtype], extremes)
        known_and_wide = dtype in known and "clipped" not in line  # told for another split
        if chosen[dtype] != PLAIN.get(dtype) and not known_and_wide:
            report(line)
    return chosen


def report_duplicates(good, split, report):
    """Reports the number of images that are in several classes."""
    labels = {}
    for file, image in good:
        labels.setdefault(image.digest, set()).add(file.label)
    twins = sum(len(labels[image.digest]) > 1 for _, image in good)
    if twins:
        report(
            f"{split}: {twins:,} of {len(good):,} images are in another class too, as "
            "identical files"
        )


def content_digest(found):
    """A digest of the contents of all files."""
    return hashlib.sha256("".join(image.digest for image in found).encode()).hexdigest()[:32]


def identify(directory, split, *, flag="train_split", layout="auto", rules=2, table=None):
    """The identity of a split from file names and sizes only; see `tree.identity` and `load`."""
    found = table or tree.read(directory, layout, wanted_split(split), rules)
    return tree.identity(found, part_of(found, directory, split, flag)[0])


def examined(directory, files, max_pixels, rules, missing=values.NONE):
    """A `Found` for each file, in order. Files that are not in the index are decoded."""
    index = Index(directory, rules, missing.values)
    known = index.known(files)
    new = [file for file in files if file.name not in known]
    for start in range(0, len(new), PERIOD):
        part = new[start : start + PERIOD]
        found = examined_anew(part, max_pixels, rules, missing)
        index.add((file, one) for file, one in zip(part, found) if not one.problem)
        known |= {file.name: one for file, one in zip(part, found)}
        if start + PERIOD < len(new):
            print(f"{start + PERIOD:,} of {len(new):,} files are read", flush=True)
    return [images.within(known[file.name], max_pixels) for file in files]


def examined_anew(files, max_pixels, rules, missing=values.NONE):
    """Decodes files in parallel and returns a `Found` for each."""
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):  # Pillow's own limit
        Image.MAX_IMAGE_PIXELS = max_pixels
    examine = functools.partial(images.examine, max_pixels=max_pixels, rules=rules, missing=missing)
    with (
        warnings.catch_warnings(),
        concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool,
    ):
        warnings.simplefilter("ignore")  # problems are reported by `images.examine`
        return list(pool.map(examine, (file.path for file in files)))


def report_unreadable(directory, split, pairs, others, max_bad_fraction, report):
    """Reports unreadable files; raises UsageError if there are too many."""
    bad = [(file.path, image.problem) for file, image in pairs if image.problem]
    bad = sorted([*bad, *((path, "not an image") for path in others)])
    total = len(pairs) + len(others)
    if len(bad) > max_bad_fraction * total or len(bad) == total:
        path, problem = bad[0]
        raise UsageError(
            f"{len(bad):,} of {total:,} files in `data_dir={directory}` {split} cannot be read, "
            f"more than `max_bad_fraction={max_bad_fraction:g}` allows. The first: "
            f"{printable(path)} ({printable(problem)})"
        )
    for path, problem in bad[:LISTED]:
        report(f"unreadable, left out: {printable(path)} ({printable(problem)})")
    if len(bad) > LISTED:
        report(f"... and {len(bad) - LISTED:,} more")
    if bad:
        report(
            f"{printable(directory)} {split}: {total - len(bad):,} of {total:,} images can be "
            f"read, {len(bad):,} are left out"
        )


def content_of(example):
    """The bytes of the file of an example if TensorFlow decodes it, else b""."""
    if "reader" not in example:
        return example["image"]
    ours = tf.equal(example["reader"], images.BY_TENSORFLOW)
    return tf.where(ours, example["image"], "")


def labels_in(good, labelled):
    """The labels of images, int64 [N]; all -1 if these are not to be kept."""
    return np.array([file.label if labelled else -1 for file, _ in good], np.int64)


def reader(good, labels, ranges, alike):
    """The function index -> {"image": bytes of a file, "label"}, and what `decode` needs.

    Args:
        good: pairs of a `tree.File` and its `Found`.
        labels: int64 [N].
        ranges: {dtype: (low, high)}.
        alike: whether TensorFlow decodes all files to uint8, and all are upright.
    """
    columns = {"path": [os.fsencode(file.path) for file, _ in good], "label": labels}
    if not alike:
        low, high = zip(*(ranges[image.dtype] for _, image in good))
        columns |= {
            "reader": np.array([image.reader for _, image in good], np.int32),
            "orientation": np.array([image.orientation for _, image in good], np.int32),
            "low": np.array(low, np.float64),
            "high": np.array(high, np.float64),
        }

    bands = os.path.isdir(good[0][0].path)
    row = rows_of(columns)

    @as_it_is
    def read(place):
        example = row(place)
        path = example.pop("path")
        content = (
            tf.ensure_shape(tf.numpy_function(images.bands_of, [path], tf.string), [])
            if bands
            else tf.io.read_file(path)
        )
        return {"image": content, **example}

    return read
