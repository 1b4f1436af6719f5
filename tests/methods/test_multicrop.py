"""SwAV and DINO: views of several sizes, codes, queues, teachers and frozen prototypes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks, reference
from tests.helpers import assert_close, costly, spared
from tests.networks import followers, gradients_besides, gradients_of, made

LARGE, SMALL = 8, 6  # pixels
SIZES = (LARGE, LARGE, SMALL, SMALL)
METHODS = ["swav", "dino"]


def views_of(sizes=SIZES, seed=0):
    return tuple(networks.images(8, size, seed=10 * seed + i) for i, size in enumerate(sizes))


def through(view, *parts):
    for part in parts:
        view = part(view, training=True)
    return tf.convert_to_tensor(view)


def features(views, encoder, projector):
    """Projections of unit length by hand: views of one size pass the encoder together."""
    large, small = views[:2], views[2:]
    h = [through(tf.concat(group, axis=0), encoder) for group in (large, small) if group]
    z = projector(tf.concat(h, axis=0), training=True)
    return tf.split(z / tf.norm(z, axis=1, keepdims=True), len(views))


def scores_of(model, z):
    return [view @ tf.convert_to_tensor(model.prototypes.kernel) for view in z]


def cross_entropy(targets, logits):
    return -tf.reduce_mean(tf.reduce_sum(np.float32(targets) * tf.nn.log_softmax(logits), axis=1))


# Views of several sizes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes,groups",
    [
        ((8, 8, 6, 6), [(0, 1), (2, 3)]),
        ((8, 6, 8), [(0,), (1,), (2,)]),
        ((8, 8, 8), [(0, 1, 2)]),
        ((8, 8, 6, 7, 7), [(0, 1), (2,), (3, 4)]),
    ],
)
def test_views_of_one_size_in_a_row_share_their_statistics(sizes, groups):
    model, views = made("swav"), views_of(sizes)
    base = model.encode_views(views, training=True)
    for i, view in enumerate(views):
        changed = (*views[:i], np.concatenate([1 - view[:1], view[1:]]), *views[i + 1 :])
        h = model.encode_views(changed, training=True)
        moved = [bool(np.abs(a[1:] - b[1:]).max() > 1e-6) for a, b in zip(h, base, strict=True)]
        (own,) = [group for group in groups if i in group]
        assert moved == [j in own for j in range(len(views))]


@pytest.mark.parametrize("sizes", [(8, 8, 6, 6), (8, 6, 8)])
def test_views_come_back_in_their_order(sizes):
    model, views = made("dino"), views_of(sizes)
    for training, apart in ((False, False), (True, True)):
        h = model.encode_views(views, training=training, apart=apart)
        for ours, view in zip(h, views, strict=True):
            np.testing.assert_allclose(ours, model.encode(view, training=training), atol=1e-5)


@pytest.mark.parametrize(
    "method", [(costly if method == "swav" else spared)(method) for method in METHODS]
)
def test_recipes_of_two_sizes_make_views_to_train_on(method):
    model = made(method, compiled={"run_eagerly": True})
    recipes = [tfssl.augment.supervised(size) for size in SIZES]
    views = tfssl.views(networks.images(16, 12), recipes, batch_size=8, compiled=False)
    assert [spec.shape[1] for spec in tf.nest.flatten(views.element_spec)] == list(SIZES)
    before = model.encoder.get_weights()[0]
    logs = model.fit(views, verbose=0).history
    assert len(logs[f"{method}_loss"]) == 1 and np.isfinite(logs["loss"][0])
    assert np.any(model.encoder.get_weights()[0] != before)


# SwAV -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [SIZES[:2], SIZES])
def test_swav_predicts_the_codes_of_the_first_two_views(sizes):
    model = made("swav", memory_size=0, temperature=0.2, epsilon=0.1, iterations=4)
    views = views_of(sizes)
    scores = scores_of(model, features(views, model.encoder, model.projector))
    expected = reference.swav_loop(scores[:2], scores[2:], 0.2, 0.1, 4)
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4)
    assert float(outputs.scalars["swav_loss"]) == float(outputs.loss)
    used = len(set(np.argmax(scores[0], axis=1))) / 6
    assert float(outputs.scalars["prototypes_used"]) == pytest.approx(used)


@pytest.mark.parametrize("memory_size", [0, 12])
def test_no_gradient_flows_through_swavs_codes(memory_size):
    model, views = made("swav", memory_size=memory_size), views_of()
    model.optimizer.iterations.assign(100)
    kernel = model.prototypes.kernel.numpy()
    scores = scores_of(model, features(views, model.encoder, model.projector))
    queued = np.split(model.queue.numpy() @ kernel, 2) if memory_size else [scores[0][:0]] * 2
    codes = [
        reference.sinkhorn_loop(np.concatenate([older, own]), 0.05, 3)[-8:]
        for older, own in zip(queued, scores)
    ]

    def transcription():
        live = scores_of(model, features(views, model.encoder, model.projector))
        pairs = [(c, s) for c in range(2) for s in range(4) if s != c]
        return sum(cross_entropy(codes[c], live[s] / 0.1) for c, s in pairs) / len(pairs)

    expected = gradients_of(model, transcription)
    assert_close(gradients_of(model, lambda: model.loss_on_views(views).loss), expected)
    assert np.any(expected[-1] != 0)


def test_the_queue_takes_part_in_the_codes_once_it_is_full():
    """Of 12 entries, with 8 images in a step: from the third step on."""
    model, views = made("swav"), views_of()
    kernel = model.prototypes.kernel.numpy()
    scores = scores_of(model, features(views, model.encoder, model.projector))
    queued = np.split(model.queue.numpy() @ kernel, 2)
    alone = reference.swav_loop(scores[:2], scores[2:], 0.1, 0.05, 3)
    with_queue = reference.swav_loop(scores[:2], scores[2:], 0.1, 0.05, 3, queued)
    assert abs(alone - with_queue) > 1e-3
    for step, expected in enumerate([alone, alone, with_queue, with_queue]):
        model.optimizer.iterations.assign(step)
        queue = model.queue.numpy()
        made_loss = float(model.loss_on_views(views).loss)
        model.queue.assign(queue)
        assert made_loss == pytest.approx(expected, rel=1e-4)


def test_swavs_queue_holds_the_last_projections_of_each_of_the_first_two_views():
    model = made("swav")
    entries = [[rows] for rows in np.split(model.queue.numpy(), 2)]
    for step in range(4):
        views = views_of(seed=step)
        z = features(views, model.encoder, model.projector)
        for of_view, rows in zip(entries, z):
            of_view.append(rows.numpy())
        model.train_step({"views": views})
        expected = [np.concatenate(of_view)[-12:] for of_view in entries]
        np.testing.assert_allclose(np.split(model.queue, 2), expected, atol=1e-5)


# Prototypes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.5, momentum=0.9),
        lambda: tfssl.LARS(50.0),
        lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    ],
    ids=["sgd", "lars", "adamw"],
)
def test_prototypes_are_frozen_at_first_and_of_unit_length_always(method, optimizer):
    model = made(method, optimizer=optimizer(), frozen_share=0.5, total_steps=4)
    kernels = [model.prototypes.kernel.numpy()]
    encoders = [model.encoder.get_weights()[0]]
    for step in range(4):
        model.train_step({"views": views_of(SIZES[:2], seed=step)})
        kernels.append(model.prototypes.kernel.numpy())
        encoders.append(model.encoder.get_weights()[0])
    for kernel in kernels:
        np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, rtol=1e-5)
    moved = [np.abs(b - a).max() for a, b in zip(kernels, kernels[1:])]
    assert max(moved[:2]) < 1e-6 and min(moved[2:]) > 1e-4
    assert all(np.any(a != b) for a, b in zip(encoders, encoders[1:]))


@pytest.mark.parametrize("method", METHODS)
def test_prototypes_are_not_frozen_if_the_length_is_unknown_or_the_share_is_0(method):
    for options in ({"frozen_share": 1.0}, {"frozen_share": 0.0, "total_steps": 4}):
        model = made(method, **options)
        before = model.prototypes.kernel.numpy()
        model.train_step({"views": views_of(SIZES[:2])})
        assert np.abs(model.prototypes.kernel - before).max() > 1e-5


# DINO -------------------------------------------------------------------------------------------


def apart(model):
    """The model, its teacher and center far from what they follow."""
    rng = np.random.default_rng(0)
    for follower in model.followers.values():
        for variable in follower.weights:
            if "moving" not in variable.path:
                variable.assign_add(0.3 * rng.normal(size=variable.shape).astype(np.float32))
    model.center.assign(rng.normal(size=6) / 10)
    return model


def dino_outputs(model, views):
    students = scores_of(model, features(views, model.encoder, model.projector))
    teachers = [
        view @ tf.convert_to_tensor(model.target_prototypes.kernel)
        for view in features(views[:2], model.target_encoder, model.target_projector)
    ]
    return students, teachers


@pytest.mark.parametrize("sizes", [SIZES[:2], SIZES])
def test_dino_predicts_the_teachers_outputs_for_the_first_two_views(sizes):
    options = dict(temperature=0.2, teacher_temperature=0.07, center_momentum=0.8)
    model, views = apart(made("dino", **options)), views_of(sizes)
    students, teachers = dino_outputs(model, views)
    center = model.center.numpy()
    expected, new_center = reference.dino_loop(students, teachers, center, 0.2, 0.07, 0.8)
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(model.center, new_center, atol=1e-5)
    p = [reference.softmax((row - center) / 0.07) for view in teachers for row in view.numpy()]
    entropy = np.mean([-sum(row * np.log(row)) for row in p])
    assert float(outputs.scalars["teacher_entropy"]) == pytest.approx(entropy, rel=1e-3)


def test_no_gradient_reaches_dinos_teacher_and_center():
    model, views = apart(made("dino")), views_of()
    _, teachers = dino_outputs(model, views)
    targets = [tf.nn.softmax((view - model.center) / 0.04).numpy() for view in teachers]

    def transcription():
        live = scores_of(model, features(views, model.encoder, model.projector))
        pairs = [(t, s) for t in range(2) for s in range(4) if s != t]
        return sum(cross_entropy(targets[t], live[s] / 0.1) for t, s in pairs) / len(pairs)

    expected = gradients_of(model, transcription)
    assert len(model.followers) == 3
    held = [*followers(model), model.center]
    assert_close(gradients_besides(model, views, held), expected)


def test_the_loss_uses_the_center_of_earlier_steps():
    model = made("dino", center_momentum=0.5, optimizer=keras.optimizers.SGD(0.0))
    views, center = views_of(), np.zeros(6)
    for _ in range(3):
        students, teachers = dino_outputs(model, views)
        expected, center = reference.dino_loop(students, teachers, center, 0.1, 0.04, 0.5)
        model.reset_metrics()
        logs = model.train_step({"views": views})
        assert float(logs["dino_loss"]) == pytest.approx(expected, rel=1e-3)
        np.testing.assert_allclose(model.center, center, atol=1e-5)


def test_evaluation_leaves_the_center_and_the_queue_alone():
    for method, name in (("dino", "center"), ("swav", "queue")):
        model = made(method)
        before = getattr(model, name).numpy()
        model.test_step({"views": views_of()})
        np.testing.assert_array_equal(getattr(model, name), before)


def test_the_teachers_temperature_changes_linearly_and_its_decay_along_a_cosine():
    model = made(
        "dino",
        first_teacher_temperature=0.02,
        teacher_temperature=0.06,
        teacher_temperature_share=0.5,
        base_target_decay=0.6,
        total_steps=8,
    )
    pairs = [
        pair
        for name in ("projector", "prototypes")
        for pair in zip(
            getattr(model, name).weights, getattr(model, f"target_{name}").weights, strict=True
        )
    ]
    expected = [follower.numpy() for _, follower in pairs]
    for step, temperature in enumerate([0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.06, 0.06]):
        decay = 1 - 0.4 * (np.cos(np.pi * step / 8) + 1) / 2
        model.reset_metrics()
        logs = model.train_step({"views": views_of(SIZES[:2], seed=step)})
        assert float(logs["teacher_temperature"]) == pytest.approx(temperature, rel=1e-5)
        assert float(logs["target_decay"]) == pytest.approx(decay, rel=1e-5)
        for i, (leader, follower) in enumerate(pairs):
            expected[i] = decay * expected[i] + (1 - decay) * leader.numpy()
            np.testing.assert_allclose(follower, expected[i], rtol=1e-4, atol=1e-6)


def test_the_temperature_of_the_step_is_that_of_the_loss():
    model, views = made("dino", first_teacher_temperature=0.02, total_steps=100), views_of()
    students, teachers = dino_outputs(model, views)
    for step, temperature in ((0, 0.02), (5, 0.03), (10, 0.04), (50, 0.04)):
        model.optimizer.iterations.assign(step)
        model.center.assign(np.zeros(6))
        expected, _ = reference.dino_loop(students, teachers, np.zeros(6), 0.1, temperature, 0.9)
        assert float(model.loss_on_views(views).loss) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("share,total_steps", [(0.0, 10), (0.1, None)])
def test_without_a_warmup_or_a_known_length_the_temperature_is_the_last(share, total_steps):
    model = made(
        "dino",
        first_teacher_temperature=0.02,
        teacher_temperature_share=share,
        total_steps=total_steps,
    )
    assert float(model.temperature_at(0)) == pytest.approx(0.04)
