"""Loads the images of a Config as sources.

Plug-ins add sources by `tfssl.register(name, kind="source")`.
"""

import dataclasses
import functools

from tfssl import memory, registry
from tfssl.config import sides, value_range
from tfssl.data import arrays, folder, registered, shapes, tfds
from tfssl.data.source import (
    Source,
    balanced,
    held,
    labels_of,
    parse_slice,
    read_list,
)
from tfssl.errors import UsageError
from tfssl.runner.edge import naming_flags, with_flags

MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images that are kept in memory by default


@naming_flags()
def load(config, split, flag="train_split", ranges=None, again=False):
    """Loads a split of the dataset of a Config, into memory if requested or small.

    Args:
        config: a `tfssl.Config`; its settings of data, image sizes and seed are used.
        split: a split or slice; None: the dataset's evaluation split.
        flag: flag of the split, for messages.
        ranges: `value_ranges` of another split, to be used for this one; None: to be determined.
        again: whether messages about the dataset have already been printed for another split.

    Raises:
        UsageError: see `tfssl.data.tfds.load`.
    """
    entry = registry.find("source", config.dataset)
    loader = load_registered if entry else DATASETS.get(config.dataset, load_tfds)
    if loader is load_folder:
        loader = functools.partial(load_folder, again=again)
    limit = {None: MEMORY_LIMIT, True: float("inf"), False: 0}[config.cache_dataset]
    return held(loader(config, split, flag, ranges), limit)


@naming_flags()
def identify(config, split, flag="train_split", download=True):
    """The `Source.identity` of a split, without decoding images.

    Args, Raises: as `load`; for `download` see `tfssl.data.tfds.identify`.
    """
    if config.dataset == "folder":
        return folder.identify(
            config.data_dir,
            split,
            flag=flag,
            layout=config.folder_layout,
            rules=config.reading_rules,
        )
    if config.dataset == "shapes":
        return shapes_identity(config)
    if registry.find("source", config.dataset):
        return registered.identify(config.dataset, split)
    return tfds.identify(
        config.dataset, split, data_dir=config.data_dir, flag=flag, download=download
    )


def refuse_shared(config, scored, used):
    """Prints how many evaluation images are also training images, and refuses too many.

    Args:
        config: a `tfssl.Config`.
        scored: the `Source` for evaluation.
        used: {flag: `Source` for training}.

    Raises:
        UsageError: slices overlap, or more images are shared than --max_shared_fraction allows.
    """
    for flag, source in used.items():
        if scored.shares_examples_with(source):
            raise UsageError(
                f"--eval_split must not share images with --{flag}: accuracies must be of images "
                f"not used for training. Received: {scored.split} and {source.split}"
            )
        copies = scored.copies_in(source)
        if not copies:
            continue
        share = copies / scored.num_examples
        what = (
            f"{copies:,} of {scored.num_examples:,} images of {scored.name} {scored.split} "
            f"are, byte for byte, in {source.name} {source.split} too"
        )
        if share > config.max_shared_fraction:
            raise UsageError(
                f"--eval_split must not share images with --{flag}, beyond "
                f"--max_shared_fraction={config.max_shared_fraction:g}: {what}."
            )
        print(f"{what}: {share:.2%}")


@naming_flags()
def label_indices(config, source):
    """Indices of the images whose labels are used for training: int [n]; None: all.

    Args:
        config: a `tfssl.Config`; its label_list, label_fraction and seed are used.
        source: the `Source` for training.

    Raises:
        UsageError: see `read_list`; or images without labels are selected.
    """
    if config.label_list:
        return with_labels(read_list(config.label_list, source.num_examples), config, source)
    if config.label_fraction == 1:
        return None
    if not source.num_classes:
        raise UsageError(
            "--label_fraction needs labels in --train_split: folders of classes. "
            f"Received: {config.label_fraction}"
        )
    return balanced(labels_of(source), source.num_classes, config.label_fraction, config.seed)


