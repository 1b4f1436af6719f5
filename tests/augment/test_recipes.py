"""The composed views: range, seeding, probabilities, and the same numbers in every mode."""

import warnings

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfssl import augment
from tfssl.augment import recipes
from tfssl.config import Config
from tfssl.runner import recipes as of_flags

SEED = tf.constant([2, 71])
FULL = dict(blur_p=0.5, solarize_p=0.2)


def random_images(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


VIEWS = {
    "simclr": recipes.simclr_view((24, 20), **FULL),
    "byol": recipes.simclr_view(
        (24, 20),
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        brightness_mode="additive",
        **FULL,
    ),
    "supervised": recipes.supervised_view((24, 20)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_view_has_its_size_and_range_eagerly_and_in_tf_data(name):
    images = random_images(16, 32, 32)
    eager = VIEWS[name](images, SEED).numpy()
    assert eager.shape == (16, 24, 20, 3) and eager.dtype == np.float32
    assert 0 <= eager.min() and eager.max() <= 1
    mapped = tf.data.Dataset.from_tensors(images).map(lambda batch: VIEWS[name](batch, SEED))
    assert mapped.element_spec.shape == eager.shape
    np.testing.assert_allclose(next(iter(mapped)), eager, atol=1e-4)


@pytest.mark.slow
@pytest.mark.ci
def test_compiled_view_draws_and_computes_the_same_numbers():
    view = VIEWS["simclr"].whole
    images = random_images(65, 32, 32)
    drawn = view.draw(SEED, images)
    eager = drawn, view.apply(images, drawn)

    @tf.function(jit_compile=True)
    def compiled(images):
        drawn = view.draw(SEED, images)
        return drawn, view.apply(images, drawn)

    in_data = next(iter(tf.data.Dataset.from_tensors(images).map(compiled)))
    for ours, theirs in zip(tf.nest.flatten(in_data), tf.nest.flatten(eager)):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_images_of_different_sizes_crop_alone_then_batch():
    view = recipes.simclr_view((16, 16))
    images = [random_images(1, 20 + i, 30 - i) for i in range(4)]
    dataset = tf.data.Dataset.from_generator(
        lambda: images, output_signature=tf.TensorSpec([1, None, None, 3])
    )
    crops = dataset.map(lambda image: view.crop(image, SEED)[0]).batch(4)
    batch = next(iter(crops.map(lambda batch: view.pixels(batch, SEED))))
    assert batch.shape == (4, 16, 16, 3)
    np.testing.assert_allclose(view.crop(images[2], SEED)[0], next(iter(crops))[2], atol=1e-5)


def test_views_differ_by_seed_and_by_image():
    view = recipes.simclr_view((16, 16))
    images = np.repeat(random_images(1, 32, 32), 8, axis=0)
    result = view(images, SEED).numpy()
    np.testing.assert_array_equal(view(images, SEED), result)
    others = view(images, SEED + 1).numpy()
    views = np.concatenate([result, others]).reshape(16, -1)
    assert len(np.unique(views.round(4), axis=0)) == 16


@pytest.mark.parametrize(
    "name, p",
    [
        ("jitter_p", 0.8),
        ("grayscale_p", 0.2),
        ("blur_p", 0.1),
        ("solarize_p", 0.3),
        ("flip_p", 0.5),
    ],
)
def test_each_probability_is_its_own(name, p):
    off = dict.fromkeys(["jitter_p", "grayscale_p", "blur_p", "solarize_p", "flip_p"], 0.0)
    pixels = recipes.simclr_view((8, 8), **off | {name: p}).pixels
    images = np.repeat(random_images(1, 8, 8), 2000, axis=0)
    changed = np.any(pixels(images, SEED).numpy() != images, axis=(1, 2, 3)).sum()
    assert scipy.stats.binomtest(int(changed), 2000, p).pvalue > 1e-3
    assert np.array_equal(recipes.simclr_view((8, 8), **off).pixels(images, SEED), images)


def test_strength_scales_all_four_changes():
    pixels = recipes.simclr_view((8, 8), jitter_p=1.0, jitter_strength=0.5).pixels
    draws = pixels.draw(SEED, tf.zeros([2000, 1, 1, 3]))["1_color_jitter"]
    for name, centre, reach in [
        ("brightness", 1, 0.4),
        ("contrast", 1, 0.4),
        ("saturation", 1, 0.4),
        ("hue", 0, 0.1),
    ]:
        uniform = scipy.stats.uniform(centre - reach, 2 * reach)
        assert scipy.stats.kstest(draws[name], uniform.cdf).pvalue > 1e-3


def test_supervised_view_changes_no_colour():
    plain = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), [4, 20, 20, 3])
    result = recipes.supervised_view((16, 16))(plain, SEED)
    np.testing.assert_allclose(result, plain[:, :16, :16], atol=1e-5)


def assert_same(one, other):
    images = random_images(8, 20, 24)
    np.testing.assert_array_equal(one(images, SEED), other(images, SEED))


@pytest.mark.parametrize(
    "size, sides, strength, blur_p",
    [
        (32, (32, 32), 0.5, 0.0),
        (63, (63, 63), 0.5, 0.0),
        (64, (64, 64), 1.0, 0.5),
        ((16, 80), (16, 80), 0.5, 0.0),
        ((80, 64), (80, 64), 1.0, 0.5),
    ],
)
def test_simclr_has_the_papers_strength_and_blur_by_size(size, sides, strength, blur_p):
    expected = augment.simclr_view(sides, jitter_strength=strength, blur_p=blur_p)
    assert_same(augment.simclr(size), expected)


def test_simclr_takes_other_settings_than_the_papers():
    given = dict(jitter_strength=0.7, blur_p=1.0, solarize_p=0.5, crop_area=(0.3, 0.5))
    assert_same(augment.simclr(8, **given), augment.simclr_view((8, 8), **given))
    off = dict(jitter_strength=0.0, blur_p=0.0)
    assert_same(augment.simclr(64, **off), augment.simclr_view((64, 64), **off))


def test_byol_is_what_the_command_line_trains_on():
    views = augment.byol((24, 20))
    config = Config(method="byol")
    for ours, theirs in zip(views, of_flags.views(config, (24, 20)), strict=True):
        assert_same(ours, theirs)


def test_byols_views_differ_in_blur_and_solarization_as_in_the_paper():
    images = np.repeat(random_images(1, 8, 8), 2000, axis=0)
    first, second = (view.pixels.draw(SEED, images) for view in augment.byol(8))
    assert "4_blur" in first and "5_identity" in first
    for name, p in (("4_maybe_blur", 0.1), ("5_maybe_solarize", 0.2)):
        chosen = int(np.sum(second[name]["chosen"]))
        assert scipy.stats.binomtest(chosen, 2000, p).pvalue > 1e-3


def test_supervised_is_crop_and_flip():
    assert_same(augment.supervised(16), augment.supervised_view((16, 16)))
    given = dict(crop_area=(0.5, 1.0), flip_p=0.0)
    assert_same(augment.supervised((9, 16), **given), augment.supervised_view((9, 16), **given))


BUILDS = {
    "simclr": augment.simclr,
    "simclr_view": augment.simclr_view,
    "byol": augment.byol,
}


@pytest.mark.parametrize("name", BUILDS)
def test_colours_are_left_out_of_other_channels_with_one_warning(name):
    with pytest.warns(UserWarning) as told:
        BUILDS[name](8, channels=6)
    (warning,) = told
    assert str(warning.message) == (
        "Left out of the view, as images need 3 channels for it: saturation, hue, grayscale. "
        "Received: channels=6"
    )
    assert warning.filename == __file__


@pytest.mark.parametrize(
    "settings, named",
    [
        (dict(saturation=0.0), "hue, grayscale"),
        (dict(grayscale_p=0.0), "saturation, hue"),
        (dict(jitter_p=0.0), "grayscale"),
        (dict(jitter_strength=0.0), "grayscale"),
    ],
)
def test_only_what_is_on_is_named(settings, named):
    with pytest.warns(UserWarning, match=f"for it: {named}. Received: channels=1$"):
        augment.simclr_view(8, 1, **settings)


@pytest.mark.parametrize(
    "build",
    [
        lambda: augment.simclr(8),
        lambda: augment.byol(8),
        lambda: augment.supervised(8, 6),
        lambda: augment.supervised_view(8, 6),
        lambda: augment.simclr(8, 6, saturation=0.0, hue=0.0, grayscale_p=0.0),
        lambda: augment.simclr(8, 6, jitter_p=0.0, grayscale_p=0.0),
    ],
)
def test_nothing_is_said_where_nothing_is_left_out(build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()


@pytest.mark.filterwarnings("ignore:Left out of the view")
@pytest.mark.parametrize("channels", [1, 2, 4, 6, 13])
def test_recipes_of_any_channels(channels):
    images = np.random.default_rng(0).random((16, 20, 24, channels), np.float32)
    for view in (
        augment.simclr((12, 10), channels, blur_p=0.5),
        *augment.byol((12, 10), channels),
        augment.supervised((12, 10), channels),
    ):
        result = view(images, SEED).numpy()
        assert result.shape == (16, 12, 10, channels) and result.dtype == np.float32
        assert 0 <= result.min() and result.max() <= 1 and result.std() > 0.05
    drawn = augment.simclr(8, channels, jitter_p=1.0).pixels.draw(SEED, images)["1_color_jitter"]
    assert set(drawn) == {"order", "brightness", "contrast"}


@pytest.mark.parametrize("build", [*BUILDS.values(), augment.supervised, augment.supervised_view])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0,), "`size` must be two positive sides. Received: size=(0, 0)"),
        (("32",), "`size` must be a side or (height, width), in pixels. Received: size='32'"),
        (((1, 2, 3),), "`size`"),
        ((8.5,), "`size`"),
        ((8, 0), "`channels` must be a positive integer. Received: channels=0"),
        ((8, 2.0), "`channels`"),
    ],
)
def test_bad_sizes_and_channels_are_refused(build, arguments, message):
    with pytest.raises(ValueError) as error:
        build(*arguments)
    assert message in str(error.value)
