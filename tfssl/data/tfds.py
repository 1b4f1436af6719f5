"""Datasets prepared by tensorflow_datasets: any builder of images, by name."""

import contextlib
import functools
import glob
import hashlib
import json
import logging
import os
import re

import numpy as np
import tensorflow as tf

from tfssl.data import features, values
from tfssl.data.source import Source, checked, parse_slice, unreadable
from tfssl.data.source import reason as explained
from tfssl.errors import UsageError

# Builders whose test split has no labels.
EVAL_SPLITS = {"imagenet2012": "validation"}
DEFAULT_DIR = os.path.join("~", "tensorflow_datasets")
LEAST = 16  # bytes that a TFRecord file takes for a record beside what is in it


def load(name, split, *, data_dir=None, flag="train_split", value_range="auto", ranges=None):
    """One split as a Source; prepared (and downloaded) first where it is not there yet.

    Args:
        name: builder name with its configuration: "cifar10", "imagenette/160px-v2".
        split: a split or a slice of one; None: the evaluation split of the dataset.
        data_dir: directory of prepared datasets; None: tensorflow_datasets' default.
        flag: the flag that the split came from, for messages.
        value_range: which values become 0 and 1: "auto", "dtype" or (low, high), as of
            `tfssl.config.value_range`.
        ranges: {name of a type: (low, high)} that hold in place of what "auto" would choose, so
            that splits are scaled alike.

    Raises:
        UsageError: unknown dataset or split, no images, cannot be prepared, files that are missing
            or too short, or values that are no numbers.
    """
    builder = find_builder(name, data_dir)
    image, label, remark = features.choose(builder)  # before anything is downloaded
    if not builder.is_prepared():
        prepare(builder, name)
    check_format(builder, name)
    split = split or default_split(builder)
    base, start, stop = part_of(builder, name, split, flag)
    check_files(name, split, builder.info.splits[base])  # before any of them is opened
    feature = builder.info.features[image]
    if remark:
        say(remark, str(builder.data_path))
    named = label and has_labels(builder, f"{base}[{start}:{stop}]", label)
    classes = builder.info.features[label] if named else None
    num_classes = classes.num_classes if named else 0
    scale = scale_of(
        feature,
        value_range,
        ranges or {},
        f"{name} {split}",
        functools.partial(extremes, builder, name, f"{base}[{start}:{stop}]", image),
    )
    return Source(
        name=name,
        split=split,
        examples=(base, start, stop),
        num_classes=num_classes,
        classes=tuple(classes.names or ()) if named else (),
        image_shape=tuple(feature.shape[:2]),
        records=functools.partial(records, builder, f"{base}[{start}:{stop}]", image, label),
        decode=lambda example: (
            as_rgb(pixels(feature, example[image], scale)),
            checked(example[label], num_classes) if label else tf.constant(-1, tf.int64),
        ),
        content=(
            (lambda example: example[image]) if feature.shape[-1] == 3 and scale is None else None
        ),
        ids=functools.partial(identifiers, builder, f"{base}[{start}:{stop}]", image),
        dtype=np.uint8 if scale is None else np.float32,
        value_ranges={np.dtype(feature.np_dtype).name: scale or (0.0, 255.0)},
        origin=("tfds", os.path.realpath(builder.data_path)),
        identity=identity(builder, base),
    )


def default_split(builder):
    """The split to evaluate on where none is named."""
    usual = "test" if "test" in builder.info.splits else "validation"
    return EVAL_SPLITS.get(builder.name, usual)


def part_of(builder, name, split, flag):
    """A split or a slice of one as (split, start, stop)."""
    sizes = {key: info.num_examples for key, info in builder.info.splits.items()}
    if not sizes:
        raise unreadable(name, split, "dataset_info.json says that there are no splits")
    return parse_slice(split, sizes, flag, name)


def identify(name, split, *, data_dir=None, flag="train_split", download=True):
    """What the images of a split are; arguments and errors as of `load`.

    Args:
        download: whether to prepare the dataset where it is not there yet.

    Raises:
        UsageError: it is not there, and not to be prepared.
    """
    builder = find_builder(name, data_dir)
    if not builder.is_prepared():
        if not download:
            raise UsageError(f"--dataset={name} is not in {builder.data_path}.")
        prepare(builder, name)
    return identity(builder, part_of(builder, name, split or default_split(builder), flag)[0])


