"""Loads the images of a Config as sources.

Plug-ins add sources by `tfssl.register(name, kind="source")`.
"""

import contextlib
import functools
import os
import re

import numpy as np
import tensorflow as tf

from tfssl import augment, domains, memory, registry
from tfssl.config import NEED_RGB, moments, no_data, sides, value_range
from tfssl.data import (
    arrays,
    channels,
    folder,
    opening,
    registered,
    shapes,
    stored,
    tfds,
    tfrecord,
    tree,
    values,
)
from tfssl.data.near import alike
from tfssl.data.pipeline import BLOCKS, SHUFFLE_BLOCK, WHOLLY, shuffled_as_whole
from tfssl.data.source import (
    Source,
    balanced,
    held,
    labels_of,
    parse_slice,
    read_list,
    subset,
)
from tfssl.errors import UsageError
from tfssl.runner.edge import naming_flags, with_flags
from tfssl.text import printable

SAMPLE = 1024  # images whose means and deviations are taken
LOOKED_AT = 32  # images whose values are counted that are black or white
MEMORY_LIMIT = 2 * 2**30  # bytes of decoded images that are kept in memory by default


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
    if loader in (load_folder, load_table):
        loader = functools.partial(loader, again=again)
    with naming(config, flag):
        return held(loader(config, split, flag, ranges), memory_limit(config))


def memory_limit(config):
    """Largest size in bytes of decoded images that are kept in memory."""
    return {None: MEMORY_LIMIT, True: float("inf"), False: 0}[config.cache_dataset]


def with_order(config, source):
    """The Config with `--shuffle` as it is for a source.

    Raises:
        UsageError: its images cannot be read in the order that is asked for.
    """
    with naming(config, "train_split"):
        whole = shuffled_as_whole(source, config.shuffle)
    if config.shuffle != "auto":
        return config
    if not whole:
        why = (
            "are read in their order, as each access costs"
            if source.at
            else ("can only be read in their order")
        )
        print(
            f"--shuffle={BLOCKS}: the images of {source.name} {source.split} {why}, and are "
            f"shuffled within {SHUFFLE_BLOCK:,}; where that is the order of their classes, a batch "
            f"has few of them{f' (--shuffle={WHOLLY} reads in any order)' if source.at else ''}",
            flush=True,
        )
    return config.replace(shuffle=WHOLLY if whole else BLOCKS)


def identify(config, split, flag="train_split", download=True):
    """The `Source.identity` of a split, without decoding images.

    Args, Raises: as `load`; for `download` see `tfssl.data.tfds.identify`.
    """
    with naming(config, flag):
        return identity_of(config, split, flag, download)


def identity_of(config, split, flag, download):
    if config.dataset in ("folder", *TABLES):
        return folder.identify(
            place_of(config),
            split,
            flag=flag,
            layout=config.folder_layout,
            rules=config.reading_rules,
            table=table_of(config) if config.dataset in TABLES else None,
        )
    if config.dataset == "shapes":
        return shapes_identity(config)
    if config.dataset == "tfrecord":
        return tfrecord.identify(
            place_of(config), split, names=given_names(config), max_pixels=max_pixels(config)
        )
    if config.dataset in STORED:
        return stored.identify(place_of(config), split, flag=flag, names=names_of(config))
    if registry.find("source", config.dataset):
        return registered.identify(config.dataset, split)
    return tfds.identify(
        config.dataset, split, data_dir=config.data_dir, flag=flag, download=download
    )


def with_channels(config, source):
    """The Config for the channels of a source.

    For other than RGB, without what needs RGB, and with the views of `tfssl.domains.usual` where
    neither the flags nor the method name others.

    Raises:
        UsageError: it was asked for.
    """
    if source.channels == channels.RGB:  # recorded as in runs that are older than the setting
        return config.replace(channels=None) if config.channels else config
    if config.own_views or not (config.trains and config.task == "pretrain"):
        return config.replace(channels=source.channels)
    views = [name for knob in NEED_RGB for name in (knob, f"view2_{knob}")]
    asked = [name for name in views if name in config.asked and getattr(config, name)]
    if asked:
        raise UsageError(
            f"--{asked[0]} needs images of 3 channels: --{asked[0]}=0 leaves it out, and "
            "--jitter_brightness, --jitter_contrast, --use_blur and --solarize_p change images of "
            f"any channels. Received: {getattr(config, asked[0]):g}, and images of "
            f"{counted(source)}"
        )
    usual = {}
    if config.by_images:
        usual["views"] = domains.usual(source.channels)
        print(
            f"Images of {counted(source)}: "
            f"--views={usual['views']} is chosen, as no --views is given",
            flush=True,
        )
    return config.replace(channels=source.channels, **usual, **dict.fromkeys(NEED_RGB, 0.0))


