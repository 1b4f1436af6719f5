"""What every method must do, and what SimCLR is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import build_method as build
from tests.helpers import random_views as batch
from tests.reference import nt_xent_loop
from tfssl import encoders, layers
from tfssl.methods import SimCLR
from tfssl.methods.selfsupervised import direction_std
from tfssl.runner.build import BUILDERS as METHODS


def probed(model, batch):
    """h of the views that the probe learns from, in a row."""
    return tf.concat(model.loss_on_views(batch["views"]).h[: model.PROBE_VIEWS], axis=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("probe", [True, False])
def test_one_step_runs_logs_and_learns(method, probe):
    model = build(method, probe)
    before = [v.numpy() for v in model.trainable_variables]
    logs = model.train_step(batch())
    assert all(np.isfinite(float(v)) for v in logs.values())
    assert set(logs) == set(model.trackers)
    assert ("supervised_acc" in logs) == probe
    moved = [not np.array_equal(a, v.numpy()) for a, v in zip(before, model.trainable_variables)]
    assert np.mean(moved) > 0.5 and moved[-1]


@pytest.mark.parametrize("method", METHODS)
def test_fit_reports_what_the_step_logged(method):
    """Keras takes epoch logs from `metrics`: with a stray tracker there they would be 0."""
    data = tf.data.Dataset.from_tensors(batch()).repeat(2)
    history = build(method).fit(data, verbose=0).history
    assert history["loss"][0] > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_probe_sends_no_gradient_to_the_encoder(method):
    model = build(method)
    with tf.GradientTape() as tape:
        loss, _ = model.probe_loss(probed(model, batch()), batch())
    encoder, probe = tape.gradient(
        loss, [model.encoder.trainable_variables, model.probe.trainable_variables]
    )
    assert all(g is None for g in encoder) and all(g is not None for g in probe)


@pytest.mark.parametrize("method", METHODS)
def test_the_probe_learns_from_the_images_with_a_label_alone(method):
    model, data = build(method), batch()
    labels = np.where(np.arange(8) % 3 == 0, -1, data["label"])
    h = probed(model, data)
    known = np.tile(labels, len(h) // 8) >= 0

    def learned(h, labels):
        with tf.GradientTape() as tape:
            loss, scalars = model.probe_loss(h, {"label": labels})
        return [
            loss,
            scalars["supervised_acc"],
            *tape.gradient(loss, model.probe.trainable_variables),
        ]

    for one, other in zip(learned(h, labels), learned(h[known], labels[labels >= 0])):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_model_is_its_encoder_for_inference(method):
    model = build(method)
    images = batch()["views"][0]
    np.testing.assert_array_equal(model(images), model.encoder(images, training=False))


def test_simclr_is_twice_algorithm_1():
    model = build(temperature=0.3)
    views = batch()["views"]
    made = model.loss_on_views(views)
    loss, scalars, h = made.loss, made.scalars, tf.concat(made.h, axis=0)
    z = model.projector(h, training=True).numpy()
    paper = nt_xent_loop(z[:8], z[8:], 0.3)
    assert float(loss) == pytest.approx(2 * paper, rel=1e-4)
    assert float(scalars["contrast_loss"]) == float(loss)
    assert h.shape == (16, 32)


def test_both_views_share_one_batch_normalization():
    """Were the views normalized apart, shifting one of them would change nothing."""
    model = build()
    one, two = batch()["views"]
    plain = model.loss_on_views((one, two)).h[0]
    shifted = model.loss_on_views((one, two * 0.2)).h[0]
    assert np.abs(plain - shifted).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_swapping_the_views_leaves_the_loss(method):
    model = build(method)
    views = batch()["views"]
    one = model.loss_on_views(views).loss
    two = model.loss_on_views(views[::-1]).loss
    assert float(one) == pytest.approx(float(two), rel=1e-4)  # rounding of batch statistics


def test_weight_decay_is_half_the_squares():
    model = build()
    kernel = model.probe.trainable_variables[0]
    model.penalize([kernel], 0.2)
    expected = 0.5 * 0.2 * np.sum(kernel.numpy() ** 2)
    assert float(model.train_step(batch())["weight_decay"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_loss_falls_on_a_batch_seen_again_and_again():
    model = build(optimizer=keras.optimizers.Adam(1e-3), temperature=0.5)
    step = tf.function(model.train_step)
    first = float(step(batch())["contrast_loss"])
    for _ in range(60):
        model.reset_metrics()
        last = float(step(batch())["contrast_loss"])
    assert last < 0.6 * first


def test_spread_of_even_and_of_collapsed_rows():
    rng = np.random.default_rng(0)
    assert float(direction_std(rng.normal(size=(4096, 64)))) == pytest.approx(1.0, abs=0.02)
    assert float(direction_std(np.ones((16, 64)))) == pytest.approx(0.0, abs=1e-6)


def test_simclr_by_hand_without_a_config():
    encoder = encoders.resnet(18, stem="cifar", width_multiplier=1 / 16)
    model = SimCLR(encoder, layers.projector(32, out_dim=8), temperature=0.5)
    model.compile(optimizer="sgd", jit_compile=False)
    fitted = model.fit(tf.data.Dataset.from_tensors(batch()), verbose=0)
    assert np.isfinite(fitted.history["contrast_loss"]).tolist() == [True]
