"""TFRecord files of one's own, of `tf.train.Example`s, as a `Source`.

    image     bytes of an image file, or of pixels beside the features height, width and, with
              several channels, depth or channels: uint8, uint16 or float32, as many as there are
    label     an integer, negative where there is none; or a text, empty where there is none

A feature may also be called image/encoded, image/height, image/class/label and so on, as in older
TensorFlow datasets, in any case; `stored.Names` gives other names. A directory holds a split for
each of the usual names in the names of its files (train-00000-of-00010, mine-test.tfrecord);
without any, and in a single file, all is train. A slice is a random subset.

Every image is decoded once before training, and `index.py` keeps what was found in each file, with
the place of each record, so that records are read in any order; those of compressed files can only
be read one after the other. A record whose checksum is wrong counts as an unreadable image.
"""

import concurrent.futures
import functools
import hashlib
import itertools
import os
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfssl import files
from tfssl.compat import as_it_is
from tfssl.data import channels as colours
from tfssl.data import folder, images, values
from tfssl.data import groups as whole
from tfssl.data.framing import (
    compressed,
    damaged,
    dataset_of,
    fetcher,
    found_in,
    listed,
    records_of,
)
from tfssl.data.index import found_of
from tfssl.data.source import Source, Texts, evaluation_split, parse_slice, rows_of
from tfssl.data.stored import Names, coded_labels, spelled, unlabelled, unless_missing
from tfssl.data.tree import File, split_name
from tfssl.errors import UsageError
from tfssl.text import printable

USUAL = {
    "image": ("image", "image/encoded", "image_raw", "image_bytes"),
    "label": ("label", "image/class/label", "labels", "class"),
    "height": ("height", "image/height"),
    "width": ("width", "image/width"),
    "depth": ("depth", "channels", "image/channels"),
}
OF_SHARDS = re.compile(r"(.*-)(\d+)-of-(\d+)(.*)")
SPLIT = re.compile(
    r"(?:^|[-_.])(training|train|testing|test|validation|valid|val)(?=[-_.\d]|$)", re.IGNORECASE
)
ENDINGS = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
TYPES = {1: np.uint8, 2: np.uint16, 4: np.float32}  # by bytes of a value
AT_ONCE = 512  # records that are examined together
READ = 64  # records that are read together
SAID = 20_000  # records between two lines of progress
KEPT = 200_000  # records of a split, at most, of which all that was found stays in memory
BROKEN = "its checksum is wrong"


class Keys(NamedTuple):
    """Names of the features of a record; None: there is no such feature."""

    image: str
    label: str | None
    group: str | None
    height: str | None
    width: str | None
    depth: str | None

    @property
    def raw(self):
        """Whether images are pixels instead of files."""
        return self.height is not None and self.width is not None


class Row(NamedTuple):
    """What is known of a record: its name, label as stored, group, `images.Found`, and its place.

    The place is the offset of its content in the file and the number of its bytes; in a compressed
    file, -1 and 0.
    """

    name: str
    label: object
    group: str
    found: images.Found
    start: int = -1
    bytes: int = 0


