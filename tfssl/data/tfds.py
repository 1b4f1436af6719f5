"""Image datasets of tensorflow_datasets as a `Source`."""

import contextlib
import functools
import glob
import hashlib
import itertools
import json
import logging
import os
import re

import numpy as np
import tensorflow as tf

from tfssl import files
from tfssl.compat import as_it_is, steady
from tfssl.data import channels as colours
from tfssl.data import features, values
from tfssl.data.framing import damaged, fetcher, found_in, places_of
from tfssl.data.images import EXTENSIONS
from tfssl.data.source import Source, checked, parse_slice, rows_of, unreadable
from tfssl.data.source import reason as explained
from tfssl.errors import UsageError

# Evaluation splits of builders whose test split has no labels.
EVAL_SPLITS = {"imagenet2012": "validation"}
DEFAULT_DIR = os.path.join("~", "tensorflow_datasets")
LEAST = 16  # bytes of framing per record of a TFRecord file
INTERLEAVED = 16, 16  # files that tensorflow_datasets reads at once, and records of one at a time
AT_ONCE = 65_536  # places that are looked up together


def load(
    name,
    split,
    *,
    data_dir=None,
    flag="train_split",
    value_range="auto",
    ranges=None,
    channels=None,
    missing=values.NONE,
):
    """Loads one split as a `Source`; downloads and prepares the dataset if necessary.

    Args:
        name: builder name with its configuration: "cifar10", "imagenette/160px-v2".
        split: a split or a slice of one; None: the evaluation split of the dataset.
        data_dir: directory of prepared datasets; None: tensorflow_datasets' default.
        flag: the flag that `split` comes from, for messages.
        value_range: "auto", "dtype", (low, high) or ("percentiles", low, high), the values that
            become 0 and 1; see `tfssl.config.value_range`.
        ranges: {name of a type: (low, high)} to use instead of those that would be found in the
            images, so that all splits are scaled alike.
        channels: number of channels to convert the images to, 1 or 3; None: 3.
        missing: `values.Missing`.

    Raises:
        UsageError: the dataset or split is unknown, has no images, cannot be prepared, has missing
            or truncated files, or values that are not finite.
    """
    builder = find_builder(name, data_dir)
    image, label, remark = features.choose(builder)  # before anything is downloaded
    if not builder.is_prepared():
        prepare(builder, name, data_dir)
    check_format(builder, name)
    split = split or default_split(builder)
    base, start, stop = part_of(builder, name, split, flag)
    check_files(name, split, builder.info.splits[base])  # before any of them is opened
    feature = builder.info.features[image]
    channels = colours.choose(colours.RGB, channels)
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
        functools.partial(extremes, builder, name, f"{base}[{start}:{stop}]", image, missing),
        functools.partial(some, builder, base, (start, stop), image),
        missing,
    )
    plain = scale == (0, 255) and feature.np_dtype == np.uint8 and not missing.values
    kept = None if plain else scale
    of = functools.partial(parsed, builder, image, label)

    def decode(example):
        example = of(example)
        return (
            colours.converted(as_rgb(pixels(feature, example[image], kept, missing)), channels),
            checked(example[label], num_classes) if label else tf.constant(-1, tf.int64),
        )

    return Source(
        name=name,
        split=split,
        examples=(base, start, stop),
        num_classes=num_classes,
        classes=tuple(classes.names or ()) if named else (),
        image_shape=tuple(feature.shape[:2]),
        records=functools.partial(records, builder, f"{base}[{start}:{stop}]", image, label),
        **by_place(builder, f"{base}[{start}:{stop}]"),
        decode=decode,
        content=(
            (lambda example: of(example)[image]) if feature.shape[-1] == 3 and plain else None
        ),
        ids=functools.partial(identifiers, builder, f"{base}[{start}:{stop}]", image),
        dtype=np.uint8 if plain else np.float32,
        channels=channels,
        value_ranges={np.dtype(feature.np_dtype).name: scale},
        origin=("tfds", os.path.realpath(builder.data_path)),
        identity=identity(builder, base),
    )


def default_split(builder):
    """The evaluation split of a dataset."""
    usual = "test" if "test" in builder.info.splits else "validation"
    return EVAL_SPLITS.get(builder.name, usual)


