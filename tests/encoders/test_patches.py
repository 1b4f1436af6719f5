"""The mean over patches as the representation of an image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tfssl.encoders import patch_mean, patches


def images(size=(12, 16), count=3, channels=3):
    return np.random.default_rng(0).random((count, *size, channels), np.float32)


def test_it_is_the_mean_over_a_grid_of_resized_patches():
    encoder, given = networks.functional(), images()
    expected = []
    for top in (0, 3, 6):  # patches of 6 x 8 pixels, from edge to edge
        for left in (0, 4, 8):
            patch = given[:, top : top + 6, left : left + 8]
            expected.append(encoder(tf.image.resize(patch, (12, 16))).numpy())
    made = patch_mean(encoder, 9)(given)
    np.testing.assert_allclose(made, np.mean(expected, axis=0), rtol=1e-4, atol=1e-6)


def test_one_patch_of_the_whole_image_is_the_encoder():
    encoder, given = networks.functional(), images()
    made = patch_mean(encoder, 1, area=1.0)(given)
    np.testing.assert_allclose(made, encoder(given), rtol=1e-4, atol=1e-6)
    assert patches.grid((9, 9), 1, 0.25) == ([2], [2], (4, 4))


@pytest.mark.parametrize("name", ["sequential", "vit", "feature_maps"])
def test_any_encoder_and_any_size(name):
    layer = patch_mean(networks.ENCODERS[name](), 4)
    assert layer(images((8, 8))).shape == (3, layer.dim)


def test_it_is_evaluated_saved_and_loaded(tmp_path):
    layer = patch_mean(networks.functional(), 4)
    train = images((8, 8), 12), np.arange(12) % 2
    protocol = tfssl.evaluation.KNN(3)
    assert set(tfssl.evaluate(layer, train, train, protocols=[protocol])) == {"knn_3"}
    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(train[0]), layer(train[0]), rtol=1e-5)


def test_an_encoder_that_expects_bytes_gets_them():
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    )
    given = images((8, 8))
    np.testing.assert_allclose(
        patch_mean(encoder, 1, area=1.0)(given), given.reshape(3, -1), rtol=1e-5
    )


@pytest.mark.parametrize(
    "arguments,message",
    [
        (dict(patches=3), "`patches` must be a square number. Received: patches=3"),
        (dict(patches=0), "`patches` must be a square number"),
        (dict(area=0.0), "`area` must be in .0, 1.. Received: area=0.0"),
        (dict(area=1.5), "`area` must be"),
        (dict(encoder="resnet"), "`encoder` must be a keras.Layer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        patch_mean(**{"encoder": networks.functional(), **arguments})
