"""Views of a user's own function or layer."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl import augment, data
from tfssl.augment import ops

SEED = tf.constant([6, 28])


def random_images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def halved(images):
    return images / 2


def noisy(images, seed):
    return images + tf.random.stateless_normal(tf.shape(images), seed)


class Callable:
    def __call__(self, images, seed):
        return noisy(images, seed)


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize(
    "function",
    [halved, lambda images, by=2: images / by, keras.layers.Rescaling(0.5)],
)
def test_a_function_of_images_is_called_with_the_batch(function, channels):
    images = random_images(4, 5, 7, channels)
    view = augment.view(function)
    assert not view.stateless
    np.testing.assert_array_equal(view(images, SEED), images / 2)
    np.testing.assert_array_equal(view.crop(images, SEED), images)


@pytest.mark.parametrize(
    "function", [noisy, Callable(), functools.partial(noisy), lambda images, s: noisy(images, s)]
)
def test_a_function_of_images_and_a_seed_draws_from_the_seed(function):
    images = random_images(4, 5, 7, 6)
    view = augment.view(function)
    assert view.stateless
    result = view(images, SEED).numpy()
    np.testing.assert_array_equal(view(images, SEED), result)
    compiled = tf.function(view.whole, jit_compile=True)
    np.testing.assert_array_equal(compiled(images, SEED), compiled(images, SEED))
    noise, other = result - images, view(images, SEED + 1).numpy() - images
    assert abs(noise.mean()) < 0.2 and abs(noise.std() - 1) < 0.2
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.2


def test_layers_train_and_their_views_count_as_not_stateless():
    images = random_images(200, 4, 4, 3)
    for layer in (keras.layers.RandomFlip(seed=0), keras.Sequential([keras.layers.RandomFlip()])):
        view = augment.view(layer)
        assert not view.stateless
        changed = np.any(view(images, SEED).numpy() != images, axis=(1, 2, 3))
        assert 60 < changed.sum() < 195  # outside of training, none
        assert np.array_equal(layer(images, training=False), images)


def test_results_become_float32():
    images = random_images(2, 3, 3, 3)
    for dtype in (tf.float16, tf.float64, tf.uint8):
        view = augment.view(lambda images: tf.cast(255 * images, dtype))
        assert view(images, SEED).dtype == tf.float32
    layer = keras.layers.Rescaling(0.5, dtype="mixed_bfloat16")
    assert augment.view(layer)(images, SEED).dtype == tf.float32


def test_operations_and_views_are_taken_as_they_are():
    crop, blur = ops.random_resized_crop((4, 4)), ops.blur()
    assert augment.view(crop).crop is crop and augment.view(blur).pixels is blur
    recipe = augment.supervised_view((4, 4))
    assert augment.view(recipe) is recipe
    for view in (augment.view(crop), augment.view(blur), recipe, augment.simclr_view((4, 4))):
        assert view.stateless


@pytest.mark.parametrize(
    "function",
    [
        3,
        "simclr",
        None,
        keras.layers.RandomFlip,
        lambda: None,
        lambda images, seed, strength: images,
        lambda *images: images,
        lambda images, *, seed: images,
        augment.byol(8),
    ],
)
def test_what_is_no_function_of_images_is_refused(function):
    with pytest.raises(ValueError) as error:
        augment.view(function)
    expected = "`function` must be f(images), f(images, seed), a keras.Layer, an Op or a View."
    assert str(error.value).startswith(expected + " Received: function=")


def test_the_batch_of_a_function_is_not_split():
    sizes = []

    def watched(images, seed):
        sizes.append(images.shape[0])
        return images

    pixels = augment.view(watched).pixels
    images = random_images(6, 64, 64, 3)
    for op in (
        ops.in_blocks(pixels, 1),
        ops.one_by_one(pixels),
        ops.in_blocks(ops.on_bytes(ops.compose(pixels, ops.clip())), 1),
        ops.in_blocks(ops.maybe(pixels, 0.5), 1),
    ):
        assert not op.per_image and op.stateless
        tf.function(op)(images, SEED)
    assert sizes == [6] * 4


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("streamed", [False, True])
def test_batches_are_made_by_a_function(streamed, compiled):
    images, labels = random_images(12, 8, 8, 6), np.arange(12)
    source = data.Source(
        "own",
        "train",
        ("train", 0, 12),
        12,
        (8, 8),
        lambda: tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}),
        lambda example: (example["image"], example["label"]),
        arrays=None if streamed else (images, labels),
        dtype=np.float32,
        channels=6,
    )
    options = dict(batch_size=6, seed=0, stop_step=2, compiled=compiled)
    recipes = [augment.view(halved), augment.view(noisy)]
    batches = list(data.views(source, recipes, **options))
    again = list(data.views(source, recipes, **options))
    parts = list(data.views(source, recipes, **options, share=data.Share(0, 2, 2)))
    for step, batch in enumerate(batches):
        first, second = batch["views"]
        expected = images[batch["label"]]
        np.testing.assert_allclose(first, expected / 2, atol=1e-6)
        np.testing.assert_array_equal(second, again[step]["views"][1])
        own = [part["views"][1] - images[part["label"]] for part in parts[2 * step : 2 * step + 2]]
        assert not np.any(np.isclose(own[0], own[1]).all(axis=(1, 2, 3)))
        assert 0.8 < np.std(second - expected) < 1.2


def bright_or_dark(images, drawn):
    """Control flow of Python on a tensor, which AutoGraph turns into that of a graph."""
    if tf.reduce_mean(images) > 0.5:
        return tf.ones_like(images)
    return tf.zeros_like(images)


OWN = augment.simclr(8)
USERS = augment.Op("users", lambda seed, images: {}, bright_or_dark)


def test_operations_of_tfssl_are_known_however_they_are_composed():
    for op in (OWN.whole, augment.on_bytes(OWN.whole), augment.in_blocks(OWN.pixels)):
        assert op.own
    for op in (
        USERS,
        ops.compose(OWN.crop, USERS),
        ops.maybe(USERS, 0.5),
        ops.maybe(ops.compose(USERS, OWN.pixels), 0.5),
        augment.one_by_one(augment.on_bytes(USERS)),
        augment.view(lambda images: images).whole,
        augment.view(lambda images, seed: images).whole,
        augment.view(keras.layers.RandomContrast(0.4)).whole,
        augment.Op("partial", lambda seed, images: {}, functools.partial(bright_or_dark)),
    ):
        assert not op.own


@pytest.mark.parametrize("streamed", [False, True])
def test_control_flow_of_python_in_an_operation_of_the_users(streamed):
    images = np.repeat(np.uint8([40, 240]), 4)[:, None, None, None] * np.ones(
        (8, 8, 8, 3), np.uint8
    )
    x = tf.data.Dataset.from_tensor_slices(images) if streamed else images
    recipe = augment.View(augment.identity(), USERS)
    for batch in tfssl.views(x, recipe, batch_size=2, compiled=False):
        for view in batch["views"]:
            assert np.ptp(view) == 0 and float(view[0, 0, 0, 0]) in (0, 1)


def test_autograph_converts_nothing_of_tfssl_in_its_own_views(monkeypatch):
    """A conversion takes some tenths of a second, and there are dozens of functions."""
    from tensorflow.python.autograph.impl import api

    converted, convert = [], api._convert_actual

    def counted(entity, *rest):
        converted.append(entity.__module__)
        return convert(entity, *rest)

    monkeypatch.setattr(api, "_convert_actual", counted)
    images = np.zeros((4, 9, 9, 3), np.uint8)
    next(iter(tfssl.views(images, OWN, batch_size=2, compiled=False)))
    assert not [name for name in converted if name.startswith(("tfssl.augment", "tfssl.data.pip"))]
    next(iter(tfssl.views(images, augment.View(OWN.crop, USERS), batch_size=2, compiled=False)))
    assert __name__ in converted
