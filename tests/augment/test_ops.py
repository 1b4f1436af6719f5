"""Each operation against TensorFlow's own, hand-computed pixels and measured probabilities."""

import itertools
import math
import pathlib

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf

from tests.helpers import costly
from tfssl.augment import ops

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SEED = tf.constant([3, 14])
WINDOW = ("top", "left", "height", "width")
EVERY_OP = [
    ops.identity(),
    ops.random_resized_crop((24, 20)),
    ops.flip_left_right(),
    ops.rotate(),
    ops.rotate((-0.5, 2.0), fill="constant", value=0.4),
    ops.quarter_turns(fill="nearest"),
    ops.color_jitter(0.8, 0.8, 0.8, 0.2),
    ops.color_jitter(0.4, 0.4, 0.2, 0.1, brightness_mode="additive"),
    ops.color_jitter(0.0, 0.4, 0.0, 0.1),
    ops.grayscale(),
    ops.blur(),
    ops.blur(taps=5, padding="constant"),
    ops.solarize(),
    ops.clip(),
    ops.maybe(ops.blur(), 0.5),
]


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, 3), np.float32)


def chance(count, trials, p):
    """The probability of a count at least this far from p * trials."""
    return scipy.stats.binomtest(int(count), trials, p).pvalue


def windows(*boxes):
    """A crop's draw: one (top, left, height, width) per image."""
    return dict(zip(WINDOW, np.array(boxes, np.float32).T))


def jitter_with(images, order, **drawn):
    """One colour jitter with known values: the same for every image."""
    batch = len(images)
    known = {name: tf.fill([batch], float(value)) for name, value in drawn.items()}
    strengths = [0.3 * (name in drawn) for name in ("brightness", "contrast", "saturation", "hue")]
    known["order"] = tf.constant([order] * batch)
    return ops.color_jitter(*strengths).apply(images, known).numpy()


@pytest.mark.parametrize("jitter", [(0.8, 0.8, 0.8, 0.2), (0.5, 0.0, 0.5, 0.0, "additive")])
@pytest.mark.parametrize(
    "compiled,sizes",  # 1, 3 with a block to fill up, 4, all at once
    [
        (False, (1, 3, 4, 7)),
        costly(True, (3,)),
        pytest.param(True, (1, 4, 7), marks=pytest.mark.slow),
    ],
)
def test_blocks_change_nothing_even_of_one_image(compiled, sizes, jitter):
    op = ops.compose(
        ops.random_resized_crop((12, 10)),
        ops.maybe(ops.color_jitter(*jitter), 0.8),
        ops.maybe(ops.grayscale(), 0.5),
        ops.flip_left_right(),
    )
    images = random_images(7, 16, 16)
    expected = op(images, SEED)
    for size in sizes:
        blocks = tf.function(ops.in_blocks(op, size * 256), jit_compile=compiled)(images, SEED)
        np.testing.assert_allclose(blocks, expected, atol=1e-5)


