"""Operations on images of any number of channels: each channel as if it were one of RGB."""

import numpy as np
import pytest
import tensorflow as tf

from tfssl.augment import ops

SEED = tf.constant([27, 18])
CHANNELS = [1, 2, 4, 6, 13]
EXACT = [
    ops.identity(),
    ops.flip_left_right(),
    ops.rotate(),
    ops.rotate((-0.5, 2.0), fill="constant", value=0.4),
    ops.quarter_turns(fill="nearest"),
    ops.color_jitter(0.8, 0.0, 0.0, 0.0),
    ops.color_jitter(0.4, 0.0, 0.0, 0.0, brightness_mode="additive"),
    ops.blur(),
    ops.blur(taps=5, padding="constant"),
    ops.solarize(),
    ops.clip(),
    ops.maybe(ops.solarize(), 0.5),
    ops.maybe(ops.blur(), 0.5),
    ops.flip_up_down(),
    ops.elastic(),
    ops.erase(),
    ops.cutout(),
]
ROUNDED = [  # a sum over a row or an image may be taken in another order
    ops.random_resized_crop((24, 20)),
    ops.gamma(),
    ops.levels(0.2, 0.5, per_channel=False),
    ops.color_jitter(0.8, 0.8, 0.0, 0.0),
    ops.color_jitter(0.0, 0.4, 0.0, 0.0),
    ops.maybe(ops.color_jitter(0.4, 0.4, 0.0, 0.0, brightness_mode="additive"), 0.8),
]
CASES = [(op, 0.0) for op in EXACT] + [(op, 2e-6) for op in ROUNDED]
WHOLE = ops.compose(
    ops.random_resized_crop((12, 10)),
    ops.flip_left_right(),
    ops.maybe(ops.color_jitter(0.8, 0.8, 0.0, 0.0), 0.8),
    ops.clip(),
    ops.maybe(ops.blur(), 0.5),
    ops.rotate(),
)


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def as_rgb(apply, images, drawn):
    """The operation on every channel by itself, as three equal channels."""
    results = [
        np.asarray(apply(np.repeat(images[..., [c]], 3, axis=3), drawn))
        for c in range(images.shape[3])
    ]
    # A product of matrices may add up in another order for each column.
    assert all(np.allclose(r[..., 0], r[..., 2], rtol=0, atol=1e-6) for r in results)
    return np.stack([r[..., 0] for r in results], axis=3)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op, tolerance", CASES, ids=lambda case: getattr(case, "name", None))
def test_a_channel_is_changed_as_one_of_rgb(op, tolerance, channels):
    images = random_images(4, 32, 40, channels)
    drawn = op.draw(SEED, images)
    np.testing.assert_allclose(
        op.apply(images, drawn), as_rgb(op.apply, images, drawn), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", EXACT + ROUNDED, ids=lambda op: op.name)
def test_draws_do_not_depend_on_the_channels(op, channels):
    other, rgb = (op.draw(SEED, tf.zeros([5, 9, 12, c])) for c in (channels, 3))
    tf.nest.map_structure(np.testing.assert_array_equal, other, rgb)


@pytest.mark.parametrize("op", EXACT + ROUNDED, ids=lambda op: op.name)
def test_graphs_of_unknown_shape_give_the_same(op):
    images = random_images(3, 32, 40, 6)
    eager = op(images, SEED)
    unknown = tf.TensorSpec([None, None, None, None])
    graph = tf.function(op, input_signature=[unknown, tf.TensorSpec([2], tf.int32)])
    np.testing.assert_allclose(graph(images, SEED), eager, atol=1e-5)


@pytest.mark.slow  # all of them together are compiled below
@pytest.mark.parametrize("op", EXACT + ROUNDED, ids=lambda op: op.name)
def test_compiled_ones_give_the_same(op):
    images = random_images(3, 32, 40, 6)
    # XLA's sine moves a place between two pixels by a few millionths.
    compiled = tf.function(op, jit_compile=True)(images, SEED)
    np.testing.assert_allclose(compiled, op(images, SEED), atol=1e-4)


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 13])
def test_one_image_by_itself_is_changed_alike(channels):
    images = random_images(5, 64, 64, channels)
    each = tf.function(ops.one_by_one(WHOLE), jit_compile=True)(images, SEED)
    np.testing.assert_allclose(each, WHOLE(images, SEED), atol=1e-4)