def load(
    path,
    split,
    *,
    flag="train_split",
    names=Names(None, None, None, None),
    value_range="auto",
    ranges=None,
    wanted_channels=None,
    max_bad_fraction=0.1,
    max_pixels=folder.MAX_PIXELS,
    missing=values.NONE,
    report=print,
):
    """Loads one split of a file, or of a directory of files, as a `Source`.

    Args:
        path: the file or directory.
        split, flag, value_range, ranges, report: as for `stored.load`.
        names: `Names` of features; None: the usual ones.
        wanted_channels: number of channels to convert to; None: those of the records, 3 for grey
            and colours in image files.
        max_bad_fraction, max_pixels, missing: as for `folder.load`.

    Returns:
        A `Source`.

    Raises:
        UsageError: files cannot be read, or lack a feature; too many images are unreadable.
    """
    shards, keys = opened(path, names)
    base = chosen_split(shards, path, split, flag)
    rows = scan(tuple(shards[base]), keys, max_pixels, missing)
    named, start, stop = parse_slice(split or base, {base: len(rows)}, flag, os.path.basename(path))
    names_of_rows = [row.name for row in rows]
    grouped = None
    if keys.group:
        grouped = whole.completed([row.group for row in rows], names_of_rows, keys.group)
        for line in whole.remarks(grouped):
            report(line)
    there = sorted(first_record(shards[base][0]).features.feature)
    if keys.label is None and set(there) - set(keys):
        report(f"{os.path.basename(path)}: {unlabelled(there, 'feature')}")
    order = whole.order(names_of_rows, grouped)
    if grouped:
        start, stop = whole.boundaries(np.array(grouped)[order], start, stop, named, flag)
    chosen = np.sort(order[start:stop])
    pairs = [(File(rows[place].name, *[None] * 5), rows[place].found) for place in chosen]
    folder.report_unreadable(path, split or base, pairs, (), max_bad_fraction, report)
    good = np.array([place for place in chosen if not rows[place].found.problem])
    founds = [rows[place].found for place in good]
    coded, classes = all_labels(shards, keys)
    labels = coded[base][good] if keys.label else np.full(len(good), -1, np.int64)
    num_classes = len(classes) if (labels >= 0).any() else 0
    scale = folder.chosen_ranges(
        founds,
        value_range,
        ranges or {},
        report,
        lambda places: stored_values(
            tuple(shards[base]), keys, {good[place]: founds[place].reader for place in places}
        ),
        missing,
    )
    deep = scale != folder.PLAIN or bool(missing.values)
    of_files = one_of({found.channels for found in founds}, "numbers of channels", path)
    count = colours.choose(of_files, wanted_channels)
    sizes = {found.size for found in founds}
    turned = any(found.orientation > 1 for found in founds)
    low, high = zip(*(scale[found.dtype] for found in founds))
    columns = {
        "label": labels if num_classes else np.full(len(good), -1, np.int64),
        "reader": np.array([found.reader for found in founds], np.int32),
        "orientation": np.array([found.orientation for found in founds], np.int32),
        "low": np.array(low, np.float64),
        "high": np.array(high, np.float64),
    }
    reading = reader(tuple(shards[base]), keys, rows, good, columns)
    thumbs, identity = images.thumbnails(founds), identity_of(shards[base], rows, classes)
    if len(rows) > KEPT:
        scan.cache_clear()
    return Source(
        name=os.path.basename(os.path.normpath(path)),
        split=split or base,
        examples=(base, start, stop),
        kept=len(good),
        num_classes=num_classes,
        classes=classes if num_classes else (),
        image_shape=sizes.pop() if len(sizes) == 1 else (None, None),
        dtype=np.float32 if deep else np.uint8,
        channels=count,
        value_ranges=scale,
        **reading,
        decode=functools.partial(
            decode, keys, of_files, count, deep, missing, {found.reader for found in founds}
        ),
        content=None if keys.raw else folder.content_of,
        orientation=(lambda example: example["orientation"]) if turned else None,
        # Not from the rows, which take much more memory.
        ids=Texts(rows[place].name for place in good),
        labels=lambda: columns["label"],
        digests=Texts(found.digest for found in founds),
        thumbnails=lambda: thumbs,
        groups=Texts(grouped[place] for place in good) if keys.group else None,
        origin=("tfrecord", files.real(path)),
        identity=identity,
    )


def identify(path, split, *, names=Names(None, None, None, None), max_pixels=folder.MAX_PIXELS):
    """The `Source.identity` of a split; see `load`."""
    shards, keys = opened(path, names)
    base = chosen_split(shards, path, split, "train_split")
    rows = scan(tuple(shards[base]), keys, max_pixels)
    return identity_of(shards[base], rows, all_labels(shards, keys)[1])


def identity_of(shard, rows, classes):
    return {
        "kind": "tfrecord",
        "images": len(rows),
        "classes": list(classes),
        "content": folder.content_digest(row.found for row in rows),
    }


def chosen_split(shards, path, split, flag):
    """The name of a split, or of the one of a slice."""
    if split is None:
        split = evaluation_split(shards, path, "files")
    base = split.partition("[")[0]
    if base not in shards:
        parse_slice(split, dict.fromkeys(shards, 1), flag, os.path.basename(path))
    return base