def with_moments(config, source):
    """The Config with the means and deviations of a source where these are to normalize images.

    Those of ImageNet, the default of some methods, are of 3 channels: of images of other numbers,
    their own take this place.

    Raises:
        UsageError: what is asked for is of another number of channels, or of another encoder.
    """
    given, usual = moments(config.input_normalization), config.input_normalization
    of_rgb = usual == "imagenet" and source.channels != channels.RGB and config.encoder == "resnet"
    if of_rgb and "input_normalization" in config.asked:
        raise UsageError(
            "--input_normalization=imagenet needs images of 3 channels: --input_normalization="
            f"dataset takes the means of your own. Received: images of {counted(source)}"
        )
    if given and len(given[0]) != source.channels:
        raise UsageError(
            f"--input_normalization must have {source.channels} means, as many as the images have "
            f"channels. Received: {len(given[0])}"
        )
    if usual != "dataset" and not of_rgb:
        return config
    if config.encoder != "resnet":
        raise UsageError(
            "--input_normalization=dataset is for --encoder=resnet: others are told by "
            f"--input_range what values they take. Received: --encoder={config.encoder}"
        )
    text = "/".join(",".join(f"{value:.4g}" for value in side) for side in moments_of(source))
    print(f"--input_normalization=dataset: {text}", flush=True)
    return config.replace(input_normalization=text)


def counted(source):
    """The number of channels of a source, as text."""
    return f"{source.channels} channel{'s' if source.channels > 1 else ''}"


def moments_of(source):
    """Means and standard deviations of the channels of at most SAMPLE images in [0, 1]."""
    sums = []
    for image in spread(source, SAMPLE):
        sums.append([image.mean(axis=(0, 1)), np.square(image).mean(axis=(0, 1))])
    mean, square = np.mean(sums, axis=0)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    return mean, np.where(deviation > 1e-4, deviation, 1.0)


