"""Operations for other images than photographs, each against NumPy or a property."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import spared
from tfssl.augment import intensity, ops

SEED = tf.constant([3, 14])
MANY = 4000  # draws of a distribution


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def drawn_by(op, count=MANY, channels=3):
    """The draws for many images of one pixel, as arrays."""
    made = op.draw(SEED, tf.zeros([count, 1, 1, channels]))
    return {name: np.asarray(values) for name, values in made.items()}


@pytest.mark.parametrize("per_channel", [False, True])
def test_gamma_is_a_power_with_a_uniform_logarithm(per_channel):
    images, op = random_images(5, 8, 9, 4), ops.gamma((0.5, 2.0), per_channel)
    drawn = op.draw(SEED, images)
    exponent = np.asarray(drawn["exponent"])
    assert exponent.shape == (5, 1, 1, 4 if per_channel else 1)
    np.testing.assert_allclose(op.apply(images, drawn), images**exponent, atol=1e-6)
    logarithms = np.log2(drawn_by(op)["exponent"]).ravel()
    assert -1 <= logarithms.min() < -0.99 and 0.99 < logarithms.max() <= 1
    assert abs(np.mean(logarithms)) < 0.04 and abs(np.mean(logarithms < -0.5) - 0.25) < 0.03


@pytest.mark.parametrize("per_channel", [False, True])
def test_levels_change_each_channel_by_itself(per_channel):
    images, op = random_images(5, 8, 9, 4), ops.levels(0.3, 0.6, per_channel)
    drawn = {name: np.asarray(values) for name, values in op.draw(SEED, images).items()}
    made = op.apply(images, drawn)
    for i in range(5):
        for c in range(4):
            factor, added = (
                drawn[name][i, 0, 0, c if per_channel else 0] for name in ("contrast", "brightness")
            )
            plane = images[i, :, :, c]
            expected = np.clip(plane.mean() + factor * (plane - plane.mean()) + added, 0, 1)
            np.testing.assert_allclose(made[i, :, :, c], expected, atol=1e-6)
    many = drawn_by(op)
    assert 0.4 <= many["contrast"].min() < 0.41 and 1.59 < many["contrast"].max() <= 1.6
    assert -0.3 <= many["brightness"].min() < -0.29 and 0.29 < many["brightness"].max() <= 0.3


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_channel_is_dropped_with_its_probability_and_one_stays(channels):
    op = ops.channel_dropout(0.4, value=0.25)
    kept = drawn_by(op, channels=channels)["kept"][:, 0, 0]
    assert kept.any(axis=1).all()
    all_but_none = 0.4 - 0.4**channels / channels  # one of those that would all go stays
    assert abs(1 - kept.mean() - all_but_none) < 0.02
    images = random_images(50, 3, 4, channels)
    drawn = op.draw(SEED, images)
    expected = np.where(drawn["kept"], images, np.float32(0.25))
    np.testing.assert_array_equal(op.apply(images, drawn), expected)


@pytest.mark.parametrize("make", [ops.noise, ops.speckle])
def test_noise_is_gaussian_of_the_drawn_deviation(make):
    images, op = np.full((6, 60, 50, 3), 0.5, np.float32), make((0.02, 0.1))
    drawn = op.draw(SEED, images)
    of = np.asarray(op.apply(images, drawn)) - 0.5
    size = np.asarray(drawn["deviation"]) * (0.5 if make is ops.speckle else 1.0)
    scaled = of / size[:, None, None, None]
    np.testing.assert_allclose(scaled.std(axis=(1, 2, 3)), 1, atol=0.03)
    np.testing.assert_allclose(scaled.mean(axis=(1, 2, 3)), 0, atol=0.04)
    flat = scaled.reshape(6, -1)
    for sigmas, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        assert abs(np.mean(np.abs(flat) > sigmas) - share) < 0.006
    across = np.corrcoef([*flat, *np.roll(flat, 1, axis=1), *np.roll(flat, 3, axis=1)])
    assert np.abs(across - np.eye(18)).max() < 0.05  # of images, neighbours and channels


def test_noise_is_that_of_the_key_and_of_nothing_else():
    key = tf.constant([5, 9, 5], tf.int32)
    made = np.asarray(intensity.normal(key, tf.zeros([3, 4, 5, 2])))
    np.testing.assert_array_equal(made[0], made[2])
    assert np.abs(made[0] - made[1]).min() > 0
    np.testing.assert_array_equal(intensity.normal(key[1:2], tf.zeros([1, 4, 5, 2]))[0], made[1])
    assert np.isfinite(made).all()


def test_the_permutation_of_integers_is_pcgs():
    """O'Neill 2014: RXS-M-XS with 32 bits, in whole numbers."""
    states = np.random.default_rng(0).integers(0, 2**32, 100)
    for state, made in zip(states, np.asarray(intensity.mixed(tf.constant(states, tf.uint32)))):
        state = (int(state) * 747796405 + 2891336453) % 2**32
        word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737 % 2**32
        assert made == (word >> 22) ^ word


