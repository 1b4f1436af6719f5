"""Datasets prepared by tensorflow_datasets: any image-classification builder, by name."""

import functools
import os

import tensorflow as tf

from tfssl.data.source import Source, parse_slice, unreadable
from tfssl.errors import UsageError

# Builders whose test split has no labels.
EVAL_SPLITS = {"imagenet2012": "validation"}


def load(name, split, *, data_dir=None, flag="train_split"):
    """One split as a Source; prepared (and downloaded) first where it is not there yet.

    Args:
        name: builder name with its configuration: "cifar10", "imagenette/160px-v2".
        split: a split or a slice of one; None: the evaluation split of the dataset.
        data_dir: directory of prepared datasets; None: tensorflow_datasets' default.
        flag: the flag that the split came from, for messages.

    Raises:
        UsageError: unknown dataset or split, not image classification, cannot be prepared, or
            files that are missing or too short.
    """
    builder = prepared_builder(name, data_dir)
    splits = builder.info.splits
    if split is None:
        split = EVAL_SPLITS.get(builder.name, "test" if "test" in splits else "validation")
        flag = "eval_split"
    base, start, stop = parse_slice(
        split, {key: info.num_examples for key, info in splits.items()}, flag, name)
    image, label = keys(builder)
    feature = builder.info.features[image]
    source = Source(
        name=name,
        split=split,
        num_examples=stop - start,
        num_classes=builder.info.features[label].num_classes,
        image_shape=tuple(feature.shape[:2]),
        records=functools.partial(records, builder, f"{base}[{start}:{stop}]", image),
        decode=lambda example: (
            as_rgb(feature.decode_example(example[image])), example[label]),
    )
    check_files(source, splits[base])
    return source


def prepared_builder(name, data_dir):
    import tensorflow_datasets as tfds  # here: it takes a second, and `shapes` does without

    tfds.disable_progress_bar()
    if data_dir is not None and os.path.exists(data_dir) and not os.path.isdir(data_dir):
        raise UsageError(f"--data_dir must be a directory. Received: {data_dir}")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # the library raises many kinds, some of them bare
        raise UsageError(f"--dataset must be shapes or an image dataset of tensorflow_datasets, "
                         f"in --data_dir={data_dir}. Received: {name} ({first_line(error)})"
                         ) from None
    if not builder.is_prepared():
        # Ten retries, as the library makes, take minutes to find out that there is no network.
        tfds.core.download.downloader.MAX_RETRIES = 3
        print(f"{name} is not in {builder.data_path}: downloading and preparing it", flush=True)
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise UsageError(
                f"--dataset={name} is not in {builder.data_path} and could not be downloaded "
                f"({first_line(error)}). Point --data_dir at a prepared copy, or use "
                "--dataset=shapes, which needs no download.") from None
    return builder


def first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def keys(builder):
    """Names of the image and label features of a builder, or a UsageError."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    image, label = builder.info.supervised_keys or ("image", "label")
    if (isinstance(features.get(image), tfds.features.Image)
            and isinstance(features.get(label), tfds.features.ClassLabel)):
        return image, label
    raise UsageError("--dataset must be an image-classification dataset. "
                     f"Received: {builder.name}")


def records(builder, split, image):
    """Undecoded examples, in the order of the files."""
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split, decoders={image: tfds.decode.SkipDecoding()}, shuffle_files=False,
        read_config=tfds.ReadConfig(try_autocache=False, add_tfds_id=False))


def as_rgb(image):
    """Grey images as RGB; uint8 in and out."""
    return tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 else image[..., :3]


def check_files(source, info):
    """Raises UsageError where files of the split are missing or hold too few bytes."""
    paths = [str(path) for path in info.filepaths]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing and not paths[0].startswith("gs://"):
        raise unreadable(source, f"{len(missing)} of {len(paths)} files are missing, "
                                 f"the first is {missing[0]}")
    if not missing and sum(map(os.path.getsize, paths)) < info.num_bytes:
        raise unreadable(source, "its files are shorter than dataset_info.json says")