def identity(builder, split):
    """What a split is, by all that its dataset says of itself, wherever it lies.

    Returns:
        {"kind", "builder", "config", "version": text, "images", "bytes": int, "info": a digest of
        the features}.
    """
    info = builder.info.splits[split]
    described = {
        key: [
            type(feature).__name__,
            str(getattr(feature, "shape", "")),
            str(getattr(feature, "np_dtype", "")),
            getattr(feature, "names", None),
        ]
        for key, feature in builder.info.features.items()
    }
    return {
        "kind": "tfds",
        "builder": builder.name,
        "config": builder.builder_config.name if builder.builder_config else "",
        "version": str(builder.version),
        "images": int(info.num_examples),
        "bytes": int(info.num_bytes),
        "info": hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32],
    }


def find_builder(name, data_dir):
    """The builder of a dataset, prepared or not."""
    import tensorflow_datasets as tfds  # here: it takes a second, and `shapes` does without

    tfds.disable_progress_bar()
    if data_dir is not None:
        check_place(data_dir)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # the library raises many kinds, some of them bare
        there = os.path.join(os.path.expanduser(data_dir or DEFAULT_DIR), re.split("[/:]", name)[0])
        if re.match(r"\w", name) and glob.glob(
            os.path.join(glob.escape(there), "**", "*.json"), recursive=True
        ):
            raise UsageError(
                f"--dataset={name} is damaged in {there} ({reason(error)}). Prepare "
                "it again, or point --data_dir at a whole copy."
            ) from None
        raise UsageError(
            "--dataset must be shapes, folder or an image dataset of "
            f"tensorflow_datasets. Received: {name} ({reason(error)})"
        ) from None


