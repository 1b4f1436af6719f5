"""Your own images: a folder of files, with or without classes.

    DIR/<split>/<class>/*    labelled; the classes are the names of the folders, sorted
    DIR/<class>/*            the same, all in one split named train
    DIR/<split>/*            without labels, where the split has a customary name, such as
                             unlabelled; others beside it may have classes
    DIR/*                    without labels, all in one split named train

JPEG, PNG, BMP, GIF (its first frame) and WebP, whatever the extension says; grey, palette, RGBA
(alpha is dropped), CMYK and 16-bit images become 8-bit RGB.

Every file is decoded once before training, so that a damaged one is known by name then and does
not stop the run later. What TensorFlow cannot decode is converted by Pillow and held in memory as
PNG. The order of a split is that of a hash of the names: a slice of it is a random part.
"""

import concurrent.futures
import functools
import hashlib
import io
import os
import warnings
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf
from PIL import Image

from tfssl.data.source import Source, parse_slice
from tfssl.errors import UsageError

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp")
SPLITS = ("train", "test", "validation", "valid", "val", "unlabelled", "unlabeled", "unsupervised")
EVAL_SPLITS = ("test", "validation", "valid", "val")
TOLD = 20  # names of unreadable files that are printed
PERIOD = 10_000  # files between two lines that say how far the reading is


class File(NamedTuple):
    """An image file: where it is, its class, and what was found when it was decoded."""

    path: str
    label: int
    size: Optional[tuple] = None  # (height, width)
    converted: bytes = b""  # a PNG in its place, where TensorFlow cannot decode it
    problem: str = ""


def load(directory, split, *, flag="train_split", max_bad_fraction=0.1, report=print):
    """One split of a folder as a Source.

    Args:
        directory: the folder.
        split: a split or a slice of one; None: test, validation, valid or val.
        flag: the flag that the split came from, for messages.
        max_bad_fraction: share of the files of a split that may be unreadable.
        report: what is told of them goes here, a line at a time.

    Returns:
        A `Source`; without classes, its `num_classes` is 0 and its labels are -1.

    Raises:
        UsageError: no folder, no images, an unknown split, or too many unreadable files.
    """
    splits, classes, others = find(directory)
    if split is None:
        split = next((name for name in EVAL_SPLITS if name in splits), None)
        if split is None:
            raise UsageError(
                f"--eval_split must name what to evaluate on: --data_dir={directory} has no "
                "test or validation folder. A part of train will do: --train_split=train[:90%] "
                "--eval_split=train[90%:]. Received: None")
    name, start, stop = parse_slice(split, {k: len(v) for k, v in splits.items()}, flag, "folder")
    if others:
        report(f"{directory}: {others:,} files are not images by their names and are left out")
    files = list(decoded(splits[name][start:stop]))
    good = [file for file in files if not file.problem]
    tell(directory, split, files, good, max_bad_fraction, report)
    sizes = {file.size for file in good}
    return Source(
        name="folder",
        split=split,
        examples=(name, start, stop),
        kept=len(good),
        num_classes=len(classes) if good[0].label >= 0 else 0,
        classes=tuple(classes),
        image_shape=sizes.pop() if len(sizes) == 1 else (None, None),
        records=functools.partial(records, good),
        decode=lambda example: (decode(example["image"]), example["label"]),
        content=lambda example: example["image"],
        ids=lambda: [os.path.relpath(file.path, directory) for file in good],
    )


