"""`open_images`: images of one's own, in any form of storage, with all settings of the reading."""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np

from tfssl import files, registry
from tfssl.data import (
    arrays,
    folder,
    manifest,
    registered,
    shapes,
    stored,
    tfds,
    tfrecord,
    tree,
    values,
)
from tfssl.data import (
    channels as channel,
)
from tfssl.data.source import Source, held, parse_slice
from tfssl.errors import UsageError
from tfssl.notes import say

ENDINGS = (*stored.ENDINGS, *manifest.ENDINGS, *tfrecord.ENDINGS)
MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images that are kept in memory
PERCENTILES = ("percentiles", 1.0, 99.0)
LAYOUTS = ("auto", "splits", "classes", "flat", "bands")
RANGES = "'auto', 'dtype', 'percentiles', (low, high) or ('percentiles', low, high)"


def open_images(
    x: str | os.PathLike[str],
    split: str | None = None,
    *,
    like: Source | None = None,
    channels: int | None = None,
    value_range: str | tuple = "auto",
    no_data: float | Sequence[float] = (),
    no_data_fill: float = 0.0,
    group_by: str | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
    split_key: str | None = None,
    folder_layout: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """Opens images in a directory or a file, or a dataset by name, as `views` and `evaluate` take.

    These also take the path itself, and then read it with the defaults of this function, which
    reads as `run.py` does.

    Args:
        x: a directory of image files; a file of arrays, .npz, .npy or .h5; a table of image files,
            .csv, .tsv or .parquet; records, .tfrecord; "shapes", or the name of a dataset of
            tensorflow_datasets or of a plug-in.
        split: a split, or a slice of one such as "train[:80%]"; None: "train".
        like: another split, whose black, white and number of channels are taken: open the images
            to score like those to learn from.
        channels: number of channels to convert to: 1 or 3 for grey and colours; of other images,
            what they have, where the file does not say. None: as stored; files of grey or colours
            give 3.
        value_range: which values become 0 and 1: "auto", by the values that are found; "dtype",
            the whole range of the type; (low, high); "percentiles", the 1st and the 99th of each
            channel, or ("percentiles", low, high).
        no_data: a number, or numbers, NaN among them, that stand for no data.
        no_data_fill: what replaces them after scaling, in [0, 1].
        group_by: name of a column or array, or, of a directory, a regular expression on the names
            of files: what has the same group is on one side of a slice.
        image_key, label_key, split_key: names of arrays, columns or features; None: the usual ones.
        folder_layout: "auto", "splits", "classes", "flat" or "bands", of a directory.
        data_dir: directory of the datasets of tensorflow_datasets.

    Returns:
        A `tfssl.data.Source`, in memory if it is of at most 2 GiB.

    Raises:
        ValueError: the images cannot be read, or an argument does not fit them.

    Example:

    ```python
    np.savez("scans.npz", images=np.zeros((8, 20, 20), "uint16"), labels=np.arange(8) % 2)
    train = tfssl.open_images("scans.npz", "train[:75%]", value_range=(0, 4095))
    test = tfssl.open_images("scans.npz", "train[75%:]", like=train)
    test.num_examples, test.channels, test.value_ranges  # (2, 1, {'uint16': (0.0, 4095.0)})
    ```
    """
    path = os.fspath(x)
    if like is not None and not isinstance(like, Source):
        raise ValueError(
            "`like` must be a tfssl.data.Source, such as open_images returns. "
            f"Received: like={type(like).__name__}"
        )
    settings = {
        "value_range": range_of(value_range),
        "ranges": like.value_ranges if like else None,
        "missing": missing_of(no_data, no_data_fill),
    }
    if like and value_range != "auto":
        raise ValueError(
            "`value_range` cannot be set beside `like`, which has one. "
            f"Received: value_range={value_range!r}"
        )
    if folder_layout not in LAYOUTS:
        raise ValueError(
            f"`folder_layout` must be one of {', '.join(LAYOUTS)}. Received: {folder_layout!r}"
        )
    wanted = channels if channels is not None else like.channels if like else None
    names = stored.Names(image_key, label_key, split_key, group_by)
    try:
        found = opened(path, split or "train", data_dir, wanted, names, folder_layout, settings)
        return held(in_channels(found, wanted), MEMORY_LIMIT)
    except UsageError as error:  # the loaders have other names for `x`
        own = "dataset|data_dir" if os.path.isdir(path) or is_file(path) else "dataset"
        message = re.sub(rf"`({own})(=[^`]*)?`", r"`x\2`", str(error))
        raise ValueError(
            message.replace("shapes, folder or", "an existing directory, shapes or")
        ) from None


def missing_of(numbers, fill):
    """The `values.Missing` of `no_data` and `no_data_fill`; raises ValueError if they are none."""
    try:
        numbers = tuple(float(number) for number in np.ravel(numbers))
    except (TypeError, ValueError):
        raise ValueError(
            f"`no_data` must be numbers, or NaN. Received: no_data={numbers!r}"
        ) from None
    if not (isinstance(fill, (int, float)) and 0 <= fill <= 1):
        raise ValueError(f"`no_data_fill` must be in [0, 1]. Received: no_data_fill={fill!r}")
    return values.Missing(numbers, fill)


def range_of(asked):
    """`value_range` as loaders take it; raises ValueError if it is none."""
    if asked == "percentiles":
        return PERCENTILES
    if isinstance(asked, str) and asked in ("auto", "dtype"):
        return asked
    low, high = asked[-2:] if isinstance(asked, (tuple, list)) and len(asked) in (2, 3) else (1, 0)
    try:
        right = bool(np.all(np.asarray(low, float) < np.asarray(high, float)))
    except (TypeError, ValueError):
        right = False
    if not right or len(asked) == 3 and not (asked[0] == "percentiles" and 0 <= low < high <= 100):
        raise ValueError(f"`value_range` must be {RANGES}. Received: value_range={asked!r}")
    return tuple(asked) if len(asked) == 3 else values.as_range(asked)


def opened(x, split, data_dir, wanted, names, layout, settings):
    """Makes a `Source` of a directory, a file or a named dataset; see `open_images`."""
    common = {"flag": "split", **settings}
    registers, of_file = registry.find("source", x), is_file(x) or os.path.isdir(x)
    keyed = [name for name in ("image", "label", "split", "group") if getattr(names, name)]
    if keyed and (registers or not of_file):
        key = "group_by" if keyed[0] == "group" else f"{keyed[0]}_key"
        raise ValueError(
            f"`{key}` is for files and directories. Received: {getattr(names, keyed[0])!r} for {x}"
        )
    if x == "shapes":
        return shapes_source(split)
    if registers:
        by_range = settings["value_range"]
        return registered.load(x, split, value_range=None if by_range == "auto" else by_range)
    if x.lower().endswith(stored.ENDINGS) and not os.path.isdir(x):
        return stored.load(
            x,
            split,
            names=filled(names),
            wanted_channels=wanted,
            limit_bytes=MEMORY_LIMIT,
            report=say,
            **common,
        )
    if files.remote(x) or x.lower().endswith(tfrecord.ENDINGS) and not os.path.isdir(x):
        return tfrecord.load(x, split, names=names, wanted_channels=wanted, report=say, **common)
    if x.lower().endswith(manifest.ENDINGS) and not os.path.isdir(x):
        table = table_of(x, names)
        return folder.load(x, split, table=table, channels=wanted, report=say, **common)
    if not os.path.isdir(x) and (x.startswith((".", os.sep, "~")) or x.endswith(os.sep)):
        raise ValueError(f"`x` must be an existing directory. Received: {x}")
    if os.path.isdir(x):
        options = dict(layout=layout, group_by=names.group, channels=wanted, report=say)
        return folder.load(x, split, **options, **common)
    return tfds.load(x, split, data_dir=data_dir, channels=wanted, **common)


def filled(names):
    """`stored.Names` with the usual names of arrays for those that are None."""
    return stored.Names(*(name or usual for name, usual in zip(names, stored.Names())))


def table_of(path, names):
    """The `tree.Tree` of a table; `stored.Names` that are None are the usual ones."""
    fields = {name: getattr(names, name) for name in ("image", "label", "split")}
    given = {field: name for field, name in fields.items() if name}
    return manifest.read(path, manifest.USUAL._replace(**given, group=names.group), [*given])


def in_channels(source, wanted):
    """A source with its images in `wanted` channels, where a loader does not convert them."""
    if wanted in (None, source.channels) or not source.arrays:
        return source
    count = channel.choose(source.channels, wanted)
    images, labels = source.arrays
    images = channel.converted_array(images, count)
    return dataclasses.replace(
        source, arrays=(images, labels), records=arrays.records_of(images, labels), channels=count
    )


def is_file(x):
    """Whether a path is that of a file of arrays, records or of a table, or an address."""
    return os.fspath(x).lower().endswith(ENDINGS) or files.remote(x)


def splits_of(path):
    """The names of the splits of a directory, a file of arrays or a table."""
    if os.path.isdir(path):
        return tuple(tree.read(path).splits)
    if path.lower().endswith(manifest.ENDINGS):
        return tuple(manifest.read(path).splits)
    if files.remote(path) or path.lower().endswith(tfrecord.ENDINGS):
        return tuple(tfrecord.opened(path, stored.Names(*[None] * 4))[0])
    return tuple(stored.parts_of(stored.opened(path), path, stored.Names())[0])


def shapes_source(split, size=(32, 32), seed=0):
    """The dataset `shapes` as a `Source`."""
    base, start, stop = parse_slice(split, shapes.NUM_EXAMPLES, "split", "shapes")
    images, labels = shapes.generate(base, stop, size, seed)
    source = arrays.source_of((images[start:], labels[start:]))
    return dataclasses.replace(source, name="shapes", classes=tuple(shapes.CLASSES))
