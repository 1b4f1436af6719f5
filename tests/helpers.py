"""What several test modules use: small runs, pictures, folders, datasets and networks.

No test module imports another one (`tests/test_architecture.py`): whatever two of them need is
here, or a fixture in the `conftest.py` of their folder.
"""

import contextlib
import gc
import io
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfssl
from tfssl import Config, data, layers
from tfssl.callbacks import alarms
from tfssl.data import folder
from tfssl.methods import Supervised
from tfssl.runner.build import BUILDERS, Components

ROOT = pathlib.Path(__file__).parent.parent

# Cases that take seconds ------------------------------------------------------------------------


def costly(*values):
    """A case of `parametrize` that is left to CI: it takes seconds, and cheaper ones guard most."""
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.ci])


def spared(*values):
    """A case of `parametrize` that CI does without too: others pass through the same code."""
    return pytest.param(*values, marks=pytest.mark.slow)


# Runs ------------------------------------------------------------------------------------------

# A pretraining that takes seconds, on the command line and as settings. What is tested of a run is
# seldom its network or its colours, whose graphs take most of the time: settings have a small
# encoder, which conftest.py registers, and views that are crops. `RESNET` and `COLOURS`
# beside them are for the tests that are about these.
TINY_FLAGS = (
    "--dataset=shapes --train_split=train[:64] --eval_split=test[:40] --image_size=16 "
    "--width_multiplier=0.0625 --train_batch_size=16 --train_steps=2 --knn_k=5 "
    "--precision=float32 --nocompile_augmentation"
).split()
TINY_SETTINGS = dict(
    dataset="shapes",
    train_split="train[:64]",
    eval_split="test[:40]",
    image_size=16,
    encoder="tiny",
    color_jitter_strength=0.0,
    grayscale_p=0.0,
    flip_p=0.0,
    proj_out_dim=8,
    train_batch_size=16,
    train_steps=4,
    knn_k="5",
    train_summary_steps=1,
    checkpoint_steps=2,
    precision="float32",
    learning_rate=0.5,
    compile_augmentation=False,
    information_scalars=False,
    report=False,
)
BYOL_SETTINGS = dict(method="byol", proj_hidden_dim=16)  # beside the above
RESNET = dict(encoder="resnet", width_multiplier=1 / 16)
COLOURS = dict(color_jitter_strength=0.25, grayscale_p=0.2, flip_p=0.5)

# A finetuning on labels of shapes, and one on a folder of images.
FINETUNE_SETTINGS = dict(
    dataset="shapes",
    train_split="train[:64]",
    eval_split="test[:40]",
    train_batch_size=16,
    train_steps=3,
    train_summary_steps=1,
    checkpoint_steps=2,
    precision="float32",
    compile_augmentation=False,
    report=False,
)
CLASS_NAMES = ["bird", "cat", "dog"]
FOLDER_SETTINGS = dict(
    checkpoint="none",
    encoder="tiny",
    image_size="16x24",
    train_batch_size=6,
    train_steps=2,
    checkpoint_steps=1,
    train_summary_steps=0,
    precision="float32",
    compile_augmentation=False,
    learning_rate=0.01,
    report=False,
)
LINEAR_EVAL_SETTINGS = dict(mode="linear_eval", linear_epochs=1.0, linear_batch_size=6)


def tiny_config(model_dir, **changes):
    """Config of a pretraining that takes seconds, with changes to `TINY_SETTINGS`."""
    return Config(**{**TINY_SETTINGS, "model_dir": str(model_dir), **changes})


def run_given(**settings):
    """Runs tfssl as if each of the settings had been a flag of the command line."""
    return tfssl.run(Config(**settings), given=set(settings))


def finetune_shapes(checkpoint, model_dir, **changes):
    """Finetunes `checkpoint` on labels of shapes."""
    return run_given(
        **{
            "mode": "finetune",
            "checkpoint": str(checkpoint),
            "model_dir": str(model_dir),
            **FINETUNE_SETTINGS,
            **changes,
        }
    )


def finetune_folder(images, model_dir, **changes):
    """Trains a classifier, from random weights, on the folder `images`."""
    return run_given(
        **{
            "mode": "finetune",
            "dataset": "folder",
            "data_dir": str(images),
            **FOLDER_SETTINGS,
            "model_dir": str(model_dir),
            **changes,
        }
    )


