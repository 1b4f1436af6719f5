"""Arrays as a `Source`, and `tf.data.Dataset`s in the form that the pipeline takes."""

import functools
import itertools

import numpy as np
import tensorflow as tf

from tfssl.data.source import Source

NAMES = itertools.count(1)
SLACK = 1e-3  # by which values may exceed [0, 1]
OUTSIDE = "Floats must be finite and in [0, 1] in `x`. Received: values in"
INTEGERS = {"uint8": 255.0, "uint16": 65535.0}


def source_of(x, value_range=None):
    """Makes a `Source` of arrays.

    Args:
        x: images [N, H, W, C] or [N, H, W] of uint8, uint16 or floats; or a pair of these and
            labels, integers [N] or [N, 1], negative where there is no label; or a dict of these,
            "image" and "label".
        value_range: (low, high), the values that become 0 and 1, each a number, or one for each
            channel; None: the whole range of the integer type, and [0, 1] for floats.

    Raises:
        ValueError: images or labels have another form, or values lie outside their range.
    """
    if isinstance(x, dict):
        if "image" not in x:
            raise ValueError(
                "`x` must have the keys 'image' and, where there are labels, 'label'. "
                f"Received: {', '.join(map(repr, x)) or 'none'}"
            )
        x = (x["image"], x.get("label"))
    if isinstance(x, tuple) and len(x) > 2 and all(hasattr(part, "shape") for part in x):
        raise ValueError(f"`x` must be images, or (images, labels). Received: {len(x)} arrays")
    images, labels = x if isinstance(x, tuple) and len(x) == 2 else (x, None)
    images = scaled(as_images(images), value_range)
    labels = as_labels(labels, len(images))
    name = f"array{next(NAMES)}"
    return Source(
        name=name,
        split="all",
        examples=("all", 0, len(images)),
        num_classes=int(labels.max(initial=-1)) + 1,
        image_shape=tuple(images.shape[1:3]),
        records=records_of(images, labels),
        decode=lambda example: (example["image"], example["label"]),
        arrays=(images, labels),
        ids=lambda: [str(place) for place in range(len(images))],
        origin=(name,),
        dtype=images.dtype.type,
        channels=images.shape[-1],
    )


def records_of(images, labels):
    """`Source.records` of arrays in memory."""
    return functools.partial(tf.data.Dataset.from_tensor_slices, {"image": images, "label": labels})


def as_images(images):
    """Images as an array [N, H, W, C]."""
    try:
        images = np.asarray(images)
    except ValueError:  # lists of arrays of different shapes
        raise ValueError(
            "`x` must be images of one size in an array; tf.data.Dataset.from_generator makes a "
            f"dataset of others. Received: a {type(images).__name__} of different shapes"
        ) from None
    if images.dtype == object or not images.shape:
        kind = "list" if images.shape else type(images.item()).__name__
        raise ValueError(
            "`x` must be images: an array, a tf.data.Dataset, a directory or the name of a "
            f"dataset. Received: a value of type {kind}"
        )
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "`x` must be images [N, H, W, C] or [N, H, W]. "
            f"Received: an array of {images.dtype} and shape {images.shape}"
        )
    return images


def scaled(images, value_range=None):
    """Images in a type that the pipeline takes: uint8, uint16, or float32 in [0, 1]."""
    if value_range is not None:
        low, high = check_range(value_range, images.shape[-1])
        images = (np.asarray(images, np.float32) - low) / (high - low)
        return check_unit(images, value_range)
    if images.dtype.name in INTEGERS:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"`x` must be of uint8, uint16 or floats. Received: {images.dtype}; value_range=(low, "
            "high) says which values are black and white"
        )
    return check_unit(images.astype(np.float32, copy=False), None)


def check_range(value_range, channels=None):
    """(low, high) as float32, each a number or [channels]; ValueError if it is not a range."""
    try:
        low, high = (np.asarray(side, np.float32) for side in value_range)
        good = bool(np.all(low < high)) and {low.shape, high.shape} <= {(), (channels,)}
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "`value_range` must be (low, high), low below high, each a number, or one for each "
            f"channel. Received: {value_range!r}"
        )
    return low, high


def check_unit(images, value_range):
    """Returns the images; raises ValueError if a value lies outside [0, 1]."""
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        good = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        first = f", first in image {int(np.argmin(good))}" if np.ndim(images) == 4 else ""
        raise ValueError(f"`x` must be finite. Received: values that are not{first}")
    if low < -SLACK or high > 1 + SLACK:
        if value_range is None:
            raise ValueError(
                f"Floats in `x` must be in [0, 1]. Received: values in [{low:.4g}, {high:.4g}]; "
                "value_range=(low, high) says which are black and white"
            )
        raise ValueError(
            f"`value_range` must hold all values of `x`. Received: {value_range} for values that "
            f"become [{low:.4g}, {high:.4g}]"
        )
    return images