def opened(path, names):
    """The files of each split, {name: paths}, and the `Keys` of their records.

    Raises:
        UsageError: there are no files, or no records, or none with an image.
    """
    try:
        names_there = listed(path) if path else ()
        why = "" if path else "none"
    except (OSError, ValueError) as error:  # a character that no name has
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise UsageError(
            "`data_dir` must be a file, or a directory of files, in TFRecord. "
            f"Received: {path}{'' if path is None else f' ({why})'}"
        )
    paths = [path]
    if names_there is not None:
        paths = [
            os.path.join(path, name)
            for name in names_there
            if re.search(r"\.tfrecords?(?:\W|$)|-\d+-of-\d+", name) and not name.startswith(".")
        ]
    if not paths:
        raise UsageError(
            f"`data_dir={path}` must hold files called .tfrecord or NAME-00000-of-00010. "
            "Received: a directory without any"
        )
    if names_there is not None:
        check_shards(paths, path)
    found = [(SPLIT.search(os.path.basename(path)), path) for path in paths]
    shards = {}
    for match, file in found:
        shards.setdefault(split_name(match[1].lower()) if match else "train", []).append(file)
    first = first_record(paths[0])
    return shards, keys_of(first, names, path)


def check_shards(paths, directory):
    """Raises UsageError where files called NAME-00001-of-00010 are fewer than they say."""
    counts = {}
    for path in paths:
        match = OF_SHARDS.fullmatch(os.path.basename(path))
        if match:
            before, number, count, after = match.groups()
            counts.setdefault((before, int(count), after), set()).add(int(number))
    for (before, count, after), there in counts.items():
        missing = sorted(set(range(count)) - there)
        if missing:
            width = len(str(count)) if count > 99_999 else 5
            first = f"{before}{missing[0]:0{width}d}-of-{count:0{width}d}{after}"
            raise UsageError(
                f"`data_dir={directory}` must have all {count:,} files {before}*{after}. "
                f"Received: {len(there):,} of them, without {printable(first)}"
            )


def first_record(path):
    """The first `tf.train.Example` of a file."""
    try:
        record = next((record for _, record in records_of(path) if record is not None), None)
        if record is None:
            raise damaged(path, "no record")
        return tf.train.Example.FromString(record)
    except UsageError:
        raise
    except Exception as error:  # of protobuf
        raise damaged(path, f"a record that is no tf.train.Example: {error}") from None


def keys_of(example, names, path):
    """The `Keys` of records like this one."""
    there = example.features.feature

    def key(given, usual, flag):
        if given and given not in there:
            raise UsageError(
                f"`{flag}` must name a feature of the records in `data_dir={path}`, which have "
                f"{', '.join(map(printable, sorted(there)))}. Received: {given}"
            )
        return given or spelled(there, usual, flag)

    image = key(names.image, USUAL["image"], "image_key")
    if image is None:
        raise UsageError(
            f"`image_key` must name a feature of the records in `data_dir={path}`, which have "
            f"{', '.join(map(printable, sorted(there)))}, and none called "
            f"{' or '.join(USUAL['image'])}. Received: none"
        )
    sizes = [key(None, USUAL[name], name) for name in ("height", "width", "depth")]
    content = there[image].bytes_list.value
    if len(content) != 1:
        raise UsageError(
            f"`image_key` must name a feature of bytes, one for each record of `data_dir={path}`. "
            f"Received: {image}"
        )
    encoded = is_image(content[0])
    return Keys(
        image,
        key(names.label, USUAL["label"], "label_key"),
        key(names.group, (), "group_by"),
        *([None] * 3 if encoded else sizes),
    )


def is_image(content):
    """Whether bytes are those of an image file."""
    try:
        images.examine_content(content, folder.MAX_PIXELS)
    except images.Unusable:
        return True
    except Exception:  # of Pillow's plugins
        return False
    return True


@functools.lru_cache(maxsize=4)
def scan(shard, keys, max_pixels, missing=values.NONE):
    """A `Row` for each record of files; every image is decoded once, unless the index knows it."""
    rows = []
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:

        def examine(path, done, size):
            made = []
            for part in scanned(path, keys, max_pixels, missing, pool):
                made += part
                count = len(rows) + len(made)
                if count // SAID > (count - len(part)) // SAID:
                    share = (done + max(made[-1].start, 0)) / max(1, size)
                    print(f"{count:,} records are examined, {share:.0%} of the files", flush=True)
            return made

        rules = f"records {max_pixels} {tuple(keys)}"
        for file, made in found_in(shard, rules, examine, missing.values, rows_of_text):
            rows += [row._replace(name=f"{file.name}:{place}") for place, row in enumerate(made)]
    if not rows:
        raise damaged(shard[0], "no record")
    return rows


