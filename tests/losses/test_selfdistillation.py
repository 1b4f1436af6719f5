"""DINO's loss and center against a loop of the paper's algorithm, and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import dino_loop
from tfssl.losses import dino


def random_outputs(count=4, n=6, k=5, seed=0):
    return np.random.default_rng(seed).normal(size=(count, n, k)).astype(np.float32)


@pytest.mark.parametrize("large,small", [(2, 0), (1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("temperatures", [(0.1, 0.04), (1.0, 0.5)])
def test_equals_algorithm_1(large, small, temperatures):
    students, teachers = random_outputs(large + small), random_outputs(large, seed=1)
    center = np.random.default_rng(2).normal(size=5)
    loss, after = dino(
        [*students],
        [*teachers],
        center,
        student_temperature=temperatures[0],
        teacher_temperature=temperatures[1],
        center_momentum=0.7,
    )
    expected, expected_center = dino_loop(students, teachers, center, *temperatures, 0.7)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(after, expected_center, rtol=1e-5, atol=1e-6)


def test_equal_outputs_have_the_entropy_of_the_targets():
    outputs = random_outputs(1)[0]
    p = np.exp(np.float64(outputs) / 0.5)
    p /= p.sum(axis=1, keepdims=True)
    views = [outputs] * 3
    loss, _ = dino(views, views[:2], np.zeros(5), student_temperature=0.5, teacher_temperature=0.5)
    np.testing.assert_allclose(loss, -np.mean(np.sum(p * np.log(p), axis=1)), rtol=1e-5)


def test_the_center_of_collapsed_outputs_makes_all_targets_uniform():
    collapsed = np.tile(np.float32([3, 0, -1, 2, 8]), (6, 1))
    equal = np.zeros([6, 5], np.float32)
    loss, center = dino([equal, equal], [collapsed, collapsed], collapsed[0])
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-6)
    np.testing.assert_allclose(center, collapsed[0], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_the_center_moves_to_the_mean_of_the_teacher(momentum):
    outputs, old = random_outputs(2), np.arange(5.0)
    _, center = dino([*outputs], [*outputs], old, center_momentum=momentum)
    mean = np.mean(outputs, axis=(0, 1))
    np.testing.assert_allclose(center, momentum * old + (1 - momentum) * mean, rtol=1e-5, atol=1e-6)


def test_a_center_of_one_row_stays_one():
    outputs, center = random_outputs(2), np.arange(5.0)
    loss, after = dino([*outputs], [*outputs], center)
    loss_of_row, row = dino([*outputs], [*outputs], center[None])
    assert after.shape == [5] and row.shape == [1, 5]
    np.testing.assert_array_equal(row[0], after)
    np.testing.assert_array_equal(loss_of_row, loss)


def test_no_gradient_flows_to_the_teacher_and_the_center():
    students = [tf.constant(view) for view in random_outputs(3)]
    teachers = [tf.constant(view) for view in random_outputs(2, seed=1)]
    center = tf.Variable(tf.ones([5]))
    with tf.GradientTape() as tape:
        tape.watch([*students, *teachers])
        loss, after = dino(students, teachers, center)
        both = loss + tf.reduce_sum(after)
    gradients = tape.gradient(both, [*students, *teachers, center])
    assert all(np.any(gradient != 0) for gradient in gradients[:3])
    assert gradients[3:] == [None] * 3


def test_temperatures_can_be_tensors():
    outputs, center = random_outputs(2), tf.zeros([5])
    traced = tf.function(
        lambda t: dino([*outputs], [*outputs], center, teacher_temperature=t)[0], autograph=False
    )
    expected, _ = dino([*outputs], [*outputs], center, teacher_temperature=0.07)
    np.testing.assert_allclose(traced(tf.constant(0.07)), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="`teacher_temperature` must be positive"):
        dino([*outputs], [*outputs], center, teacher_temperature=tf.constant(0.0))


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda x, c: dino([x[0]], [x[0]], c), "`students` must hold at least 2"),
        (lambda x, c: dino([x[0], x[1]], [], c), "`teachers` must hold at least 1"),
        (lambda x, c: dino([x[0], x[1]], [*x], c), "`students` must hold all views of `teachers`"),
        (
            lambda x, c: dino([x[0], x[1]], [x[0, :2]], c),
            "`students` and `teachers` must",
        ),
        (lambda x, c: dino([*x], [*x], c[:3]), "`center` must be .* center.shape=\\(3,\\), K=5"),
        (lambda x, c: dino([*x], [*x], np.zeros([6, 5])), "`center` must be"),
        (lambda x, c: dino([*x], [*x], c, center_momentum=1.1), "`center_momentum` must be in"),
        (lambda x, c: dino([*x], [*x], c, student_temperature=0), "`student_temperature` must be"),
        (lambda x, c: dino([*x], [*x], c, teacher_temperature=-1), "`teacher_temperature` must"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(random_outputs(3), np.zeros(5))
