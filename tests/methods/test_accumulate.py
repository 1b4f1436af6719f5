"""A batch in parts learns what the batch at once does."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import assert_close as close
from tests.helpers import build_for_parts as build
from tests.helpers import no_normalization, spared
from tests.helpers import random_views as batch
from tfssl import layers
from tfssl.runner.build import BUILDERS as METHODS


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("method", [*METHODS, "supervised"])
def test_without_normalization_parts_are_the_batch(method, count):
    model, data = build(method, no_normalization), batch(16)
    model.accumulate_steps = count
    gradients, scalars = model.accumulated(data)
    expected, logged = model.gradients_of(model.loss_on, data)
    close(gradients, expected)
    for name in {
        "loss",
        "weight_decay",
        "contrast_loss",
        "contrast_entropy",
        "representation_loss",
        "supervised_loss",
    } & logged.keys():
        np.testing.assert_allclose(scalars[name], logged[name], rtol=1e-5)


@pytest.mark.parametrize("known", [[0, 1, 2, 3, 6], [15], []])
@pytest.mark.parametrize("method", ["simclr", "byol", "supervised"])
def test_labels_count_as_in_the_whole_batch_however_the_parts_hold_them(method, known):
    model, data = build(method, no_normalization), batch(16)
    data["label"] = np.where(np.isin(np.arange(16), known), data["label"], -1)
    model.accumulate_steps = 4
    gradients, scalars = model.accumulated(data)
    expected, logged = model.gradients_of(model.loss_on, data)
    close(gradients, expected)
    for name in ("loss", "supervised_loss", "supervised_acc"):
        np.testing.assert_allclose(scalars[name], logged[name], rtol=1e-5)
    assert (float(logged["supervised_loss"]) > 0) == bool(known)


@pytest.mark.slow
def test_simclr_in_parts_is_one_loss_on_parts_normalized_apart():
    model, data = build("simclr", layers.FusedBatchNormalization), batch(12)
    model.accumulate_steps = 3
    moving = model.encoder.non_trainable_variables + model.projector.non_trainable_variables
    before = [v.numpy() for v in moving]
    with tf.GradientTape() as tape:
        both = [model.project([view[i : i + 4] for view in data["views"]]) for i in (0, 4, 8)]
        z1, z2 = (tf.concat([z[view] for _, z in both], axis=0) for view in (0, 1))
        probe = (
            sum(
                model.probe_loss(tf.concat(h, axis=0), {"label": data["label"][4 * i : 4 * i + 4]})[
                    0
                ]
                for i, (h, _) in enumerate(both)
            )
            / 3
        )
        total = model.contrast(z1, z2)[0] + probe + model.weight_decay_loss()
    expected = tape.gradient(total, model.trainable_variables)
    moved = [v.numpy() for v in moving]
    for variable, value in zip(moving, before):
        variable.assign(value)
    gradients, scalars = tf.function(model.accumulated)(data)
    close(gradients, expected)
    np.testing.assert_allclose(scalars["loss"], total, rtol=1e-5)
    for variable, value in zip(moving, moved):  # the first pass leaves no trace
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [spared(m) if m in ("npair", "triplet") else m for m in METHODS])
def test_a_step_in_parts(method):
    model = build(method, layers.FusedBatchNormalization)
    model.accumulate_steps = 2
    history = model.fit(tf.data.Dataset.from_tensors(batch()).repeat(2), verbose=0).history
    assert set(history) >= set(model.trackers) and np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == 2