def find(directory):
    """What a folder holds, by the names alone.

    Returns:
        ({split: files in order}, names of the classes, number of files that are no images).

    Raises:
        UsageError: it is no folder, holds no image, or mixes images and folders.
    """
    if directory is None or not os.path.isdir(directory):
        raise UsageError("--data_dir must be the folder of the images for --dataset=folder. "
                         f"Received: {directory}")
    found, others = {}, 0
    for where, folders, names in os.walk(directory, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        visible = [name for name in names if not name.startswith(".")]
        images = [name for name in visible if name.lower().endswith(EXTENSIONS)]
        others += len(visible) - len(images)
        parts = tuple(os.path.relpath(where, directory).split(os.sep))
        parts = () if parts == (".",) else parts
        # A class may have folders within: its images are those of all of them.
        found.setdefault(parts[:2], []).extend(os.path.join(where, name) for name in images)
    found = {parts: paths for parts, paths in found.items() if paths}
    if not found:
        raise UsageError(f"--data_dir={directory} holds no images ({', '.join(EXTENSIONS)}).")
    if all(len(parts) == 1 and parts[0] not in SPLITS for parts in found):
        found = {("train", *parts): paths for parts, paths in found.items()}
    labelled = {parts[0] for parts in found if len(parts) == 2}
    for parts in found:
        alone = len(parts) == 0 and len(found) == 1
        split = len(parts) == 1 and parts[0] in SPLITS and parts[0] not in labelled
        if not (alone or split or len(parts) == 2):
            raise UsageError(
                f"--data_dir={directory} holds images in {os.path.join(directory, *parts)} beside "
                "folders of images: expected DIR/<split>/<class>/*, DIR/<class>/*, or images "
                "without folders.")
    classes = sorted({parts[1] for parts in found if len(parts) == 2})
    splits = {}
    for parts, paths in found.items():
        label = classes.index(parts[1]) if len(parts) == 2 else -1
        splits.setdefault(parts[0] if parts else "train", []).extend(
            File(path, label) for path in paths)
    return ({name: sorted(files, key=lambda file: place(file.path, directory))
             for name, files in splits.items()}, classes, others)


def place(path, directory):
    """A file's place in the order: a hash of its name below the folder."""
    return hashlib.sha1(os.path.relpath(path, directory).encode(errors="surrogateescape")).digest()


def decoded(files):
    """Every file with what decoding it found, in order, several at a time."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        for number, file in enumerate(pool.map(examine, files), start=1):
            if number % PERIOD == 0:
                print(f"{number:,} of {len(files):,} files are read", flush=True)
            yield file


def examine(file):
    """A File with its size and perhaps a conversion, or with the problem that it has."""
    try:
        with open(file.path, "rb") as stream:
            content = stream.read()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                kind, mode = image.format, image.mode
                if kind == "GIF":  # whose missing rows TensorFlow fills without a word
                    image.load()
        by_pillow = kind == "BMP" and mode in ("P", "1")  # the palette would be taken for grey
        if not by_pillow:
            try:
                return file._replace(size=decode(content).shape[:2])
            except tf.errors.OpError:
                pass
        with Image.open(io.BytesIO(content)) as image:
            rgb = image.convert("RGB")
        buffer = io.BytesIO()
        rgb.save(buffer, "PNG")
        return file._replace(size=(rgb.height, rgb.width), converted=buffer.getvalue())
    except Exception as error:  # Pillow's plugins raise whatever they like on damaged input
        return file._replace(problem=str(error).splitlines()[0][:100] if str(error)
                             else type(error).__name__)


def decode(content):
    """The bytes of an image file -> uint8 [H, W, 3]; of an animation, the first frame."""
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    if not tf.executing_eagerly():
        image.set_shape([None, None, 3])
    return image


def tell(directory, split, files, good, max_bad_fraction, report):
    """Names what cannot be read, and stops where that is too much."""
    bad = [file for file in files if file.problem]
    for file in bad[:TOLD]:
        report(f"unreadable, left out: {file.path} ({file.problem})")
    if len(bad) > TOLD:
        report(f"... and {len(bad) - TOLD:,} more")
    if bad:
        report(f"{directory} {split}: {len(good):,} of {len(files):,} images can be read, "
               f"{len(bad):,} are left out")
    if len(bad) > max_bad_fraction * len(files) or not good:
        raise UsageError(
            f"{len(bad):,} of {len(files):,} files in --data_dir={directory} {split} cannot be "
            f"read, more than --max_bad_fraction={max_bad_fraction:g} allows. The first: "
            f"{bad[0].path} ({bad[0].problem})")


def records(files):
    """Examples {"image": the bytes of a file, "label"}, in order."""
    paths = tf.constant([file.path for file in files])
    labels = tf.constant(np.array([file.label for file in files], np.int64))
    converted = {i: file.converted for i, file in enumerate(files) if file.converted}
    instead = tf.constant(list(converted.values()) or [b""])
    index = np.full(len(files), -1, np.int64)
    index[list(converted)] = np.arange(len(converted))

    def read(i, path, label):
        place = tf.gather(index, i)
        content = tf.cond(place < 0, lambda: tf.io.read_file(path),
                          lambda: tf.gather(instead, tf.maximum(place, 0)))
        return {"image": content, "label": label}

    numbers = tf.data.Dataset.range(len(files))
    pairs = tf.data.Dataset.from_tensor_slices((paths, labels))
    return tf.data.Dataset.zip(numbers, pairs).map(lambda i, pair: read(i, *pair))