def with_labels(places, config, source):
    """Returns the indices of --label_list; raises UsageError if an image has no label."""
    without = places[labels_of(source)[places] < 0]
    if len(without):
        raise UsageError(
            f"--label_list must name images that have a label. Received: "
            f"{config.label_list} with {without[0]}, which has none, as have "
            f"{len(without):,} of {len(places):,}"
        )
    return places


def load_tfds(config, split, flag, ranges):
    return tfds.load(
        config.dataset,
        split,
        data_dir=config.data_dir,
        flag=flag,
        value_range=value_range(config.value_range),
        ranges=ranges,
    )


def load_folder(config, split, flag, ranges, again=False):
    return folder.load(
        config.data_dir,
        split,
        flag=flag,
        max_bad_fraction=config.max_bad_fraction,
        max_pixels=round(config.max_image_megapixels * 1e6),
        layout=config.folder_layout,
        value_range=value_range(config.value_range),
        ranges=ranges,
        rules=config.reading_rules,
        again=again,
        report=lambda line: print(with_flags(line)),
    )


def load_registered(config, split, flag, ranges):
    """Loads a dataset of a plug-in; a single channel is repeated three times."""
    given = None if config.value_range == "auto" else value_range(config.value_range)
    source = registered.load(config.dataset, split, flag, given)
    if source.channels not in (1, 3):
        raise UsageError(
            f"--dataset={config.dataset} must give images of 1 or 3 channels; Python takes others. "
            f"Received: {source.channels}"
        )
    return source if source.channels == 3 else in_three_channels(source)


def in_three_channels(source):
    images, labels = source.arrays
    images = images.repeat(3, axis=-1)
    return dataclasses.replace(
        source,
        arrays=(images, labels),
        records=arrays.records_of(images, labels),
        channels=3,
    )


def load_shapes(config, split, flag, ranges):
    """The embedded dataset, drawn at the larger of the training and evaluation sizes."""
    split = split or "test"
    base, start, stop = parse_slice(split, shapes.NUM_EXAMPLES, flag, "shapes")
    size = shapes_size(config)
    memory.require(
        [
            (
                "--image_size and --eval_image_size",
                f"{stop:,} figures of {size[0]}x{size[1]} px",
                3 * stop * size[0] * size[1],
            )
        ]
    )
    images, labels = shapes.generate(base, stop, size, config.seed)
    images, labels = images[start:], labels[start:]
    return Source(
        name="shapes",
        split=split,
        examples=(base, start, stop),
        num_classes=len(shapes.CLASSES),
        classes=shapes.CLASSES,
        image_shape=size,
        records=arrays.records_of(images, labels),
        decode=lambda example: (example["image"], example["label"]),
        arrays=(images, labels),
        ids=lambda: [f"{base}:{i}" for i in range(start, stop)],
        origin=("shapes", config.seed),
        identity=shapes_identity(config),
    )


def shapes_size(config):
    """The (height, width) of the embedded dataset in pixels."""
    seen = [sides(config.image_size or DEFAULT_SIZES["shapes"])]
    seen += [sides(config.eval_image_size)] if config.eval_image_size else []
    return tuple(max(side) for side in zip(*seen))


def shapes_identity(config):
    return {"kind": "shapes", "seed": config.seed, "size": list(shapes_size(config))}


DATASETS = {"shapes": load_shapes, "folder": load_folder}
DEFAULT_SIZES = {"shapes": 32, "imagenette": 128}
LARGE = 224  # for images of mixed sizes, as is common with ImageNet


def image_size(config, source):
    """(height, width) of the views in pixels: --image_size, or the default of the dataset."""
    if config.image_size:
        return sides(config.image_size)
    own = min(source.image_shape) if None not in source.image_shape else LARGE
    return sides(DEFAULT_SIZES.get(config.dataset.split("/")[0], min(own, LARGE)))