def forget_evaluations(directory):
    """Removes what a run's evaluations have left, as if it had ended with its training."""
    shutil.rmtree(directory / "eval")
    for path in [directory / "untrained.json", *directory.glob("result*.json")]:
        path.unlink()


def run_until_killed(work, at_step):
    """Calls `work`, which trains, and ends it within step `at_step` as if it had been killed."""

    class Killed(Exception):
        pass

    def die(self, step, logs):
        if step == at_step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alarms.StopOnNaN, "on_step", die)
        with pytest.raises(Killed):
            work()


def run_process(*words, code=0, env=None, cwd=ROOT, timeout=300):
    """Starts Python with these words in a process; it must exit with `code`."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        text=True,
        timeout=timeout,
        capture_output=True,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def batch_service(workers):
    """The address of a tf.data service with so many workers, all in this process."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    config = service.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=200)
    there = [service.WorkerServer(config) for _ in range(workers)]
    try:
        yield address
    finally:
        gc.collect()  # iterators end before what they ask
        for server in (*there, dispatcher):
            server._stop()


def read_scalars(directory):
    """Tag -> [(step, value)] of TensorBoard's files in a directory."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag not in ("image", "flags", "information/singular_values")
    }


# Images ----------------------------------------------------------------------------------------


def random_picture(seed=0, height=20, width=30, smooth=True):
    """An RGB image of Pillow: 4 x 5 random colours, enlarged."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return small.resize((width, height), Image.BICUBIC if smooth else Image.NEAREST)


def encode_image(image, kind, **options):
    """Bytes of a file of this kind, as Pillow's `save` names it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_array(array, kind="PNG"):
    """Bytes of a file of this kind with an image, uint8 [H, W, 3] or [H, W]."""
    return encode_image(Image.fromarray(array), kind)


def write_records(path, records, compression=""):
    """Writes dicts of bytes, texts and integers as a TFRecord file; returns its path as text."""

    def feature(value):
        if isinstance(value, (bytes, str)):
            value = value.encode() if isinstance(value, str) else value
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            of = {name: feature(value) for name, value in record.items() if value is not None}
            made = tf.train.Example(features=tf.train.Features(feature=of))
            writer.write(made.SerializeToString())
    return str(path)


def write_image(path, content=None, seed=0, **size):
    """Writes `content`, or else a random picture as PNG, in folders as needed; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png = encode_image(random_picture(seed, **size), "PNG") if content is None else content
    path.write_bytes(png)
    return path


def old(path, seconds=100):
    """Makes a file older, so that the index of files keeps what is found in it."""
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - int(seconds * 1e9)))


def write_classes(directory, names):
    """Makes a folder dataset: of every class 4 training and 2 test images of mixed sizes."""
    for label, name in enumerate(names):
        for i in range(6):
            split = "train" if i < 4 else "test"
            write_image(
                directory / split / name / f"{i}.png",
                height=18 + i,
                width=40 - i,
                seed=100 * label + i,
            )
    return directory


def load_folder(directory, split, **options):
    """The source of a folder, and the messages after the one on how the folder is read."""
    messages = []
    source = folder.load(str(directory), split, report=messages.append, **options)
    assert " read as " in messages[0]
    return source, messages[1:]


def decode_all(source):
    """[(image, label)] of a source, in order."""
    return [(image.numpy(), int(label)) for image, label in source.records().map(source.decode)]


# Datasets of tensorflow_datasets ---------------------------------------------------------------


def read_source(source):
    """{id: (image, label)} of a source, by the pipeline of the evaluation."""
    batches = list(data.labelled(source, lambda image: image, batch_size=7))
    images, labels = (
        np.concatenate([batch[name] for batch in batches]) for name in ("image", "label")
    )
    return dict(zip(source.ids(), zip(images, labels), strict=True))


