"""`Source`: one split of a dataset, and functions of sources and their labels."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfssl import files
from tfssl.compat import as_it_is, prefetched, steady
from tfssl.errors import TrainingError, UsageError
from tfssl.text import printable

FETCHED, FETCHED_BYTES = 64, 2**22  # images that are read at once, at most, and their bytes
SUBSET = 3  # a use of a seed, beside those in pipeline.py
OUTSIDE = "label out of range:"
EVAL_SPLITS = ("test", "validation", "valid", "val")  # of one's own images, the first there is
PREFACE = re.compile(r"Graph execution error|Detected at node|<stack traces|\s|$")  # of an error


@dataclasses.dataclass(frozen=True, repr=False)
class Source:
    """One split of an image-classification dataset.

    Attributes:
        name: name of the dataset, as the user wrote it.
        split: name of the split, as the user wrote it; may be a slice.
        examples: the slice as (base split, start, stop).
        num_classes: number of classes C; labels are in [0, C), or negative for examples without a
            label. 0 if no example has a label.
        image_shape: (height, width) in pixels; None where images differ.
        records: () -> `tf.data.Dataset` of undecoded examples, always in the same order.
        decode: example -> (image [H, W, C] of `dtype`, label int64), as graph code.
        arrays: (images [N, H, W, C] of `dtype`, labels int64 [N]) in the order of `records` if the
            split is in memory, else None.
        classes: names of the classes; () if unknown.
        kept: number of examples if only some of the slice are used, else None; see `subset`.
        content: example -> the bytes of its image file, or None. With it, only the part of a JPEG
            that the views show is decoded.
        ids: () -> list of strings [N] that name the examples in the order of `records`: path below
            the folder, identifier of tensorflow_datasets, or index.
        paths: () -> list of strings [N], the file of each example, or the folder of its files; None
            if they have none of their own.
        labels: () -> int64 [N], in the order of `records`, -1 for none; None: they are not known
            before all examples are read.
        orientation: example -> EXIF orientation of its image file, int32; None if all are upright.
        digests: () -> list of strings [N], a digest of the file of each example; None if examples
            are not files.
        origin: identifies where the split is stored, however the path was written.
        identity: describes the images of the base split in JSON types; equal for copies in
            different places.
        dtype: NumPy type of the decoded images: uint8 in [0, 255], uint16 in [0, 65535], or float32
            in [0, 1].
        value_ranges: {name of a stored type: (low, high)}, the values that become 0 and 1.
        channels: number of channels of the decoded images.
        thumbnails: () -> uint8 [N, 16, 16] in the order of `records`, by which images that look
            alike are found; None if they are not known, or if the images are in memory.
        groups: () -> list of strings [N], what each example belongs to, in the order of `records`;
            None if nothing is known. Splits and few-label lists do not cut a group.
        fetch: examples [n] -> the same with their images, for `decode`, as graph code: reads many
            of them at once where a call costs more than an image; None if there is no such way.
        at: index, an int64 scalar -> the example there in the order of `records`, as graph code;
            None if examples can only be read in their order.
        distant: whether reading an example at a place is dear, as of an object store, so that they
            come in blocks unless the whole order is asked for.
        bands: names of the channels where the data tell them, otherwise ().

    Example:

    ```python
    images, labels = np.zeros((4, 8, 8, 3), "uint8"), np.int64([0, 1, 1, -1])
    examples = {"image": images, "label": labels}
    records = lambda: tf.data.Dataset.from_tensor_slices(examples)
    decode = lambda example: (example["image"], example["label"])
    source = tfssl.data.Source("mine", "train", ("train", 0, 4), 2, (8, 8), records, decode)
    tfssl.data.held(source, limit_bytes=1e6).num_labelled  # 3
    ```
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
    paths: Callable[[], list[str]] | None = None
    labels: Callable[[], np.ndarray] | None = None
    orientation: Callable | None = None
    digests: Callable[[], list[str]] | None = None
    origin: tuple = ()
    identity: dict = dataclasses.field(default_factory=dict)
    dtype: type = np.uint8
    value_ranges: dict = dataclasses.field(default_factory=dict)
    channels: int = 3
    groups: Callable[[], list[str]] | None = None
    thumbnails: Callable[[], np.ndarray | None] | None = None
    fetch: Callable | None = None
    at: Callable | None = None
    distant: bool = False
    bands: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sides = "x".join(str(side or "?") for side in (*self.image_shape, self.channels))
        classes = f"{self.num_classes} classes" if self.num_classes else "no labels"
        return f"<Source {self.name} {self.split}: {self.num_examples:,} of {sides}, {classes}>"

    @property
    def num_examples(self) -> int:
        return self.examples[2] - self.examples[1] if self.kept is None else self.kept

    @property
    def num_labelled(self) -> int:
        """Number of examples with a label; all of them where labels are not known, if any has."""
        if not self.num_classes:
            return 0
        if not self.arrays and self.labels is None:
            return self.num_examples
        return int(np.sum((self.arrays[1] if self.arrays else self.labels()) >= 0))

    def shares_examples_with(self, other: "Source") -> bool:
        """Whether two slices of one split of one dataset overlap."""
        (base, start, stop), (other_base, other_start, other_stop) = self.examples, other.examples
        return (
            self.origin == other.origin
            and base == other_base
            and max(start, other_start) < min(stop, other_stop)
        )

    def copies_in(self, other: "Source") -> int:
        """Number of examples whose file, or whose pixels, another source has too.

        Pixels are compared if both sources are in memory and one of them has no files. Returns 0 if
        nothing can be compared.
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
        """Bytes of the decoded split; None if images differ in size."""
        if None in self.image_shape:
            return None
        pixels = self.num_examples * self.image_shape[0] * self.image_shape[1]
        return pixels * self.channels * np.dtype(self.dtype).itemsize

    def ordered(self, start: int = 0) -> tf.data.Dataset:
        """The examples from a place on, in their order, each as a tuple of one."""
        if not self.at:
            return self.fetched(tf.data.Dataset.zip((self.records().skip(start),)))
        places = tf.data.Dataset.range(start, self.num_examples)
        read = as_it_is(lambda place: (self.at(place),))
        return self.fetched(places.map(read, num_parallel_calls=tf.data.AUTOTUNE))

    def fetched(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        """The elements of a dataset, (..., example), with images that are read many at a time."""
        if self.fetch is None:
            return examples
        many = FETCHED
        if self.decoded_bytes:
            many = max(1, min(many, FETCHED_BYTES * self.num_examples // self.decoded_bytes))

        @as_it_is
        def read(*element):
            *before, example = element
            return *before, self.fetch(example)

        return examples.batch(many).map(read, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def held(source: Source, limit_bytes: float) -> Source:
    """Decodes the images of a source into memory, if they have one size and fit.

    Prints the number of examples of a labelled split that have no label.

    Args:
        source: a `Source`.
        limit_bytes: largest size of the decoded images.

    Returns:
        A `Source` with `arrays`; `source` itself if it has arrays, images of several sizes, or
        more than `limit_bytes`.

    Raises:
        UsageError: records cannot be read, are fewer than the dataset says, or have labels outside
            its classes.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of(np.zeros((4, 8, 8, 3), "uint8"))
    tfssl.data.held(source, limit_bytes=2**30) is source  # True
    ```
    """
    if source.arrays or source.decoded_bytes is None or source.decoded_bytes > limit_bytes:
        return source
    images = np.empty((source.num_examples, *source.image_shape, source.channels), source.dtype)
    labels = np.empty(source.num_examples, np.int64)
    filled = 0
    decoded = source.records().map(source.decode, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        for image, label in prefetched(decoded.batch(1024)):
            stop = filled + len(label)
            images[filled:stop], labels[filled:stop] = image, label
            filled = stop
    except (tf.errors.OpError, ValueError) as error:
        raise damaged(source, reason(error)) from None
    if filled != source.num_examples:
        raise damaged(source, f"{filled} of {source.num_examples} examples are there")
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
    """The reason in a TensorFlow error, without node and operation."""
    lines = str(error).split("\n")
    line = next((line for line in lines if not PREFACE.match(line)), lines[0])
    return re.sub(r"^\{\{.*?\}\} | \[Op:.*", "", line)


@contextlib.contextmanager
def reading(dataset: str) -> Iterator[None]:
    """Context that raises TrainingError for records that turn out to be damaged.

    Args:
        dataset: name of the dataset, for the message.

    Raises:
        TrainingError: TensorFlow could not read a record within the context.

    Example:

    ```python
    with tfssl.data.reading("cifar10"):
        batch = next(iter(tf.data.Dataset.range(3).batch(3)))
    ```
    """
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
            f"`dataset={dataset}` could not be read to the end ({reason(error)}); earlier "
            "checkpoints are kept: the same command continues when it can be read "
            "again."
        ) from None


def checked(label, num_classes):
    """Returns the label; the graph fails if it is not below `num_classes`, unless that is 0."""
    tf.raw_ops.Assert(
        condition=(label < num_classes) | (num_classes == 0),
        data=[OUTSIDE, label, f"of {num_classes} classes"],
    )
    return label


def digest(identity: dict[str, Any]) -> str:
    """A short digest of a `Source.identity`, 16 hexadecimal digits.

    Args:
        identity: dict of JSON types.

    Returns:
        str.

    Example:

    ```python
    tfssl.data.digest({"images": 3, "kind": "tfds"})  # c14aae3d13b3bfcc
    ```
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def pixel_digests(source):
    """A digest of the pixels of each image in memory."""
    images = map(np.ascontiguousarray, source.arrays[0])
    return [hashlib.blake2b(image, digest_size=16).digest() for image in images]


def labels_of(source: Source) -> np.ndarray:
    """The labels of a split in its order; does not decode images.

    Args:
        source: a `Source`.

    Returns:
        int64 [N]; negative for examples without a label.

    Raises:
        UsageError: records cannot be read, or have labels outside the classes.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of((np.zeros((3, 8, 8, 3), "uint8"), [2, 0, 1]))
    tfssl.data.labels_of(source).tolist()  # [2, 0, 1]
    ```
    """
    if source.arrays:
        return source.arrays[1]
    if source.labels:
        return source.labels()
    labels = source.records().map(lambda example: source.decode(example)[1])
    try:
        return np.fromiter(steady(labels).as_numpy_iterator(), np.int64)
    except tf.errors.OpError as error:
        raise damaged(source, reason(error)) from None


def balanced(
    labels: np.ndarray,
    num_classes: int,
    fraction: float,
    seed: int,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Draws a class-balanced fraction of the labelled examples, for few-label protocols.

    With groups, whole groups are drawn, in a random order, as long as a group has an example of a
    class of which there are too few yet: classes may then have some more, and not all as many.

    Args:
        labels: int [N] in [0, num_classes), negative where there is no label.
        num_classes: number of classes.
        fraction: in (0, 1]. From each class, fraction * (number of labels) / num_classes examples
            are drawn: at least one, or the whole class if it has fewer.
        seed: integer; equal seeds draw equal examples.
        groups: N strings, what each example belongs to; None: each is drawn by itself.

    Returns:
        Indices of the examples, int [n], ascending.

    Example:

    ```python
    labels = np.arange(100) % 10
    chosen = tfssl.data.balanced(labels, num_classes=10, fraction=0.2, seed=0)
    np.bincount(labels[chosen]).tolist()  # [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    ```
    """
    each = max(1, round(fraction * np.count_nonzero(labels >= 0) / num_classes))
    order = np.random.default_rng([seed, SUBSET]).permutation(len(labels))
    if groups is not None:
        return whole_groups(labels, np.asarray(groups), order, np.full(num_classes, each))
    return np.sort(
        np.concatenate([order[labels[order] == label][:each] for label in range(num_classes)])
    )


