"""The contract between a dataset and the pipeline."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfssl import files
from tfssl.errors import TrainingError, UsageError
from tfssl.text import printable

SUBSET = 3  # what a seed is for, beside the uses named in pipeline.py
OUTSIDE = "label out of range:"
PREFACE = re.compile(r"Graph execution error|Detected at node|<stack traces|\s|$")  # of an error


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of one image-classification dataset.

    Attributes:
        name: the dataset, as the user spells it.
        split: the split, likewise; may be a slice.
        examples: the slice as (base split, start, stop).
        classes: their names, where they are known.
        kept: how many of these there are, where only some are taken; see `subset`.
        num_classes: labels are in [0, num_classes), or below 0 for examples without one; 0 where
            no example has one.
        image_shape: (height, width) in pixels, None where images differ.
        records: () -> `tf.data.Dataset` of undecoded examples, always in the same order.
        decode: example -> (image [H, W, C] of `dtype`, label int64), as graph code.
        content: example -> the bytes of its image file, for sources that have such; of a JPEG then
            only what the views show is decoded.
        arrays: (images [N, H, W, C] of `dtype`, labels int64 [N]) where the split is held in
            memory, in the order of `records`.
        ids: () -> list of text [N], what each example is called, in the order of `records`: its
            file below the folder, the identifier that tensorflow_datasets gives it, or its place.
        orientation: example -> how its image file is to be turned, int32 as EXIF counts; None where
            all are upright as they are stored.
        digests: () -> list of text [N], one for the content of each example's file; None where
            there are no files of their own.
        origin: where the split is from: equal for one place, however that is spelled.
        identity: what the images of the split that this is a slice of are, as JSON can hold it:
            equal for copies in different places.
        dtype: numpy type of the decoded images: uint8 in [0, 255], uint16 in [0, 65535], or float32
            in [0, 1].
        value_ranges: {type of stored values: (low, high), which become 0 and 1}.
        channels: C, of the decoded images.
    """

    name: str
    split: str
    examples: tuple[str, int, int]
    num_classes: int
    image_shape: tuple[int | None, int | None]
    records: Callable[[], tf.data.Dataset]
    decode: Callable
    arrays: tuple[np.ndarray, np.ndarray] | None = None
    classes: tuple[str, ...] = ()
    kept: int | None = None
    content: Callable | None = None
    ids: Callable[[], list[str]] | None = None
    orientation: Callable | None = None
    digests: Callable[[], list[str]] | None = None
    origin: tuple = ()
    identity: dict = dataclasses.field(default_factory=dict)
    dtype: type = np.uint8
    value_ranges: dict = dataclasses.field(default_factory=dict)
    channels: int = 3

    @property
    def num_examples(self) -> int:
        return self.examples[2] - self.examples[1] if self.kept is None else self.kept

    @property
    def num_labelled(self) -> int:
        """How many examples have a label; where they are not in memory, all, if any has."""
        if not self.num_classes:
            return 0
        return int(np.sum(self.arrays[1] >= 0)) if self.arrays else self.num_examples

    def shares_examples_with(self, other: "Source") -> bool:
        """Whether two slices of one split of one dataset overlap."""
        (base, start, stop), (other_base, other_start, other_stop) = self.examples, other.examples
        return (
            self.origin == other.origin
            and base == other_base
            and max(start, other_start) < min(stop, other_stop)
        )

    def copies_in(self, other: "Source") -> int:
        """How many examples have the same file as one of another source, or the same pixels.

        Pixels are compared where both sources are held in memory and one of them has no files; 0
        where nothing can be compared.
        """
        if self.digests and other.digests:
            own, theirs = self.digests(), other.digests()
        elif self.arrays and other.arrays:
            own, theirs = map(pixel_digests, (self, other))
        else:
            return 0
        theirs = set(theirs)
        return sum(digest in theirs for digest in own)

    @property
    def decoded_bytes(self) -> int | None:
        """Memory of the whole split, decoded, or None where images differ in size."""
        if None in self.image_shape:
            return None
        pixels = self.num_examples * self.image_shape[0] * self.image_shape[1]
        return pixels * self.channels * np.dtype(self.dtype).itemsize


