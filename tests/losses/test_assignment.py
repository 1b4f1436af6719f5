"""Sinkhorn-Knopp and SwAV's loss against loops of the paper's listing, and their limits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import sinkhorn_loop, swav_loop
from tfssl.losses import sinkhorn, swav


def random_scores(count=4, n=6, k=5, seed=0):
    """Cosines [count, n, k]."""
    return np.tanh(np.random.default_rng(seed).normal(size=(count, n, k))).astype(np.float32)


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_sinkhorn_equals_the_listing(epsilon, iterations):
    scores = random_scores()[0]
    codes = sinkhorn(scores, epsilon=epsilon, iterations=iterations)
    np.testing.assert_allclose(codes, sinkhorn_loop(scores, epsilon, iterations), atol=1e-5)


@pytest.mark.parametrize("n,k", [(1, 3), (6, 5), (4, 9)])
def test_rows_of_codes_sum_to_1_and_columns_to_equal_parts(n, k):
    scores = random_scores(1, n, k)[0]
    codes = sinkhorn(scores, epsilon=0.5, iterations=100)
    np.testing.assert_allclose(tf.reduce_sum(codes, axis=1), np.ones(n), rtol=1e-5)
    np.testing.assert_allclose(tf.reduce_sum(codes, axis=0), np.full(k, n / k), rtol=1e-4)
    rows = tf.reduce_sum(sinkhorn(scores, iterations=1), axis=1)
    np.testing.assert_allclose(rows, np.ones(n), rtol=1e-5)


def test_equal_scores_have_equal_codes_and_clear_ones_hard_codes():
    np.testing.assert_allclose(sinkhorn(np.ones([6, 4])), np.full([6, 4], 1 / 4), rtol=1e-5)
    hard = sinkhorn(np.eye(4)[[2, 0, 3, 1]])
    np.testing.assert_allclose(hard, np.eye(4)[[2, 0, 3, 1]], atol=1e-6)


def test_a_shift_of_an_image_or_of_a_prototype_does_not_count():
    scores = random_scores()[0]
    shifts = np.random.default_rng(1).normal(size=(6, 1)), np.random.default_rng(2).normal(size=5)
    moved = sinkhorn(scores + sum(shifts), epsilon=1.0, iterations=200)
    np.testing.assert_allclose(moved, sinkhorn(scores, epsilon=1.0, iterations=200), atol=1e-5)


def test_codes_of_large_scores_do_not_overflow():
    codes = sinkhorn(1e4 * random_scores()[0])  # exp(2e5)
    np.testing.assert_allclose(tf.reduce_sum(codes, axis=1), np.ones(6), rtol=1e-5)


@pytest.mark.parametrize("large,small", [(2, 0), (1, 1), (2, 2), (3, 1)])
def test_swav_equals_the_loop_over_pairs_of_views(large, small):
    scores = [*random_scores()]
    views = scores[:large], scores[large : large + small]
    np.testing.assert_allclose(swav(*views), swav_loop(*views, 0.1, 0.05, 3), rtol=1e-5)
    np.testing.assert_allclose(
        swav(*views, temperature=0.5, epsilon=0.3, iterations=2),
        swav_loop(*views, 0.5, 0.3, 2),
        rtol=1e-5,
    )


def test_queued_scores_take_part_in_sinkhorn_only():
    large, queued = random_scores(2), [*random_scores(2, n=11, seed=1)]
    loss = swav([*large], queued=queued)
    expected = swav_loop([*large], [], 0.1, 0.05, 3, queued)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert abs(float(loss - swav([*large]))) > 1e-3
    none = [np.zeros([0, 5])] * 2
    np.testing.assert_allclose(swav([*large], queued=none), swav([*large]), rtol=1e-6)


def test_swav_of_views_that_know_nothing_and_of_views_that_agree():
    equal = np.zeros([6, 5])
    np.testing.assert_allclose(swav([equal, equal]), np.log(5), rtol=1e-6)
    clear = np.eye(4)
    expected = np.log(1 + 3 * np.exp(-1 / 0.1))
    np.testing.assert_allclose(swav([clear, clear], [clear]), expected, rtol=1e-2)


def test_no_gradient_flows_through_the_codes():
    """The gradient is that of the cross-entropy with constant codes."""
    large = [tf.constant(scores) for scores in random_scores(2)]
    queued = [tf.constant(scores) for scores in random_scores(2, n=3, seed=1)]
    codes = [sinkhorn(tf.concat([older, own], axis=0))[3:] for older, own in zip(queued, large)]
    with tf.GradientTape() as tape:
        tape.watch([*large, *queued])
        loss = swav(large, queued=queued)
    gradients = tape.gradient(loss, [*large, *queued])
    assert gradients[2:] == [None, None]
    for gradient, scores, code in zip(gradients, large, codes[::-1]):
        expected = (tf.nn.softmax(scores / 0.1) - code) / 0.1 / 6 / 2
        np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize(
    "call,said",
    [
        (
            lambda x: swav([x[0]]),
            "`large` and `small` must hold at least 2 .* Received: 1",
        ),
        (lambda x: swav([], [x[0], x[1]]), "`large` must hold at least 1"),
        (lambda x: swav(x), "`large` must be lists of matrices .* Received: ndarray"),
        (lambda x: swav([x[0], x[1, :2]]), "`large` must be matrices of one shape"),
        (lambda x: swav([x[0], x[1]], [x[2, :, :3]]), "must be matrices of one shape .*\\(6, 3\\)"),
        (lambda x: swav([x[0], x[1]], queued=[x[2]]), "`queued` must be a matrix .* for each"),
        (lambda x: swav([x[0], x[1]], queued=[x[2, :, :3]] * 2), "`queued` must be a matrix"),
        (lambda x: swav([x[0], x[1]], temperature=0), "`temperature` must be positive"),
        (lambda x: swav([x[0], x[1]], epsilon=0), "`epsilon` must be positive"),
        (lambda x: sinkhorn(x[0], iterations=0), "`iterations` must be an integer of at least 1"),
        (lambda x: sinkhorn(x[0], iterations=1.5), "`iterations` must be an integer"),
        (lambda x: sinkhorn(x), "`scores` must be a matrix .* Received: shape \\(4, 6, 5\\)"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(random_scores())
