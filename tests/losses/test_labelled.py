"""SupCon against a loop of the paper, NT-Xent and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import supcon_loop
from tfssl.losses import nt_xent, supcon


def random_views(n=6, d=5):
    return np.random.default_rng(0).normal(size=(2, n, d)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(
    "labels", [[0], [3, 3], [0, 1, 0, 2, 2, 0], [0, -1, 0, -1, -2, 5], [7] * 6, [-1] * 6]
)
def test_equals_equation_2(labels, temperature):
    z1, z2 = random_views(len(labels))
    expected = supcon_loop(z1, z2, labels, temperature)
    np.testing.assert_allclose(supcon(z1, z2, labels, temperature), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("labels", [np.arange(6), np.full(6, -1), [4, -1, 2, -1, 0, 1]])
def test_nt_xent_where_all_labels_differ(labels):
    z1, z2 = random_views()
    np.testing.assert_allclose(supcon(z1, z2, labels, 0.2), nt_xent(z1, z2, 0.2), rtol=1e-6)


def test_one_image_has_no_negatives():
    assert supcon(*random_views(1), [0], temperature=0.01) == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]])
def test_equal_projections_leave_a_guess_among_all_others(labels):
    z = np.ones([4, 8])
    np.testing.assert_allclose(supcon(z, z, labels), np.log(7), rtol=1e-6)


def test_classes_that_are_points_have_the_entropy_of_the_positives():
    z = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    loss = supcon(z, z, [0, 0, 0, 1, 1, 1], temperature=0.01)
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-5)


def test_the_mean_over_positives_is_outside_the_logarithm():
    """As L_in, with the mean inside, is smaller by Jensen's inequality."""
    z1, z2 = random_views(3)
    z = np.concatenate([z1, z2])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    p = np.exp(z @ z.T / 0.5)
    np.fill_diagonal(p, 0)
    p /= p.sum(axis=1, keepdims=True)
    inside = -np.mean(np.log(p.sum(axis=1) / 5))
    assert inside + 1e-3 < supcon(z1, z2, [0, 0, 0], 0.5)


def test_the_order_of_images_does_not_count_if_the_labels_follow():
    z1, z2 = random_views()
    labels, order = np.array([0, 1, 0, 2, -1, 0]), np.array([3, 0, 5, 1, 2, 4])
    np.testing.assert_allclose(
        supcon(z1[order], z2[order], labels[order]), supcon(z1, z2, labels), rtol=1e-5
    )


def test_labels_of_unknown_number():
    specs = [tf.TensorSpec([None, 5])] * 2 + [tf.TensorSpec([None], tf.int64)]
    traced = tf.function(supcon, input_signature=specs, autograph=False)
    z1, z2 = random_views()
    labels = np.array([0, 1, 0, 2, -1, 0])
    np.testing.assert_allclose(traced(z1, z2, labels), supcon(z1, z2, labels), rtol=1e-6)


def test_what_is_refused():
    z1, z2 = random_views()
    for labels in ([0, 1], [[0] * 6], [0.0] * 6, 3):
        with pytest.raises(ValueError, match="`labels` must be integers .* Received: .* N=6"):
            supcon(z1, z2, labels)
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        supcon(z1, z2, [0] * 6, temperature=0)
