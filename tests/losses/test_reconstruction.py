"""MAE's and SimMIM's losses against loops over patches, closed forms and invariances."""

import numpy as np
import pytest
import tensorflow as tf

from tfssl import losses


def patches(seed=0, shape=(3, 5, 12)):
    return np.random.default_rng(seed).random(shape, np.float32)


def mae_by_loops(predicted, values, normalized=True, eps=1e-6):
    """The text of He et al. 2022, section 3, patch by patch."""
    total, count = 0.0, 0
    for of_image, predictions in zip(values.astype(np.float64), predicted):
        for patch, prediction in zip(of_image, predictions):
            if normalized:
                mean = sum(patch) / len(patch)
                variance = sum((x - mean) ** 2 for x in patch) / (len(patch) - 1)
                patch = (patch - mean) / np.sqrt(variance + eps)
            total += sum((p - x) ** 2 for p, x in zip(prediction, patch))
            count += len(patch)
    return total / count


@pytest.mark.parametrize("normalized", [True, False])
def test_mae_is_the_mean_over_masked_patches(normalized):
    predicted, values = patches(1), patches(2)
    expected = mae_by_loops(predicted, values, normalized)
    found = float(losses.mae(predicted, values, normalized=normalized))
    assert found == pytest.approx(expected, rel=1e-5)


def test_mae_of_what_is_right_and_of_nothing():
    values = patches()
    normal, mean, deviation = losses.normalized_patches(values)
    assert float(losses.mae(normal, values)) == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(normal * deviation + mean, values, atol=1e-6)
    # Predicting the mean costs the variance, over n instead of n - 1.
    assert float(losses.mae(tf.zeros_like(values), values)) == pytest.approx(11 / 12, rel=1e-3)


def test_mae_does_not_depend_on_brightness_and_contrast_of_a_patch():
    predicted, values = patches(1), patches(2)
    before, after = (float(losses.mae(predicted, x)) for x in (values, 0.5 * values + 0.3))
    assert before == pytest.approx(after, rel=1e-3)
    flat = np.ones_like(values)
    assert float(losses.mae(tf.zeros_like(flat), flat)) == 0


def test_no_gradient_is_infinite_where_a_patch_is_flat():
    predicted = tf.Variable(patches())
    with tf.GradientTape() as tape:
        loss = losses.mae(predicted, tf.ones_like(predicted))
    assert np.isfinite(tape.gradient(loss, predicted)).all()


def test_simmim_is_the_mean_distance_of_masked_pixels():
    predicted, values = patches(1), patches(2)
    mask = np.array([[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 1]])
    total, count = 0.0, 0
    for image in range(3):
        for patch in range(5):
            for value in range(12) if mask[image, patch] else ():
                total += abs(float(predicted[image, patch, value] - values[image, patch, value]))
                count += 1
    assert float(losses.simmim(predicted, values, mask)) == pytest.approx(total / count, rel=1e-5)


def test_simmim_has_no_gradient_to_what_is_visible():
    predicted, mask = tf.Variable(patches(1)), tf.constant([[True, False, True, False, False]] * 3)
    with tf.GradientTape() as tape:
        loss = losses.simmim(predicted, patches(2), mask)
    gradient = tape.gradient(loss, predicted).numpy()
    assert np.all(gradient[:, [1, 3, 4]] == 0) and np.all(gradient[:, [0, 2]] != 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    predicted, values = (tf.cast(patches(seed), dtype) for seed in (1, 2))
    wide = [tf.cast(x, tf.float32) for x in (predicted, values)]
    for loss, more in ((losses.mae, ()), (losses.simmim, (np.eye(3, 5),))):
        assert loss(predicted, values, *more).dtype == tf.float32
        assert float(loss(predicted, values, *more)) == float(loss(*wide, *more))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.mae(x, x[:, :2]), "`predicted` and `patches` must be of one shape"),
        (lambda x: losses.mae(x[0], x[0]), r"\[B, n, P\]. Received: \(5, 12\) and \(5, 12\)"),
        (lambda x: losses.mae(x, x, eps=0.0), "`eps` must be positive. Received: eps=0.0"),
        (lambda x: losses.simmim(x, x, np.ones((3, 4))), r"`mask` must be of shape \(3, 5\)"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(tf.constant(patches()))
