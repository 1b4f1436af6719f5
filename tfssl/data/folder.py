"""Your own images: a folder of files, with or without classes.

How folders are read is in `tree.py`, how files are in `images.py`. Grey, palette, RGBA (alpha is
dropped) and CMYK images become RGB, of 8 bits or, where there are more, of floats in [0, 1].

Every file is decoded once before training, so that a damaged one is known by name then and does
not stop the run later; `index.py` keeps what was found. The order of a split is that of a hash of
the names: a slice of it is a random part.
"""

import concurrent.futures
import functools
import hashlib
import os
import re
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image

from tfssl.data import images, tree, values
from tfssl.data.index import Index
from tfssl.data.source import Source, parse_slice
from tfssl.errors import UsageError
from tfssl.text import plain, printable

EVAL_SPLITS = ("test", "validation", "valid", "val")
MAX_PIXELS = 89_000_000
TOLD = 20  # names of unreadable files that are printed
PERIOD = 10_000  # files between two lines that say how far the reading is
PLAIN = {"uint8": (0.0, 255.0)}  # the range of values that needs no scaling


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
    report=print,
):
    """One split of a folder as a Source.

    Args:
        directory: the folder.
        split: a split or a slice of one; None: test, validation, valid or val.
        flag: the flag that the split came from, for messages.
        max_bad_fraction: share of the files of a split that may be unreadable.
        max_pixels: images of more are left out.
        layout: auto, splits, classes or flat; see `tree.py`.
        value_range: auto, dtype or (low, high): what becomes 0 and 1; see `values.py`.
        ranges: {dtype: (low, high)} that hold in place of what auto would choose.
        rules: 1: read as tfssl 0.1 did.
        again: whether another split was just loaded, so that how it is read has been told.
        report: what is told goes here, a line at a time.

    Returns:
        A `Source`; without classes, or with a single one, its `num_classes` is 0 and its labels
        are -1.

    Raises:
        UsageError: no folder, no images, an unknown split, or too many unreadable files.
    """
    found = tree.read(directory, layout, wanted_split(split), rules)
    name, start, stop = part_of(found, directory, split, flag)
    split = split or name
    for line in () if again else (tree.told(directory, found), *found.remarks):
        report(line)
    files = found.splits[name][start:stop]
    pairs = list(zip(files, examined(directory, files, max_pixels, rules)))
    good = [(file, image) for file, image in pairs if not image.problem]
    tell(directory, split, pairs, found.others.get(name, ()), max_bad_fraction, report)
    classes = classes_of(found, name, rules, report)
    chosen = chosen_ranges([image for _, image in good], value_range, ranges or {}, report)
    tell_twins(good, split, report)
    sizes = {image.size for _, image in good}
    alike = chosen == PLAIN and all(
        (image.reader, image.orientation) == (images.BY_TENSORFLOW, 1) for _, image in good
    )
    turned = any(image.orientation > 1 for _, image in good)
    deep = chosen != PLAIN
    return Source(
        name="folder",
        split=split,
        examples=(name, start, stop),
        kept=len(good),
        num_classes=len(classes),
        classes=classes,
        image_shape=sizes.pop() if len(sizes) == 1 else (None, None),
        dtype=np.float32 if deep else np.uint8,
        value_ranges=chosen,
        records=functools.partial(records, good, chosen, alike, bool(classes)),
        decode=lambda example: (images.decode(example, deep, rules), example["label"]),
        content=content_of,
        orientation=(lambda example: example["orientation"]) if turned else None,
        ids=lambda: [plain(file.name) for file, _ in good],
        digests=lambda: [image.digest for _, image in good],
        origin=("folder", os.path.realpath(directory)),
        identity={
            **tree.identity(found, name),
            "content": content_digest(image for _, image in good),
        },
    )


def wanted_split(split):
    """The name in a split such as train[:90%]."""
    return split and re.split(r"\[", split)[0]


def part_of(found, directory, split, flag):
    """A split or a slice of one as (split, start, stop)."""
    if split is None:
        split = next((name for name in EVAL_SPLITS if name in found.splits), None)
        if split is None:
            raise UsageError(
                f"--eval_split must name what to evaluate on: --data_dir={directory} has no "
                "test or validation folder. A part of train will do: --train_split=train[:90%] "
                "--eval_split=train[90%:]. Received: None"
            )
    sizes = {name: len(files) for name, files in found.splits.items()}
    return parse_slice(split, sizes, flag, "folder")


def classes_of(found, split, rules, report):
    """The names of the classes where the images of a split have labels that say something."""
    if all(file.label < 0 for file in found.splits[split]):
        return ()
    if len(found.classes) == 1 and rules == 2:
        report(
            f"{split}: taken as images without labels, as {printable(found.classes[0])} is the "
            "only class"
        )
        return ()
    return found.classes