@pytest.mark.parametrize("side", [costly(8), 64])  # as a batch; each by itself
def test_one_by_one_changes_nothing(side):
    op = ops.compose(
        ops.maybe(ops.color_jitter(0.4, 0.4, 0.2, 0.1), 0.8),
        ops.maybe(ops.grayscale(), 0.3),
        ops.maybe(ops.blur(), 0.5),
        ops.maybe(ops.solarize(), 0.3),
    )
    images = random_images(5, side, side)
    each = tf.function(ops.one_by_one(op), jit_compile=True)(images, SEED)
    np.testing.assert_allclose(each, op(images, SEED), atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype, full", [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_become_fractions(dtype, full, compiled):
    images = np.array([[[[0, full // 5, full]]]], dtype)
    convert = tf.function(ops.on_bytes(ops.identity()), jit_compile=compiled)
    np.testing.assert_allclose(convert(images, SEED), [[[[0, 0.2, 1]]]])
    assert convert(images, SEED).dtype == tf.float32


def test_fractions_pass():
    images = random_images(2, 3, 3)
    assert ops.as_float(images) is images
    np.testing.assert_array_equal(ops.on_bytes(ops.clip())(images, SEED), images)


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: op.name)
def test_same_numbers_eagerly_and_in_tf_data(op):
    images = random_images(4, 32, 40)
    images[:2] = np.round(images[:2])  # black and white pixels have no hue and no saturation
    eager = np.asarray(op(images, SEED))
    dataset = tf.data.Dataset.from_tensors(images).map(lambda batch: op(batch, SEED))
    unknown_size = tf.data.Dataset.from_generator(
        lambda: [images], output_signature=tf.TensorSpec([None, None, None, 3])
    ).map(lambda batch: op(batch, SEED))
    np.testing.assert_allclose(next(iter(dataset)), eager, atol=1e-5)
    np.testing.assert_allclose(next(iter(unknown_size)), eager, atol=1e-5)


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: op.name)
def test_range_is_kept(op):
    images = np.round(random_images(8, 32, 40))
    result = ops.compose(op, ops.clip())(images, SEED) if "crop" in op.name else op(images, SEED)
    assert 0 <= np.min(result) and np.max(result) <= 1 + 1e-6


@pytest.mark.parametrize(
    "op", [op for op in EVERY_OP if op.draw(SEED, np.zeros([1, 8, 8, 3]))], ids=lambda op: op.name
)
def test_images_draw_independently_and_repeatably(op):
    images = np.repeat(random_images(1, 32, 32), 16, axis=0)
    result = op(images, SEED).numpy()
    np.testing.assert_array_equal(op(images, SEED), result)
    assert not np.array_equal(op(images, SEED + 1), result)
    assert np.abs(result - result[:1]).max(axis=(1, 2, 3)).astype(bool).sum() > 1


def test_compose_runs_left_to_right_and_neighbours_do_not_share_draws():
    images = random_images(4, 8, 8)
    inverted_then_gray = ops.compose(ops.solarize(0.0), ops.grayscale())(images, SEED)
    np.testing.assert_allclose(inverted_then_gray, ops.grayscale()(1 - images, SEED), atol=1e-6)
    twice = ops.compose(ops.blur(), ops.blur()).draw(SEED, images)
    first, second = (draw["sigma"].numpy() for draw in twice.values())
    assert not np.any(first == second)
    alone = ops.compose(ops.identity(), ops.blur()).draw(SEED, images)
    np.testing.assert_array_equal(alone["1_blur"]["sigma"], second)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_maybe_applies_with_its_probability(p):
    images = np.zeros([4000, 1, 1, 3], np.float32)
    changed = ops.maybe(ops.solarize(0.0), p)(images, SEED).numpy()[:, 0, 0, 0] == 1
    assert chance(changed.sum(), 4000, p) > 1e-3
    repeats = (changed[1:] & changed[:-1]).sum()
    assert abs(repeats - 3999 * p * p) < 4 * np.sqrt(3999 * p * p)


def test_maybe_with_certainty_builds_nothing():
    op = ops.solarize()
    assert ops.maybe(op, 1) is op
    images = random_images(2, 4, 4)
    assert ops.maybe(op, 0.0)(images, SEED) is images


def test_flip_mirrors_half_of_the_images():
    images = random_images(3000, 1, 2)
    flipped = ops.flip_left_right()(images, SEED).numpy()
    mirrored = np.all(flipped == images[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(mirrored | np.all(flipped == images, axis=(1, 2, 3)))
    assert chance(mirrored.sum(), 3000, 0.5) > 1e-3


def turned(images, *angles, **how):
    """Images, each rotated by the angle in its place; a single angle is that of all."""
    angles = tf.broadcast_to(tf.constant(angles, tf.float32), [len(images)])
    return ops.rotate(**how).apply(images, {"angle": angles}).numpy()


def smooth_images(*shape):
    """What bilinear interpolation hardly changes."""
    sigma = (0, 3, 3, 0)
    return scipy.ndimage.gaussian_filter(random_images(*shape), sigma).astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("side", [1, 8, 9, 225])
@pytest.mark.parametrize("fill", ["reflect", "nearest", "constant"])
def test_quarter_turns_of_squares_are_exact_and_counterclockwise(fill, side, compiled):
    images = random_images(9, side, side)
    turn = tf.function(ops.rotate(fill=fill, value=0.5).apply, jit_compile=compiled)
    quarters = np.arange(-4, 5)
    result = turn(images, {"angle": tf.constant(quarters * math.pi / 2, tf.float32)})
    for image, quarter, ours in zip(images, quarters, result):
        np.testing.assert_array_equal(ours, tf.image.rot90(image, int(quarter) % 4))


def test_a_small_turn_lifts_what_is_on_the_right():
    images = np.zeros([1, 21, 31, 3], np.float32)
    images[0, 10, 25] = 1  # 10 pixels right of the centre
    rows, columns = np.nonzero(turned(images, math.asin(0.6))[0, :, :, 0])
    weights = turned(images, math.asin(0.6))[0, rows, columns, 0]
    center = np.average([rows, columns], axis=1, weights=weights)
    np.testing.assert_allclose(center, [10 - 6, 15 + 8], atol=0.1)  # in pixels, as 3, 4 and 5 say


@pytest.mark.parametrize("shape", [(24, 24), (17, 30), (30, 17)])
@pytest.mark.parametrize(
    "fill, theirs", [("reflect", "reflect"), ("nearest", "nearest"), ("constant", "grid-constant")]
)
def test_rotation_equals_scipys(fill, theirs, shape):
    images = random_images(5, *shape)
    angles = np.array([-3.0, -0.7, 0.1, 1.2, 2.5], np.float32)
    ours = turned(images, *angles, fill=fill, value=0.25)
    for image, angle, result in zip(images, np.degrees(angles.astype(float)), ours):
        expected = scipy.ndimage.rotate(
            image, angle, reshape=False, order=1, mode=theirs, cval=0.25
        )
        np.testing.assert_allclose(result, expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(64, 64), (50, 80)])
def test_rotation_there_and_back_keeps_the_interior(shape):
    images = smooth_images(3, *shape)
    angles = (0.3, -1.1, 2.9)
    back = turned(turned(images, *angles), *(-angle for angle in angles))
    row, column = (np.arange(side) - (side - 1) / 2 for side in shape)
    within = np.hypot(row[:, None], column) < min(shape) / 2 - 2
    np.testing.assert_allclose(back[:, within], images[:, within], atol=5e-3)
    assert np.abs(turned(images, *angles)[:, within] - images[:, within]).max() > 0.05


@pytest.mark.parametrize("fill", ["reflect", "nearest"])
def test_rotation_keeps_a_constant_image(fill):
    images = np.repeat(np.float32([0.0, 0.1, 0.7, 1.0])[:, None, None, None], 3, axis=3)
    images = np.tile(images, [1, 20, 33, 1])
    np.testing.assert_array_equal(turned(images, 0.2, 0.9, -2.0, 3.0, fill=fill), images)


def test_rotation_fills_with_the_value():
    result = turned(np.ones([1, 40, 40, 3], np.float32), math.pi / 4, fill="constant", value=0.25)
    assert result[0, 0, 0, 0] == result[0, -1, -1, 2] == 0.25 and result[0, 20, 20, 0] == 1


@pytest.mark.slow
@pytest.mark.ci
def test_compiled_rotation_is_the_same():
    images = random_images(6, 20, 28)
    for op in (ops.rotate(), ops.rotate(fill="nearest"), ops.rotate(fill="constant", value=1.0)):
        compiled = tf.function(op, jit_compile=True)(images, SEED)
        np.testing.assert_allclose(compiled, op(images, SEED), atol=1e-4)
        blocks = tf.function(ops.in_blocks(op, 3 * 560), jit_compile=True)(images, SEED)
        np.testing.assert_allclose(blocks, compiled, atol=1e-4)


def test_angles_are_uniform_and_quarters_equally_likely():
    images = tf.zeros([4000, 4, 4, 3])
    drawn = ops.rotate((-0.5, 2.0)).draw(SEED, images)["angle"]
    assert drawn.dtype == tf.float32
    assert scipy.stats.kstest(drawn, scipy.stats.uniform(-0.5, 2.5).cdf).pvalue > 1e-3
    angles, counts = np.unique(ops.quarter_turns().draw(SEED, images)["angle"], return_counts=True)
    np.testing.assert_allclose(angles, np.arange(4) * math.pi / 2, rtol=1e-6)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    "source, size, area", [((32, 32), (32, 32), (0.08, 1.0)), ((48, 64), (24, 48), (0.3, 0.9))]
)
def test_crop_is_distributed_as_tensorflows(source, size, area):
    count, target = 3000, size[1] / size[0]

    @tf.function
    def sample(seed):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            [*source, 3],
            [[[0.0, 0.0, 1.0, 1.0]]],
            seed,
            min_object_covered=0.1,
            aspect_ratio_range=(target * 3 / 4, target * 4 / 3),
            area_range=area,
        )
        return tf.concat([begin[:2], extent[:2]], axis=0)

    seeds = tf.stack([tf.range(count), tf.fill([count], 5)], axis=1)
    theirs = tf.map_fn(sample, seeds).numpy().T
    drawn = ops.random_resized_crop(size, area).draw(SEED, tf.zeros([count, *source, 3]))
    ours = np.stack([drawn[key] for key in WINDOW])
    for measure in (
        lambda top, left, height, width: height * width,
        lambda top, left, height, width: width / height,
        lambda top, left, height, width: height,
        lambda top, left, height, width: top,
        lambda top, left, height, width: left,
        lambda top, left, height, width: top / np.maximum(source[0] - height, 1),
        lambda top, left, height, width: left / np.maximum(source[1] - width, 1),
    ):
        assert scipy.stats.ks_2samp(measure(*ours), measure(*theirs)).pvalue > 1e-3
    assert np.array_equal(ours, np.round(ours)) and ours[:2].min() == 0
    assert np.all(ours[0] + ours[2] <= source[0]) and np.all(ours[1] + ours[3] <= source[1])
    shares = ours[2] * ours[3] / np.prod(source)
    assert shares.min() >= max(0.1, area[0]) and shares.max() <= area[1]


def test_crop_takes_the_whole_image_when_nothing_fits():
    crop = ops.random_resized_crop((8, 8), area=(0.9, 1.0), aspect=(1.0, 1.0))
    drawn = crop.draw(SEED, tf.zeros([5, 10, 40, 3]))
    assert [set(drawn[key].numpy()) for key in WINDOW] == [{0}, {0}, {10}, {40}]


@pytest.mark.parametrize("window", [(0, 0, 32, 40), (3, 5, 20, 11), (31, 0, 1, 40), (7, 8, 24, 20)])
def test_crop_resizes_as_tensorflow_does(window):
    images = random_images(2, 32, 40)
    top, left, height, width = window
    drawn = windows(window, (0, 0, 32, 40))
    ours = ops.random_resized_crop((24, 20)).apply(images, drawn)
    theirs = tf.image.resize(
        images[:1, top : top + height, left : left + width], (24, 20), method="bicubic"
    )
    np.testing.assert_allclose(ours[:1], theirs, atol=5e-3)
    whole = tf.image.resize(images[1:], (24, 20), method="bicubic")
    np.testing.assert_allclose(ours[1:], whole, atol=5e-3)


def test_crop_to_the_same_size_changes_nothing():
    images = random_images(2, 6, 9)
    result = ops.random_resized_crop((6, 9)).apply(images, windows((0, 0, 6, 9), (0, 0, 6, 9)))
    np.testing.assert_allclose(result, images, atol=1e-6)


@pytest.mark.parametrize("factor", [0.2, 0.9, 1.8])
def test_jitter_equals_tensorflows_adjustments(factor):
    images = np.concatenate([random_images(2, 16, 16), np.full([1, 16, 16, 3], 0.4, np.float32)])
    shift = 0.3 * (factor - 1.0)
    for ours, theirs in [
        (jitter_with(images, [0], brightness=factor), images * factor),
        (jitter_with(images, [1], contrast=factor), tf.image.adjust_contrast(images, factor)),
        (jitter_with(images, [2], saturation=factor), tf.image.adjust_saturation(images, factor)),
        (jitter_with(images, [3], hue=shift), tf.image.adjust_hue(images, shift)),
    ]:
        np.testing.assert_allclose(ours, np.clip(theirs, 0, 1), atol=1e-5)


def test_jitter_of_known_pixels():
    pixel = np.array([[[[0.8, 0.4, 0.2]]]], np.float32)
    by_hand = {
        (0, 2): [1.0, 0.9, 0.7],  # doubled and clipped (1, 0.8, 0.4), then halfway to the largest
        (2, 0): [1.0, 1.0, 1.0],  # halfway to the largest (0.8, 0.6, 0.5), then doubled and clipped
    }
    for order, expected in by_hand.items():
        result = jitter_with(pixel, list(order), brightness=2.0, saturation=0.5)
        np.testing.assert_allclose(result[0, 0, 0], expected, atol=1e-6)
    third_of_a_turn = jitter_with(pixel, [3], hue=1 / 3)
    np.testing.assert_allclose(third_of_a_turn[0, 0, 0], [0.2, 0.8, 0.4], atol=1e-6)


def test_jitter_follows_the_order_of_each_image():
    images = random_images(24, 8, 8)
    drawn = {"brightness": 1.6, "contrast": 1.7, "saturation": 0.4, "hue": 0.15}
    adjust = [
        lambda x: x * 1.6,
        lambda x: tf.image.adjust_contrast(x, 1.7),
        lambda x: tf.image.adjust_saturation(x, 0.4),
        lambda x: tf.image.adjust_hue(x, 0.15),
    ]
    orders = list(itertools.permutations(range(4)))
    known = {name: tf.fill([24], value) for name, value in drawn.items()}
    known["order"] = tf.constant(orders)
    result = ops.color_jitter(0.8, 0.8, 0.8, 0.2).apply(images, known)
    for image, order, ours in zip(images, orders, result):
        for code in order:
            image = np.clip(adjust[code](image), 0, 1)
        np.testing.assert_allclose(ours, image, atol=1e-4)


def test_jitter_orders_are_uniform_and_strengths_are_ranges():
    drawn = ops.color_jitter(0.8, 0.4, 1.2, 0.2).draw(SEED, tf.zeros([4800, 1, 1, 3]))
    _, counts = np.unique(drawn["order"].numpy() @ [1, 10, 100, 1000], return_counts=True)
    assert len(counts) == 24 and scipy.stats.chisquare(counts).pvalue > 1e-3
    ranges = {
        "brightness": (0.2, 1.8),
        "contrast": (0.6, 1.4),
        "saturation": (0.0, 2.2),
        "hue": (-0.2, 0.2),
    }
    for name, (low, high) in ranges.items():
        uniform = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(drawn[name], uniform.cdf).pvalue > 1e-3
    table = np.corrcoef([drawn[name] for name in ranges])
    assert np.abs(table - np.eye(4)).max() < 0.06
    additive = ops.color_jitter(0.4, 0, 0, 0, brightness_mode="additive")
    added = additive(np.full([2000, 1, 1, 3], 0.5, np.float32), SEED).numpy()[:, 0, 0, 0] - 0.5
    assert scipy.stats.kstest(added, scipy.stats.uniform(-0.4, 0.8).cdf).pvalue > 1e-3


@pytest.mark.parametrize("left_out", range(4))
def test_jitter_leaves_out_exactly_the_change_of_strength_zero(left_out):
    names = ["brightness", "contrast", "saturation", "hue"]
    strengths = [0.2 * (code != left_out) for code in range(4)]
    drawn = ops.color_jitter(*strengths).draw(SEED, tf.zeros([300, 4, 4, 3]))
    assert names[left_out] not in drawn and len(drawn) == 4
    rest = [code for code in range(4) if code != left_out]
    assert np.array_equal(np.sort(drawn["order"], axis=1), [rest] * 300)
    images = random_images(1, 4, 4)
    assert ops.color_jitter(0, 0, 0, 0)(images, SEED) is images


def test_grayscale_and_solarize_by_hand():
    pixels = np.array([[[[1.0, 0.0, 0.0], [0.2, 0.5, 0.7]]]], np.float32)
    gray = ops.grayscale()(pixels, SEED).numpy()
    np.testing.assert_allclose(gray[0, 0, :, 0], [0.2989, 0.43308], atol=1e-6)
    np.testing.assert_allclose(gray, tf.image.rgb_to_grayscale(pixels) * tf.ones(3), atol=1e-6)
    solarized = ops.solarize(0.5)(pixels, SEED)
    np.testing.assert_allclose(solarized[0, 0, 1], [0.2, 0.5, 0.3], atol=1e-6)
    np.testing.assert_allclose(ops.solarize(0.9)(pixels, SEED)[0, 0, 0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize("case, kernel_size, sigma", [(0, 3, 0.1), (1, 3, 1.3), (2, 9, 2.0)])
def test_blur_matches_the_reference(case, kernel_size, sigma):
    golden = np.load(GOLDEN / "blur.npz")
    images, expected = golden[f"in_{case}"], golden[f"out_{case}"]
    for taps in (None, 2 * (kernel_size // 2) + 1):
        blur = ops.blur(taps=taps, padding="constant")
        blurred = blur.apply(images, {"sigma": tf.constant([sigma])})
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_blur_mirrors_the_border_and_has_a_sigma_per_image():
    images = random_images(2, 9, 11)
    sigma = tf.constant([0.6, 1.9])
    result = ops.blur(taps=7).apply(images, {"sigma": sigma}).numpy()
    for image, width, ours in zip(images, sigma.numpy(), result):
        kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * width**2))
        kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
        padded = np.pad(image, [(3, 3), (3, 3), (0, 0)], mode="reflect")
        patches = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(0, 1))
        np.testing.assert_allclose(ours, np.einsum("ijcyx,yx->ijc", patches, kernel), atol=1e-5)
    drawn = ops.blur(sigma=(0.1, 2.0)).draw(SEED, tf.zeros([2000, 32, 32, 3]))["sigma"]
    assert scipy.stats.kstest(drawn, scipy.stats.uniform(0.1, 1.9).cdf).pvalue > 1e-3


@pytest.mark.parametrize("side, taps", [(16, 3), (32, 3), (96, 9), (224, 23)])
def test_blur_taps_follow_the_size(side, taps):
    dot = np.zeros([1, side, side + 8, 3], np.float32)
    dot[0, side // 2, side // 2] = 1
    blurred = ops.blur().apply(dot, {"sigma": tf.constant([9.0])}).numpy()
    assert np.count_nonzero(blurred[0, side // 2, :, 0]) == taps


@pytest.mark.parametrize("case, size", [(0, 64), (1, 64), (2, 32), (3, 48)])
def test_center_crop_matches_the_reference(case, size):
    golden = np.load(GOLDEN / "eval_crop.npz")
    image = golden[f"in_{case}"].astype(np.float32) / 255
    result = ops.center_crop(image, (size, size), 0.875)
    np.testing.assert_allclose(result, golden[f"out_{case}"], atol=1e-6)
    np.testing.assert_array_equal(ops.center_crop(image[None], (size, size), 0.875)[0], result)


def test_center_crop_resizes_at_32_pixels_and_keeps_the_targets_aspect():
    assert ops.center_crop(random_images(160, 189), (32, 32), 0.875).shape == (32, 32, 3)
    image = random_images(40, 92)  # a 1:2 window spans the height: half of 40 x 80
    np.testing.assert_allclose(
        ops.center_crop(image, (20, 40), 0.5), image[10:30, 26:66], atol=1e-6
    )


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: ops.maybe(ops.clip(), 1.5),
            "`p` must be a probability in [0, 1]. Received: p=1.5",
        ),
        (lambda: ops.random_resized_crop((0, 8)), "`size`"),
        (lambda: ops.random_resized_crop((8, 8), area=(0.5, 0.1)), "`area`"),
        (lambda: ops.random_resized_crop((8, 8), aspect=(0, 1)), "`aspect`"),
        (lambda: ops.color_jitter(-0.1, 0, 0, 0), "`brightness`"),
        (lambda: ops.color_jitter(0, 0, 0, 0.6), "`hue`"),
        (lambda: ops.color_jitter(0, 0, 0, 0, "added"), "'multiplicative', 'additive'"),
        (lambda: ops.blur(sigma=(0.0, 1.0)), "`sigma`"),
        (lambda: ops.blur(taps=4), "`taps`"),
        (lambda: ops.blur(padding="same"), "'reflect', 'constant'"),
        (lambda: ops.rotate((1.0, 0.5)), "`angle`"),
        (lambda: ops.rotate((0.0, math.nan)), "`angle`"),
        (lambda: ops.rotate(fill="mirror"), "'reflect', 'nearest', 'constant'"),
        (lambda: ops.rotate(fill="constant", value=2.0), "`value`"),
        (lambda: ops.center_crop(None, (8, 8), 0), "`proportion`"),
    ],
)
def test_errors_name_the_argument(build, message):
    with pytest.raises(ValueError) as error:
        build()
    assert message in str(error.value)


@pytest.mark.parametrize("proportion", [0.01, 1e-30])
def test_a_central_crop_has_a_pixel_at_the_least(proportion):
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    cropped = ops.center_crop(images, (4, 4), proportion).numpy()
    np.testing.assert_allclose(
        cropped, np.broadcast_to(images[:, 4:5, 4:5], (2, 4, 4, 3)), atol=1e-6
    )
