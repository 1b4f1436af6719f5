"""Any encoder: what it expects, what it returns, a second one like it; and encoders by name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl.encoders import adapt, named, resnet, stages

SMALL = "keras.applications.MobileNetV3Small(alpha=0.35, minimalistic=True)"


def model(*layers, channels=3):
    return keras.Sequential([keras.Input((None, None, channels)), *layers])


def conv():
    return keras.layers.Conv2D(4, 3)


@pytest.mark.parametrize(
    "layers,expected",
    [
        ([], (0, 1)),
        ([keras.layers.Rescaling(1 / 127.5, offset=-1)], (0, 255)),
        ([keras.layers.Rescaling(2.0, offset=-1)], (0, 1)),
        ([keras.layers.Normalization(mean=[120.0] * 3, variance=[60.0**2] * 3)], (0, 255)),
        ([keras.layers.Normalization(mean=[0.45] * 3, variance=[0.22**2] * 3)], (0, 1)),
        (
            [
                keras.layers.Rescaling(1 / 255),
                keras.layers.Normalization(mean=[0.45] * 3, variance=[0.22**2] * 3),
            ],
            (0, 255),
        ),
        ([keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255)], (0, 1)),
    ],
)
def test_auto_reads_the_layers_that_come_first(layers, expected):
    encoder = model(*layers, conv())
    assert adapt.resolve_input_range("auto", encoder) == expected
    nested = keras.Sequential([keras.Input((None, None, 3)), encoder])
    assert adapt.resolve_input_range("auto", nested) == expected


def test_our_resnets_take_0_1_and_other_ranges_are_as_they_are_given():
    encoder = resnet(18, stem="cifar", width_multiplier=1 / 16, input_normalization="imagenet")
    assert adapt.resolve_input_range("auto", encoder) == (0, 1)
    assert adapt.resolve_input_range("-1,1", encoder) == (-1, 1)
    assert adapt.resolve_input_range([-3, 3.5], encoder) == (-3, 3.5)
    for wrong in ("0-255", (1, 0), (1,), None):
        with pytest.raises(ValueError, match="`input_range` must be one of 'auto', '0,1'"):
            adapt.resolve_input_range(wrong, encoder)


def test_images_are_scaled_and_features_pooled():
    images = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    assert adapt.scaled(images, (0.0, 1.0)) is images
    np.testing.assert_allclose(adapt.scaled(images, (-1.0, 1.0)), 2 * images - 1, atol=1e-6)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    standard = adapt.scaled(images, adapt.resolve_input_range("imagenet", None))
    np.testing.assert_allclose(standard, (images - mean) / deviation, atol=1e-5)
    each = adapt.resolve_input_range([[0, 1, 2], [1, 3, 5]], None)
    np.testing.assert_allclose(adapt.scaled(images, each), images * [1, 2, 3] + [0, 1, 2], 1e-5)
    for wrong in ([[0, 1], [1, 2, 3]], [[0, 2], [1, 1]], "imagenets"):
        with pytest.raises(ValueError, match="`input_range` must be one of"):
            adapt.resolve_input_range(wrong, None)
    with pytest.raises(ValueError, match="as the images have channels, 1. Received: 3"):
        adapt.scaled(images[..., :1], each)
    features = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    np.testing.assert_allclose(adapt.pooled(tf.constant(features)), features.mean((1, 2)), 1e-6)
    tokens = features[:, :, 0]
    np.testing.assert_allclose(adapt.pooled(tf.constant(tokens)), tokens.mean(1), rtol=1e-6)
    flat = tf.constant(tokens[:, 0])
    assert adapt.pooled(flat) is flat


class Plain(keras.Model):
    """A subclass as people write it: no get_config, and layers that are built when called."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.dense = make(), keras.layers.Dense(5)

    def call(self, images, training=False):
        return self.dense(tf.reduce_mean(self.conv(images), axis=[1, 2]))


def test_build_makes_all_variables_and_tells_the_shape():
    encoder = Plain(conv)
    assert adapt.build(encoder, (None, 9, 9, 2)) == (None, 5)
    assert [tuple(v.shape) for v in encoder.weights] == [(3, 3, 2, 4), (4,), (4, 5), (5,)]
    assert adapt.build(model(conv()), (None, 9, 9, 3)) == (None, 7, 7, 4)


@pytest.mark.parametrize(
    "encoder,shape,said",
    [
        (
            model(conv()),
            (None, 9, 9, 2),
            r"takes images \[\?, \?, \?, 3\]. Received: images \[\?, 9",
        ),
        (
            model(conv(), keras.layers.Reshape((-1, 1, 1, 4))),
            (None, 9, 9, 3),
            r"must return one tensor \[B, D\], \[B, h, w, D\] or \[B, n, D\]",
        ),
        (Plain(lambda: keras.layers.Dense(3, input_dim="x")), (None, 9, 9, 3), ""),
    ][:2],
)
def test_what_is_no_encoder_of_such_images_is_refused(encoder, shape, said):
    with pytest.raises(ValueError, match=f"`encoder` {said}"):
        adapt.build(encoder, shape)