def check_place(data_dir):
    """Raises UsageError for a --data_dir that is there and no directory, or cannot be looked at."""
    try:
        if "://" in data_dir:
            tf.io.gfile.exists(data_dir)
        else:
            os.lstat(data_dir)
            os.listdir(data_dir)
    except (FileNotFoundError, tf.errors.NotFoundError):
        if os.path.islink(data_dir):
            raise UsageError(
                f"--data_dir must be a directory. Received: {data_dir}, a link that leads nowhere"
            ) from None
    except (OSError, ValueError, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise UsageError(
            f"--data_dir must be a directory that can be read. Received: {data_dir} ({why})"
        ) from None


def check_format(builder, name):
    """Raises UsageError for files of a form that TensorFlow cannot read as a stream."""
    form = getattr(getattr(builder.info, "file_format", None), "value", "tfrecord")
    if form == "array_record":
        raise UsageError(
            f"--dataset={name} in {builder.data_path} is of ArrayRecord files, which are not read: "
            "prepare it as TFRecord (tfds convert_format --out_file_format=tfrecord, or "
            "tfds build --file_format=tfrecord), and point --data_dir there."
        )


def prepare(builder, name):
    """Downloads and prepares a dataset, or raises UsageError with the ways out.

    The directory of a --data_dir that is not there yet is made for it, and does not stay where
    nothing came of it.
    """
    if os.path.isdir(builder.data_path):
        raise UsageError(
            f"--dataset={name} is half-written: {builder.data_path} has no readable "
            "dataset_info.json. Remove that directory to have it prepared again, or "
            "point --data_dir at a whole copy."
        )
    there = variants(builder)
    print(
        f"{name} is not in {builder.data_path}: downloading and preparing it"
        + (f" (there already: {', '.join(there)})" if there else ""),
        flush=True,
    )
    fail_fast()
    made = first_missing(builder.data_path)
    try:
        builder.download_and_prepare()
    except Exception as error:
        remove_empty(made)
        remove_empty(os.path.join(builder.data_dir_root, "downloads"))
        raise UsageError(
            f"--dataset={name} is not in {builder.data_path} and could not be downloaded "
            f"({reason(error)}). Point --data_dir at a prepared copy, or use "
            f"--dataset={' or '.join([*there, 'shapes'])}, which needs no download."
        ) from None


def first_missing(path):
    """The uppermost directory of a path that is not there."""
    path, missing = os.path.abspath(path), None
    while not os.path.lexists(path):
        path, missing = os.path.dirname(path), path
    return missing


def remove_empty(directory):
    """Removes a directory and those within it as far as there are no files."""
    for path, _, _ in os.walk(directory or "", topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def variants(builder):
    """The other configurations of a dataset that are prepared in the same directory, by name."""
    if builder.builder_config is None:
        return []
    base = os.path.dirname(os.path.dirname(builder.data_path))
    found = glob.glob(os.path.join(base, "*", "*", "dataset_info.json"))
    names = {path.split(os.sep)[-3] for path in found} - {builder.builder_config.name}
    return [f"{builder.name}/{name}" for name in sorted(names)]


def fail_fast():
    """Has the library find out in seconds, and silently, that there is no network.

    Its ten retries take minutes. Their number is no part of its public interface; where it is
    gone, the library's own holds. Its threads go on, and warn, after the first has failed: so the
    warnings stay off.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow_datasets.core.download import downloader

        downloader.MAX_RETRIES = min(downloader.MAX_RETRIES, 3)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def reason(error):
    """Why something failed, in a few words."""
    host = re.search(r"host='([^']+)'.*Max retries exceeded", str(error))
    if host:
        return f"no connection to {host[1]}"
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__


@functools.lru_cache(maxsize=None)
def say(text, directory):
    """Prints what holds for all splits of the dataset in a directory, once."""
    print(text, flush=True)


def records(builder, split, image, label=None, ids=False):
    """Undecoded examples, in the order of the files, of the image and the label alone.

    Args:
        image, label: names of features; None to leave it out.
        ids: whether to add "tfds_id", what tensorflow_datasets calls the example.
    """
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(
            {name: True for name in (image, label) if name},
            decoders={image: tfds.decode.SkipDecoding()} if image else None,
        ),
        read_config=tfds.ReadConfig(try_autocache=False, add_tfds_id=ids),
    )


def identifiers(builder, split, image):
    """What tensorflow_datasets calls each example, as text: the record's file and its place there.

    They come with the records, which are all read; images are not decoded.
    """
    examples = records(builder, split, image, ids=True)
    return [
        name.decode()
        for name in examples.map(lambda example: example["tfds_id"]).as_numpy_iterator()
    ]


def has_labels(builder, split, label):
    """Whether an example of a split has a label: -1 stands for none.

    It is read as far as to the first one that has.
    """
    examples = records(builder, split, None, label)
    try:
        return any(example[label] >= 0 for example in examples.as_numpy_iterator())
    except (tf.errors.OpError, ValueError):
        return True  # whoever reads the split says what is wrong with it


def scale_of(feature, asked, ranges, title, found):
    """The (low, high) that become 0 and 1, which is told where it is new; None for plain uint8.

    Args:
        asked, ranges: `value_range` and `ranges` of `load`.
        title: what is told begins with it.
        found: as of `values.settle`.
    """
    dtype = np.dtype(feature.np_dtype)
    known = ranges.get(dtype.name) if asked == "auto" else None
    scale, told = values.settle(tuple(known) if known else asked, dtype, found)
    if told and not known:
        print(f"{title}: {told}", flush=True)
    return None if dtype == np.uint8 and scale == (0, 255) else scale


def extremes(builder, name, split, image):
    """The lowest and the highest value in the images of a split; NaN where one is not finite."""
    feature = builder.info.features[image]

    def bounds(example):
        made = tf.cast(pixels(feature, example[image]), tf.float32)
        wrong = tf.where(tf.reduce_all(tf.math.is_finite(made)), 0.0, float("nan"))
        return tf.stack([tf.reduce_min(made), tf.reduce_max(made)]) + wrong

    found = records(builder, split, image).map(bounds, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        lowest, highest = np.stack(list(found.as_numpy_iterator()), axis=1)
    except tf.errors.OpError as error:
        raise unreadable(name, split, explained(error)) from None
    return float(lowest.min()), float(highest.max())


def pixels(feature, content, scale=None):
    """The image in the bytes of a file, [H, W, channels] of its own type.

    Of grey images with alpha, which the feature itself cannot decode, the grey alone.

    Args:
        scale: (low, high) of the values, which then become float32 in [0, 1]; None: as they are.
    """
    if feature.shape[-1] != 2:
        image = feature.decode_example(content)
    else:
        image = tf.io.decode_png(content, channels=1, dtype=feature.np_dtype)
        image = tf.ensure_shape(image, [*feature.shape[:2], 1])
    return image if scale is None else values.scaled(image, *scale)


def as_rgb(image):
    """Grey images as RGB, and others without alpha; of the same type."""
    return tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 else image[..., :3]


def check_files(name, split, info):
    """Raises UsageError where files of the split are missing or hold too few bytes."""
    paths = [str(path) for path in info.filepaths]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing and not paths[0].startswith("gs://"):
        raise unreadable(
            name,
            split,
            f"{len(missing)} of {len(paths)} files are missing, the first is {missing[0]}",
        )
    if missing:
        return
    odd = next((path for path in paths if not os.path.isfile(path)), None)
    if odd:
        raise unreadable(name, split, f"{odd} is no regular file")
    there = sum(map(os.path.getsize, paths))
    if there < max(info.num_bytes, LEAST * info.num_examples):
        raise unreadable(name, split, "its files are shorter than dataset_info.json says")