def chosen_ranges(found, value_range, known, report):
    """{dtype: (low, high)} of the values that become 0 and 1, for every dtype that there is.

    Args:
        found: the `Found` of every image.
        value_range: auto, dtype or (low, high).
        known: ranges that hold in place of what auto would choose.
        report: what is found and chosen goes here.
    """
    seen = {}
    for image in found:
        low, high = seen.get(image.dtype, (image.low, image.high))
        seen[image.dtype] = (min(low, image.low), max(high, image.high))
    chosen = {}
    for dtype, extremes in seen.items():
        if isinstance(value_range, tuple):
            chosen[dtype] = value_range
        elif dtype in PLAIN:
            chosen[dtype] = PLAIN[dtype]
        elif value_range == "dtype":
            chosen[dtype] = values.dtype_range(dtype)
        else:
            chosen[dtype] = tuple(known.get(dtype) or values.choose_range(dtype, *extremes))
        if dtype not in PLAIN or chosen[dtype] != PLAIN[dtype]:
            report(values.told(dtype, chosen[dtype], extremes))
    return chosen


def tell_twins(good, split, report):
    """Says how many images are there in several classes."""
    labels = {}
    for file, image in good:
        labels.setdefault(image.digest, set()).add(file.label)
    twins = sum(len(labels[image.digest]) > 1 for _, image in good)
    if twins:
        report(
            f"{split}: {twins:,} of {len(good):,} images are there in another class too, byte "
            "for byte"
        )


def content_digest(found):
    """A digest of all files, as text."""
    return hashlib.sha256("".join(image.digest for image in found).encode()).hexdigest()[:32]


def identify(directory, split, *, flag="train_split", layout="auto", rules=2):
    """What the images of a split are, by their names and sizes alone; see `tree.identity`.

    Args, Raises: as `load`.
    """
    found = tree.read(directory, layout, wanted_split(split), rules)
    return tree.identity(found, part_of(found, directory, split, flag)[0])


def examined(directory, files, max_pixels, rules):
    """A `Found` for every file, in order; those that are not in the index are read."""
    index = Index(directory, rules)
    known = index.known(files)
    new = [file for file in files if file.name not in known]
    for start in range(0, len(new), PERIOD):
        part = new[start : start + PERIOD]
        found = examined_anew(part, max_pixels, rules)
        index.add(zip(part, found))
        known |= {file.name: one for file, one in zip(part, found)}
        if start + PERIOD < len(new):
            print(f"{start + PERIOD:,} of {len(new):,} files are read", flush=True)
    return [images.within(known[file.name], max_pixels) for file in files]


def examined_anew(files, max_pixels, rules):
    """A `Found` for every file; several are decoded at a time."""
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):  # beyond which Pillow reads nothing
        Image.MAX_IMAGE_PIXELS = max_pixels
    examine = functools.partial(images.examine, max_pixels=max_pixels, rules=rules)
    with (
        warnings.catch_warnings(),
        concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool,
    ):
        warnings.simplefilter("ignore")  # what matters of an image is found out here
        return list(pool.map(examine, (file.path for file in files)))


def tell(directory, split, pairs, others, max_bad_fraction, report):
    """Names what cannot be read, and stops where that is too much."""
    bad = [(file.path, image.problem) for file, image in pairs if image.problem]
    bad = sorted([*bad, *((path, "not an image") for path in others)])
    total = len(pairs) + len(others)
    for path, problem in bad[:TOLD]:
        report(f"unreadable, left out: {printable(path)} ({printable(problem)})")
    if len(bad) > TOLD:
        report(f"... and {len(bad) - TOLD:,} more")
    if bad:
        report(
            f"{printable(directory)} {split}: {total - len(bad):,} of {total:,} images can be "
            f"read, {len(bad):,} are left out"
        )
    if len(bad) > max_bad_fraction * total or len(bad) == total:
        path, problem = bad[0]
        raise UsageError(
            f"{len(bad):,} of {total:,} files in --data_dir={directory} {split} cannot be read, "
            f"more than --max_bad_fraction={max_bad_fraction:g} allows. The first: "
            f"{printable(path)} ({printable(problem)})"
        )


def content_of(example):
    """The bytes of an example's file where TensorFlow reads it, else none."""
    if "reader" not in example:
        return example["image"]
    ours = tf.equal(example["reader"], images.BY_TENSORFLOW)
    return tf.where(ours, example["image"], "")


def records(good, ranges, alike, labelled):
    """Examples {"image": the bytes of a file, "label"}, in order, and what decoding it takes.

    Args:
        good: pairs of a `tree.File` and its `Found`.
        ranges: {dtype: (low, high)}.
        alike: whether all are decoded by TensorFlow to 8 bits, upright as they are.
        labelled: whether the labels say something.
    """
    columns = {
        "path": tf.constant([os.fsencode(file.path) for file, _ in good]),
        "label": np.array([file.label if labelled else -1 for file, _ in good], np.int64),
    }
    if not alike:
        low, high = zip(*(ranges[image.dtype] for _, image in good))
        columns |= {
            "reader": np.array([image.reader for _, image in good], np.int32),
            "orientation": np.array([image.orientation for _, image in good], np.int32),
            "low": np.array(low, np.float64),
            "high": np.array(high, np.float64),
        }

    def read(example):
        path = example.pop("path")
        return {"image": tf.io.read_file(path), **example}

    return tf.data.Dataset.from_tensor_slices(columns).map(read)