def test_erased_is_a_rectangle_of_the_drawn_area():
    images, op = np.ones((300, 40, 60, 2), np.float32), ops.erase((0.1, 0.3), (0.5, 2.0))
    drawn = op.draw(SEED, images)
    made = np.asarray(op.apply(images, drawn))
    for one, area, aspect in zip(made, np.asarray(drawn["area"]), np.asarray(drawn["aspect"])):
        gone = one[..., 0] == 0
        np.testing.assert_array_equal(one[..., 0], one[..., 1])
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        assert gone.sum() == len(rows) * len(columns)  # a whole rectangle
        assert rows[-1] - rows[0] + 1 == len(rows) and columns[-1] - columns[0] + 1 == len(columns)
        assert len(rows) == min(round(np.sqrt(area * 2400 * aspect)), 40)
        assert gone.mean() == pytest.approx(area, rel=0.1) or len(rows) == 40
    assert made[:, 0].min() == 0 and made[:, -1].min() == 0  # it reaches the borders
    assert made[:, :, 0].min() == 0 and made[:, :, -1].min() == 0


def test_cut_out_is_a_square_that_may_leave_the_image():
    images, op = np.ones((400, 20, 30, 1), np.float32), ops.cutout(0.5, value=0.25)
    drawn = op.draw(SEED, images)
    made = np.asarray(op.apply(images, drawn))[..., 0]
    whole = 0
    for one, row, column in zip(made, np.asarray(drawn["row"]), np.asarray(drawn["column"])):
        top, left = int(row * 20) - 5, int(column * 30) - 5
        expected = np.ones((20, 30), np.float32)
        expected[max(top, 0) : max(top + 10, 0), max(left, 0) : max(left + 10, 0)] = 0.25
        np.testing.assert_array_equal(one, expected)
        whole += np.sum(one == 0.25) == 100
    assert 0 < whole < 400


def test_upside_down():
    images = random_images(200, 4, 5, 2)
    made = np.asarray(ops.flip_up_down(0.5)(images, SEED))
    turned = [np.array_equal(one, image[::-1]) for one, image in zip(made, images)]
    kept = [np.array_equal(one, image) for one, image in zip(made, images)]
    assert all(a != b for a, b in zip(turned, kept)) and 70 < sum(turned) < 130


def test_an_elastic_deformation_moves_pixels_smoothly_and_at_most_so_far():
    height, width = 40, 30
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([rows / height, columns / width], axis=-1)[None].repeat(20, axis=0)
    op = ops.elastic((0.1, 0.1), grid=3)
    made = np.asarray(op(places, SEED)) * [height, width]
    inner = made[:, 6:-6, 6:-6] - np.stack([rows, columns], axis=-1)[6:-6, 6:-6]
    assert np.abs(inner).max() <= 0.1 * width + 1e-3
    assert np.abs(inner).max() > 1.0
    assert np.abs(np.diff(inner, axis=1)).max() < 0.5 and np.abs(np.diff(inner, axis=2)).max() < 0.5
    still = ops.elastic((0.0, 0.0))
    np.testing.assert_allclose(still(places, SEED), places, atol=1e-6)


def test_a_field_of_equal_displacements_is_a_shift():
    images = random_images(2, 24, 24, 3)
    op = ops.elastic((0.125, 0.125), grid=4)
    drawn = {"field": tf.ones([2, 4, 4, 2]), "displacement": tf.fill([2], 0.125)}
    made = op.apply(images, drawn)
    np.testing.assert_allclose(made[:, :-3, :-3], images[:, 3:, 3:], atol=1e-5)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: ops.gamma((0.0, 1.0)), "`exponent` must be an ordered positive range"),
        (lambda: ops.levels(-0.1, 0.0), "`brightness` must be non-negative"),
        (lambda: ops.channel_dropout(1.0), "`p` must be a probability below 1"),
        (lambda: ops.noise((0.2, 0.1)), "`deviation` must be an ordered range from 0"),
        (lambda: ops.erase(area=(0.0, 0.5)), "`area` must be an ordered range in"),
        (lambda: ops.cutout(0.0), "`side` must be in"),
        (lambda: ops.elastic((0.2, 0.1)), "`displacement` must be an ordered range from 0"),
        (lambda: ops.elastic(grid=1), "`grid` must be an integer of at least 2"),
        (lambda: ops.elastic(fill="constant"), "`fill` must be one of"),
    ],
)
def test_arguments_out_of_range(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    "op",
    [
        ops.noise(),
        spared(ops.speckle((0.1, 0.3))),
        ops.channel_dropout(0.5),
        ops.levels(0.2, 0.4),
        spared(ops.gamma(per_channel=True)),
    ],
    ids=lambda op: op.name,
)
def test_graphs_of_unknown_shape_compiled_ones_and_blocks_give_the_same(op):
    images = random_images(6, 9, 8, 5)
    eager = op(images, SEED)
    signature = [tf.TensorSpec([None, None, None, None]), tf.TensorSpec([2], tf.int32)]
    graph = tf.function(op, input_signature=signature)
    np.testing.assert_allclose(graph(images, SEED), eager, atol=1e-5)
    compiled = tf.function(op, jit_compile=True)(images, SEED)
    np.testing.assert_allclose(compiled, eager, atol=1e-4)
    blocks = tf.function(ops.in_blocks(op, pixels=2 * 72 * 5 // 3))(images, SEED)
    np.testing.assert_allclose(blocks, eager, atol=1e-5)