def held(source: Source, limit_bytes: float) -> Source:
    """The source with its images decoded in memory, where all have one size and they fit.

    Says how many examples of a labelled split have no label.

    Raises:
        UsageError: the records cannot be read, are fewer than the dataset says, or have labels
            outside of its classes.
    """
    if source.arrays or source.decoded_bytes is None or source.decoded_bytes > limit_bytes:
        return source
    images = np.empty((source.num_examples, *source.image_shape, source.channels), source.dtype)
    labels = np.empty(source.num_examples, np.int64)
    filled = 0
    decoded = source.records().map(source.decode, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        for image, label in decoded.batch(1024).prefetch(2):
            stop = filled + len(label)
            images[filled:stop], labels[filled:stop] = image, label
            filled = stop
    except (tf.errors.OpError, ValueError) as error:
        raise unreadable(source.name, source.split, reason(error)) from None
    if filled != source.num_examples:
        raise unreadable(
            source.name, source.split, f"{filled} of {source.num_examples} examples are there"
        )
    source = dataclasses.replace(source, arrays=(images, labels))
    without = source.num_examples - source.num_labelled
    if source.num_classes and without:
        print(
            f"{source.name} {source.split}: {without:,} of {source.num_examples:,} images have "
            "no label: no classifier learns from them, and no accuracy counts them",
            flush=True,
        )
    return source


def reason(error):
    """What TensorFlow says, without the node before and the operation after it."""
    lines = str(error).split("\n")
    told = next((line for line in lines if not PREFACE.match(line)), lines[0])
    return re.sub(r"^\{\{.*?\}\} | \[Op:.*", "", told)


@contextlib.contextmanager
def reading(dataset: str) -> Iterator[None]:
    """Raises TrainingError where records that are read within turn out to be damaged."""
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        tf.errors.InvalidArgumentError,
    ) as error:
        if isinstance(error, tf.errors.InvalidArgumentError) and "IteratorGet" not in str(error):
            raise
        raise TrainingError(
            f"--dataset={dataset} could not be read on ({reason(error)}); earlier "
            "checkpoints are kept: the same command continues when it can be read "
            "again."
        ) from None


def checked(label, num_classes):
    """The label, as graph code that fails where it is none of the classes; 0 classes pass."""
    tf.raw_ops.Assert(
        condition=(label < num_classes) | (num_classes == 0),
        data=[OUTSIDE, label, f"of {num_classes} classes"],
    )
    return label


