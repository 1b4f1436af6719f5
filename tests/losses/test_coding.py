"""The coding rate and EMP-SSL against loops by eigenvalues, and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import coding_rate_loop, emp_ssl_loop
from tfssl.losses import emp_ssl, total_coding_rate


def random_views(count=3, n=6, d=5):
    return np.random.default_rng(0).normal(size=(count, n, d)).astype(np.float32)


@pytest.mark.parametrize("eps", [0.04, 0.2])
@pytest.mark.parametrize("n,d", [(1, 1), (1, 7), (6, 5), (5, 6), (40, 8), (8, 40)])
def test_the_coding_rate_is_that_of_the_eigenvalues(n, d, eps):
    z = random_views(1, n, d)[0]
    expected = coding_rate_loop(z, eps)
    np.testing.assert_allclose(total_coding_rate(z, eps), expected, rtol=1e-5)


def test_the_coding_rate_of_an_unknown_number_of_rows():
    """The matrix is then D x D, also for fewer rows than columns."""
    traced = tf.function(total_coding_rate, autograph=False)
    traced = traced.get_concrete_function(tf.TensorSpec([None, 7]))
    for n in (1, 3, 20):
        z = random_views(1, n, 7)[0]
        np.testing.assert_allclose(traced(tf.constant(z)), coding_rate_loop(z, 0.2), rtol=1e-5)


@pytest.mark.parametrize("n,d", [(3, 8), (8, 8)])
def test_orthogonal_rows_have_the_largest_rate(n, d):
    rate = total_coding_rate(np.eye(d)[:n])
    np.testing.assert_allclose(rate, n / 2 * np.log(1 + d / (n * 0.2)), rtol=1e-6)
    z = random_views(1, n, d)[0]
    assert total_coding_rate(z / np.linalg.norm(z, axis=1, keepdims=True)) < rate


def test_the_rate_of_collapsed_rows_and_of_none():
    collapsed = np.tile(np.eye(64)[:1], (256, 1))
    np.testing.assert_allclose(total_coding_rate(collapsed), 0.5 * np.log(1 + 64 / 0.2), rtol=1e-5)
    assert total_coding_rate(np.zeros([4, 8])) == 0


def test_the_rate_of_many_dimensions_in_float32():
    """Collapsed up to noise: eigenvalues from 1 to 10^4, on either side of the product."""
    rng = np.random.default_rng(0)
    for n, d in ((48, 160), (160, 48)):
        z = np.ones([n, d]) + 0.01 * rng.normal(size=(n, d))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        np.testing.assert_allclose(total_coding_rate(z), coding_rate_loop(z, 0.2), rtol=1e-4)


@pytest.mark.parametrize("count,n,d", [(2, 1, 3), (3, 6, 5), (4, 5, 9)])
@pytest.mark.parametrize("eps,invariance", [(0.2, 200.0), (0.5, 3.0), (0.2, 0.0)])
def test_emp_ssl_equals_the_loop(count, n, d, eps, invariance):
    views = [*random_views(count, n, d)]
    loss = emp_ssl(views, eps=eps, invariance=invariance)
    np.testing.assert_allclose(loss, emp_ssl_loop(views, eps, invariance), rtol=1e-5)


def test_emp_ssl_of_equal_views_is_the_rate_and_the_cosine_1():
    z = np.eye(5)
    expected = -5 / 2 * np.log(1 + 1 / 0.2) - 200
    np.testing.assert_allclose(emp_ssl([z, z, z]), expected, rtol=1e-6)
    np.testing.assert_allclose(emp_ssl((3 * z, 0.1 * z)), expected, rtol=1e-6)


def test_the_order_of_the_views_does_not_count():
    views = [*random_views()]
    np.testing.assert_allclose(emp_ssl(views[::-1]), emp_ssl(views), rtol=1e-6)


def test_descent_spreads_the_images_and_joins_their_views():
    views = [tf.Variable(1.0 + 0.1 * view) for view in random_views(2, 4, 8)]
    before = [float(total_coding_rate(tf.math.l2_normalize(view, axis=1))) for view in views]
    for _ in range(30):
        with tf.GradientTape() as tape:
            loss = emp_ssl(views, invariance=20.0)
        for view, gradient in zip(views, tape.gradient(loss, views)):
            view.assign_sub(0.5 * gradient)
    after = [float(total_coding_rate(tf.math.l2_normalize(view, axis=1))) for view in views]
    assert min(after) > max(before) + 2
    joined = -tf.keras.losses.cosine_similarity(*views)
    assert np.min(joined) > 0.99


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda z: total_coding_rate(z[0], eps=0), "`eps` must be positive"),
        (lambda z: total_coding_rate(z), "`z` must be a matrix .* Received: shape \\(3, 6, 5\\)"),
        (lambda z: emp_ssl([z[0]]), "`views` must hold at least 2 .* Received: 1"),
        (lambda z: emp_ssl(z), "`views` must be lists of matrices"),
        (lambda z: emp_ssl([z[0], z[1, :2]]), "`views` must be matrices of one shape"),
        (lambda z: emp_ssl([*z], eps=-1), "`eps` must be positive"),
        (lambda z: emp_ssl([*z], invariance=-1), "`invariance` must not be negative"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(random_views())
