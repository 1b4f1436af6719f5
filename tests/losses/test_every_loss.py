"""What holds for all losses of views: types, XLA, unknown batch sizes, order, finite gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfssl import losses

N, D = 6, 5
FURTHER = tf.constant(np.random.default_rng(9).normal(size=(7, D)), tf.float32)
CENTER = tf.constant(np.random.default_rng(8).normal(size=D), tf.float32)

# Each as a function of two views [n, D].
LOSSES = {
    "barlow_twins": losses.barlow_twins,
    "dcl": losses.dcl,
    "dclw": losses.dclw,
    "dino": lambda a, b: losses.dino([a, b, -a], [-b, b], CENTER)[0],
    "emp_ssl": lambda a, b: losses.emp_ssl([a, b, -a]),
    "moco": lambda a, b: losses.moco(a, b, FURTHER),
    "negative_cosine": losses.negative_cosine,
    "sigreg": lambda a, b: losses.sigreg(
        tf.concat([a, b], axis=0),
        tf.stack([tf.shape(a)[0], 2]),  # no constant, of which TensorFlow would draw for XLA
        num_slices=8,
    ),
    "supcon": lambda a, b: losses.supcon(a, b, tf.range(tf.shape(a)[0]) // 2),
    "swav": lambda a, b: losses.swav([a, b], [-a], iterations=1, queued=[FURTHER, FURTHER]),
    "total_coding_rate": lambda a, b: losses.total_coding_rate(tf.concat([a, b], axis=0)),
    "vicreg": losses.vicreg,
}
COMPILED = sorted(LOSSES.keys() - {"dclw", "total_coding_rate"})  # these are parts of others
OF_ANY_ORDER = sorted(LOSSES.keys() - {"supcon"})  # its labels depend on the order here


def views(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(2, n, D)).astype(np.float32)


def value_and_gradients(loss, *z):
    z = [tf.convert_to_tensor(values) for values in z]
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = loss(*z)
    zero = tf.UnconnectedGradients.ZERO
    return value, *tape.gradient(value, z, unconnected_gradients=zero)


@pytest.mark.parametrize("name", COMPILED)
def test_in_xla_of_a_batch_of_unknown_size_as_in_eager_mode(name):
    spec = tf.TensorSpec([None, D])
    compiled = tf.function(
        lambda *z: value_and_gradients(LOSSES[name], *z),
        input_signature=[spec, spec],
        jit_compile=True,
        autograph=False,
    )(*views())
    for one, other in zip(value_and_gradients(LOSSES[name], *views()), compiled):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * np.max(np.abs(one)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_computed_in_float32_for_any_type(name, dtype):
    short = [tf.cast(tf.cast(z, "bfloat16"), "float16") for z in views()]  # exact in all types
    value, *gradients = value_and_gradients(LOSSES[name], *(tf.cast(z, dtype) for z in short))
    assert value.dtype == tf.float32
    exact = LOSSES[name](*(tf.cast(z, "float32") for z in short))
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    for gradient in gradients:
        assert gradient.dtype == dtype and np.all(np.isfinite(tf.cast(gradient, "float32")))


@pytest.mark.parametrize("name", OF_ANY_ORDER)
def test_independent_of_the_order_of_images(name):
    order = np.random.default_rng(1).permutation(N)
    a, b = views()
    np.testing.assert_allclose(LOSSES[name](a[order], b[order]), LOSSES[name](a, b), rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-20])
def test_gradients_are_finite_where_all_rows_are_equal_or_zero(name, value):
    z = np.full([N, D], value, np.float32)
    for result in value_and_gradients(LOSSES[name], z, z):
        assert np.all(np.isfinite(result))


@pytest.mark.parametrize("name", LOSSES)
def test_large_values_overflow_nothing(name):
    a, b = views()
    for result in value_and_gradients(LOSSES[name], 1e4 * a, 1e4 * b):
        assert np.all(np.isfinite(result))


@pytest.mark.parametrize(
    "name", ["barlow_twins", "dcl", "dclw", "negative_cosine", "vicreg", "supcon"]
)
def test_symmetric_in_the_views(name):
    a, b = views()
    np.testing.assert_allclose(LOSSES[name](a, b), LOSSES[name](b, a), rtol=1e-5)


@pytest.mark.parametrize("name", ["dcl", "dclw", "moco", "negative_cosine", "supcon"])
def test_the_length_of_projections_does_not_count(name):
    a, b = views()
    lengths = np.random.default_rng(2).uniform(0.1, 10, (N, 1)).astype(np.float32)
    np.testing.assert_allclose(LOSSES[name](lengths * a, b), LOSSES[name](a, b), rtol=1e-4)


@pytest.mark.parametrize("name", ["dcl", "dclw", "supcon", "negative_cosine", "total_coding_rate"])
def test_a_rotation_of_all_projections_does_not_count(name):
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0].astype(np.float32)
    a, b = views()
    np.testing.assert_allclose(LOSSES[name](a @ rotation, b @ rotation), LOSSES[name](a, b), 1e-4)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"dcl", "dclw", "vicreg"}))
def test_one_image_is_a_batch(name):
    assert np.isfinite(LOSSES[name](*views(1)))


@pytest.mark.parametrize(
    "name", ["barlow_twins", "dcl", "dclw", "moco", "negative_cosine", "supcon", "vicreg"]
)
@pytest.mark.parametrize("shapes", [([4], [4]), ([2, 3, 4], [2, 3, 4]), ([2, 3], [3, 3])])
def test_what_is_no_pair_of_matrices_of_one_shape_is_refused(name, shapes):
    with pytest.raises(ValueError, match="must be matrices of one shape .* Received: "):
        LOSSES[name](*map(np.ones, shapes))