@pytest.mark.parametrize(
    "channels", [n if n == 6 else pytest.param(n, marks=pytest.mark.slow) for n in CHANNELS]
)
@pytest.mark.slow
def test_blocks_change_nothing(channels):
    images = random_images(7, 16, 16, channels)
    expected = WHOLE(images, SEED)
    for pixels in (1, 3 * 256, 7 * 256 * 5):
        blocks = tf.function(ops.in_blocks(WHOLE, pixels))(images, SEED)
        np.testing.assert_allclose(blocks, expected, atol=1e-5)


@pytest.mark.parametrize("channels, expected", [(1, 6), (3, 2), (6, 1), (13, 1)])
def test_a_block_is_of_so_many_numbers_whatever_the_channels(channels, expected):
    sizes = []

    def apply(images, drawn):
        sizes.append(images.shape[0])
        return images

    watched = ops.Op("watched", lambda seed, images: {}, apply)
    images = tf.zeros([12, 8, 8, channels])
    np.testing.assert_array_equal(ops.in_blocks(watched, 2 * 64)(images, SEED), images)
    assert set(sizes) == {expected}


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shape", [(40, 92), (3, 31, 20)])
def test_the_central_crop_takes_any_channels(shape, channels):
    images = random_images(*shape, channels)
    result = ops.center_crop(images, (12, 16), 0.875).numpy()
    for c in range(channels):
        rgb = ops.center_crop(np.repeat(images[..., [c]], 3, axis=-1), (12, 16), 0.875)
        np.testing.assert_allclose(result[..., c], rgb[..., 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_crop_of_an_image_takes_any_type_and_channels(dtype, channels):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    image = (full * random_images(30, 44, channels)).astype(dtype)
    window = (3, 5, 20, 33)
    crop = ops.random_resized_crop((16, 12))
    for given in (image, tf.constant(image)):
        ours = crop.of_image(given, window)
        assert ours.shape == (16, 12, channels) and ours.dtype == tf.float32
        drawn = dict(zip(("top", "left", "height", "width"), np.float32(window)[:, None]))
        batch = ops.on_bytes(crop).apply(image[np.newaxis], drawn)
        np.testing.assert_allclose(ours, batch[0], atol=5e-3)


COLOURS = [
    (ops.color_jitter(0.8, 0.8, 0.8, 0.2), "saturation and hue"),
    (ops.color_jitter(0.0, 0.8, 0.8, 0.0), "saturation"),
    (ops.color_jitter(0.0, 0.0, 0.0, 0.2), "hue"),
    (ops.grayscale(), "grayscale"),
    (ops.maybe(ops.grayscale(), 0.5), "grayscale"),
    (ops.one_by_one(ops.maybe(ops.color_jitter(0.1, 0.1, 0.0, 0.1), 0.5)), "hue"),
]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("op, what", COLOURS)
def test_colours_refuse_images_that_are_not_rgb(op, what, channels):
    images = random_images(2, 8, 8, channels)
    message = f"`images` must have 3 channels for {what}. Received: shape=(2, 8, 8, {channels})"
    for call in (op, tf.function(op), tf.function(op, jit_compile=True)):
        with pytest.raises(ValueError) as error:
            call(images, SEED)
        assert message in str(error.value)
    with pytest.raises(ValueError, match="must have 3 channels"):
        tf.data.Dataset.from_tensors(images).map(lambda batch: op(batch, SEED))


@pytest.mark.parametrize("op, _", COLOURS)
def test_colours_find_the_channels_when_they_run(op, _):
    unknown = tf.TensorSpec([None, None, None, None])
    graph = tf.function(op, input_signature=[unknown, tf.TensorSpec([2], tf.int32)])
    rgb = random_images(6, 8, 8, 3)
    np.testing.assert_allclose(graph(rgb, SEED), op(rgb, SEED), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(random_images(6, 8, 8, 6), SEED)
