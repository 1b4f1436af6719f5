"""MoCo's loss against a loop of the paper, and its scalars."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import moco_loop
from tfssl.losses import moco, moco_with_scalars


def random_keys(n=6, d=5, count=9):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, d)).astype(np.float32) for rows in (n, n, count)]


@pytest.mark.parametrize("temperature", [0.07, 0.2])
@pytest.mark.parametrize("n,d,count", [(1, 1, 1), (1, 4, 9), (7, 3, 2)])
def test_equals_equation_1(n, d, count, temperature):
    q, k, queue = random_keys(n, d, count)
    expected, _ = moco_loop(q, k, queue, temperature)
    np.testing.assert_allclose(moco(q, k, queue, temperature), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 65])
def test_equal_rows_leave_a_guess_among_the_key_and_the_queue(count):
    z, queue = np.ones([4, 8]), np.ones([count, 8])
    np.testing.assert_allclose(moco(z, z, queue), np.log(count + 1), rtol=1e-6)


def test_other_images_of_the_batch_are_no_negatives():
    q, k, queue = random_keys()
    together = moco(q, k, queue)
    apart = [moco(q[i : i + 1], k[i : i + 1], queue) for i in range(6)]
    np.testing.assert_allclose(together, np.mean(apart), rtol=1e-6)


def test_the_order_and_the_length_of_the_keys_do_not_count():
    q, k, queue = random_keys()
    np.testing.assert_allclose(moco(q, 9 * k, 3 * queue[::-1]), moco(q, k, queue), rtol=1e-5)


def test_no_gradient_flows_to_the_keys():
    q, k, queue = map(tf.constant, random_keys())
    with tf.GradientTape() as tape:
        tape.watch([q, k, queue])
        loss, _ = moco_with_scalars(q, k, queue)
    gradients = tape.gradient(loss, [q, k, queue])
    assert np.any(gradients[0] != 0)
    assert gradients[1:] == [None, None]


def test_scalars_are_those_of_the_candidates():
    q, k, queue = random_keys()
    loss, scalars = moco_with_scalars(q, k, queue, 0.2)
    expected, logits = moco_loop(q, k, queue, 0.2)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(scalars["contrast_acc"], np.mean(p.argmax(axis=1) == 0), rtol=1e-6)
    entropy = -np.mean(np.sum(p * np.log(p), axis=1))
    np.testing.assert_allclose(scalars["contrast_entropy"], entropy, rtol=1e-5)


def test_scalars_of_perfect_and_of_collapsed_projections():
    z = np.eye(4)
    _, perfect = moco_with_scalars(z, z, -z, 0.01)
    assert perfect["contrast_acc"] == 1 and perfect["contrast_entropy"] < 1e-6
    _, collapsed = moco_with_scalars(np.ones([4, 4]), np.ones([4, 4]), np.ones([9, 4]))
    assert collapsed["contrast_acc"] == 0  # a tie is no hit
    np.testing.assert_allclose(collapsed["contrast_entropy"], np.log(10), rtol=1e-6)


def test_what_is_refused():
    q, k, queue = random_keys()
    for call, said in (
        (
            lambda: moco(q, k, queue[:, :3]),
            "`queue` must be a matrix .* queue.shape=\\(9, 3\\), D=5",
        ),
        (lambda: moco(q, k, queue[0]), "`queue` must be a matrix"),
        (lambda: moco(q, k[:2], queue), "`q` and `k` must be matrices of one shape"),
        (lambda: moco(q, k, queue, temperature=0), "`temperature` must be positive"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
