"""Datasets that a function makes, registered by `tfssl.register(name, kind="source")`."""

import dataclasses
import functools
import hashlib

import numpy as np
import tensorflow as tf

from tfssl import compat, registry
from tfssl.data import arrays
from tfssl.data.source import Source, parse_slice
from tfssl.errors import UsageError

TEST = "test"  # the split to evaluate on if none is named


def load(name, split, flag="split", value_range=None):
    """Loads a split of a registered source into memory.

    Args:
        name: its registered name.
        split: a split or a slice of one, such as "train[:500]"; None: "test".
        flag: name of the argument that the split came from, for messages.
        value_range: as for `tfssl.views`.

    Returns:
        A `Source` with arrays.

    Raises:
        UsageError: the function fails, returns something else than images of one size, or the slice
            is malformed or empty.
    """
    split = split or TEST
    base = split.partition("[")[0]
    entry = registry.find("source", name)
    whole = whole_split(entry, base, value_range and tuple(value_range))
    base, start, stop = parse_slice(split, {base: whole.num_examples}, flag, name)
    images, labels = (values[start:stop] for values in whole.arrays)
    return dataclasses.replace(
        whole,
        name=name,
        split=split,
        examples=(base, start, stop),
        records=arrays.records_of(images, labels),
        arrays=(images, labels),
        ids=lambda: [f"{base}:{place}" for place in range(start, stop)],
        origin=("registered", name),
    )


def identify(name, split):
    """Returns `Source.identity` of a split of a registered source, which is loaded for it."""
    base = (split or TEST).partition("[")[0]
    return whole_split(registry.find("source", name), base, None).identity


@functools.lru_cache(maxsize=2)
def whole_split(entry, base, value_range):
    """The `Source` of a split without slicing."""
    try:
        made = entry.value(base)
        made = gathered(made) if isinstance(made, tf.data.Dataset) else made
        source = made if isinstance(made, Source) else arrays.source_of(made, value_range)
    except Exception as error:  # the function is the user's
        raise UsageError(
            f"`dataset={entry.name}` cannot be used: its split {base} fails with "
            f"{type(error).__name__}: {error}"
        ) from error
    if source.arrays is None:
        raise UsageError(
            f"`dataset={entry.name}` must give images of one size, in arrays or a tf.data.Dataset. "
            "Received: a source that is not in memory"
        )
    return dataclasses.replace(source, identity={"kind": "registered", "content": digest(source)})


def gathered(dataset):
    """The images and labels of a `tf.data.Dataset` as arrays."""
    examples = arrays.examples_of(dataset)
    if examples.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("it must give a dataset that ends")
    found = list(compat.steady(examples).as_numpy_iterator())
    images, labels = (np.stack([one[key] for one in found]) for key in ("image", "label"))
    return images, labels


def digest(source):
    """SHA-256 of the pixels and labels of a source, hexadecimal."""
    found = hashlib.sha256()
    for values in source.arrays:
        found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()