def part_of(builder, name, split, flag):
    """A split or a slice of one as (split, start, stop)."""
    sizes = {key: info.num_examples for key, info in builder.info.splits.items()}
    if not sizes:
        raise unreadable(name, split, "dataset_info.json says that there are no splits")
    return parse_slice(split, sizes, flag, name)


def identify(name, split, *, data_dir=None, flag="train_split", download=True):
    """The `Source.identity` of a split. See `load` for arguments and errors.

    Args:
        download: whether to prepare a missing dataset.

    Raises:
        UsageError: the dataset is missing and not to be prepared.
    """
    builder = find_builder(name, data_dir)
    if not builder.is_prepared():
        if not download:
            raise UsageError(f"`dataset={name}` is not in {builder.data_path}.")
        prepare(builder, name, data_dir)
    return identity(builder, part_of(builder, name, split or default_split(builder), flag)[0])


def identity(builder, split):
    """Identifies a split by the metadata of its dataset, independent of its directory.

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
    import tensorflow_datasets as tfds  # here, as it takes a second that `shapes` does not need

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
                f"`dataset={name}` is damaged in {there} ({reason(error)}). Prepare "
                "it again, or point `data_dir` at a whole copy."
            ) from None
        raise UsageError(
            "`dataset` must be shapes, folder or an image dataset of "
            f"tensorflow_datasets, or registered by a plug-in. Received: {name} "
            f"({there_is(name) or reason(error)})"
        ) from None


def there_is(name):
    """Says that a name is a path after all; "" if there is none."""
    if os.path.isdir(name):
        return f"a folder here: `dataset={os.path.join('.', name)}` reads its images"
    if os.path.exists(name):
        return "a file here, of a form that its ending does not say"
    return ""


def check_place(data_dir):
    """Raises UsageError for a `data_dir` that exists but is not a readable directory."""
    try:
        if "://" in data_dir:
            tf.io.gfile.exists(data_dir)
        else:
            os.lstat(data_dir)
            os.listdir(data_dir)
    except (FileNotFoundError, tf.errors.NotFoundError):
        if os.path.islink(data_dir):
            raise UsageError(
                f"`data_dir` must be a directory. Received: {data_dir}, a broken link"
            ) from None
    except (OSError, ValueError, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise UsageError(
            f"`data_dir` must be a directory that can be read. Received: {data_dir} ({why})"
        ) from None


def form_of(builder):
    """The form of the files of a dataset: "tfrecord", "array_record", ..."""
    return getattr(getattr(builder.info, "file_format", None), "value", "tfrecord")


def check_format(builder, name):
    """Raises UsageError for files that TensorFlow cannot stream."""
    if form_of(builder) == "array_record":
        raise UsageError(
            f"`dataset={name}` in {builder.data_path} is of ArrayRecord files, which are not read: "
            "prepare it as TFRecord (tfds convert_format --out_file_format=tfrecord, or "
            "tfds build --file_format=tfrecord), and point `data_dir` there."
        )


def refuse_images(directory, name):
    """Raises UsageError for a directory of image files, into which nothing is to be downloaded."""
    directory = os.path.expanduser(directory or "")
    there = listed(directory)
    files = itertools.chain(there, *(listed(place.path) for place in there if place.is_dir()))
    if any(place.name.lower().endswith(EXTENSIONS) for place in files):
        raise UsageError(
            f"`data_dir` must be a directory of prepared datasets for `dataset={name}`. Received: "
            f"{directory}, which has images: `dataset={os.path.join(directory, '')}` reads these."
        )


def listed(directory):
    """The entries of a directory; none if it is none, or cannot be read, as lost+found."""
    with contextlib.suppress(OSError):
        return list(os.scandir(directory))
    return []


def prepare(builder, name, data_dir):
    """Downloads and prepares a dataset, or raises UsageError with the alternatives.

    A missing `data_dir` is created, and removed again if the preparation fails.
    """
    refuse_images(data_dir, name)
    if os.path.isdir(builder.data_path):
        raise UsageError(
            f"`dataset={name}` is half-written: {builder.data_path} has no readable "
            "dataset_info.json. Remove that directory to have it prepared again, or "
            "point `data_dir` at a whole copy."
        )
    there = variants(builder)
    print(
        f"{name} is not in {builder.data_path}: downloading and preparing it"
        + (f" (prepared there: {', '.join(there)})" if there else ""),
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
            f"`dataset={name}` is not in {builder.data_path} and could not be downloaded "
            f"({reason(error)}). Point `data_dir` at a prepared copy, or use "
            f"`dataset={' or '.join([*there, 'shapes'])}`, which needs no download."
        ) from None


def first_missing(path):
    """The topmost missing directory of a path; None if the path exists."""
    path, missing = os.path.abspath(path), None
    while not os.path.lexists(path):
        path, missing = os.path.dirname(path), path
    return missing


def remove_empty(directory):
    """Removes a directory and its subdirectories if they hold no files."""
    for path, _, _ in os.walk(directory or "", topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def variants(builder):
    """Names of the other prepared configurations of a dataset in the same directory."""
    if builder.builder_config is None:
        return []
    base = os.path.dirname(os.path.dirname(builder.data_path))
    found = glob.glob(os.path.join(base, "*", "*", "dataset_info.json"))
    names = {path.split(os.sep)[-3] for path in found} - {builder.builder_config.name}
    return [f"{builder.name}/{name}" for name in sorted(names)]


def fail_fast():
    """Limits the retries of tensorflow_datasets, so that a missing network shows in seconds.

    Its ten retries take minutes. Their number is private: if it cannot be set, it is left alone.
    Threads continue and warn after the first failure, so warnings are disabled.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow_datasets.core.download import downloader

        downloader.MAX_RETRIES = min(downloader.MAX_RETRIES, 3)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def reason(error):
    """The reason of an error in a few words."""
    host = re.search(r"host='([^']+)'.*Max retries exceeded", str(error))
    if host:
        return f"no connection to {host[1]}"
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__