def scanned(path, keys, max_pixels, missing, pool):
    """Yields lists of `Row`s of the records of a file, without their names."""
    examine = functools.partial(examined, keys, max_pixels, missing)
    records = records_of(path)
    while part := list(itertools.islice(records, AT_ONCE)):
        yield list(pool.map(examine, part))


def rows_of_text(values):
    """The `Row`s of a file from what the index keeps of it; None if it is malformed."""
    rows = []
    for name, label, group, (size, *others), start, length in values:
        found = images.Found(tuple(size), *others)
        if not found.problem and found_of((size, *others)) is None:
            return None
        rows.append(Row(name, label, group, found, start, length))
    return rows


def examined(keys, max_pixels, missing, placed):
    """The `Row` of a (place, serialized record) of `records_of`, without its name."""
    start, record = placed
    if record is None:
        return Row("", None, "", images.Found(problem=BROKEN), start)
    features = tf.train.Example.FromString(record).features.feature
    content = features[keys.image].bytes_list.value
    content = content[0] if len(content) else b""
    try:
        if keys.raw:
            pixels = pixels_of(features, keys, content)
            found = images.of_values(pixels, images.BY_PYTHON, 1, missing)
            found = found._replace(channels=pixels.shape[2])
        else:
            found = images.examine_content(content, max_pixels, missing)
        found = found._replace(digest=hashlib.sha256(content).hexdigest()[:32])
    except Exception as error:  # of Pillow's plugins
        found = images.Found(problem=images.reason(error))
    label, group = text_or_number(features, keys.label), group_of(features, keys.group)
    return Row("", label, group, found, start, 0 if start < 0 else len(record))