def as_labels(labels, count):
    """Labels as int64 [count]; all -1 for None."""
    if labels is None:
        return np.full(count, -1, np.int64)
    labels = np.asarray(labels)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Labels must be integers [N], N = {count}. "
            f"Received: an array of {labels.dtype} and shape {labels.shape}"
        )
    return labels.astype(np.int64)


def examples_of(dataset, value_range=None, strict=True):
    """Converts a `tf.data.Dataset` to single examples {"image", "label"}.

    Args:
        dataset: dataset of images, (image, label), or dicts with "image" and optionally "label";
            batched or not.
        value_range: as for `source_of`.
        strict: whether floats outside [0, 1] end the iteration with an error.

    Returns:
        `tf.data.Dataset` of dicts: "image" uint8, uint16, or float32 in [0, 1], [H, W, C]; "label"
        int64, -1 where there is none.

    Raises:
        ValueError: its elements have another form.
    """
    image, label = parts(dataset.element_spec)
    rank = image.shape.rank
    if rank not in (3, 4) or image.shape[-1] is None:
        raise ValueError(
            "`x` must be a dataset of images [H, W, C] or of batches [B, H, W, C] with C known. "
            f"Received: {image.dtype.name} {image.shape}"
        )
    scale = scale_of(image.dtype, image.shape[-1], value_range, strict)

    def example(*element):
        image, label = parts(element[0] if len(element) == 1 else element)
        label = tf.constant(-1, tf.int64) if label is None else tf.cast(label, tf.int64)
        return {"image": scale(image), "label": label}

    def batch(*element):
        image, label = parts(element[0] if len(element) == 1 else element)
        label = -tf.ones(tf.shape(image)[:1], tf.int64) if label is None else label
        return {"image": scale(image), "label": tf.cast(tf.reshape(label, [-1]), tf.int64)}

    if label is not None and not label.dtype.is_integer:
        raise ValueError(
            f"Labels in `x` must be integers, one of each image. Received: {label.dtype.name} "
            f"{label.shape}"
        )
    return dataset.map(batch).unbatch() if rank == 4 else dataset.map(example)


def parts(element):
    """Image and label of an element or of its spec; the label is None if there is none."""
    if isinstance(element, dict) and "image" in element:
        return element["image"], element.get("label")
    if isinstance(element, (tuple, list)) and len(element) == 2:
        return tuple(element)
    if isinstance(element, (tuple, list)) and len(element) == 1:
        return element[0], None
    if hasattr(element, "shape"):
        return element, None
    raise ValueError(
        "`x` must be a dataset of images, of (image, label), or of dicts with 'image'. "
        f"Received: elements {element!r}"
    )


def scale_of(dtype, channels, value_range, strict):
    """The function that converts images to a type that the pipeline takes."""
    check = in_unit if strict else lambda images, outside=None: images
    if value_range is not None:
        low, high = check_range(value_range, channels)
        outside = f"`value_range` {value_range} must hold all values of `x`, which becomes"
        return lambda images: check((tf.cast(images, tf.float32) - low) / (high - low), outside)
    if dtype.name in INTEGERS:
        return lambda images: images
    if not dtype.is_floating:
        raise ValueError(
            f"`x` must be of uint8, uint16 or floats. Received: {dtype.name}; value_range=(low, "
            "high) says which values are black and white"
        )
    return lambda images: check(tf.cast(images, tf.float32))


def in_unit(images, outside=OUTSIDE):
    """Returns the images; in a graph, ends the iteration if a value lies outside [0, 1].

    `methods.checks.values_in` makes a ValueError of it.
    """
    good = tf.reduce_all((images >= -SLACK) & (images <= 1 + SLACK))  # False for NaN
    extremes = [tf.reduce_min(images), tf.reduce_max(images)]
    with tf.control_dependencies([tf.debugging.Assert(good, [outside, *extremes])]):
        return tf.identity(images)


def check_first(dataset, value_range=None):
    """Raises ValueError if the first image of a dataset has floats outside [0, 1].

    Args:
        dataset, value_range: as for `examples_of`.
    """
    examples = examples_of(dataset, value_range, strict=False)
    if examples.element_spec["image"].dtype == tf.float32:
        for example in examples.take(1).as_numpy_iterator():
            check_unit(example["image"], value_range)