@functools.lru_cache(maxsize=None)
def say(text, directory):
    """Prints a remark about a dataset once per directory."""
    print(text, flush=True)


def records(builder, split, image, label=None, ids=False):
    """Undecoded examples in the order of the files, with image and label only.

    Args:
        image, label: names of features; None leaves one out.
        ids: whether to add "tfds_id", the identifier of the example in tensorflow_datasets.
    """
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=undecoded(image, label),
        read_config=tfds.ReadConfig(try_autocache=False, add_tfds_id=ids),
    )


def undecoded(image, label):
    """The decoding of two features, None: neither, of which the image stays as it is."""
    import tensorflow_datasets as tfds

    return tfds.decode.PartialDecoding(
        {name: True for name in (image, label) if name},
        decoders={image: tfds.decode.SkipDecoding()} if image else None,
    )


def parsed(builder, image, label, example):
    """An example as one of `records`, also if it was read by its place."""
    if "record" not in example:
        return example
    decoding = undecoded(image, label)
    features = decoding.extract_features(builder.info.features)
    return features.deserialize_example(example["record"], decoders=decoding.decoders)


def by_place(builder, split):
    """How examples are read in any order, as `Source`'s `at` and `fetch`; neither if they cannot.

    The places of records are looked up when they are first asked for.
    """
    shards = builder.info.splits[split].file_instructions
    paths = tuple(os.fspath(shard.filename) for shard in shards)
    if form_of(builder) != "tfrecord":
        return {}

    @functools.cache
    def rows():
        with tf.init_scope():
            return rows_of(columns(shards, paths, builder.info.disable_shuffling))

    fetch = fetcher(paths, lambda content, _: {"record": content})
    distant = any(map(files.remote, paths))
    return {"at": as_it_is(lambda place: rows()(place)), "fetch": fetch, "distant": distant}


