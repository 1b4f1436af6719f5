"""The relatives of SimCLR: N-pair, triplet and CPC are what their papers say."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import build_method as build
from tests.helpers import random_views as batch
from tests.helpers import spared
from tfssl.losses import n_pair_loss
from tfssl.methods import cpc, npair, triplet


def projections(model, n=8):
    _, z = model.project(batch(n)["views"])
    return [tf.cast(view, tf.float32) for view in z]


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_npair_is_sohns_loss_in_both_directions():
    model = build("npair", temperature=0.3)
    z1, z2 = projections(model)
    a, b = unit(z1.numpy()), unit(z2.numpy())
    expected = 0.0
    for one, other in ((a, b), (b, a)):
        for i in range(8):  # equation (20)
            rest = sum(
                math.exp((one[i] @ other[j] - one[i] @ other[i]) / 0.3) for j in range(8) if j != i
            )
            expected += math.log(1 + rest) / 8
    loss, scalars = model.contrast(z1, z2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    hits = np.argmax(a @ b.T, axis=1) == np.arange(8)
    assert float(scalars["contrast_acc"]) == pytest.approx(hits.mean())


def test_npair_without_normalization_takes_projections_as_they_are():
    model = build("npair", temperature=1.0, hidden_norm=False)
    z1, z2 = (tf.constant(np.random.default_rng(i).normal(size=(5, 8)), tf.float32) for i in (0, 1))
    expected = float(n_pair_loss(z1, z2) + n_pair_loss(z2, z1))
    assert float(model.contrast(z1, z2)[0]) == pytest.approx(expected, rel=1e-5)


def test_semi_hard_negatives_by_hand():
    """The nearest that is farther than the positive; where none is, the farthest."""
    distances = np.array(
        [
            [1.0, 0.5, 3.0, 2.0],  # farther: 3.0 and 2.0 -> 3
            [0.1, 0.5, 0.2, 0.3],  # none -> the farthest, 3
            [9.0, 0.0, 1.0, 1.5],  # -> 3
            [4.0, 3.0, 2.5, 0.1],
        ],
        np.float32,
    )  # -> 2
    assert triplet.semi_hard(distances).numpy().tolist() == [3, 3, 3, 2]


def test_triplet_is_facenets_hinge_in_both_directions():
    model = build("triplet", triplet_margin=0.8)
    z1, z2 = projections(model)
    a, b = unit(z1.numpy()), unit(z2.numpy())
    expected = 0.0
    for one, other in ((a, b), (b, a)):
        for i in range(8):
            far = [(np.sum((one[i] - other[j]) ** 2), j) for j in range(8) if j != i]
            near = np.sum((one[i] - other[i]) ** 2)
            negative = min([d for d in far if d[0] > near] or [max(far)])[0]
            expected += max(near - negative + 0.8, 0) / 8
    loss, scalars = model.contrast(z1, z2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert 0 <= float(scalars["triplet_active"]) <= 1


def test_triplets_of_a_collapsed_network_cost_the_margin():
    model = build("triplet", triplet_margin=0.8)
    loss, scalars = model.contrast(tf.ones((6, 8)), tf.ones((6, 8)))
    assert float(loss) == pytest.approx(2 * 0.8) and float(scalars["triplet_active"]) == 1
    assert float(scalars["z_std"]) == pytest.approx(0, abs=1e-6)


LABELS = np.array([2, 7, 2, -1, 7, 2, -1, 4])
PARTNERS = [2, 4, 5, 3, 1, 0, 6, 7]  # the next of the class, around the end


def others(i):
    """The images that are of another class than image i, or of an unknown one."""
    return [j for j in range(8) if j != i and (LABELS[j] != LABELS[i] or LABELS[i] < 0)]


def test_the_partner_of_an_image_is_the_next_of_its_class():
    views = tf.range(8.0)[:, None]
    assert npair.partners(views, LABELS).numpy()[:, 0].tolist() == PARTNERS
    assert npair.partners(views, None) is views


def test_npair_by_class_is_definition_6_2_2_of_the_thesis():
    """Pairs are of one class, and every negative of another one."""
    model = build("npair", temperature=0.3, positives="classes")
    z1, z2 = projections(model)
    a, b = unit(z1.numpy()), unit(z2.numpy())
    expected = 0.0
    for one, other in ((a, b), (b, a)):
        for i, partner in enumerate(PARTNERS):
            rest = sum(
                math.exp((one[i] @ other[j] - one[i] @ other[partner]) / 0.3) for j in others(i)
            )
            expected += math.log(1 + rest) / 8
    loss, scalars = model.contrast(z1, z2, LABELS)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    hits = [all(a[i] @ b[PARTNERS[i]] > a[i] @ b[j] for j in others(i)) for i in range(8)]
    assert float(scalars["contrast_acc"]) == pytest.approx(np.mean(hits))
    assert 0 < float(scalars["contrast_entropy"]) <= math.log(8)
    apart = model.contrast(z1, z2, np.arange(8))[0]
    assert float(apart) == pytest.approx(float(build("npair", temperature=0.3).contrast(z1, z2)[0]))


def test_triplets_by_class_are_those_of_example_7():
    model = build("triplet", triplet_margin=0.8, positives="classes")
    z1, z2 = projections(model)
    a, b = unit(z1.numpy()), unit(z2.numpy())
    expected = 0.0
    for one, other in ((a, b), (b, a)):
        for i, partner in enumerate(PARTNERS):
            far = [np.sum((one[i] - other[j]) ** 2) for j in others(i)]
            near = np.sum((one[i] - other[partner]) ** 2)
            expected += max(near - min([d for d in far if d > near] or [max(far)]) + 0.8, 0) / 8
    loss, scalars = model.contrast(z1, z2, LABELS)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    hits = [
        all(np.sum((a[i] - b[PARTNERS[i]]) ** 2) < np.sum((a[i] - b[j]) ** 2) for j in others(i))
        for i in range(8)
    ]
    assert float(scalars["contrast_acc"]) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("method", ["npair", "triplet"])
def test_a_batch_of_one_class_has_no_negatives_and_no_gradient(method):
    model = build(method, positives="classes")
    z1, z2 = (tf.Variable(z) for z in projections(model))
    with tf.GradientTape() as tape:
        loss, scalars = model.contrast(z1, z2, np.zeros(8, int))
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert all(np.isfinite(float(v)) for v in scalars.values())
    assert all(np.abs(g).max() < 1e-6 for g in tape.gradient(loss, [z1, z2]) if g is not None)


@pytest.mark.parametrize("method", [pytest.param("npair", marks=pytest.mark.slow), "triplet"])
@pytest.mark.parametrize("parts", [spared(1), 2])
@pytest.mark.slow
def test_learning_by_class_draws_a_class_together(method, parts):
    model = build(method, positives="classes", optimizer=keras.optimizers.Adam(1e-3))
    model.accumulate_steps = parts
    data = batch() | {"label": LABELS}
    first = {name: float(value) for name, value in model.train_step(data).items()}
    for _ in range(15):
        model.reset_metrics()
        last = {name: float(value) for name, value in model.train_step(data).items()}
    loss = "triplet_loss" if method == "triplet" else "contrast_loss"
    assert last[loss] < 0.7 * first[loss] and last["contrast_acc"] > first["contrast_acc"]
    assert model.candidates(8) is None


def test_patches_overlap_and_come_row_by_row():
    images = np.random.default_rng(0).random((2, 16, 20, 3), np.float32)
    patches = cpc.cut(images, 8, 4)
    assert patches.shape == (2, 3, 4, 8, 8, 3)
    np.testing.assert_array_equal(patches[1, 2, 3], images[1, 8:16, 12:20])
    np.testing.assert_array_equal(patches[0, 0, 1], images[0, 0:8, 4:12])


def test_a_context_knows_nothing_of_the_rows_below():
    column = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float32)
    changed = column.copy()
    changed[0, 3] += 1
    gru = cpc.gru(4)
    difference = np.abs(gru(column) - gru(changed)).max(axis=(0, 2))
    assert np.all(difference[:3] == 0) and np.all(difference[3:] > 1e-4)


def test_cpc_asks_which_patch_of_the_row_below_it_is():
    """Equations (3) and (4), with the patches of one row of all images as candidates."""
    model = build("cpc")
    z1, z2 = projections(model, n=3)
    rows, columns, dimension = model.laid_out
    assert (rows, columns) == (3, 3)
    expected = 0.0
    for flat in (z1, z2):
        z, _ = (v for v in model.columns_of(flat))
        z = z.numpy()  # [B, C, R, P]
        c = model.context(z.reshape(-1, rows, dimension))
        terms = []
        for k, w in enumerate(model.predictions.get_weights(), start=1):
            predicted = (np.asarray(c) @ w).reshape(3, columns, rows, dimension)
            for t in range(rows - k):
                candidates = z[:, :, t + k].reshape(-1, dimension)
                scores = predicted[:, :, t].reshape(-1, dimension) @ candidates.T
                p = np.exp(scores - scores.max(1, keepdims=True))
                p /= p.sum(1, keepdims=True)
                terms.append(-np.log(np.diag(p)).mean())
        assert len(terms) == rows * (rows - 1) / 2
        expected += np.mean(terms)
    assert float(model.contrast(z1, z2)[0]) == pytest.approx(expected, rel=1e-3)


def test_cpcs_probe_learns_from_the_mean_over_patches():
    model = build("cpc")
    views = batch()["views"]
    h = tf.concat(model.project(views)[0], axis=0)
    patches = cpc.cut(tf.concat(views, axis=0), 8, 4)
    of_patches = model.encoder(tf.reshape(patches, [-1, 8, 8, 3]), training=True)
    assert h.shape == (16, 32)
    np.testing.assert_allclose(h, np.reshape(of_patches, (16, 9, 32)).mean(1), rtol=1e-3, atol=1e-5)


def test_every_patch_has_colours_of_its_own_which_follow_from_step_and_view():
    def gain(patches, seed):
        return patches * tf.random.stateless_uniform([len(patches), 1, 1, 1], seed, 0.5, 2.0)

    model = build("cpc")
    view = batch()["views"][0] + 0.1
    np.testing.assert_array_equal(model.patches_of(0, view), cpc.cut(view, 8, 4))
    model.hidden.pixels = (gain, gain)
    patches = model.patches_of(0, view)
    gains = np.reshape(patches / cpc.cut(view, 8, 4), (8 * 9, -1))
    assert np.ptp(gains, axis=1).max() < 1e-5 and len(np.unique(gains[:, 0])) == 8 * 9
    np.testing.assert_array_equal(model.patches_of(0, view), patches)
    assert np.any(model.patches_of(1, view) != patches)
    model.optimizer.iterations.assign_add(1)
    assert np.any(model.patches_of(0, view) != patches)
