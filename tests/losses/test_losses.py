"""NT-Xent against the paper's loop, closed forms and the reference; BYOL's regression loss.

golden/nt_xent.npz was obtained by running google-research/simclr tf2 at 383d414 on fixed random
inputs, golden/byol_regression.npz by the formula of deepmind-research byol at f5de0ed.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import spared
from tests.reference import nt_xent_loop, poly_view_loop
from tfssl import losses
from tfssl.losses import (
    blockwise,
    multi_view_nt_xent,
    multi_view_nt_xent_with_scalars,
    nt_xent,
    nt_xent_with_scalars,
    regression_loss,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def random_views(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, n, d)).astype(np.float32)


def golden_cases():
    with np.load(GOLDEN / "nt_xent.npz") as data:
        return [
            {
                name: data[f"{name}_{i}"]
                for name in ("hidden", "grad", "temperature", "normalize", "loss", "acc", "entropy")
            }
            for i in range(4)
        ]


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("d", [1, 2, 16])
@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_algorithm_1(n, d, temperature, normalize):
    z1, z2 = random_views(n, d)
    loss = nt_xent(z1, z2, temperature, normalize=normalize)
    np.testing.assert_allclose(
        loss, nt_xent_loop(z1, z2, temperature, normalize), rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize("n", [1, 2, 33])
def test_equal_projections_leave_a_guess_among_all_others(n):
    z = np.ones([n, 4], np.float32)
    np.testing.assert_allclose(nt_xent(z, z, 0.1), np.log(2 * n - 1), rtol=1e-6)


def test_orthogonal_images_with_equal_views():
    z = np.eye(8, dtype=np.float32)
    expected = np.log(1 + 14 * np.exp(-1 / 0.5))
    np.testing.assert_allclose(nt_xent(z, z, 0.5), expected, rtol=1e-6)


def test_same_view_negatives_count():
    # View 1 of both images is one point, so N-way InfoNCE could still be near 0.
    z1 = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    z2 = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    np.testing.assert_allclose(nt_xent(z1, z2, 0.1), nt_xent_loop(z1, z2, 0.1), rtol=1e-6)


def test_one_image_has_no_negatives():
    z1, z2 = random_views(1, 16)
    assert nt_xent(z1, z2, 0.01) == 0.0


def test_symmetric_in_the_views():
    z1, z2 = random_views(9, 5)
    np.testing.assert_allclose(nt_xent(z1, z2, 0.2), nt_xent(z2, z1, 0.2), rtol=1e-6)


def test_independent_of_the_order_of_images():
    z1, z2 = random_views(9, 5)
    order = np.random.default_rng(1).permutation(9)
    np.testing.assert_allclose(nt_xent(z1[order], z2[order], 0.2), nt_xent(z1, z2, 0.2), rtol=1e-6)


def test_normalised_loss_ignores_length():
    z1, z2 = random_views(9, 5)
    np.testing.assert_allclose(nt_xent(3 * z1, 0.1 * z2, 0.2), nt_xent(z1, z2, 0.2), rtol=1e-5)


@pytest.mark.parametrize("case", golden_cases())
def test_golden_loss_is_twice_ours(case):
    z1, z2 = np.split(case["hidden"], 2)
    loss, scalars = nt_xent_with_scalars(
        z1, z2, float(case["temperature"]), normalize=bool(case["normalize"])
    )
    np.testing.assert_allclose(2 * loss, case["loss"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scalars["contrast_acc"], case["acc"], rtol=1e-6)
    np.testing.assert_allclose(scalars["contrast_entropy"], case["entropy"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", golden_cases())
def test_golden_gradient_is_twice_ours(case):
    hidden = tf.constant(case["hidden"])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        z1, z2 = tf.split(hidden, 2)
        loss = nt_xent(z1, z2, float(case["temperature"]), normalize=bool(case["normalize"]))
    gradient = 2 * tape.gradient(loss, hidden)
    np.testing.assert_allclose(gradient, case["grad"], rtol=1e-3, atol=1e-5)


def test_scalars_of_perfect_and_of_collapsed_projections():
    n = 8
    _, perfect = nt_xent_with_scalars(np.eye(n), np.eye(n), 0.01)
    assert perfect["contrast_acc"] == 1.0
    assert perfect["contrast_entropy"] < 1e-6
    _, collapsed = nt_xent_with_scalars(np.ones([n, n]), np.ones([n, n]), 0.01)
    np.testing.assert_allclose(collapsed["contrast_acc"], 1 / n)
    np.testing.assert_allclose(collapsed["contrast_entropy"], np.log(n), rtol=1e-6)


def test_scalars_compare_view_1_with_view_2():
    z1 = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    z2 = np.array([[1.0, 0.0], [0.9, 0.1]], np.float32)
    _, forward = nt_xent_with_scalars(z1, z2, 0.1)
    _, backward = nt_xent_with_scalars(z2, z1, 0.1)
    assert forward["contrast_acc"] == 1.0
    assert backward["contrast_acc"] == 0.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_half_precision_is_computed_in_float32(dtype, scale):
    z1, z2 = (tf.cast(scale * z, dtype) for z in random_views(32, 16))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([z1, z2])
        loss, scalars = nt_xent_with_scalars(z1, z2, 0.01)
    assert loss.dtype == tf.float32
    assert all(v.dtype == tf.float32 for v in scalars.values())
    np.testing.assert_allclose(
        loss, nt_xent(tf.cast(z1, "float32"), tf.cast(z2, "float32"), 0.01), rtol=1e-6
    )
    for gradient in tape.gradient(loss, [z1, z2]):
        assert np.all(np.isfinite(tf.cast(gradient, "float32")))
        assert np.any(tf.cast(gradient, "float32") != 0)


def test_same_under_jit():
    z1, z2 = random_views(16, 8)
    eager, scalars = nt_xent_with_scalars(z1, z2, 0.1)
    jitted, jitted_scalars = tf.function(nt_xent_with_scalars, jit_compile=True)(z1, z2, 0.1)
    np.testing.assert_allclose(jitted, eager, rtol=1e-5)
    for name, value in scalars.items():
        np.testing.assert_allclose(jitted_scalars[name], value, rtol=1e-5)


def test_batch_of_unknown_size():
    spec = tf.TensorSpec([None, 8])
    traced = tf.function(lambda a, b: nt_xent(a, b, 0.1), input_signature=[spec, spec])
    for n in (1, 5):
        z1, z2 = random_views(n, 8)
        np.testing.assert_allclose(traced(z1, z2), nt_xent_loop(z1, z2, 0.1), rtol=1e-5)


def value_and_gradients(loss, *z):
    z = [tf.convert_to_tensor(values) for values in z]
    with tf.GradientTape() as tape:
        tape.watch(z)
        value, scalars = loss(*z)
        scaled = 3.0 * value
    return value, scalars, tape.gradient(scaled, z)


@pytest.mark.parametrize(
    "n,images,temperature,scale",
    [
        (1, None, 0.5, 1.0),  # no negatives
        pytest.param(7, 1, 0.5, 1.0, marks=pytest.mark.slow),
        (7, 3, 0.1, 1.0),
        pytest.param(7, 7, 0.1, 1.0, marks=pytest.mark.slow),  # without padding
        (33, 8, 0.5, 1.0),
        (33, None, 0.05, 3.0),  # similarities of thousands
    ],
)
def test_blocks_give_the_plain_loss_gradients_and_scalars(n, images, temperature, scale):
    z1, z2 = (scale * z for z in random_views(n, 8))
    plain = value_and_gradients(
        lambda a, b: nt_xent_with_scalars(a, b, temperature, normalize=False), z1, z2
    )
    block = value_and_gradients(
        lambda a, b: blockwise.contrast(a, b, temperature, images=images), z1, z2
    )
    largest = max(np.sum(z1**2, 1).max(), np.sum(z2**2, 1).max()) / temperature
    tf.nest.map_structure(  # float32 keeps seven digits of the similarities
        lambda a, b: np.testing.assert_allclose(
            a, b, rtol=0, atol=3e-7 * largest * (1 + np.max(np.abs(b)))
        ),
        block,
        plain,
    )


def test_blocks_within_a_graph():
    z1, z2 = random_views(12, 8)
    loss, scalars, gradients = tf.function(value_and_gradients)(
        lambda *z: nt_xent_with_scalars(*z, 0.1, in_blocks=True), z1, z2
    )
    np.testing.assert_allclose(loss, nt_xent_loop(z1, z2, 0.1), rtol=1e-5)
    _, expected, plain = value_and_gradients(lambda *z: nt_xent_with_scalars(*z, 0.1), z1, z2)
    for name, value in expected.items():
        np.testing.assert_allclose(scalars[name], value, rtol=1e-5)
    np.testing.assert_allclose(gradients, plain, atol=1e-6)


def test_blocks_need_to_know_the_size_of_the_batch():
    spec = tf.TensorSpec([None, 8])
    traced = tf.function(lambda a, b: nt_xent_with_scalars(a, b, 0.1, in_blocks=True))
    with pytest.raises(ValueError, match="must be known"):
        traced.get_concrete_function(spec, spec)


def test_blocks_never_hold_the_whole_matrix():
    z1, z2 = random_views(600, 4)
    step = tf.function(
        lambda a, b: value_and_gradients(
            lambda *z: blockwise.contrast.python_function(*z, 0.1, images=25), a, b
        )
    )
    graph = step.get_concrete_function(z1, z2).graph
    graphs = [graph] + [
        function.graph for function in graph._functions.values() if hasattr(function, "graph")
    ]
    sizes = [
        tensor.shape.num_elements() or 0
        for g in graphs
        for op in g.get_operations()
        for tensor in op.outputs
    ]
    assert 50 * 1200 <= max(sizes) <= 2 * 50 * 1200


@pytest.mark.parametrize("k", [1, 5, 64])
@pytest.mark.parametrize("normalize", [True, False])
def test_further_negatives_are_candidates_of_every_projection(k, normalize):
    """The softmax over [batch, negatives], in float64; the positive is the other view."""
    (z1, z2), negatives = random_views(7, 5), random_views(k, 5, seed=1)[0]
    z, others = np.float64(np.concatenate([z1, z2])), np.float64(negatives)
    if normalize:
        z, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, others))
    logits = z @ np.concatenate([z, others]).T / 0.3
    logits[range(14), range(14)] = -np.inf
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.mean(np.log(p[range(14), np.roll(range(14), 7)]))
    loss = nt_xent(z1, z2, 0.3, normalize=normalize, negatives=negatives)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_without_further_negatives_the_loss_is_as_it_was():
    z1, z2 = random_views(7, 5)
    assert nt_xent(z1, z2, 0.3, negatives=np.zeros((0, 5))) == nt_xent(z1, z2, 0.3)
    one, other = random_views(1, 5)
    assert nt_xent(one, other, 0.01, negatives=np.zeros((0, 5))) == 0.0


def test_equal_projections_leave_a_guess_among_further_negatives_too():
    z, negatives = np.ones([9, 4]), np.ones([20, 4])
    np.testing.assert_allclose(
        nt_xent(z, z, 0.1, negatives=negatives), np.log(2 * 9 - 1 + 20), rtol=1e-6
    )


@pytest.mark.parametrize("k,images", [(1, 3), (50, 3), spared(50, 7), spared(50, None)])
def test_blocks_with_further_negatives(k, images):
    (z1, z2), negatives = random_views(7, 8), random_views(k, 8, seed=1)[0]
    plain = value_and_gradients(
        lambda a, b: nt_xent_with_scalars(a, b, 0.5, normalize=False, negatives=negatives), z1, z2
    )
    block = value_and_gradients(
        lambda a, b: blockwise.contrast(a, b, 0.5, images=images, negatives=tf.constant(negatives)),
        z1,
        z2,
    )
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), block, plain
    )


@pytest.mark.parametrize("in_blocks", [False, True])
def test_further_negatives_are_constants(in_blocks):
    (z1, z2), negatives = random_views(7, 8), tf.constant(random_views(3, 8, seed=1)[0])
    with tf.GradientTape() as tape:
        tape.watch(negatives)
        loss, _ = nt_xent_with_scalars(z1, z2, 0.5, negatives=negatives, in_blocks=in_blocks)
    assert tape.gradient(loss, negatives) is None


@pytest.mark.parametrize("shape", [(5,), (3, 4)])
def test_negatives_of_another_dimension_are_refused(shape):
    with pytest.raises(ValueError, match="`negatives` must be a matrix .* negatives.shape="):
        nt_xent(np.ones([2, 5]), np.ones([2, 5]), 0.5, negatives=np.ones(shape))


# More than two views


def many_views(count, n, d, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, n, d)).astype(np.float32))


@pytest.mark.parametrize("count,n,k", [(2, 5, 0), (3, 1, 0), (3, 7, 0), (5, 2, 4), (4, 6, 3)])
@pytest.mark.parametrize("normalize", [True, False])
def test_many_views_equal_the_loop_over_pairs_of_views(count, n, k, normalize):
    views, negatives = many_views(count, n, 6), many_views(1, k, 6, seed=1)[0]
    loss = multi_view_nt_xent(views, 0.3, normalize=normalize, negatives=negatives)
    expected = poly_view_loop(views, 0.3, normalize, negatives)
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("k", [0, 5])
def test_two_of_many_views_are_nt_xent(k):
    views, negatives = many_views(2, 6, 8), many_views(1, k, 8, seed=1)[0]
    many, pair = (
        value_and_gradients(lambda a, b: loss(a, b), *views)
        for loss in (
            lambda *z: multi_view_nt_xent_with_scalars(z, 0.2, negatives=negatives),
            lambda *z: nt_xent_with_scalars(*z, 0.2, negatives=negatives),
        )
    )
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), many, pair
    )


def test_many_views_closed_forms():
    equal = np.ones([9, 4])
    np.testing.assert_allclose(multi_view_nt_xent([equal] * 3, 0.1), np.log(25), rtol=1e-6)
    orthogonal = np.eye(8)
    expected = np.log(1 + 4 * 7 * np.exp(-1 / 0.5))
    np.testing.assert_allclose(multi_view_nt_xent([orthogonal] * 4, 0.5), expected, rtol=1e-6)
    lone = many_views(4, 1, 5)
    assert float(multi_view_nt_xent(lone, 0.1)) == 0.0


def test_many_views_do_not_depend_on_their_order_nor_on_that_of_images():
    views = many_views(4, 6, 5)
    loss = multi_view_nt_xent(views, 0.2)
    assert float(multi_view_nt_xent(views[::-1], 0.2)) == pytest.approx(float(loss), rel=1e-5)
    turned = [np.roll(view, 2, axis=0) for view in views]
    assert float(multi_view_nt_xent(turned, 0.2)) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("n,k", [(1, 0), (1, 3), (6, 0)])
def test_gradients_of_many_views_are_finite_and_those_of_differences(n, k):
    views = [np.float32(view) for view in many_views(3, n, 4)]
    negatives = many_views(1, k, 4, seed=1)[0]
    variables = [tf.Variable(view) for view in views]
    with tf.GradientTape() as tape:
        loss = multi_view_nt_xent(variables, 0.5, negatives=negatives)
    gradient = tape.gradient(loss, variables[1]).numpy()
    for place in ((0, 0), (0, 3)):
        ends = []
        for shift in (1e-2, -1e-2):
            moved = [view.copy() for view in views]
            moved[1][place] += shift
            ends.append(poly_view_loop(moved, 0.5, negatives=negatives))
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-2, abs=2e-3)


@pytest.mark.parametrize(
    "views,why",
    [
        (np.ones([2, 3, 4]), "be lists of matrices"),
        ([np.ones([3, 4])], "at least 2 matrices"),
        ([np.ones([3, 4]), np.ones([3, 5])], "of one shape"),
    ],
)
def test_views_that_are_not_matrices_of_one_shape_are_refused(views, why):
    with pytest.raises(ValueError, match=f"`views` must .*{why}"):
        multi_view_nt_xent(views, 0.5)


def test_distillation_is_the_cross_entropy_of_the_softened_answers():
    student, teacher = random_views(6, 4)
    p, q = (np.exp(np.float64(x) / 0.7) for x in (teacher, student))
    p, q = (x / x.sum(axis=1, keepdims=True) for x in (p, q))
    np.testing.assert_allclose(
        losses.distillation_loss(student, teacher, 0.7),
        -np.mean(np.sum(p * np.log(q), axis=1)),
        rtol=1e-5,
    )


def test_distillation_from_sure_answers_is_the_cross_entropy_with_the_label():
    student = random_views(5, 3)[0]
    labels = np.array([0, 2, 1, 1, 0])
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=student)
    np.testing.assert_allclose(
        losses.distillation_loss(student, 100 * np.eye(3)[labels], 1.0),
        tf.reduce_mean(expected),
        rtol=1e-5,
    )


def test_distillation_is_least_and_without_gradient_where_the_student_is_the_teacher():
    student, teacher = random_views(6, 4)
    own = losses.distillation_loss(teacher, teacher, 0.5)
    assert float(own) < float(losses.distillation_loss(student, teacher, 0.5))
    z = tf.constant(teacher)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = losses.distillation_loss(z, z, 0.5)
    np.testing.assert_allclose(tape.gradient(loss, z), np.zeros([6, 4]), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_bad_temperature(temperature):
    with pytest.raises(ValueError, match="`temperature` must be positive. Received"):
        losses.distillation_loss(np.ones([2, 3]), np.ones([2, 3]), temperature)
    with pytest.raises(ValueError, match="`temperature` must be positive. Received"):
        nt_xent(np.ones([2, 2]), np.ones([2, 2]), temperature)


@pytest.mark.parametrize("shapes", [([4], [4]), ([2, 3, 4], [2, 3, 4]), ([2, 3], [3, 3])])
def test_bad_shapes(shapes):
    a, b = map(np.ones, shapes)
    with pytest.raises(ValueError, match="matrices of one shape .* Received: z1.shape="):
        nt_xent(a, b, 0.5)
    with pytest.raises(ValueError, match="Received: prediction.shape="):
        regression_loss(a, b)


def test_regression_loss_is_a_squared_chord():
    p = np.array([[2.0, 0.0]], np.float32)
    for angle, expected in ((0, 0), (np.pi / 2, 2), (np.pi, 4)):
        z = 5 * np.array([[np.cos(angle), np.sin(angle)]], np.float32)
        np.testing.assert_allclose(regression_loss(p, z), expected, atol=1e-6)


def test_regression_loss_golden():
    with np.load(GOLDEN / "byol_regression.npz") as data:
        np.testing.assert_allclose(regression_loss(data["q"], data["z"]), data["loss"], rtol=1e-6)


def test_regression_loss_in_half_precision():
    p, z = (tf.cast(100 * x, "float16") for x in random_views(8, 16))
    loss = regression_loss(p, z)
    assert loss.dtype == tf.float32
    assert 0 < loss < 4


def test_keras_cv_agrees():
    """An independent implementation; on the scale of both directions, as the reference."""
    keras_cv = pytest.importorskip("keras_cv")
    z1, z2 = random_views(16, 32)
    theirs = keras_cv.losses.SimCLRLoss(temperature=0.3)(z1, z2)
    np.testing.assert_allclose(2 * nt_xent(z1, z2, 0.3), theirs, rtol=1e-5)


def random_pairs(n=6, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, n, d)).astype(np.float32)


def test_info_nce_is_the_cross_entropy_of_the_positive():
    scores = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = -np.mean(np.log(p[np.arange(4), np.arange(4)]))
    np.testing.assert_allclose(losses.info_nce(scores), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.info_nce(np.zeros((3, 9))), np.log(9), rtol=1e-6)
    assert np.isfinite(losses.info_nce(1e4 * np.eye(3)))


def test_the_triplet_hinge_by_hand():  # equations (17) and (18)
    a, p = random_pairs()
    n = random_pairs(seed=1)[0]
    near, far = ((a - p) ** 2).sum(1), ((a - n) ** 2).sum(1)
    for margin in (0.0, 0.5, 20.0):
        expected = np.mean([max(0.0, s - t + margin) for s, t in zip(near, far)])
        np.testing.assert_allclose(losses.triplet_loss(a, p, n, margin), expected, rtol=1e-5)
    assert float(losses.triplet_loss(a, a, a + 10, 1.0)) == 0
    np.testing.assert_allclose(losses.triplet_loss(a, a, a, 0.7), 0.7, rtol=1e-6)


def test_the_tuple_loss_by_hand_and_with_one_negative():  # equation (19), Remark 6
    a, p = random_pairs()
    negatives = np.random.default_rng(2).normal(size=(6, 3, 5)).astype(np.float32)
    expected = np.mean(
        [np.log(1 + sum(np.exp(x @ n - x @ y) for n in ns)) for x, y, ns in zip(a, p, negatives)]
    )
    np.testing.assert_allclose(losses.tuple_loss(a, p, negatives), expected, rtol=1e-5)
    gap = (a * negatives[:, 0]).sum(1) - (a * p).sum(1)
    np.testing.assert_allclose(
        losses.tuple_loss(a, p, negatives[:, :1]), np.mean(np.logaddexp(0, gap)), rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.tuple_loss(a, p, np.repeat(p[:, None], 4, 1)), np.log(5), rtol=1e-5
    )


def test_the_n_pair_loss_by_hand_and_as_a_tuple_loss():  # equation (20)
    a, p = random_pairs()
    expected = np.mean(
        [
            np.log(1 + sum(np.exp(a[i] @ p[j] - a[i] @ p[i]) for j in range(6) if j != i))
            for i in range(6)
        ]
    )
    np.testing.assert_allclose(losses.n_pair_loss(a, p), expected, rtol=1e-5)
    others = np.stack([np.delete(p, i, axis=0) for i in range(6)])
    np.testing.assert_allclose(losses.n_pair_loss(a, p), losses.tuple_loss(a, p, others), rtol=1e-5)


def test_nt_xent_is_info_nce_over_the_other_projections():  # Remark 7
    z1, z2 = random_pairs()
    z = np.concatenate([z1, z2])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    rows = []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        positive = (i + 6) % 12
        order = [positive] + [j for j in others if j != positive]
        rows.append(float(losses.info_nce((z[i] @ z[order].T / 0.5)[None])))
    np.testing.assert_allclose(losses.nt_xent(z1, z2, 0.5), np.mean(rows), rtol=1e-5)


def test_the_familys_refusals():
    a, p = random_pairs()
    for call, said in (
        (lambda: losses.triplet_loss(a, p, a, -1.0), "`margin`"),
        (lambda: losses.triplet_loss(a, p, a[:3], 1.0), "matrices of one shape"),
        (lambda: losses.tuple_loss(a, p, a), "`negatives` must be"),
        (lambda: losses.n_pair_loss(a, p[:3]), "matrices of one shape"),
        (lambda: losses.info_nce(np.zeros((4, 3))), "`scores` must be"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
