"""The encoder: parameter counts of the reference, any image size, equal weights by seed."""

import keras
import numpy as np
import pytest

from tests.helpers import costly, spared
from tfssl import encoders, layers
from tfssl.encoders.resnets import BLOCKS, STEMS, Parts

# Obtained by building google-research/simclr tf2 at 383d414: encoder alone, without heads.
# depth, width, sk_ratio, se_ratio, stem: features, trainable, non-trainable, trainable tensors
REFERENCE = [
    (18, 1, 0, 0, "cifar", 512, 11173056, 9728, 63),
    (34, 1, 0, 0, "cifar", 512, 21281216, 17152, 111),
    (50, 1, 0, 0, "cifar", 2048, 23500352, 53120, 159),
    (18, 1, 0, 0, "imagenet", 512, 11180736, 9728, 63),
    (50, 1, 0, 0, "imagenet", 2048, 23508032, 53120, 159),
    (50, 2, 0, 0, "imagenet", 4096, 93907072, 106240, 159),
    (101, 1, 0, 0, "imagenet", 2048, 42500160, 105344, 312),
    (50, 1, 0.0625, 0, "imagenet", 2048, 35215584, 61824, 229),
    (50, 1, 0.0625, 0, "cifar", 2048, 35188672, 61696, 223),
    (50, 1, 0, 0.25, "imagenet", 2048, 26039024, 53120, 223),
    (18, 1, 0, 0.25, "cifar", 512, 11523616, 9728, 95),
    (152, 1, 0, 0, "imagenet", 2048, 58143808, 151424, 465),
    (200, 1, 0, 0, "imagenet", 2048, 62624832, 176000, 609),
]


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def large(depth, width, sk, *_):
    """Whether a network takes seconds and hundreds of megabytes to make."""
    return depth > 50 or width > 1 or sk > 0


@pytest.mark.parametrize(
    "depth,width,sk,se,stem,features,trainable,fixed,tensors",
    [(costly if row[0] == 152 else spared)(*row) if large(*row) else row for row in REFERENCE],
)
def test_parameter_counts(depth, width, sk, se, stem, features, trainable, fixed, tensors):
    model = encoders.resnet(depth, stem=stem, width_multiplier=width, sk_ratio=sk, se_ratio=se)
    assert model.output_shape == (None, features)
    assert count(model.trainable_variables) == trainable
    assert count(model.non_trainable_variables) == fixed
    assert len(model.trainable_variables) == tensors


def test_no_depth_and_no_stem_is_untested():
    assert {row[0] for row in REFERENCE} == set(BLOCKS)
    assert {row[4] for row in REFERENCE} == set(STEMS)


def test_table_5_of_the_thesis():
    encoder = encoders.resnet(50, stem="cifar")
    head = layers.classifier(2048, 10)
    assert count(encoder.trainable_variables) + count(head.trainable_variables) == 23_520_842


def test_table_5_has_no_pooling_and_no_112_pixels():
    """Printed are the sizes of 224 px and a max-pool; an image of 32 px stays so up to conv2."""
    encoder = tiny(depth=50)
    assert not any(isinstance(layer, keras.layers.MaxPooling2D) for layer in encoder.layers)
    maps = keras.Model(
        encoder.input,
        [layer.output for layer in encoder.layers if isinstance(layer, keras.layers.ReLU)],
    )
    sides = [made.shape[1] for made in maps(np.zeros((1, 32, 32, 3), np.float32))]
    assert list(dict.fromkeys(sides)) == [32, 16, 8, 4]
    assert (
        encoders.output_stride("cifar") == 32 // 4
        and encoders.output_stride("imagenet") == 224 // 7
    )


def test_table_1_is_a_resnet_18_of_11_7_million_parameters():
    """Printed: 11.4. He et al.'s has an identity where ours projects, in the first group."""
    encoder, head = encoders.resnet(18, stem="imagenet"), layers.classifier(512, 1000)
    projection = 64 * 64 + 2 * 64
    assert count(encoder.trainable_variables) + count(head.trainable_variables) == (
        11_689_512 + projection
    )


def tiny(**options):
    return encoders.resnet(**{"depth": 18, "stem": "cifar", "width_multiplier": 1 / 16, **options})


@pytest.mark.parametrize(
    "depth,options",
    [
        (18, {}),
        spared(50, {}),
        spared(50, {"sk_ratio": 0.0625}),
        (18, {"sk_ratio": 0.0625}),
        spared(50, {"se_ratio": 0.25}),
        (18, {"stem": "imagenet"}),
        (50, {"stem": "imagenet", "sk_ratio": 0.0625, "se_ratio": 0.25}),
    ],
)
def test_one_set_of_weights_takes_any_image_size(depth, options):
    encoder = tiny(depth=depth, **options)
    for size in ((32, 32), (48, 64), (33, 97)):
        h = encoder(np.random.default_rng(0).random((2, *size, 3), np.float32))
        assert h.shape == (2, encoder.output_shape[1])
        assert np.isfinite(h).all() and np.std(h) > 0