def store_dataset(directory, features, examples):
    """Prepares a dataset "stored" whose train and test splits hold the same examples."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name="stored",
        version="1.0.0",
        data_dir=directory,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(examples)) for split in ("train", "test")},
    )
    return Config(dataset="stored", data_dir=str(directory))


def prepare_dataset(
    directory, shape, labelled=True, scored=True, label=lambda split, number: number % 3
):
    """Prepares a dataset "mixed": random images of `shape`, 30 to train and 12 to validate."""
    rng = np.random.default_rng(0)

    def example(number, split):
        sides = [side or int(rng.integers(20, 60)) for side in shape]
        image = {"image": rng.integers(0, 256, sides, dtype=np.uint8)}
        own = -1 if split == "validation" and not scored else label(split, number)
        return image | ({"label": own} if labelled else {})

    features = {"image": tfds.features.Image(shape=shape)}
    if labelled:
        features["label"] = tfds.features.ClassLabel(num_classes=3)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mixed",
        version="1.0.0",
        data_dir=directory,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: [(i, example(i, split)) for i in range(count)]
            for split, count in (("train", 30), ("validation", 12))
        },
    )
    return str(directory)


# Networks --------------------------------------------------------------------------------------


def small_encoder(
    seed,
    name="encoder",
    normalization=layers.FusedBatchNormalization,
    convolution=keras.layers.Conv2D,
):
    """Two normalized convolutions: images [B, H, W, 3] -> [B, 32]."""
    outputs = inputs = keras.Input((None, None, 3))
    for place, (filters, strides) in enumerate([(16, 1), (32, 2)]):
        kernel = keras.initializers.VarianceScaling(seed=2 * seed + place)
        outputs = convolution(
            filters, 3, strides, padding="same", use_bias=False, kernel_initializer=kernel
        )(outputs)
        outputs = keras.layers.ReLU()(normalization()(outputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(outputs), name=name)


def build_method(method="simclr", probe=True, optimizer=None, total_steps=100, **settings):
    """A compiled model of a method around `small_encoder`, for 16 x 16 images."""
    config = Config(method=method, **{"proj_out_dim": 8, "proj_hidden_dim": 16} | settings)
    model = BUILDERS[method](
        config,
        Components(
            encoder=small_encoder,
            probe=lambda in_dim: layers.classifier(in_dim, 10) if probe else None,
            normalization=layers.FusedBatchNormalization,
            total_steps=total_steps,
            size=(16, 16),
        ),
    )
    model.build((None, 16, 16, 3))
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1), jit_compile=False)
    return model


def no_normalization(**options):
    """A layer that does nothing, where an encoder has a normalization."""
    return keras.layers.Activation("linear", name=options.get("name"))


def build_for_parts(method, normalization, **settings):
    """As `build_method`, of any normalization, with weight decay; `supervised` too."""

    def encoder(seed, name="encoder"):
        return small_encoder(seed, name, normalization, layers.ProductGradientConv2D)

    def probe(in_dim):
        return layers.classifier(in_dim, 10)

    if method == "supervised":
        model = Supervised(encoder(0), head=layers.classifier(32, 10, seed=1))
    else:
        config = Config(method=method, proj_out_dim=8, proj_hidden_dim=16, **settings)
        model = BUILDERS[method](
            config, Components(encoder, probe, normalization, total_steps=10, size=(16, 16))
        )
    model.build((None, 16, 16, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    model.penalize(model.trainable_variables[:3], 0.01)
    return model


def assert_close(one, other):
    """Compares structures of tensors up to 0.1 %, and 1e-5 of the largest value in them."""
    scale = max(float(tf.reduce_max(tf.abs(value))) for value in tf.nest.flatten(other))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * scale), one, other
    )


def random_views(n=8, seed=0):
    """A batch of two views of 16 x 16 random pixels and labels of 10 classes."""
    rng = np.random.default_rng(seed)
    views = tuple(rng.random((n, 16, 16, 3), np.float32) for _ in range(2))
    return {"views": views, "label": rng.integers(10, size=n)}


NORMALIZED_SHAPES = [(6, 5, 4, 3), (7, 3), (2, 3)]


def normalization_pair(shape, **options):
    """tfssl's batch normalization and Keras's, built for `shape`, with equal random weights."""
    pair = [
        cls(momentum=0.9, epsilon=1e-5, **options)
        for cls in (layers.FusedBatchNormalization, keras.layers.BatchNormalization)
    ]
    rng = np.random.default_rng(0)
    for layer in pair:
        layer.build(shape)
    weights = [rng.random(w.shape) + 0.5 for w in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    return pair