def columns(shards, paths, in_order):
    """The file, the offset and the length of each record, {name: int [n]}, as they are in order.

    Args:
        shards: `file_instructions` of tensorflow_datasets.
        paths: of their files.
        in_order: whether they are read one after the other.
    """
    found = []
    for (file, places), shard in zip(
        found_in(paths, "places", lambda path, *_: places_of(path), parse=pairs), shards
    ):
        if len(places) != shard.examples_in_shard:
            raise damaged(
                file.path, f"{len(places)} of {shard.examples_in_shard} records are there"
            )
        found.append(np.int64(places[shard.skip :][: shard.take]))
    starts = np.cumsum([0, *map(len, found)])
    cycle, block = (1, 1) if in_order else INTERLEAVED
    order = tf.data.Dataset.from_tensor_slices((starts[:-1], starts[1:])).interleave(
        tf.data.Dataset.range, cycle_length=cycle, block_length=block, num_parallel_calls=None
    )
    order = np.concatenate(list(steady(order.batch(AT_ONCE)).as_numpy_iterator()))
    places = np.concatenate(found)[order]
    numbers = np.repeat(np.arange(len(found), dtype=np.int32), list(map(len, found)))[order]
    return {"file": numbers, "start": places[:, 0], "bytes": places[:, 1]}


def pairs(values):
    """Pairs of integers as the index keeps them; None if they are something else."""
    whole = all(len(pair) == 2 and {type(value) for value in pair} == {int} for pair in values)
    return values if whole else None


def identifiers(builder, split, image):
    """The tfds_id of each example: its file and its index in it.

    Reads all records, but does not decode images.
    """
    examples = records(builder, split, image, ids=True)
    return [
        name.decode()
        for name in steady(examples.map(lambda example: example["tfds_id"])).as_numpy_iterator()
    ]


def has_labels(builder, split, label):
    """Whether any example of a split has a label, that is, one other than -1."""
    examples = records(builder, split, None, label)
    try:
        return any(example[label] >= 0 for example in steady(examples).as_numpy_iterator())
    except (tf.errors.OpError, ValueError):
        return True  # the error is reported where the split is read


def scale_of(feature, asked, ranges, title, found, sample, missing):
    """The (low, high) that become 0 and 1; prints a newly chosen range.

    Args:
        asked, ranges: `value_range` and `ranges` of `load`.
        title: beginning of the printed line.
        found, sample, missing: as for `values.settle`.
    """
    dtype = np.dtype(feature.np_dtype)
    known = ranges.get(dtype.name) if values.by_data(asked) else None
    asked = values.as_range(known) if known else asked
    scale, line = values.settle(asked, dtype, found, sample, missing)
    if line and not known:
        print(f"{title}: {line}", flush=True)
    return scale or (0.0, 255.0)


def some(builder, split, place, image):
    """Yields some images of a slice (start, stop) as they are stored, RGB."""
    feature, (start, stop) = builder.info.features[image], place
    for row in values.spaced(range(start, stop)):
        for example in records(builder, f"{split}[{row}:{row + 1}]", image):
            yield as_rgb(pixels(feature, example[image])).numpy()


def extremes(builder, name, split, image, missing):
    """The smallest and largest value in the images of a split; NaN if one is not finite."""
    feature = builder.info.features[image]

    def bounds(example):
        made = tf.cast(pixels(feature, example[image]), tf.float32)
        made = tf.boolean_mask(made, ~missing.of(made))
        wrong = tf.where(tf.reduce_all(tf.math.is_finite(made)), 0.0, float("nan"))
        return tf.stack([tf.reduce_min(made), tf.reduce_max(made)]) + wrong

    found = records(builder, split, image).map(bounds, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        lowest, highest = np.stack(list(steady(found).as_numpy_iterator()), axis=1)
    except tf.errors.OpError as error:
        raise unreadable(name, split, explained(error)) from None
    low, high = float(lowest.min()), float(highest.max())
    return None if low > high else (low, high)  # where all values are missing


def pixels(feature, content, scale=None, missing=values.NONE):
    """Decodes the bytes of an image to [H, W, channels].

    Of grey images with alpha, which the feature cannot decode, only the grey channel is decoded.

    Args:
        scale: (low, high), the values that become 0 and 1 in float32; None: the stored type.
        missing: `values.Missing`, for `scale`.
    """
    if feature.shape[-1] != 2:
        image = feature.decode_example(content)
    else:
        image = tf.io.decode_png(content, channels=1, dtype=feature.np_dtype)
        image = tf.ensure_shape(image, [*feature.shape[:2], 1])
    return image if scale is None else values.scaled(image, *scale, missing)


def as_rgb(image):
    """Converts grey images to RGB and drops alpha; the type stays."""
    return tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 else image[..., :3]


def check_files(name, split, info):
    """Raises UsageError if files of the split are missing or truncated."""
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
