import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfssl.data import shapes

COUNT = len(shapes.CLASSES)


@pytest.fixture(scope="module")
def splits():
    return shapes.generate("train", 4000, 32, 0), shapes.generate("test", 1000, 32, 0)


def clean(labels, height, width, seed=0, **changes):
    """Scenes without noise, with some of their properties replaced."""
    scene = shapes.random_scene(np.random.default_rng(seed), len(labels)) | changes
    return shapes.render(labels, scene, height, width)


def distances(labels, height, width):
    scene = shapes.random_scene(np.random.default_rng(0), len(labels))
    short = min(height, width)
    x = ((np.arange(width) + 0.5 - width / 2) * 2 / short).astype(np.float32)
    y = ((np.arange(height) + 0.5 - height / 2) * 2 / short).astype(np.float32)
    return shapes.figure_distance(
        labels, scene, (x[None, None, :], y[None, :, None]), (width / short, height / short)
    )


def pixel_accuracy(train, test, classifier):
    """Accuracy on test of a classifier of pixels."""
    (pixels, labels), (test_pixels, test_labels) = (
        (images.reshape(len(images), -1).astype(np.float32), own) for images, own in (train, test)
    )
    return classifier.fit(pixels, labels).score(test_pixels, test_labels)


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=20))


def test_ten_classes_and_customary_sizes():
    assert len(set(shapes.CLASSES)) == COUNT == 10
    assert set(shapes.NUM_EXAMPLES) == {"train", "test"}
    assert shapes.BLOCK % COUNT == 0


@pytest.mark.parametrize("size, shape", [(32, (32, 32)), ((24, 40), (24, 40)), ((1, 1), (1, 1))])
def test_shapes_and_types(size, shape):
    images, labels = shapes.generate("train", 13, size, 0)
    assert images.shape == (13, *shape, 3) and images.dtype == np.uint8
    assert labels.shape == (13,) and labels.dtype == np.int64


def test_labels_are_balanced_in_every_ten_and_not_in_order():
    labels = shapes.generate("train", 250, 4, 0)[1]
    tens = labels.reshape(-1, COUNT)
    assert (np.sort(tens, axis=1) == np.arange(COUNT)).all()
    assert len(np.unique(tens, axis=0)) == len(tens)


