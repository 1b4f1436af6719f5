"""Sets of small JPEG files, as a folder of classes and as TFRecord shards."""

import concurrent.futures
import functools
import io
import os
import shutil

import numpy as np
from PIL import Image

SIDE, QUALITY = 64, 85
CLASSES = 100
SHARD = 10_000  # records of a file, at most
BASES = 1_000  # drawn images, which all others are made of
LEAST = 1_000


def written(root, store, count):
    """The place of a set of `count` images, which is written unless it is there.

    Returns:
        A directory.
    """
    place = os.path.join(root, f"{store}_{count}")
    parts = range(CLASSES) if store == "folder" else range(-(-count // SHARD))
    write = functools.partial(write_class if store == "folder" else write_shard, place, count)
    os.makedirs(place, exist_ok=True)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(write, parts))
    return place


@functools.cache
def bases():
    """Drawn images, uint8 [BASES, SIDE, SIDE, 3]."""
    from tfssl.data import shapes

    return shapes.generate("train", BASES, (SIDE, SIDE), 0)[0]


def content(number):
    """The bytes of the JPEG file of an image."""
    rng = np.random.default_rng(number)
    base = bases()[number % BASES].astype(np.float32)
    noise = rng.normal(0.0, 8.0, base.shape) + rng.uniform(-40.0, 40.0, 3)
    image = np.clip(base + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def numbers_of(label, count):
    """The numbers of the images of a class, which stand together, as in files that are sorted."""
    return range(label * count // CLASSES, (label + 1) * count // CLASSES)


def write_class(place, count, label):
    directory = os.path.join(place, f"class_{label:03d}")
    if os.path.exists(directory):
        return
    partial = f"{place}.{label}.partial"  # beside the set, where it is no class
    removed(partial)
    os.makedirs(partial)
    for number in numbers_of(label, count):
        with open(os.path.join(partial, f"{number:08d}.jpg"), "wb") as file:
            file.write(content(number))
    os.rename(partial, directory)


def write_shard(place, count, shard):
    import tensorflow as tf

    path = os.path.join(place, f"train-{shard:05d}-of-{-(-count // SHARD):05d}.tfrecord")
    if os.path.exists(path):
        return
    partial = f"{place}.{shard}.partial"
    with tf.io.TFRecordWriter(partial) as writer:
        for number in range(shard * SHARD, min((shard + 1) * SHARD, count)):
            label = (number * CLASSES + CLASSES - 1) // count
            features = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content(number)])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    os.rename(partial, path)


def removed(directory):
    """Removes a directory if it is there."""
    shutil.rmtree(directory, ignore_errors=True)