def spread(source, most):
    """Yields at most so many images of a source, evenly spaced, float64 [H, W, C] in [0, 1]."""
    every = -(-source.num_examples // most)
    if source.arrays:
        images = (tf.constant(image) for image in source.arrays[0][::every])
    else:
        some = subset(source, np.arange(0, source.num_examples, every))
        images = some.ordered().map(lambda one: some.decode(one)[0])
    for image in images:
        yield augment.as_float(image).numpy().astype(np.float64)


def first(source):
    """Yields the first LOOKED_AT images of a source, [H, W, C] in its type."""
    if source.arrays:
        return iter(source.arrays[0][:LOOKED_AT])
    images = source.records().take(LOOKED_AT).map(lambda one: source.decode(one)[0])
    return images.as_numpy_iterator()


def ends(source):
    """The shares of values that are 0 and 1 in the first images."""
    unit = (augment.as_float(tf.convert_to_tensor(image)).numpy() for image in first(source))
    return np.mean([((image <= 0).mean(), (image >= 1).mean()) for image in unit], axis=0)


def grey(source):
    """Whether the first images have three equal channels; False if they cannot be read."""
    try:
        return source.channels == channels.RGB and all(
            np.array_equal(image, np.broadcast_to(image[..., :1], image.shape))
            for image in first(source)
        )
    except tf.errors.OpError:  # told where they are used
        return False


def refuse_shared(config, scored, used):
    """Prints how many evaluation images are also training images, and refuses too many.

    Args:
        config: a `tfssl.Config`.
        scored: the `Source` for evaluation.
        used: {flag: `Source` for training}.

    Raises:
        UsageError: slices overlap, or more images are shared than --max_shared_fraction allows, or
            look alike than --max_similar_fraction does; or the channels are other bands.
    """
    for flag, source in used.items():
        if scored.shares_examples_with(source):
            raise UsageError(
                f"--eval_split must not share images with --{flag}: accuracies must be of images "
                f"not used for training. Received: {scored.split} and {source.split}"
            )
        refuse_other_bands(scored, source, flag)
        refuse_shared_groups(config, scored, source, flag)
        copies = scored.copies_in(source)
        refuse_similar(config, scored, source, flag, copies)
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


def refuse_similar(config, scored, used, flag, copies):
    """Prints how many evaluation images look like a training image, and refuses too many.

    Args:
        config, scored: as for `refuse_shared`.
        used: the `Source` for training, of a flag.
        copies: number of images that are, byte for byte, in both.

    Raises:
        UsageError: more than --max_similar_fraction allows.
    """
    if scored.name == "shapes" or scored.channels != used.channels:
        return
    found = alike(scored, used)
    if found is None or len(found[0]) <= copies * found[1] / scored.num_examples:
        return
    pairs, compared = found
    place, other = pairs[-1]
    what = (
        f"{len(pairs):,} of {compared:,} images of {scored.name} {scored.split} look like one of "
        f"{used.name} {used.split}: {printable(name_of(scored, place))} like "
        f"{printable(name_of(used, other))}"
    )
    if len(pairs) / compared > config.max_similar_fraction:
        raise UsageError(
            f"--eval_split must not have images that look like those of --{flag}, beyond "
            f"--max_similar_fraction={config.max_similar_fraction:g}: {what}."
        )
    print(f"{what}: {len(pairs) / compared:.2%}", flush=True)


def name_of(source, place):
    """The name of an example."""
    return source.ids()[place] if source.ids else f"number {place}"


def refuse_other_bands(scored, used, flag):
    """Raises UsageError if the channels of two sources are other bands, by names that both use."""
    both = {name.lower() for name in scored.bands} & {name.lower() for name in used.bands}
    if both and folder.differ(scored.bands, used.bands):
        raise UsageError(
            f"--eval_split must hold images of the bands of --{flag}, "
            f"{folder.bands_told(used.bands)}. Received: {folder.bands_told(scored.bands)}"
        )


def refuse_shared_groups(config, scored, used, flag):
    """Raises UsageError if a group has images for evaluation and for training."""
    if not (scored.groups and used.groups):
        return
    both = sorted(set(scored.groups()) & set(used.groups()))
    if both:
        named = ", ".join(map(printable, both[:3])) + (", ..." if len(both) > 3 else "")
        raise UsageError(
            f"--eval_split must have no group of --{flag}, by --group_by={config.group_by}. "
            f"Received: {len(both):,} in both ({named})"
        )


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
            f"--label_fraction needs labels in --train_split ({labels_by(config)}). "
            f"Received: {config.label_fraction}"
        )
    groups = source.groups and source.groups()
    return balanced(
        labels_of(source), source.num_classes, config.label_fraction, config.seed, groups
    )


def labels_by(config):
    """What gives the images of a Config their labels, for messages."""
    return "--label_key names them" if config.dataset in FILES else "a folder: one for each class"


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
        **levels_of(config, ranges),
        channels=config.channels,
    )


def load_folder(config, split, flag, ranges, again=False, table=None):
    return folder.load(
        place_of(config),
        split,
        flag=flag,
        max_bad_fraction=config.max_bad_fraction,
        max_pixels=max_pixels(config),
        layout=config.folder_layout,
        **levels_of(config, ranges),
        rules=config.reading_rules,
        again=again,
        channels=config.channels,
        group_by=config.group_by,
        table=table,
        report=lambda line: print(with_flags(line)),
    )


def load_table(config, split, flag, ranges, again=False):
    return load_folder(config, split, flag, ranges, again, table_of(config))


def check_split(config, split, flag):
    """Raises UsageError if images of one's own have no such split, before any image is read.

    Args:
        config: the `tfssl.Config` of the dataset.
        split, flag: as for `load`; None: whether the dataset is there.
    """
    if config.dataset not in (*FILES, "folder"):
        return
    there = splits_of(config, split)
    if split is None:
        return
    name = "folder" if config.dataset == "folder" else os.path.basename(place_of(config))
    with naming(config, flag):
        parse_slice(split, dict.fromkeys(there, ANY), flag, name)


def splits_of(config, wanted=None):
    """The names of the splits of images of one's own.

    Args:
        config: a `tfssl.Config`.
        wanted: a split or slice, which identifies the folder of a split with an unusual name.
    """
    with naming(config, "eval_split"):
        return list(named_splits(config, wanted))


def named_splits(config, wanted):
    place = place_of(config)
    if config.dataset in TABLES:
        return table_of(config).splits
    if config.dataset == "tfrecord":
        return tfrecord.opened(place, given_names(config))[0]
    if config.dataset in STORED:
        return stored.parts_of(stored.opened(place), place, names_of(config))[0]
    wanted = folder.wanted_split(wanted)
    return tree.read(place, config.folder_layout, wanted, config.reading_rules).splits


