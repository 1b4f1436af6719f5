"""SimCLR with a memory: what it holds, who makes it, and what it does to the loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import assert_close as close
from tests.helpers import build_for_parts, no_normalization
from tests.helpers import build_method as build
from tests.helpers import random_views as batch

SIZE = 40  # of the queue; a step brings 16


def values(variables):
    return [v.numpy() for v in variables]


def online(model):
    return model.encoder.trainable_variables + model.projector.trainable_variables


def following(model):
    """The variables of the following network, of those of `online`."""
    pairs = zip(
        model.encoder.variables + model.projector.variables,
        model.memory_encoder.variables + model.memory_projector.variables,
        strict=True,
    )
    return [follower for leader, follower in pairs if leader.trainable]


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


@pytest.mark.parametrize("blockwise_loss_from", [0, 2])
def test_the_loss_is_the_softmax_over_the_batch_and_the_queue_before_the_step(blockwise_loss_from):
    model = build(memory_size=SIZE, temperature=0.3, blockwise_loss_from=blockwise_loss_from)
    views, queue = batch(), model.queue.numpy()
    z = unit(np.concatenate(model.project(views["views"])[1]).astype("float64"))
    logits = z @ np.concatenate([z, queue]).T / 0.3
    logits[range(16), range(16)] = -np.inf
    positives = logits[range(16), np.roll(range(16), 8)]
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - positives)
    made = model.loss_on_views(views["views"])
    assert (
        float(made.loss)
        == float(made.scalars["contrast_loss"])
        == pytest.approx(2 * expected, rel=1e-4)
    )


def test_the_queue_holds_the_last_projections_of_the_following_network_in_order():
    model = build(memory_size=SIZE, memory_decay=0.5)
    made = [model.queue.numpy()]
    for step in range(4):
        views = batch(seed=step)
        made += model.companions(views["views"])
        model.train_step(views)
        np.testing.assert_allclose(model.queue, np.concatenate(made)[-SIZE:], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(model.queue, axis=1), 1, rtol=1e-5)


def test_a_queue_shorter_than_a_step_holds_the_last_of_it():
    model, views = build(memory_size=5), batch()
    _, z2 = model.companions(views["views"])
    model.train_step(views)
    np.testing.assert_allclose(model.queue, z2[-5:], atol=1e-5)


def test_the_queue_starts_as_directions_drawn_by_the_seed():
    first, again, other = (build(memory_size=SIZE, seed=seed).queue.numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    assert not np.allclose(first, other) and len(np.unique(first[:, 0])) == SIZE


def test_the_following_network_is_the_closed_form_of_its_moving_average():
    model = build(memory_size=SIZE, memory_decay=0.6)
    assert not {id(v) for v in following(model)} & {id(v) for v in online(model)}
    history = [values(following(model))]
    for a, b in zip(history[0], values(online(model)), strict=True):
        np.testing.assert_array_equal(a, b)  # it starts where the online one does
    for step in range(3):
        model.train_step(batch(seed=step))
        history.append(values(online(model)))
    weights = [0.6**3, 0.4 * 0.6**2, 0.4 * 0.6, 0.4]
    for ours, *past in zip(values(following(model)), *history, strict=True):
        np.testing.assert_allclose(
            ours, sum(w * p for w, p in zip(weights, past)), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_it_is_the_online_network_at_once_or_never(decay):
    model = build(memory_size=SIZE, memory_decay=decay)
    before = values(following(model))
    for step in range(2):
        model.train_step(batch(seed=step))
    for a, b in zip(before if decay else values(online(model)), values(following(model))):
        np.testing.assert_array_equal(a, b)


def test_no_gradient_reaches_the_queue_or_who_fills_it():
    model, views = build(memory_size=SIZE), batch()
    learned = {id(v) for v in model.trainable_variables}
    assert not learned & {id(v) for v in (*following(model), model.queue)}
    constants = [v.value for v in (*following(model), model.queue)]
    with tf.GradientTape() as tape:
        tape.watch(constants)
        loss = model.loss_on_views(views["views"]).loss
    assert all(g is None for g in tape.gradient(loss, constants))


def test_in_parts_the_gradients_and_the_queue_are_those_of_the_batch():
    made = []
    for count in (1, 4):
        model = build_for_parts("simclr", no_normalization, memory_size=SIZE)
        model.accumulate_steps = count
        gradients, _ = (
            model.accumulated(batch(16))
            if count > 1
            else model.gradients_of(model.loss_on, batch(16))
        )
        made.append([*gradients, model.queue.value])
    close(*made[::-1])


def test_the_information_bound_counts_the_memory():
    assert build(memory_size=SIZE).candidates(8) == 15 + SIZE
    assert build().candidates(8) == 15 and not hasattr(build(), "queue")


def test_in_mixed_precision_the_loss_and_the_queue_are_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(memory_size=SIZE)
    finally:
        keras.config.set_dtype_policy("float32")
    logs = tf.function(model.train_step)(batch())
    assert model.memory_projector.compute_dtype == "bfloat16"
    assert model.queue.dtype == "float32" and np.isfinite(float(logs["contrast_loss"]))
    assert len(np.unique(model.queue[:, 0])) == SIZE


def test_a_checkpoint_holds_the_queue_and_the_following_network():
    state = build(memory_size=SIZE).state()
    assert {"queue", "memory_encoder", "memory_projector"} <= set(state)