def pixels_of(features, keys, content):
    """The pixels [H, W, C] of a record that has no image file."""
    height, width = (number_of(features, name) for name in (keys.height, keys.width))
    depth = number_of(features, keys.depth) if keys.depth else 0
    values = height * width * (depth or 1)
    if values <= 0 or len(content) % values or len(content) // values not in TYPES:
        raise images.Unusable(
            f"{len(content):,} bytes, which are no image of {height}x{width} px and "
            f"{depth or 1} channels"
        )
    array = np.frombuffer(content, TYPES[len(content) // values])
    return array.reshape(height, width, depth or 1)


def number_of(features, name):
    found = features[name].int64_list.value
    return int(found[0]) if len(found) == 1 else 0


def text_or_number(features, name):
    """The label of a record: an integer, or a text; None if there is none."""
    if name is None:
        return None
    feature = features[name]
    if len(feature.int64_list.value) == 1:
        return int(feature.int64_list.value[0])
    if len(feature.bytes_list.value) == 1:
        return feature.bytes_list.value[0].decode("utf-8", "replace")
    return None


def group_of(features, name):
    found = text_or_number(features, name)
    return "" if found is None else unless_missing(str(found))


def all_labels(shards, keys):
    """({split: int64 labels}, names of classes) over all splits."""
    return coded_of(tuple((split, tuple(shard)) for split, shard in sorted(shards.items())), keys)


@functools.lru_cache(maxsize=4)
def coded_of(shards, keys):
    """`all_labels`, without decoding images."""
    raw = {}
    for split, shard in shards:
        found = labels_in(shard, keys.label)
        texts = any(isinstance(value, str) for value in found)
        missing = "" if texts else -1
        found = [missing if value is None else value for value in found]
        raw[split] = np.array(found, object if texts else np.int64)
    return coded_labels(raw, keys.label)


def labels_in(shard, name):
    """The label of each record of files, as stored; the index keeps them."""

    def examine(path, *_):
        return [label_in(record, name) for _, record in records_of(path)]

    return [
        label
        for _, found in found_in(shard, f"labels {name}", examine, parse=labels_of_text)
        for label in found
    ]


def label_in(record, name):
    """The label of a record, as stored; None if there is none."""
    if record is None:
        return None
    return text_or_number(tf.train.Example.FromString(record).features.feature, name)


def labels_of_text(values):
    """The labels of a file from what the index keeps of it; None if it is malformed."""
    return values if {type(value) for value in values} <= {int, str, type(None)} else None


def one_of(found, what, path):
    if len(found) > 1:
        raise UsageError(
            f"`data_dir={path}` must hold images of one kind. Received: several {what}, "
            f"{', '.join(map(str, sorted(found)))}"
        )
    return next(iter(found))


def reader(shard, keys, rows, good, columns):
    """How the records at some places are read, as `Source`'s `records`, `at` and `fetch`.

    Args:
        shard: files.
        rows: a `Row` for each record of them.
        good: places of those that there are.
        columns: what `decode` needs besides, {name: [n]}.

    Returns:
        dict: "records" of {"image": bytes, ...}, and "at" and "fetch", which adds the image to
        several examples; or without both, for compressed files.
    """
    if any(rows[place].start < 0 for place in good):
        return {"records": functools.partial(in_order, shard, keys, columns, good)}
    numbers = {os.path.basename(path): number for number, path in enumerate(shard)}
    of_files = [numbers[rows[place].name.rpartition(":")[0]] for place in good]
    at = rows_of(
        columns
        | {
            "file": np.array(of_files, np.int32),
            "start": np.array([rows[place].start for place in good], np.int64),
            "bytes": np.array([rows[place].bytes for place in good], np.int64),
        }
    )

    def finish(content, examples):
        return parsed(keys, content, {name: examples[name] for name in columns})

    fetch = fetcher(shard, finish)

    def records():
        places = tf.data.Dataset.range(len(good)).batch(READ)
        return places.map(as_it_is(lambda places: fetch(at(places)))).unbatch()

    return {"records": records, "at": at, "fetch": fetch, "distant": files.remote(shard[0])}


def in_order(shard, keys, columns, good):
    """A dataset of {"image": bytes, ...} of the records at some places, in order."""
    alike = [tuple(paths) for _, paths in itertools.groupby(shard, compressed)]
    records = functools.reduce(tf.data.Dataset.concatenate, map(dataset_of, alike))
    if len(good) < good[-1] + 1:
        wanted = np.zeros(good[-1] + 1, bool)
        wanted[good] = True
        numbered = records.take(len(wanted)).enumerate()
        records = numbered.filter(lambda place, _: tf.gather(wanted, place))
        records = records.map(lambda _, record: record)
    of_columns = tf.data.Dataset.from_tensor_slices(columns)
    together = tf.data.Dataset.zip(records, of_columns)
    return together.map(as_it_is(lambda record, of_it: parsed(keys, record, of_it)))


def parsed(keys, content, columns):
    """{"image": bytes, ...} of a serialized record, or of several, beside `columns` of it."""
    wanted = {keys.image: tf.io.FixedLenFeature([], tf.string, "")}
    sides = [name for name in (keys.height, keys.width, keys.depth) if name] if keys.raw else []
    wanted |= {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in sides}
    features = tf.io.parse_example(content, wanted)
    example = {"image": features[keys.image], **columns}
    if keys.raw:
        shape = [features[name] for name in sides]
        shape += [tf.ones_like(shape[0])] * (3 - len(shape))
        example["shape"] = tf.stack(shape, axis=-1)
    return example


def decode(keys, of_files, count, deep, missing, readers, example):
    """The image and the label of an example, as graph code."""
    if keys.raw:
        image = tf.numpy_function(
            functools.partial(from_bytes, deep, missing),
            [example["image"], example["shape"], example["low"], example["high"]],
            tf.float32 if deep else tf.uint8,
            stateful=False,
        )
        image = colours.converted(images.shaped(image, of_files), count)
    else:
        image = images.decode(example, deep, 2, of_files, missing, count, readers)
    return image, example["label"]


def from_bytes(deep, missing, content, shape, low, high):
    array = np.frombuffer(content, TYPES[len(content) // int(np.prod(shape))]).reshape(shape)
    return values.scaled_array(array, low, high, missing) if deep else array


def stored_values(shard, keys, readers):
    """Yields the values of some records as they are stored, [H, W, C].

    Args:
        readers: {place of a record: decoder of its image; see `images.Found`}.
    """
    for place, (_, record) in enumerate(itertools.chain(*map(records_of, shard))):
        if place not in readers:
            continue
        features = tf.train.Example.FromString(record).features.feature
        content = features[keys.image].bytes_list.value[0]
        if keys.raw:
            yield pixels_of(features, keys, content)
        else:
            yield np.asarray(images.READERS[readers[place]](content))