def whole_groups(labels, groups, order, wanted):
    """The labelled examples of groups, in the order of their first examples, up to `wanted`.

    Args:
        labels: int [N].
        groups: str [N].
        order: permutation of N.
        wanted: int [C], number of examples of each class from which on it needs no more.

    Returns:
        Indices of the examples, int [n], ascending.
    """
    _, numbers = np.unique(groups, return_inverse=True)
    members = np.split(
        np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1]
    )  # by number of the group
    wanted, chosen = wanted.copy(), []
    for number in dict.fromkeys(numbers[order].tolist()):
        places = members[number][labels[members[number]] >= 0]
        counts = np.bincount(labels[places], minlength=len(wanted))
        if np.any((counts > 0) & (wanted > 0)):
            wanted -= counts
            chosen.append(places)
    return np.sort(np.concatenate(chosen))


def fingerprint(places: np.ndarray | None) -> str:
    """A SHA-256 of the indices of chosen examples, in hexadecimal; "all" for None.

    Args:
        places: int [n], or None for the whole split.

    Returns:
        str.

    Example:

    ```python
    tfssl.data.fingerprint(None)  # all
    len(tfssl.data.fingerprint(np.array([0, 3, 7])))  # 64
    ```
    """
    return (
        "all" if places is None else hashlib.sha256(np.asarray(places, "<i8").tobytes()).hexdigest()
    )