def test_a_long_reason_ends_with_a_word():
    text = adapt.first_line(ValueError("Exception encountered\n" + "some words " * 40))
    assert text.endswith(("some ...", "words ...")) and 180 < len(text) <= 200
    assert adapt.first_line(ValueError("short")) == "short"


def test_an_encoder_that_fails_says_why():
    class Fails(keras.Model):
        def call(self, images):
            raise RuntimeError("no such thing")

    with pytest.raises(ValueError, match="`encoder` could not be built for images.*no such thing"):
        adapt.build(Fails(), (None, 9, 9, 3))


def test_a_clone_has_the_form_and_weights_of_its_own():
    encoder = model(conv(), keras.layers.BatchNormalization())
    second = adapt.clone(encoder)
    assert [v.shape for v in second.weights] == [v.shape for v in encoder.weights]
    assert not np.array_equal(second.weights[0], encoder.weights[0])
    assert not {id(v) for v in second.weights} & {id(v) for v in encoder.weights}
    with pytest.raises(
        ValueError, match=r"`encoder` \(Plain\) cannot be cloned: it defines no get"
    ):
        adapt.clone(Plain(conv))


def test_encoders_by_name(tmp_path):
    ours = named.make("resnet18(width_multiplier=0.0625)", (32, 32, 1))
    assert adapt.build(ours, (None, 32, 32, 1)) == (None, 32)
    theirs = named.make(SMALL, (None, None, 3), seed=1)
    assert adapt.known_input_shape(theirs) == (None, None, None, 3)
    again = named.make(SMALL, (None, None, 3), seed=1)
    other = named.make(SMALL, (None, None, 3), seed=2)
    assert np.array_equal(theirs.weights[0], again.weights[0])
    assert not np.array_equal(theirs.weights[0], other.weights[0])
    again.save(tmp_path / "saved.keras")
    loaded = named.make(f"{tmp_path}/saved.keras", (None, None, 3), seed=5)
    np.testing.assert_array_equal(loaded.weights[0], again.weights[0])
    (tmp_path / "mine.py").write_text(
        "import keras\n"
        "def fixed():\n    return keras.layers.Dense(3)\n"
        "def sized(shape, units=2):\n    return keras.layers.Dense(units * shape[0])\n"
        "def wrong():\n    return 3\n"
    )
    assert named.make(f"{tmp_path}/mine.py:fixed", (8, 8, 3)).units == 3
    assert named.make(f"{tmp_path}/mine.py:sized(units=5)", (8, 8, 3)).units == 40
    with pytest.raises(ValueError, match="must give a keras.Layer. Received: 3"):
        named.make(f"{tmp_path}/mine.py:wrong", (8, 8, 3))


@pytest.mark.parametrize(
    "name,said",
    [
        (
            "nothing",
            "`encoder` must be resnet, vit_tiny, .*a registered name",
        ),
        ("keras.applications.Nothing", "must be a model of keras.applications"),
        ("resnet18(width", "Arguments of `encoder` must be name=value"),
        ("resnet18(import os)", "Arguments of `encoder` must be name=value"),
        ("resnet18(seed=__import__('os'))", "Arguments of `encoder` must be name=value"),
        ("resnet17", "`depth` must be one of"),
        ("gone.keras", "must be an existing file. Received: gone.keras"),
        ("gone.py:build", "must be in an existing file. Received: gone.py"),
        (f"{SMALL[:-1]}, nothing=3)", "could not be made"),
    ],
)
def test_names_that_mean_nothing(name, said):
    with pytest.raises(ValueError, match=said):
        named.make(name, (None, None, 3))


@pytest.mark.slow
def test_backbones_of_keras_hub():
    pytest.importorskip("keras_hub")
    name = "keras_hub:ViTBackbone(patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)"
    encoder = named.make(name, (32, 32, 3))
    assert adapt.build(encoder, (None, 32, 32, 3)) == (None, 17, 8)
    assert len(adapt.clone(encoder).weights) == len(encoder.weights)


def test_images_of_bytes_are_brought_to_0_1():
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3) * 20
    np.testing.assert_allclose(adapt.scaled(images, (0.0, 1.0)), images / 255, atol=1e-7)
    np.testing.assert_allclose(adapt.scaled(images, (0.0, 255.0)), images, atol=1e-4)
    wide = images.astype(np.uint16) * 257
    np.testing.assert_allclose(adapt.scaled(wide, (-1.0, 1.0)), images / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("halvings,frozen", [(1, 2), (2, 4)])
def test_freezing_by_the_size_of_the_map(halvings, frozen):
    def strided():
        return keras.layers.Conv2D(4, 3, strides=2, padding="same")

    inner = model(strided(), keras.layers.ReLU(), strided(), keras.layers.ReLU(), strided())
    outside = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inner(keras.layers.Rescaling(2.0)(outside)))
    encoder = keras.Model(outside, pooled)
    assert stages.freeze_to(encoder, halvings) == frozen
    assert [layer.trainable for layer in inner.layers] == [i >= frozen for i in range(5)]
    with pytest.raises(ValueError, match="whose map becomes smaller than 1/8 of the image"):
        stages.freeze_to(encoder, 3)
    with pytest.raises(ValueError, match="`encoder` must be a functional model"):
        stages.freeze_to(Plain(conv), 1)