def digest(identity: dict[str, Any]) -> str:
    """A `Source.identity` as a short text."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def pixel_digests(source):
    """A digest of the pixels of every image in memory."""
    return [hashlib.blake2b(image, digest_size=16).digest() for image in source.arrays[0]]


def labels_of(source: Source) -> np.ndarray:
    """All labels of a split in its order, int64 [N]; images that are not in memory stay unread.

    Raises:
        UsageError: the records cannot be read, or have labels outside of the classes.
    """
    if source.arrays:
        return source.arrays[1]
    labels = source.records().map(lambda example: source.decode(example)[1])
    try:
        return np.fromiter(labels.as_numpy_iterator(), np.int64)
    except tf.errors.OpError as error:
        raise unreadable(source.name, source.split, reason(error)) from None


def balanced(labels: np.ndarray, num_classes: int, fraction: float, seed: int) -> np.ndarray:
    """Places of equal numbers of every class, as the few-label protocols draw them.

    Args:
        labels: int [N] in [0, num_classes), below 0 where there is none.
        fraction: in (0, 1]; of every class, fraction x labels / classes are drawn, at least one, or
            all where the class has fewer.
        seed: integer; equal seeds draw equal places.

    Returns:
        int [n], ascending.
    """
    each = max(1, round(fraction * np.count_nonzero(labels >= 0) / num_classes))
    order = np.random.default_rng([seed, SUBSET]).permutation(len(labels))
    return np.sort(
        np.concatenate([order[labels[order] == label][:each] for label in range(num_classes)])
    )


def fingerprint(places: np.ndarray | None) -> str:
    """A SHA-256 that tells one choice of places from another, as text; "all" for None."""
    return (
        "all" if places is None else hashlib.sha256(np.asarray(places, "<i8").tobytes()).hexdigest()
    )


def read_list(path: str | os.PathLike[str], count: int) -> np.ndarray:
    """Places in a split from a file with one a line, from 0; `#` begins a remark.

    Args:
        count: examples in the split.

    Returns:
        int [n], ascending.

    Raises:
        UsageError: no file, no numbers, one twice, or one outside of the split.
    """
    expected = f"--label_list must be a file of different numbers from 0 to {count - 1}, one a line"
    try:
        lines = [line.split("#")[0].strip() for line in files.text(path).splitlines()]
    except OSError as error:
        raise UsageError(f"{expected}. Received: {path} ({error.strerror})") from None
    lines = [line for line in lines if line]
    numbers = [place_of(line, count) for line in lines]
    if None in numbers or not lines:
        raise UsageError(
            f"{expected}. Received: {path} with "
            + (f"the line {printable(lines[numbers.index(None)][:40])}" if lines else "no number")
        )
    places = np.unique(np.array(numbers, np.int64))
    if len(places) < len(lines):
        raise UsageError(
            f"{expected}. Received: {path}, where {len(lines) - len(places)} of "
            f"{len(lines)} are there already"
        )
    return places


def place_of(text, count):
    """The number from 0 to count - 1 that a text is; None for any other."""
    digits = text.lstrip("0") or "0"
    if not text.isdecimal() or len(digits) > len(str(count)):  # Python reads no 5,000 digits
        return None
    return int(digits) if int(digits) < count else None


def subset(source: Source, chosen: np.ndarray) -> Source:
    """The examples of a split at some places.

    Args:
        chosen: int [n], ascending.
    """

    def at_places(texts):
        """The function that gives these texts of the chosen examples alone."""

        def chosen_texts():
            every = texts()
            return [every[place] for place in chosen]

        return texts and chosen_texts

    part = dataclasses.replace(
        source, kept=len(chosen), ids=at_places(source.ids), digests=at_places(source.digests)
    )
    if source.arrays:
        return dataclasses.replace(part, arrays=tuple(a[chosen] for a in source.arrays))
    wanted = np.zeros(source.num_examples, bool)
    wanted[chosen] = True

    def records():
        numbered = source.records().enumerate()
        return numbered.filter(lambda i, _: tf.gather(wanted, i)).map(lambda _, example: example)

    return dataclasses.replace(part, records=records)


def numbered(source: Source) -> Source:
    """The split with the place of every image, from 0, for its label."""
    if source.arrays:
        images, labels = source.arrays
        return dataclasses.replace(source, arrays=(images, np.arange(len(labels))))
    content, orientation = source.content, source.orientation
    return dataclasses.replace(
        source,
        records=lambda: (
            source.records()
            .enumerate()
            .map(lambda place, example: {"place": place, "example": example})
        ),
        decode=lambda record: (source.decode(record["example"])[0], record["place"]),
        content=content and (lambda record: content(record["example"])),
        orientation=orientation and (lambda record: orientation(record["example"])),
    )


def unreadable(name, split, why):
    if name == "folder":
        return UsageError(
            f"--data_dir: an image of {split} can no longer be read ({why}). "
            "Restore it, or leave it out."
        )
    return UsageError(
        f"--dataset={name}: split {split} is damaged or half-written ({why}). "
        "Prepare it again, or point --data_dir at a whole copy."
    )


def parse_slice(spec, sizes, flag, dataset):
    """A split such as `train`, `train[:500]` or `test[10%:]` as (name, start, stop).

    Args:
        sizes: split name -> number of examples.

    Raises:
        UsageError: an unknown split, a malformed or an empty slice.
    """
    place = "(-?[0-9]{1,15}%?)?"
    match = re.fullmatch(rf"(.+?)(?:\[{place}:{place}\])?", spec)
    if not match or match[1] not in sizes:
        raise UsageError(
            f"--{flag} must be one of {', '.join(sorted(sizes))}, or a slice of it, "
            f"for --dataset={dataset}. Received: {spec}"
        )
    size = sizes[match[1]]
    start, stop = (
        boundary(text, size, default) for text, default in ((match[2], 0), (match[3], size))
    )
    if start >= stop:
        raise UsageError(f"--{flag} must hold at least one example. Received: {spec}")
    return match[1], start, stop


def boundary(text, size, default):
    if text is None:
        return default
    value = round(size * int(text[:-1]) / 100) if text.endswith("%") else int(text)
    return min(max(value + size if value < 0 else value, 0), size)