@pytest.mark.slow
def test_another_process_draws_the_same():
    def digest(pair):
        return hashlib.sha256(pair[0].tobytes() + pair[1].tobytes()).hexdigest()

    code = (
        "import hashlib; from tfssl.data import shapes;"
        "a, b = shapes.generate('test', 120, 16, 3);"
        "print(hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(shapes.generate("test", 120, 16, 3))


def test_splits_seeds_and_places_hold_different_images():
    sets = [
        shapes.generate(*key)[0]
        for key in (
            ("train", 300, 8, 0),
            ("test", 300, 8, 0),
            ("train", 300, 8, 1),
            ("test", 300, 8, 1),
        )
    ]
    rows = np.concatenate(sets).reshape(1200, -1)
    assert len(np.unique(rows, axis=0)) == 1200


def test_more_examples_extend_fewer():
    images, labels = shapes.generate("train", 230, (8, 12), 5)
    for fewer in (1, 99, 100, 101, 200):
        prefix_images, prefix_labels = shapes.generate("train", fewer, (8, 12), 5)
        np.testing.assert_array_equal(prefix_images, images[:fewer])
        np.testing.assert_array_equal(prefix_labels, labels[:fewer])


def test_labels_do_not_depend_on_the_size():
    np.testing.assert_array_equal(
        shapes.generate("train", 130, 4, 0)[1], shapes.generate("train", 130, (6, 9), 0)[1]
    )


def test_draw_takes_a_seed_or_a_generator_and_advances_it():
    labels, rng = np.arange(COUNT), np.random.default_rng(7)
    first = shapes.draw(labels, 16, rng)
    np.testing.assert_array_equal(first, shapes.draw(labels, 16, 7))
    assert (first != shapes.draw(labels, 16, rng)).any()


def test_a_larger_image_is_the_same_scene():
    labels = np.arange(50) % COUNT
    small, large = clean(labels, 32, 32), clean(labels, 128, 128)
    pooled = large.reshape(50, 32, 4, 32, 4, 3).mean((2, 4))
    assert np.abs(pooled - small).mean() < 1.5  # levels of 255
    covered = [(distances(labels, size, size) < 0).mean((1, 2)) for size in (32, 128)]
    np.testing.assert_allclose(*covered, atol=0.02)


def test_a_larger_image_is_drawn_finer_and_not_enlarged():
    labels = np.arange(50) % COUNT
    small, large = clean(labels, 32, 32), clean(labels, 96, 96)
    blocks = large.reshape(50, 32, 3, 32, 3, 3)  # each flat, were it an enlarged pixel
    assert (blocks.max((2, 4)) - blocks.min((2, 4))).max((1, 2, 3)).min() > 50  # levels of 255
    one_pixel_step = [np.abs(np.diff(images, axis=2)).max((1, 2, 3)) for images in (small, large)]
    assert np.mean(one_pixel_step[1] >= 0.9 * one_pixel_step[0]) > 0.9  # and as sharp, per pixel


def test_non_square_images_hold_the_whole_figure_undistorted():
    labels = np.arange(40) % COUNT
    square, wide, tall = (distances(labels, *size) < 0 for size in ((64, 64), (64, 96), (96, 64)))
    assert wide.any((1, 2)).all() and tall.any((1, 2)).all()
    np.testing.assert_allclose(wide.sum((1, 2)), square.sum((1, 2)), rtol=0.08)
    np.testing.assert_allclose(tall.sum((1, 2)), square.sum((1, 2)), rtol=0.08)


@pytest.mark.parametrize("figure", shapes.FIGURES, ids=shapes.CLASSES)
def test_figures_are_distances_of_like_area_within_reach(figure):
    axis = np.linspace(-1.5, 1.5, 601, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    distance = figure(x, y)
    assert distance.dtype == np.float32
    assert 1.3 < (distance < 0).mean() * 9 < 1.6
    assert np.hypot(x, y)[distance < 0].max() < 1.15
    slope = np.hypot(*np.gradient(distance, 0.005))
    assert 0.5 < np.median(slope[np.abs(distance) < 0.02]) < 1.3


def test_scenes_are_drawn_without_the_label():
    rng = np.random.default_rng(0)
    shapes.draw(np.zeros(20, int), 8, rng)
    other = np.random.default_rng(0)
    shapes.draw(np.arange(20) % COUNT, 8, other)
    assert rng.random() == other.random()


def test_hollow_figures_are_rarer_and_show_the_ground():
    scene = shapes.random_scene(np.random.default_rng(0), 2000)
    assert abs(scene["hollow"].mean() - shapes.HOLLOW) < 4 * np.sqrt(0.25 / 2000)
    labels = np.zeros(200, int)
    solid, hollow = (clean(labels, 64, 64, hollow=np.full((200, 1, 1), on)) for on in (False, True))
    middle = distances(labels, 64, 64) < -0.45 * scene["radius"][:200]
    assert (np.abs(solid - hollow).max(-1)[middle] > 5).mean() > 0.8


def test_mean_colour_says_next_to_nothing(splits):
    (images, labels), (test_images, test_labels) = splits
    colour = [
        np.concatenate([each.mean((1, 2)), each.std((1, 2))], 1) / 64
        for each in (images, test_images)
    ]
    accuracy = LogisticRegression(max_iter=200).fit(colour[0], labels).score(colour[1], test_labels)
    assert accuracy < 0.2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pixels_do_not_give_the_class_to_a_linear_classifier(splits):
    assert pixel_accuracy(*splits, logistic()) < 0.35


def test_pixels_do_not_give_the_class_to_their_neighbours(splits):
    """The nearest may be the same figure in about the same pose; a vote is not that lucky."""
    assert pixel_accuracy(*splits, KNeighborsClassifier(1)) < 0.4
    assert pixel_accuracy(*splits, KNeighborsClassifier(20)) < 0.25


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_the_pose_and_the_colours_that_hide_the_class():
    """The control of the tests above: held still, the same figures are easy."""
    still = {"x": 0, "y": 0, "angle": 0, "mirror": 1, "ground": 0.4, "figure": 0.8}
    still = {key: np.full((600, 1, 1), value, np.float32) for key, value in still.items()}
    still |= {key: still[key][..., None].repeat(3, axis=-1) for key in ("ground", "figure")}
    labels = np.arange(600) % COUNT
    train, test = ((clean(labels, 32, 32, seed, **still), labels) for seed in (0, 1))
    assert pixel_accuracy(train, test, logistic()) > 0.9


@pytest.mark.slow
def test_a_small_supervised_network_learns_it():
    import keras

    keras.utils.set_random_seed(0)
    epochs, batch = 5, 64
    train, test = (
        shapes.generate(split, number, 32, 0) for split, number in shapes.NUM_EXAMPLES.items()
    )
    network = keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1.0)])
    for filters in (24, 48, 96, 128):
        network.add(keras.layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(keras.layers.BatchNormalization(momentum=0.9))
        network.add(keras.layers.ReLU())
        network.add(keras.layers.MaxPooling2D())
    network.add(keras.layers.Flatten())
    network.add(keras.layers.Dense(COUNT))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(train[1]) // batch)
    network.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(*train, batch_size=batch, epochs=epochs, verbose=0)
    accuracy = network.evaluate(*test, verbose=0)[1]
    assert accuracy > 0.9


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("validation", 1, 32, 0),
            "`split` must be one of train, test. Received: split=validation",
        ),
        (("train", 0, 32, 0), "`num_examples` must be at least 1. Received: num_examples=0"),
        (("train", 1, 32, -1), "`seed` must be at least 0. Received: seed=-1"),
        (("train", 1, (0, 32), 0), "`image_size` must be a positive integer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        shapes.generate(*arguments)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("labels", [[10], [-1], [[0]]])
def test_bad_labels(labels):
    with pytest.raises(ValueError, match="`labels` must be"):
        shapes.draw(labels, 32, 0)