def test_equal_seeds_give_equal_weights_and_no_two_kernels_are_alike():
    first, again, other = tiny(seed=1), tiny(seed=1), tiny(seed=2)
    for a, b in zip(first.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(a, b)
    kernels = [w for w in first.get_weights() if w.ndim == 4]
    assert all(
        not np.array_equal(a, b)
        for a, b in zip(kernels, [w for w in other.get_weights() if w.ndim == 4])
    )
    starts = [tuple(w.ravel()[:2]) for w in kernels]
    assert len(set(starts)) == len(starts)


def test_kernels_start_with_the_variance_of_their_fan_in():
    shape = (3, 3, 256, 512)
    (kernel,) = [w for w in encoders.resnet(18, stem="cifar").get_weights() if w.shape == shape]
    assert kernel.std() == pytest.approx((1 / (9 * 256)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("depth", [18, 50])
def test_blocks_start_as_their_shortcut(depth):
    """The last gamma of each block is 0: 8 or 16 of them, and no other."""
    gammas = [v for v in tiny(depth=depth).trainable_variables if v.name == "gamma"]
    values = [set(v.numpy().tolist()) for v in gammas]
    assert values.count({0.0}) == sum(BLOCKS[depth][1])
    assert values.count({1.0}) == len(values) - sum(BLOCKS[depth][1])


def test_strided_convolutions_pad_before_and_after_as_the_reference():
    """A 3x3 of ones, stride 2, on a 4x4 of ones: one row of zeros before, one after."""
    inputs = keras.Input((4, 4, 1))
    parts = Parts(keras.layers.BatchNormalization, 0.9, 0, 0, seed=0)
    model = keras.Model(inputs, parts.conv(inputs, 1, 3, stride=2))
    model.set_weights([np.ones((3, 3, 1, 1))])
    out = model(np.ones((1, 4, 4, 1), np.float32)).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(out, [[4, 6], [6, 9]])


def test_selective_kernel_weights_sum_to_one():
    """With equal streams, mixing them changes nothing."""
    inputs = keras.Input((4, 4, 8))
    parts = Parts(keras.layers.BatchNormalization, 0.9, 0.0625, 0, seed=0)
    mixed = parts.selective_kernel(inputs, 8, 1)
    model = keras.Model(inputs, mixed)
    streams = keras.Model(
        inputs, next(layer.output for layer in model.layers if isinstance(layer, keras.layers.ReLU))
    )
    weights = model.get_weights()
    weights[0][..., 8:] = weights[0][..., :8]
    model.set_weights(weights)
    x = np.random.default_rng(0).random((2, 4, 4, 8), np.float32)
    np.testing.assert_allclose(model(x), streams(x)[..., :8], rtol=1e-5)


def test_input_normalization_is_part_of_the_encoder_and_saved_with_it(tmp_path):
    plain, own = tiny(), tiny(input_normalization="imagenet")
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    standardized = (images - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(own(images), plain(standardized.astype("float32")), atol=1e-5)
    own.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(images), own(images))


@pytest.mark.parametrize(
    "options,name",
    [
        ({"depth": 19}, "depth"),
        ({"stem": "vgg"}, "stem"),
        ({"width_multiplier": 0.001}, "width"),
        ({"input_normalization": "cifar"}, "input_normalization"),
        ({"channels": 0}, "channels"),
        ({"channels": 4, "input_normalization": "imagenet"}, "channels.*imagenet"),
    ],
)
def test_bad_arguments(options, name):
    with pytest.raises(ValueError, match=name):
        tiny(**options)


@pytest.mark.parametrize("stem, kernel", [("cifar", 3), ("imagenet", 7)])
@pytest.mark.parametrize("channels", [1, 2, 4, 6, 13])
def test_images_of_any_channels_differ_in_the_first_kernel_alone(channels, stem, kernel):
    rgb, other = tiny(stem=stem), tiny(stem=stem, channels=channels)
    assert other.input_shape == (None, None, None, channels)
    first, *rest = other.weights
    assert first.shape == (kernel, kernel, channels, rgb.weights[0].shape[-1])
    assert [w.path for w in other.weights] == [w.path for w in rgb.weights]
    for ours, theirs in zip(rest, rgb.weights[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = np.random.default_rng(0).random((2, 40, 33, channels), np.float32)
    h = other(images)
    assert h.shape == (2, rgb.output_shape[1]) and np.std(h) > 0


def test_weights_of_rgb_are_those_of_version_0_2():
    """The sum of their magnitudes, as that version made them."""
    encoder = tiny(seed=7)
    assert [layer.name for layer in encoder.layers[:4]] == ["images", "conv1", "norm1", "stem"]
    total = sum(np.abs(w).sum(dtype=np.float64) for w in encoder.get_weights())
    assert total == pytest.approx(3190.133344549542, rel=1e-7)


def test_weights_behind_the_stem_go_to_images_of_other_channels():
    rgb, other = tiny(seed=1), tiny(seed=2, channels=6)
    encoders.copy_all_but_the_stem(rgb, other)
    for theirs, ours in zip(rgb.weights[5:], other.weights[5:], strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_the_narrowest_network_has_a_filter_everywhere():
    encoder = encoders.resnet(
        50, stem="imagenet", width_multiplier=1 / 64, sk_ratio=0.0625, se_ratio=0.1
    )
    assert encoder(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 32)
    assert min(np.prod(v.shape) for v in encoder.variables) >= 1
