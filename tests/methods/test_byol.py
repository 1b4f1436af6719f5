"""BYOL: who learns, who follows, and what keeps it from collapse."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import build_method as build
from tests.helpers import costly, spared
from tests.helpers import random_views as batch
from tfssl import encoders, layers
from tfssl.methods import BYOL
from tfssl.runner import sources


def byol(**settings):
    return build("byol", **settings)


def values(variables):
    return [v.numpy() for v in variables]


def online(model):
    return model.encoder.trainable_variables + model.projector.trainable_variables


def target(model):
    """The variables of the target network that follow those of `online`."""
    pairs = zip(
        model.encoder.variables + model.projector.variables,
        model.target_encoder.variables + model.target_projector.variables,
        strict=True,
    )
    return [follower for leader, follower in pairs if leader.trainable]


def test_no_gradient_reaches_the_target():
    model, views = byol(), batch()
    learned = {id(v) for v in model.trainable_variables}
    assert not learned & {id(v) for v in target(model)}
    assert {id(v) for v in online(model)} < learned
    with tf.GradientTape() as tape:
        tape.watch([v.value for v in target(model)])
        loss = model.loss_on_views(views["views"]).loss
    gradients = tape.gradient(
        loss, [[v.value for v in target(model)], model.trainable_variables[:3]]
    )
    assert all(g is None for g in gradients[0]) and all(g is not None for g in gradients[1])


def test_the_target_is_the_closed_form_of_its_moving_average():
    model = byol(base_target_decay=0.6, total_steps=5)
    decays = 1 - 0.4 * (np.cos(np.pi * np.arange(4) / 5) + 1) / 2
    expected, history = values(target(model)), []
    for step in range(4):
        model.train_step(batch(seed=step))
        history.append(values(online(model)))
    expected = [e * np.prod(decays) for e in expected]
    for step, leaders in enumerate(history):
        weight = (1 - decays[step]) * np.prod(decays[step + 1 :])
        expected = [e + weight * o for e, o in zip(expected, leaders)]
    for ours, e in zip(values(target(model)), expected):
        np.testing.assert_allclose(ours, e, rtol=1e-4, atol=1e-6)


def test_with_decay_1_the_target_never_moves():
    model = byol(base_target_decay=1.0)
    before = values(target(model))
    for step in range(3):
        model.train_step(batch(seed=step))
    for a, b in zip(before, values(target(model))):
        np.testing.assert_array_equal(a, b)


def test_with_decay_0_the_target_is_the_online_network():
    model = byol(base_target_decay=0.0, total_steps=10**9)
    for step in range(3):
        model.train_step(batch(seed=step))
    for a, b in zip(values(online(model)), values(target(model))):
        np.testing.assert_array_equal(a, b)


def test_the_target_starts_elsewhere():
    model = byol()
    different = [
        not np.array_equal(a, b)
        for a, b in zip(values(online(model)), values(target(model)))
        if a.ndim > 1
    ]
    assert all(different)


def test_the_targets_batch_normalization_trains_on_its_own_batches():
    """In training mode the output does not depend on the moving averages, and they move."""
    model, views = byol(base_target_decay=1.0), batch()
    plain = model.target(views["views"][0]).numpy()
    moving = [v for v in model.target_encoder.non_trainable_variables if "moving" in v.name]
    for v in moving:
        v.assign(v * 3.0 + 1.0)
    changed = values(moving)
    np.testing.assert_allclose(model.target(views["views"][0]), plain, rtol=1e-5, atol=1e-6)
    assert all(not np.array_equal(a, b) for a, b in zip(changed, values(moving)))


def test_the_loss_is_the_sum_of_both_directions_by_hand():
    model, views = byol(), batch()
    made = model.loss_on_views(views["views"])
    loss, scalars = made.loss, made.scalars
    (_, z1, p1), (_, z2, p2) = model.online(views["views"][0]), model.online(views["views"][1])
    t1, t2 = model.target(views["views"][0]), model.target(views["views"][1])

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    expected = sum(
        np.mean(np.sum((unit(p) - unit(t)) ** 2, 1))
        for p, t in ((p1.numpy(), t2.numpy()), (p2.numpy(), t1.numpy()))
    )
    assert float(loss) == pytest.approx(expected, rel=1e-4) and 0 <= float(loss) <= 8
    z, t = np.concatenate([z1, z2]), np.concatenate([t1, t2])
    cosine = np.mean(np.sum(unit(z) * unit(t), axis=1))
    assert float(scalars["online_target_cosine"]) == pytest.approx(cosine, abs=1e-4)
    assert [h.shape for h in made.h] == [(8, 32)] * 2 and model.PROBE_VIEWS == 1


def test_each_view_is_a_batch_of_its_own():
    """Were both views normalized together, changing one would change h of the other."""
    model, (one, two) = byol(), batch()["views"]
    plain = model.loss_on_views((one, two)).h[0]
    shifted = model.loss_on_views((one, two * 0.2)).h[0]
    np.testing.assert_allclose(plain, shifted, rtol=1e-5, atol=1e-6)


def test_the_loss_is_float32_in_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = byol()
    finally:
        keras.config.set_dtype_policy(policy)
    views = batch()["views"]
    made = model.loss_on_views(views)
    assert model.online(views[0])[2].dtype == tf.bfloat16
    assert all(v.dtype == tf.float32 for v in (made.loss, *made.scalars.values()))


def test_a_target_of_another_form_is_refused():
    def encoder(width):
        return encoders.resnet(18, stem="cifar", width_multiplier=width)

    with pytest.raises(ValueError, match="`target_encoder` must have the form of the network that"):
        BYOL(encoder(1 / 16), target_encoder=encoder(1 / 8)).build((None, 16, 16, 3))


class NoPredictor(BYOL):
    def online(self, view, training=True):
        h, z, _ = super().online(view, training)
        return h, z, z


class NoStopGradient(BYOL):
    """Both branches are the online network, and both learn."""

    def target(self, view, training=True):
        return self.projector(self.encode(view, training), training=training)


def resnet_of(seed):
    return encoders.resnet(18, stem="cifar", width_multiplier=1 / 8, seed=seed)


def convolutions_of(seed):
    """Three convolutions, each of which halves the map, with batch normalization."""
    x = inputs = keras.Input((None, None, 3))
    for number, filters in enumerate((16, 32, 64)):
        kernel = keras.initializers.HeNormal(seed=10 * seed + number)
        x = keras.layers.Conv2D(
            filters, 3, 2, padding="same", use_bias=False, kernel_initializer=kernel
        )(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@functools.cache
def batches_of(steps):
    """Batches of views of the embedded data."""
    from tfssl import augment, data
    from tfssl.config import Config

    config = Config(method="byol", dataset="shapes", train_split="train[:2000]", image_size=16)
    source = sources.load(config, config.train_split)
    view = augment.simclr_view((16, 16), crop_area=(0.5, 1.0))
    return data.views(source, (view, view), batch_size=64, seed=0, stop_step=steps)


def spread_after_training(of_class, encoder, steps):
    """z_std of BYOL, or of a crippled copy of it, after a short run on the embedded data."""

    def head(in_dim, seed):
        return layers.byol_head(in_dim, hidden_dim=128, out_dim=32, seed=seed)

    model = of_class(
        encoder(0),
        head(64, 1),
        head(32, 2),
        target_encoder=encoder(3),
        target_projector=head(64, 4),
        target_init="fresh",
        base_target_decay=0.97,
        total_steps=steps,
    )
    model.build((None, 16, 16, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), jit_compile=False)
    spreads = []

    def note(step, logs):
        spreads.append(logs["z_std"])
        model.reset_metrics()

    model.fit(
        batches_of(steps),
        verbose=0,
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
    )
    return float(np.mean(spreads[-20:]))


@pytest.mark.parametrize(
    ("encoder", "steps"), [costly(convolutions_of, 100), spared(resnet_of, 300)]
)
def test_byol_does_not_collapse_and_without_its_two_tricks_it_does(encoder, steps):
    whole, no_predictor, no_stop = (
        spread_after_training(cls, encoder, steps) for cls in (BYOL, NoPredictor, NoStopGradient)
    )
    assert whole > 0.3, (whole, no_predictor, no_stop)
    assert no_predictor < 0.5 * whole and no_stop < 0.5 * whole, (whole, no_predictor, no_stop)