def read_list(path: str | os.PathLike[str], count: int) -> np.ndarray:
    """Reads indices of examples from a text file with one per line.

    Args:
        path: the file. Indices begin at 0; `#` begins a comment.
        count: number of examples in the split.

    Returns:
        int [n], ascending.

    Raises:
        UsageError: the file cannot be read, has no number, one twice, or one outside [0, count).

    Example:

    ```python
    with open("labels.txt", "w") as file:
        file.write("7  # a cat\\n3\\n")
    tfssl.data.read_list("labels.txt", count=10).tolist()  # [3, 7]
    ```
    """
    expected = f"`label_list` must be a file of different numbers from 0 to {count - 1}, one a line"
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
            f"{len(lines)} are repeated"
        )
    return places


def place_of(text, count):
    """The text as an integer in [0, count); None for any other text."""
    digits = text.lstrip("0") or "0"
    if not text.isdecimal() or len(digits) > len(str(count)):  # `int` refuses 5,000 digits
        return None
    return int(digits) if int(digits) < count else None


def subset(source: Source, chosen: np.ndarray) -> Source:
    """Selects examples of a split.

    Args:
        source: a `Source`.
        chosen: indices of the examples, int [n], ascending.

    Returns:
        A `Source` of n examples.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of((np.zeros((4, 8, 8, 3), "uint8"), [0, 1, 2, 3]))
    tfssl.data.labels_of(tfssl.data.subset(source, np.array([1, 3]))).tolist()  # [1, 3]
    ```
    """

    def at_places(texts):
        """Restricts a function such as `Source.ids` to the chosen examples."""

        def chosen_texts():
            every = texts()
            return [every[place] for place in chosen]

        return texts and chosen_texts

    wanted, places = np.zeros(source.num_examples, bool), np.asarray(chosen, np.int64)
    wanted[chosen] = True

    def records():
        numbered = source.records().enumerate()
        return numbered.filter(lambda i, _: tf.gather(wanted, i)).map(lambda _, example: example)

    return dataclasses.replace(
        source,
        kept=len(chosen),
        records=records,
        at=source.at and (lambda place: source.at(tf.gather(places, place))),
        arrays=source.arrays and tuple(array[chosen] for array in source.arrays),
        ids=at_places(source.ids),
        paths=at_places(source.paths),
        labels=source.labels and (lambda: at(source.labels(), chosen)),
        digests=at_places(source.digests),
        groups=at_places(source.groups),
        thumbnails=source.thumbnails and (lambda: at(source.thumbnails(), chosen)),
    )


