"""The composed views: range, seeding, probabilities, and the same numbers in every mode."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfssl.augment import ops, recipes

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


def test_compiled_view_draws_and_computes_the_same_numbers():
    view = ops.compose(*VIEWS["simclr"])
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
