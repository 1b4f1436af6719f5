"""MoCo v2 and v3, NNCLR, DCL, DCLW and SupCon: what is told apart from what, and by whom."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import networks, reference
from tests.helpers import assert_close
from tests.networks import followers, gradients_besides, gradients_of, made
from tfssl import losses


def flat():
    """An encoder without batch normalization."""
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])


def views_of(model, seed=0):
    return networks.elements(model, count=8, seed=seed)["views"]


def through(view, *parts):
    for part in parts:
        view = part(view, training=True)
    return tf.convert_to_tensor(view)


def together(views, *parts):
    """The outputs of networks for views that pass as one batch."""
    return tf.split(through(tf.concat(views, axis=0), *parts), len(views))


def unit(z):
    z = np.float32(z)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def normed(z):
    return z / tf.norm(z, axis=1, keepdims=True)


def apart(model):
    """The model, its followers far from what they follow."""
    rng = np.random.default_rng(0)
    for follower in model.followers.values():
        for variable in follower.weights:
            if "moving" not in variable.path:
                variable.assign_add(0.3 * rng.normal(size=variable.shape).astype(np.float32))
    return model


def cross_entropy(logits):
    """The mean over the rows, whose positive is on the diagonal."""
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - tf.linalg.diag_part(logits))


# MoCo v2 ----------------------------------------------------------------------------------------


def moco_parts(model, views, directions):
    """(query, key) of every direction, by hand."""
    networks_of = (model.encoder, model.projector), (model.memory_encoder, model.memory_projector)
    return [
        (through(views[i], *networks_of[0]), unit(through(views[1 - i], *networks_of[1])))
        for i in range(directions)
    ]


@pytest.mark.parametrize("symmetric", [False, True])
def test_mocov2_finds_the_key_of_the_other_view_among_the_queue(symmetric):
    model = apart(made("mocov2", temperature=0.3, symmetric=symmetric))
    views, queue = views_of(model), model.queue.numpy()
    parts = moco_parts(model, views, 1 + symmetric)
    expected = [reference.moco_loop(q, k, queue, 0.3) for q, k in parts]
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(np.mean([loss for loss, _ in expected]), rel=1e-4)
    hits = np.argmax(expected[0][1], axis=1) == 0
    assert float(outputs.scalars["contrast_acc"]) == pytest.approx(hits.mean())
    np.testing.assert_allclose(outputs.z[0], parts[0][0], rtol=1e-4, atol=1e-6)
    keys = np.concatenate([k for _, k in parts])
    np.testing.assert_allclose(model.queue, np.concatenate([queue, keys])[-24:], atol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_gradient_reaches_mocov2s_keys_and_queue(symmetric):
    model = apart(made("mocov2", symmetric=symmetric))
    views, queue = views_of(model), model.queue.numpy()
    constants = [k for _, k in moco_parts(model, views, 1 + symmetric)]

    def transcription():
        terms = []
        for i, k in enumerate(constants):
            q = normed(through(views[i], model.encoder, model.projector))
            positives = tf.reduce_sum(q * k, axis=1, keepdims=True)
            logits = tf.concat([positives, q @ queue.T], axis=1) / 0.2
            terms.append(tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0]))
        return tf.reduce_mean(terms)

    expected = gradients_of(model, transcription)
    assert_close(gradients_besides(model, views, [*followers(model), model.queue]), expected)


def test_the_queue_holds_mocov2s_only_negatives():
    """The loss of a batch is the mean of those of its images, each alone against the queue."""
    model = apart(made("mocov2", flat))
    views = views_of(model)

    def loss(*views):
        return float(model.loss_on_views(views, training=False).loss)

    alone = [loss(*(view[i : i + 1] for view in views)) for i in range(8)]
    assert loss(*views) == pytest.approx(np.mean(alone), rel=1e-5)


def test_the_queue_holds_the_last_keys_in_order():
    model = made("mocov2")
    entries = [model.queue.numpy()]
    for step in range(4):
        views = views_of(model, seed=step)
        entries += [k for _, k in moco_parts(model, views, 1)]
        model.train_step({"views": views})
        np.testing.assert_allclose(model.queue, np.concatenate(entries)[-24:], atol=1e-5)


def test_the_loss_is_computed_before_the_keys_enter_the_queue():
    model = made("mocov2", flat, optimizer=keras.optimizers.SGD(0.0))
    views = views_of(model)
    before = float(model.loss_on_views(views, training=False).loss)
    assert float(model.train_step({"views": views})["contrast_loss"]) == pytest.approx(before)
    assert float(model.loss_on_views(views, training=False).loss) > before + 0.01


def influence(outputs, view):
    """[i, j]: whether output i changes with image j of a view."""
    base, rows = outputs(view).numpy(), []
    for j in range(len(view)):
        changed = view.copy()
        changed[j] = np.random.default_rng(100 + j).random(view.shape[1:])
        rows.append(np.abs(outputs(changed).numpy() - base).max(axis=1) > 1e-5)
    return np.array(rows).T


def influences(model):
    """The influence of images of view 1 on queries, and of view 2 on keys."""
    first, second = views_of(model)
    return (
        influence(lambda view: model.project((view, second))[1][0], first),
        influence(lambda view: model.companions((first, view))[0], second),
    )


def test_in_groups_batch_normalization_does_not_tell_the_key_of_a_query():
    """A key shares its statistics with other images than its query does, drawn in every step."""
    model = made("mocov2", bn_groups=2, projector=keras.layers.Dense(6))
    partitions = []
    for step in range(2):
        model.optimizer.iterations.assign(step)
        queries, keys = influences(model)
        np.testing.assert_array_equal(queries, np.kron(np.eye(2), np.ones([4, 4])) > 0)
        assert np.all(keys.sum(axis=1) == 4) and np.all(np.diag(keys))
        np.testing.assert_array_equal(keys, keys.T)
        assert np.all(np.any(keys != queries, axis=1))
        partitions.append(keys.tobytes())
    assert len(set(partitions)) > 1


def test_in_one_group_all_images_share_their_statistics():
    model = made("mocov2", projector=keras.layers.Dense(6))
    assert all(np.all(of) for of in influences(model))


@pytest.mark.parametrize("symmetric", [False, True])
def test_without_batch_normalization_groups_change_nothing(symmetric):
    found = []
    for groups in (1, 4):
        model = apart(made("mocov2", flat, bn_groups=groups, symmetric=symmetric))
        views = views_of(model)
        keys = model.companions(views)[: 1 + symmetric]
        gradients = gradients_of(model, lambda: model.loss_on_views(views).loss)
        found.append([*keys, *gradients, model.queue.value])
        for own, (_, key) in zip(keys, moco_parts(model, views, 1 + symmetric), strict=True):
            np.testing.assert_allclose(own, key, atol=1e-5)  # in the order of the images
    assert_close(found[1], found[0])


def test_groups_that_do_not_divide_the_batch_are_refused_by_name():
    model = made("mocov2", flat, bn_groups=3, compiled={"run_eagerly": True})
    with pytest.raises(ValueError, match="bn_groups"):
        model.fit(networks.dataset(model), verbose=0)


# MoCo v3 ----------------------------------------------------------------------------------------


def test_mocov3_finds_the_key_of_the_other_view_among_those_of_the_batch():
    """Algorithm 1 of the paper."""
    model = apart(made("mocov3", temperature=0.3))
    views = views_of(model)
    q = [unit(through(v, model.encoder, model.projector, model.predictor)) for v in views]
    k = [unit(through(v, model.target_encoder, model.target_projector)) for v in views]
    terms = []
    for one, other in ((q[0], k[1]), (q[1], k[0])):
        logits = np.float64(one) @ np.float64(other).T / 0.3
        terms.append(np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)))
    outputs = model.loss_on_views(views)
    assert float(outputs.scalars["contrast_loss"]) == pytest.approx(sum(terms), rel=1e-4)
    assert float(outputs.loss) == pytest.approx(2 * 0.3 * sum(terms), rel=1e-4)
    hits = np.argmax(q[0] @ k[1].T, axis=1) == np.arange(8)
    assert float(outputs.scalars["contrast_acc"]) == pytest.approx(hits.mean())


def test_no_gradient_reaches_mocov3s_keys():
    model = apart(made("mocov3", temperature=0.3))
    views = views_of(model)
    k = [unit(through(v, model.target_encoder, model.target_projector)) for v in views]

    def transcription():
        q = [normed(through(v, model.encoder, model.projector, model.predictor)) for v in views]
        pairs = (q[0], k[1]), (q[1], k[0])
        return 2 * 0.3 * sum(cross_entropy(a @ tf.transpose(b) / 0.3) for a, b in pairs)

    expected = gradients_of(model, transcription)
    assert_close(gradients_besides(model, views, followers(model)), expected)


def test_mocov3s_keys_follow_by_a_decay_that_rises_along_a_cosine():
    model = made("mocov3", base_target_decay=0.6, total_steps=4)
    pairs = list(zip(model.projector.weights, model.target_projector.weights, strict=True))
    expected = [follower.numpy() for _, follower in pairs]
    for step in range(4):
        decay = 1 - 0.4 * (np.cos(np.pi * step / 4) + 1) / 2
        model.reset_metrics()
        logs = model.train_step({"views": views_of(model, seed=step)})
        assert float(logs["target_decay"]) == pytest.approx(decay, rel=1e-5)
        for i, (leader, follower) in enumerate(pairs):
            expected[i] = decay * expected[i] + (1 - decay) * leader.numpy()
            np.testing.assert_allclose(follower, expected[i], rtol=1e-4, atol=1e-6)


# NNCLR ------------------------------------------------------------------------------------------


def nnclr_parts(model, views):
    """Projections and predictions by hand."""
    z = [through(v, model.encoder, model.projector) for v in views]
    return z, [through(v, model.predictor) for v in z]


def neighbours_loop(z, support):
    return np.array([support[np.argmax([row @ s for s in support])] for row in unit(z)])


def test_nnclrs_neighbours_pick_out_the_prediction_of_the_other_view():
    """Equation 3 and algorithm 1 of the paper."""
    model = made("nnclr", temperature=0.3)
    views, support = views_of(model), model.queue.numpy()
    z, p = nnclr_parts(model, views)
    n = [neighbours_loop(view, support) for view in z]
    terms = []
    for neighbours, predictions in ((n[0], p[1]), (n[1], p[0])):
        logits = np.float64(neighbours) @ unit(predictions).T / 0.3
        terms.append(np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)))
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(np.mean(terms), rel=1e-4)
    assert float(outputs.scalars["contrast_loss"]) == float(outputs.loss)
    cosine = np.mean(np.sum(n[0] * unit(z[0]), axis=1))
    assert float(outputs.scalars["neighbour_cosine"]) == pytest.approx(cosine, rel=1e-4)
    for ours, theirs in zip(outputs.z, z, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_no_gradient_flows_through_nnclrs_neighbours():
    model = made("nnclr", temperature=0.3)
    views, support = views_of(model), model.queue.numpy()
    n = [neighbours_loop(view, support) for view in nnclr_parts(model, views)[0]]

    def transcription():
        p = [normed(view) for view in nnclr_parts(model, views)[1]]
        pairs = (n[0], p[1]), (n[1], p[0])
        return sum(cross_entropy(a @ tf.transpose(b) / 0.3) for a, b in pairs) / 2

    expected = gradients_of(model, transcription)
    made_gradients = gradients_of(model, lambda: model.loss_on_views(views).loss)
    assert_close(made_gradients, expected)
    assert np.any(made_gradients[0] != 0)


def test_the_support_set_holds_the_last_projections_of_view_1_alone():
    model = made("nnclr")
    entries = [model.queue.numpy()]
    for step in range(4):
        views = views_of(model, seed=step)
        entries.append(unit(nnclr_parts(model, views)[0][0]))
        model.train_step({"views": views})
        np.testing.assert_allclose(model.queue, np.concatenate(entries)[-24:], atol=1e-5)


def test_neighbours_are_those_of_the_support_set_before_the_step():
    """An image is its own neighbour only from the next step on."""
    model = made("nnclr", flat, optimizer=keras.optimizers.SGD(0.0))
    views, found = views_of(model), []
    for _ in range(2):
        model.reset_metrics()
        found.append(float(model.train_step({"views": views})["neighbour_cosine"]))
    assert found[0] < 0.999 and found[1] == pytest.approx(1, abs=1e-5)


# DCL, DCLW and SupCon ---------------------------------------------------------------------------


@pytest.mark.parametrize("method,sigma", [("dcl", None), ("dclw", 0.4)])
def test_dcl_leaves_the_positive_out_of_both_directions(method, sigma):
    options = {"sigma": sigma} if sigma else {}
    model = made(method, flat, temperature=0.3, **options)  # whose projections do not tie
    views = views_of(model)
    z = together(views, model.encoder, model.projector)
    expected = 2 * reference.dcl_loop(*z, 0.3, sigma)
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert float(outputs.scalars["decoupled_loss"]) == float(outputs.loss)
    assert_first(outputs.scalars["contrast_acc"], unit(z[0]) @ unit(z[1]).T)


def assert_first(accuracy, cosines):
    """The share of rows whose own column has the largest value; rounding decides ties."""
    own = np.diagonal(cosines)
    others = np.where(np.eye(len(own), dtype=bool), -np.inf, cosines).max(axis=1)
    least, most = (np.mean(own > others + margin) for margin in (1e-5, -1e-5))
    assert least - 1e-6 <= float(accuracy) <= most + 1e-6


LABELS = np.array([0, 1, 0, 2, 1, 0, -1, -1])


def test_supcon_takes_all_views_of_a_class_for_positives():
    model = made("supcon", flat, temperature=0.3)
    views = views_of(model)
    z = together(views, model.encoder, model.projector)
    outputs = model.loss_on_views(views, LABELS)
    expected = 2 * reference.supcon_loop(*z, LABELS, 0.3)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4)
    assert float(outputs.scalars["supcon_loss"]) == float(outputs.loss)
    cosines = unit(z[0]) @ unit(z[1]).T
    siblings = (LABELS[:, None] == LABELS) & (LABELS >= 0)
    siblings[range(8), range(8)] = False
    assert_first(outputs.scalars["contrast_acc"], np.where(siblings, -np.inf, cosines))


@pytest.mark.parametrize("labels", [np.arange(8), np.full(8, -1)], ids=["distinct", "unknown"])
def test_supcon_with_a_class_for_each_image_is_simclr(labels):
    model, simclr = made("supcon", temperature=0.3), made("simclr", temperature=0.3)
    views = views_of(model)
    z = together(views, model.encoder, model.projector)
    expected = float(simclr.contrast(*z)[0])
    assert expected == pytest.approx(2 * float(losses.nt_xent(*z, 0.3)), rel=1e-5)
    assert float(model.loss_on_views(views, labels).loss) == pytest.approx(expected, rel=1e-5)


def test_supcon_without_labels_is_refused():
    model = made("supcon")
    with pytest.raises(ValueError, match="Positives by class need labels"):
        model.loss_on_views(views_of(model))