class Texts:
    """Many texts, kept in little more than their bytes. Called, it returns them as a list.

    A list of short texts takes three times as much, which counts where there are millions.
    """

    def __init__(self, texts):
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        self.ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self.joined = b"".join(encoded)

    def __call__(self) -> list[str]:
        starts = [0, *self.ends[:-1].tolist()]
        parts = (self.joined[start:end] for start, end in zip(starts, self.ends.tolist()))
        return [part.decode("utf-8", "surrogatepass") for part in parts]


def rows_of(columns):
    """The function index -> {name: value there} of columns {name: [N, ...]}, as graph code."""
    with tf.init_scope(), tf.device("CPU:0"):  # once, instead of as constants of each graph
        columns = {name: tf.constant(column) for name, column in columns.items()}

    @as_it_is
    def row(place):
        return {name: tf.gather(column, place) for name, column in columns.items()}

    return row


def at(array, places):
    """The rows of an array; None stays None."""
    return None if array is None else array[places]


def numbered(source: Source) -> Source:
    """Replaces the label of each example by its index in the split.

    Args:
        source: a `Source`.

    Returns:
        A `Source`.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of((np.zeros((3, 8, 8, 3), "uint8"), [5, 5, 5]))
    tfssl.data.labels_of(tfssl.data.numbered(source)).tolist()  # [0, 1, 2]
    ```
    """
    if source.arrays:
        images, labels = source.arrays
        return dataclasses.replace(source, arrays=(images, np.arange(len(labels))))
    content, orientation, fetch = source.content, source.orientation, source.fetch

    def of_place(place, example):
        return {"place": place, "example": example}

    return dataclasses.replace(
        source,
        labels=source.labels and (lambda: np.arange(source.num_examples)),
        records=lambda: source.records().enumerate().map(of_place),
        at=source.at and (lambda place: of_place(place, source.at(place))),
        decode=lambda record: (source.decode(record["example"])[0], record["place"]),
        fetch=fetch and (lambda record: {**record, "example": fetch(record["example"])}),
        content=content and (lambda record: content(record["example"])),
        orientation=orientation and (lambda record: orientation(record["example"])),
    )


