"""`tfssl.views` of every kind of images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import spared
from tfssl import augment, data
from tfssl.data import shapes

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)
LABELS = np.arange(24) % 5
CROP = augment.View(crop=augment.simclr(8).crop, pixels=augment.identity())
KEPT = augment.view(lambda images, seed: images)  # views are the images themselves


def made(dataset):
    return [
        {**batch, "views": [view for view in batch["views"]]}
        for batch in dataset.as_numpy_iterator()
    ]


def first_views(dataset):
    return np.concatenate([batch["views"][0] for batch in made(dataset)])


def as_set(images):
    return sorted(image.tobytes() for image in np.round(images * 1000).astype(np.int32))


def test_of_arrays_with_labels():
    dataset = tfssl.views((IMAGES, LABELS), KEPT, 8)
    batches = made(dataset)
    assert len(batches) == int(dataset.cardinality()) == 3
    images = np.concatenate([batch["views"][1] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    place = {image.tobytes(): i for i, image in enumerate(np.float32(IMAGES) / np.float32(255))}
    places = [place[image.tobytes()] for image in images]
    assert sorted(places) == list(range(24)) and places != sorted(places)
    np.testing.assert_array_equal(labels, LABELS[places])


def test_without_labels_there_are_none():
    assert set(tfssl.views(IMAGES, KEPT, 8).element_spec) == {"views"}
    assert set(tfssl.views((IMAGES, LABELS[:, None]), KEPT, 8).element_spec) == {"views", "label"}
    unlabelled = (IMAGES, np.full(24, -1))
    assert set(tfssl.views(unlabelled, KEPT, 8).element_spec) == {"views"}


@pytest.mark.parametrize(
    "images,value_range",
    [
        (IMAGES, None),
        (IMAGES.astype(np.uint16) * 257, None),
        (np.float32(IMAGES) / 255, None),
        (np.float64(IMAGES) / 255, None),
        (np.float32(IMAGES), (0, 255)),
        (np.int32(IMAGES) * 4 - 100, (-100, 920)),
        (tf.constant(IMAGES), None),
    ],
    ids=["uint8", "uint16", "float32", "float64", "0-255", "int32", "tensor"],
)
def test_every_type_is_brought_to_0_1(images, value_range):
    views = first_views(tfssl.views(images, KEPT, 8, value_range=value_range))
    assert views.dtype == np.float32
    assert as_set(views) == as_set(np.float32(IMAGES) / 255)


def pairs():
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


@pytest.mark.parametrize(
    "dataset",
    [
        pairs(),
        pairs().batch(10),
        pairs().map(lambda image, label: {"image": image, "label": label}),
        pairs().map(lambda image, label: {"image": image, "label": label, "id": label}).batch(7),
        pairs().map(lambda image, label: (tf.cast(image, tf.float32) / 255, label)),
    ],
    ids=["pairs", "batches", "dicts", "batches of dicts", "floats"],
)
def test_of_datasets(dataset):
    batches = made(tfssl.views(dataset, KEPT, 8))
    assert as_set(np.concatenate([b["views"][0] for b in batches])) == as_set(IMAGES / 255)
    assert sorted(np.concatenate([b["label"] for b in batches])) == sorted(LABELS)


def test_of_a_dataset_of_images_alone_and_of_a_generator_of_mixed_sizes():
    alone = tfssl.views(tf.data.Dataset.from_tensor_slices(IMAGES), KEPT, 8)
    assert set(alone.element_spec) == {"views"}

    def images():
        for i in range(10):
            yield np.full((9 + i, 14 - i, 2), 20 * i, np.uint8)

    spec = tf.TensorSpec([None, None, 2], tf.uint8)
    dataset = tf.data.Dataset.from_generator(images, output_signature=spec)
    views = first_views(tfssl.views(dataset, CROP, 5))
    assert views.shape == (10, 8, 8, 2)  # flat images, which a crop leaves flat
    assert sorted(np.round(255 * views[:, 0, 0, 0])) == [20 * i for i in range(10)]
    with pytest.raises(ValueError, match="Images of different sizes need a recipe that begins"):
        tfssl.views(dataset, KEPT, 5)


@pytest.mark.parametrize("channels", [1, spared(2), spared(4), 6, spared(13)])
def test_of_any_channels(channels):
    images = RNG.integers(0, 256, (8, 12, 12, channels), dtype=np.uint8)
    views = first_views(tfssl.views(images, CROP, 4, compiled=False))
    assert views.shape == (8, 8, 8, channels)
    flat = tfssl.views(images[..., 0], CROP, 4, compiled=False)
    assert first_views(flat).shape == (8, 8, 8, 1)


def test_of_a_folder_and_of_image_dataset_from_directory(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            image = IMAGES[i + 4 * (name == "b")]
            (tmp_path / name / f"{i}.png").write_bytes(tf.io.encode_png(image).numpy())
    folder = made(tfssl.views(tmp_path, KEPT, 8))
    assert sorted(folder[0]["label"]) == [0] * 4 + [1] * 4
    assert as_set(folder[0]["views"][0]) == as_set(IMAGES[:8] / 255)
    theirs = keras.utils.image_dataset_from_directory(tmp_path, image_size=(12, 12), verbose=False)
    with pytest.raises(ValueError, match=r"Floats in `x` must be in \[0, 1\]"):
        tfssl.views(theirs, KEPT, 8)
    batches = made(tfssl.views(theirs, KEPT, 8, value_range=(0, 255)))
    assert as_set(batches[0]["views"][0]) == as_set(folder[0]["views"][0])
    assert sorted(batches[0]["label"]) == [0] * 4 + [1] * 4


@pytest.mark.slow
@pytest.mark.ci
def test_of_the_embedded_dataset():
    views = tfssl.views("shapes", KEPT, 100, compiled=False)
    assert int(views.cardinality()) == 100
    images = next(views.as_numpy_iterator())["views"][0]
    known = {image.tobytes() for image in shapes.generate("train", 10_000, 32, 0)[0]}
    assert all(np.uint8(np.round(255 * image)).tobytes() in known for image in images)


def test_epochs_differ_and_the_same_epoch_is_the_same():
    views = tfssl.views(IMAGES, CROP, 8, seed=3, compiled=False)
    zero, one = first_views(views), first_views(views)  # by nobody told, the next one
    assert not np.array_equal(zero, one)
    views.clock.set(1)
    np.testing.assert_array_equal(first_views(views), one)
    views.clock.set(0)
    np.testing.assert_array_equal(first_views(views), zero)
    np.testing.assert_array_equal(
        first_views(tfssl.views(IMAGES, CROP, 8, seed=3, compiled=False)), zero
    )
    assert not np.array_equal(
        first_views(tfssl.views(IMAGES, CROP, 8, seed=4, compiled=False)), zero
    )
    stream = tf.data.Dataset.from_tensor_slices(IMAGES)
    streamed = tfssl.views(stream, CROP, 8, seed=3, compiled=False)
    zero, one = first_views(streamed), first_views(streamed)
    streamed.clock.set(0)
    np.testing.assert_array_equal(first_views(streamed), zero)
    assert not np.array_equal(zero, one)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_seed_of_the_process_does_not_count(seed):
    stream = tf.data.Dataset.from_tensor_slices(IMAGES)
    one = first_views(tfssl.views(stream, CROP, 8, seed=3, compiled=False))
    keras.utils.set_random_seed(seed)
    other = first_views(tfssl.views(stream, CROP, 8, seed=3, compiled=False))
    np.testing.assert_array_equal(one, other)


def test_the_batches_of_the_runner_are_the_same():
    """One seed, one order: `run.py` and `tfssl.views` see the same views."""
    source = data.inputs.as_source((IMAGES, LABELS))
    options = {"batch_size": 8, "seed": 5}
    theirs = data.views(source, (CROP, CROP), **options, stop_step=6)
    ours = tfssl.views((IMAGES, LABELS), CROP, **options, compiled=False)
    both = made(ours) + made(ours)  # two epochs of three steps
    for one, other in zip(theirs.as_numpy_iterator(), both, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])
        np.testing.assert_array_equal(one["views"][1], other["views"][1])


def test_as_many_views_as_asked_or_as_recipes():
    assert len(tfssl.views(IMAGES, KEPT, 8).element_spec["views"]) == 2
    assert len(tfssl.views(IMAGES, KEPT, 8, num_views=3).element_spec["views"]) == 3
    small = augment.View(augment.simclr(6).crop, augment.identity())
    spec = tfssl.views(IMAGES, (CROP, CROP, small), 8).element_spec["views"]
    assert [tuple(view.shape[1:3]) for view in spec] == [(8, 8), (8, 8), (6, 6)]
    with pytest.raises(ValueError, match="`num_views` must be 1 or more, and as many as the rec"):
        tfssl.views(IMAGES, (CROP, CROP), 8, num_views=3)


def test_a_recipe_with_state_is_told(caplog):
    layers = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomContrast(0.2)])
    with caplog.at_level("INFO", logger="tfssl"):
        views = first_views(tfssl.views(IMAGES, layers, 8))
    assert views.shape == IMAGES.shape
    assert "the recipe has its own random state" in caplog.text


NAN = np.where(np.arange(24)[:, None, None, None] == 3, np.nan, IMAGES / 255).astype(np.float32)


@pytest.mark.parametrize(
    "x,options,said",
    [
        (
            np.float32(IMAGES),
            {},
            r"Floats in `x` must be in \[0, 1\]. Received: values in \[0, 255",
        ),
        (NAN, {}, "`x` must be finite. Received: values that are not, first in image 3"),
        (np.int64(IMAGES), {}, "`x` must be of uint8, uint16 or floats. Received: int64"),
        (IMAGES[0, 0], {}, r"`x` must be images \[N, H, W, C\] or \[N, H, W\]"),
        ((IMAGES, LABELS[:3]), {}, r"Labels must be integers \[N\], N = 24"),
        ((IMAGES, LABELS * 0.5), {}, r"Labels must be integers \[N\], N = 24"),
        (IMAGES, {"batch_size": 25}, "`batch_size` must be at most 24, the number of images"),
        (IMAGES, {"batch_size": 0}, "`batch_size` must be an integer of 1 or more"),
        (IMAGES, {"value_range": (3, 3)}, r"`value_range` must be \(low, high\)"),
        (IMAGES, {"value_range": (0, 100)}, "`value_range` must hold all values of `x`"),
        (IMAGES, {"recipe": 3}, "Received"),
        (
            "nowhere",
            {},
            "`x` must be an existing directory, shapes or an image dataset of tensorflow_data",
        ),
        ("folder", {}, "`x` must be an existing directory, shapes or .* plug-in. Received: folder"),
        (None, {}, "`x` must be images: an array, .*. Received: a value of type NoneType"),
        ([IMAGES[0], IMAGES[1][:4]], {}, "`x` must be images of one size .* list of different sha"),
        ({"images": IMAGES}, {}, "`x` must have the keys 'image' .* Received: 'images'"),
        ((IMAGES, LABELS, LABELS), {}, "`x` must be images, or .images, labels.. Rec.* 3 arrays"),
        (IMAGES, {"num_views": 0}, "`num_views` must be 1 or more, .*num_views=0 and one recipe"),
        (IMAGES[:0], {}, r"`x` must be images \[N, H, W, C\]"),
        (IMAGES, {"seed": 1.5}, "`seed` must be an integer of 32 bits. Received: seed=1.5"),
        (IMAGES, {"seed": 2**40}, "`seed` must be an integer of 32 bits"),
        (IMAGES, {"num_views": 2.0}, "`num_views` must be an integer. Received: num_views=2.0"),
        (IMAGES, {"recipe": "simclr"}, "`recipe` must be f.images.*. Received: recipe='simclr'"),
        (
            IMAGES,
            {"recipe": augment.simclr},
            r"such as tfssl.augment.simclr\(...\). Received: the f",
        ),
        (pairs().take(0), {}, "`x` must hold images. Received: an empty dataset"),
        (tf.data.Dataset.range(3), {}, "`x` must be a dataset of images"),
        (pairs().map(lambda i, n: (tf.cast(i, tf.float32), n)), {}, "Floats in `x` must be in"),
        (pairs().map(lambda i, n: (i, tf.one_hot(n, 5))), {}, "Labels in `x` must be integers"),
        (pairs().take(5), {}, "`batch_size` must be at most 5, the number of images"),
    ],
)
def test_what_cannot_be_meant_is_refused(x, options, said):
    with pytest.raises(ValueError, match=said):
        tfssl.views(x, **{"recipe": KEPT, "batch_size": 8, **options})


@pytest.mark.parametrize(
    "value_range,wrong,said",
    [
        (None, np.nan, r"Floats must be finite and in \[0, 1\] in `x`. Received: values in \[nan"),
        (
            None,
            3.0,
            r"Floats must be finite and in \[0, 1\] in `x`. Received: values in \[0.5, 3\]",
        ),
        ((0, 2), 3.0, r"`value_range` .0, 2. must hold all values of `x`.* \[0.25, 1.5\]"),
    ],
)
def test_an_image_late_in_a_dataset_is_checked_too(value_range, wrong, said):
    images = np.full((20, 8, 8, 3), 0.5, np.float32)
    images[17, 2, 3, 1] = wrong
    dataset = tf.data.Dataset.from_tensor_slices(images)
    views = tfssl.views(dataset, KEPT, 5, value_range=value_range)
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd", run_eagerly=True)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=said):
            call(views, verbose=0)
    with pytest.raises(ValueError, match=said.replace("`x`", "`images`")):
        tfssl.represent(model, dataset, value_range=value_range)


def test_a_dict_of_arrays_is_images_and_labels():
    ours, theirs = (
        next(iter(tfssl.views(x, KEPT, 8)))
        for x in ({"image": IMAGES, "label": LABELS}, (IMAGES, LABELS))
    )
    np.testing.assert_array_equal(ours["label"], theirs["label"])
    np.testing.assert_array_equal(ours["views"][0], theirs["views"][0])
