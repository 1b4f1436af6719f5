"""Data: one `Source` per split, and the pipeline that turns sources into batches.

`load` knows the kinds of source. To add one, write a file with a function that returns a Source
and give it a line in DATASETS.
"""

import functools

import tensorflow as tf

from tfssl.config import sides
from tfssl.data import folder, shapes, tfds
from tfssl.data.pipeline import WHOLE, Share, finisher, labelled, views
from tfssl.data.source import (
    Source,
    balanced,
    fingerprint,
    held,
    labels_of,
    numbered,
    parse_slice,
    read_list,
    subset,
)
from tfssl.errors import UsageError

MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images that are held without being asked for


def load(config, split, flag="train_split"):
    """One split of the dataset that a Config names, held in memory where that is asked or fits.

    Args:
        config: a `tfssl.Config`; dataset, data_dir, the two image sizes, seed, cache_dataset and
            max_bad_fraction are read.
        split: a split or slice; None: the dataset's evaluation split.
        flag: the flag that the split came from, for messages.

    Raises:
        UsageError: see `tfssl.data.tfds.load`.
    """
    loader = DATASETS.get(config.dataset, load_tfds)
    limit = {None: MEMORY_LIMIT, True: float("inf"), False: 0}[config.cache_dataset]
    return held(loader(config, split, flag), limit)


def chosen_places(config, source):
    """Places of the images whose labels are learned from: int [n], or None for all.

    Args:
        config: a `tfssl.Config`; label_list, label_fraction and seed are read.

    Raises:
        UsageError: see `read_list`; or there are no labels to draw from.
    """
    if config.label_list:
        return read_list(config.label_list, source.num_examples)
    if config.label_fraction == 1:
        return None
    if not source.num_classes:
        raise UsageError("--label_fraction needs labels in --train_split: folders of classes. "
                         f"Received: {config.label_fraction}")
    return balanced(labels_of(source), source.num_classes, config.label_fraction, config.seed)


def load_tfds(config, split, flag):
    return tfds.load(config.dataset, split, data_dir=config.data_dir, flag=flag)


def load_folder(config, split, flag):
    return folder.load(config.data_dir, split, flag=flag, max_bad_fraction=config.max_bad_fraction)


def load_shapes(config, split, flag):
    """The embedded dataset, drawn at the largest size that the network will see."""
    split = split or "test"
    base, start, stop = parse_slice(split, shapes.NUM_EXAMPLES, flag, "shapes")
    seen = [sides(config.image_size or DEFAULT_SIZES["shapes"])]
    seen += [sides(config.eval_image_size)] if config.eval_image_size else []
    size = tuple(max(side) for side in zip(*seen))
    images, labels = shapes.generate(base, stop, size, config.seed)
    images, labels = images[start:], labels[start:]
    return Source(
        name="shapes",
        split=split,
        examples=(base, start, stop),
        num_classes=len(shapes.CLASSES),
        classes=shapes.CLASSES,
        image_shape=size,
        records=functools.partial(tf.data.Dataset.from_tensor_slices,
                                  {"image": images, "label": labels}),
        decode=lambda example: (example["image"], example["label"]),
        arrays=(images, labels),
        ids=lambda: [f"{base}:{i}" for i in range(start, stop)],
    )


DATASETS = {"shapes": load_shapes, "folder": load_folder}
DEFAULT_SIZES = {"shapes": 32, "imagenette": 128}
LARGE = 224  # for images of mixed sizes, as everywhere with ImageNet


def image_size(config, source):
    """(height, width) of the views in pixels: --image_size, or what suits the dataset."""
    if config.image_size:
        return sides(config.image_size)
    own = min(source.image_shape) if None not in source.image_shape else LARGE
    return sides(DEFAULT_SIZES.get(config.dataset.split("/")[0], min(own, LARGE)))


__all__ = ["DATASETS", "Share", "Source", "WHOLE", "chosen_places", "fingerprint", "finisher",
           "image_size", "labelled", "labels_of", "load", "numbered", "read_list", "subset",
           "views"]