def damaged(source, why):
    """The error for a source whose images could be read when it was opened."""
    if source.origin[:1] == ("folder",):  # of single files
        return UsageError(
            f"`data_dir`: an image of {source.split} can no longer be read ({why}). "
            "Restore it, or leave it out."
        )
    return unreadable(source.name, source.split, why)


def unreadable(name, split, why):
    return UsageError(
        f"`dataset={name}`: split {split} is damaged or half-written ({why}). "
        "Prepare it again, or point `data_dir` at a whole copy."
    )


def evaluation_split(splits, path, what):
    """The first of EVAL_SPLITS that there is.

    Args:
        splits: names of splits.
        path, what: where they are, and what they are called there, for messages.

    Raises:
        UsageError: there is none.
    """
    found = next((name for name in EVAL_SPLITS if name in splits), None)
    if found is None:
        raise UsageError(
            f"`eval_split` must name what to evaluate on: `data_dir={path}` has no test or "
            f"validation {what}. A part of train will do: `train_split=train[:90%]` "
            "`eval_split=train[90%:]`; or `eval_split=none`, to train without evaluation. "
            "Received: None"
        )
    return found


def parse_slice(spec, sizes, flag, dataset):
    """Parses a split such as `train`, `train[:500]` or `test[10%:]` into (name, start, stop).

    Args:
        sizes: split name -> number of examples.

    Raises:
        UsageError: an unknown split, a malformed or an empty slice.
    """
    place = "(-?[0-9]{1,15}%?)?"
    match = re.fullmatch(rf"(.+?)(?:\[{place}:{place}\])?", spec)
    if not match or match[1] not in sizes:
        raise UsageError(
            f"`{flag}` must be one of {', '.join(sorted(sizes))}, or a slice of it, "
            f"for `dataset={dataset}`. Received: {spec}"
        )
    size = sizes[match[1]]
    start, stop = (
        boundary(text, size, default) for text, default in ((match[2], 0), (match[3], size))
    )
    if start >= stop:
        raise UsageError(f"`{flag}` must hold at least one example. Received: {spec}")
    return match[1], start, stop


def boundary(text, size, default):
    if text is None:
        return default
    value = round(size * int(text[:-1]) / 100) if text.endswith("%") else int(text)
    return min(max(value + size if value < 0 else value, 0), size)