@contextlib.contextmanager
def naming(config, flag):
    """Names flags in errors about a dataset: a file by --dataset, and another set by --probe_*.

    Args:
        config: the `tfssl.Config` of the dataset.
        flag: of the split.
    """
    probed = config.probe_data_dir or config.data_dir
    of_probe = flag != "train_split" and (config.dataset, config.data_dir) == (
        config.probe_dataset,
        probed,
    )
    prefix, place = "probe_" * of_probe, "dataset" if config.dataset in FILES else "data_dir"
    try:
        with naming_flags():
            yield
    except UsageError as error:
        text = re.sub(r"--dataset\b", f"--{prefix}dataset", str(error))
        error.args = (re.sub(r"--data_dir\b", f"--{prefix}{place}", text),)
        raise


def table_of(config):
    """The `tree.Tree` of a table."""
    return opening.table_of(place_of(config), given_names(config))


def load_registered(config, split, flag, ranges):
    """Loads a dataset of a plug-in; a single channel is repeated three times by default."""
    given = value_range(config.value_range)
    given = None if given in ("auto", "dtype") else given
    for name in ("value_range",) * (len(given or ()) == 3) + ("no_data",) * bool(config.no_data):
        raise UsageError(
            f"--{name}={getattr(config, name)} is for files: the function of --dataset="
            f"{config.dataset} must return what it should become, floats in [0, 1]."
        )
    source = registered.load(config.dataset, split, flag, given)
    usual = channels.RGB if source.channels == 1 else None
    return opening.in_channels(source, config.channels or usual)


def load_stored(config, split, flag, ranges):
    return stored.load(
        place_of(config),
        split,
        flag=flag,
        names=names_of(config),
        **levels_of(config, ranges),
        wanted_channels=config.channels,
        limit_bytes=memory_limit(config),
        report=lambda line: print(with_flags(line), flush=True),
    )


def load_tfrecord(config, split, flag, ranges):
    return tfrecord.load(
        place_of(config),
        split,
        flag=flag,
        names=given_names(config),
        **levels_of(config, ranges),
        wanted_channels=config.channels,
        max_bad_fraction=config.max_bad_fraction,
        max_pixels=max_pixels(config),
        report=lambda line: print(with_flags(line), flush=True),
    )


def levels_of(config, ranges):
    """What the loaders of stored images take about values, from the flags and another split."""
    gone = no_data(config.no_data) if config.no_data else ()
    return {
        "value_range": value_range(config.value_range),
        "ranges": ranges,
        "missing": values.Missing(gone, config.no_data_fill),
    }


def given_names(config):
    """The names in flags as `stored.Names`; None where there is none."""
    return stored.Names(*(getattr(config, key) for key in KEYS))


def max_pixels(config):
    return round(config.max_image_megapixels * 1e6)


def place_of(config):
    """--data_dir with ~ expanded."""
    return config.data_dir and os.path.expanduser(config.data_dir)


def names_of(config):
    """The `stored.Names` of the flags."""
    return opening.filled(given_names(config))


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
    images = channels.converted_array(images[start:], channels.choose(3, config.channels))
    labels = labels[start:]
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
        channels=images.shape[-1],
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


KEYS = ("image_key", "label_key", "split_key", "group_by")
STORED = ("npy", "npz", "h5")  # forms that hold arrays
TABLES = ("csv", "parquet")  # forms that name image files
FILES = (*STORED, *TABLES, "tfrecord")
ANY = 10**15  # examples of a split, where only its name is to be known
DATASETS = {
    "shapes": load_shapes,
    "folder": load_folder,
    "tfrecord": load_tfrecord,
    **dict.fromkeys(STORED, load_stored),
    **dict.fromkeys(TABLES, load_table),
}
DEFAULT_SIZES = {"shapes": 32, "imagenette": 128}
LARGE = 224  # for images of mixed sizes, as is common with ImageNet


def image_size(config, source):
    """(height, width) of the views in pixels: --image_size, or the default of the dataset."""
    if config.image_size:
        return sides(config.image_size)
    own = min(source.image_shape) if None not in source.image_shape else LARGE
    return sides(DEFAULT_SIZES.get(config.dataset.split("/")[0], min(own, LARGE)))
