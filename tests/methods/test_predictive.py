"""SimSiam, FastSiam, Barlow Twins, VICReg, SIGReg and EMP-SSL: their papers' algorithms."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks, reference
from tests.helpers import assert_close
from tests.networks import made
from tfssl import layers, losses
from tfssl.distribute.strategy import strategy_on


def views_of(model, num_views=None, **options):
    return networks.elements(model, num_views=num_views, **{"count": 8, **options})["views"]


def through(views, *parts):
    """The outputs of networks for views that pass each as a batch of its own."""
    for part in parts:
        views = [tf.convert_to_tensor(part(view, training=True)) for view in views]
    return views


def together(views, *parts):
    """The outputs of networks for views that pass as one batch."""
    return tf.split(through([tf.concat(views, axis=0)], *parts)[0], len(views))


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def gradients_of(model, function):
    """The gradients of a function's result, 0 where it does not depend on a variable."""
    with tf.GradientTape() as tape:
        loss = function()
    variables = model.trainable_variables
    return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)


@pytest.mark.parametrize("method,num_views", [("simsiam", 2), ("fastsiam", 2), ("fastsiam", 4)])
def test_each_prediction_is_compared_with_the_mean_projection_of_the_other_views(method, num_views):
    model = made(method)
    views = views_of(model, num_views)
    z = through(views, model.encoder, model.projector)
    p = through(z, model.predictor)
    expected = np.mean(
        [
            reference.negative_cosine_loop(p[i], np.mean(z[:i] + z[i + 1 :], axis=0))
            for i in range(num_views)
        ]
    )
    outputs = model.loss_on_views(views)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4)
    assert float(outputs.scalars["representation_loss"]) == float(outputs.loss)
    for ours, theirs in zip(outputs.z, z, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_fastsiam_with_two_views_is_simsiam():
    one, other = made("simsiam"), made("fastsiam")
    views = views_of(one)
    with tf.GradientTape() as tape:
        losses_of_both = [model.loss_on_views(views).loss for model in (one, other)]
        both = tf.stack(losses_of_both)
    assert float(losses_of_both[0]) == pytest.approx(float(losses_of_both[1]), rel=1e-6)
    variables = [one.trainable_variables, other.trainable_variables]
    assert_close(*tape.gradient(both, variables))


@pytest.mark.parametrize("method,num_views", [("simsiam", 2), ("fastsiam", 3)])
def test_no_gradient_flows_through_the_projections_that_are_predicted(method, num_views):
    model = made(method)
    views = views_of(model, num_views)
    constants = [unit(np.float32(z)) for z in through(views, model.encoder, model.projector)]
    lengths = [
        np.linalg.norm(z, axis=1, keepdims=True)
        for z in through(views, model.encoder, model.projector)
    ]
    targets = [
        unit(sum(constants[j] * lengths[j] for j in range(num_views) if j != i))
        for i in range(num_views)
    ]

    def transcription():
        p = through(views, model.encoder, model.projector, model.predictor)
        cosines = [
            tf.reduce_sum(a / tf.norm(a, axis=1, keepdims=True) * b, axis=1)
            for a, b in zip(p, targets, strict=True)
        ]
        return -tf.reduce_mean(cosines)

    ours = gradients_of(model, lambda: model.loss_on_views(views).loss)
    assert_close(ours, gradients_of(model, transcription))
    assert all(np.any(gradient != 0) for gradient in ours[:1])


@pytest.mark.parametrize("method", ["barlow_twins", "vicreg"])
def test_redundancy_is_that_of_views_that_pass_apart(method):
    settings = {
        "barlow_twins": {"off_diagonal": 0.02},
        "vicreg": {"invariance": 5.0, "variance": 3.0, "covariance": 2.0},
    }[method]
    model = made(method, **settings)
    views = views_of(model)
    z = through(views, model.encoder, model.projector)
    outputs = model.loss_on_views(views)
    if method == "barlow_twins":
        expected = reference.barlow_twins_loop(*z, off_diagonal=0.02, eps=1e-5)
        scalars = {"barlow_loss": expected}
    else:
        names = ("invariance", "variance", "covariance")
        scalars = dict(zip(names, reference.vicreg_loop(*z), strict=True))
        expected = sum(settings[name] * scalars[name] for name in names)
        scalars["vicreg_loss"] = expected
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-3)
    made_scalars = {name: float(value) for name, value in outputs.scalars.items()}
    assert made_scalars == pytest.approx(scalars, rel=1e-3)


def test_sigreg_is_lejepas_objective():
    """Invariance to the mean of the views, and normal projections of every view."""
    model = made("sigreg", weight=0.3)
    views = views_of(model, 3)
    z = [np.float64(view) for view in together(views, model.encoder, model.projector)]
    seed = model.step_seed(11)
    center = np.mean(z, axis=0)
    invariance = np.mean([(view - center) ** 2 for view in z])
    gaussian = np.mean([losses.sigreg(np.float32(view), seed, num_slices=8) for view in z])
    outputs = model.loss_on_views(views)
    assert float(outputs.scalars["invariance"]) == pytest.approx(invariance, rel=1e-4)
    assert float(outputs.scalars["sigreg"]) == pytest.approx(gaussian, rel=1e-3)
    assert float(outputs.loss) == pytest.approx(0.7 * invariance + 0.3 * gaussian, rel=1e-3)


def test_sigregs_directions_change_with_the_step_and_follow_from_the_seed():
    def at(step, seed=0):
        model = made("sigreg", seed=seed)
        model.optimizer.iterations.assign(step)
        return float(model.loss_on_views(views_of(model, 2)).scalars["sigreg"])

    assert at(1) == at(1)
    assert len({at(0), at(1), at(1, seed=1)}) == 3


def test_a_step_of_sigreg_moves_on_to_other_directions():
    model = made("sigreg", optimizer=keras.optimizers.SGD(0.0))
    views = views_of(model, 2)
    logs = []
    for _ in range(2):
        model.reset_metrics()
        logs.append({k: float(v) for k, v in model.train_step({"views": views}).items()})
    assert logs[0]["sigreg"] != logs[1]["sigreg"]
    assert logs[0]["invariance"] == pytest.approx(logs[1]["invariance"], rel=1e-5)


@pytest.mark.parametrize("num_views", [2, 5])
def test_emp_ssl_draws_patches_to_their_mean_and_spreads_the_batch(num_views):
    model = made("emp_ssl", eps=0.3, invariance=20.0)
    views = views_of(model, num_views)
    z = together(views, model.encoder, model.projector)
    outputs = model.loss_on_views(views)
    expected = reference.emp_ssl_loop(z, eps=0.3, invariance=20.0)
    assert float(outputs.loss) == pytest.approx(expected, rel=1e-4)
    assert float(outputs.scalars["emp_loss"]) == float(outputs.loss)
    normed = [unit(np.float64(view)) for view in z]
    mean = unit(sum(normed))
    cosine = np.mean([np.sum(view * mean, axis=1) for view in normed])
    rate = np.mean([float(losses.total_coding_rate(np.float32(view), 0.3)) for view in normed])
    assert float(outputs.scalars["patch_cosine"]) == pytest.approx(cosine, rel=1e-4)
    assert float(outputs.scalars["coding_rate"]) == pytest.approx(rate, rel=1e-3)


RATE = 0.2  # the highest


def scheduled(optimizer=keras.optimizers.SGD, warmup=2, steps=8, **options):
    return optimizer(tfssl.WarmupCosine(RATE, warmup, steps), **options)


def moves(model, gradients):
    """{part: the changes of its variables in a step by gradients}."""
    parts = ("encoder", "projector", "predictor")
    before = {name: getattr(model, name).get_weights() for name in parts}
    model.apply(gradients, tf.convert_to_tensor(model.optimizer.iterations))
    return {
        name: [
            new - old
            for new, old, variable in zip(
                getattr(model, name).get_weights(), before[name], getattr(model, name).weights
            )
            if variable.trainable
        ]
        for name in parts
    }


def ones(model):
    """Gradients of 1, as many as there are variables that learn."""
    return [tf.ones(v.shape) for v in model.trainable_variables]


def constant(values):
    """The value that all elements have, up to rounding."""
    values = np.concatenate([np.ravel(value) for value in values])
    np.testing.assert_allclose(values, values[0], rtol=1e-3, atol=3e-7)
    return float(np.mean(values))


@pytest.mark.parametrize("method", ["simsiam", "fastsiam"])
def test_the_predictor_learns_at_the_highest_rate_while_the_others_decay(method):
    model = made(method, optimizer=scheduled())
    for step in range(1, 8):
        model.optimizer.iterations.assign(step)
        made_moves = {name: constant(moved) for name, moved in moves(model, ones(model)).items()}
        rate = float(tfssl.WarmupCosine(RATE, 2, 8)(step))
        assert made_moves["predictor"] == pytest.approx(-RATE, rel=1e-3)
        assert made_moves["encoder"] == pytest.approx(-rate, rel=1e-3)
        assert made_moves["projector"] == pytest.approx(-rate, rel=1e-3)
    assert int(model.optimizer.iterations) == 8


def test_the_predictors_rate_is_its_own_on_two_replicas_too():
    """Both are within the optimizer's step at the same time."""
    ended = []
    for replicas in (1, 2):
        scope = strategy_on("CPU", 2).scope() if replicas > 1 else contextlib.nullcontext()
        with scope:
            model = made("simsiam", networks.feature_maps, optimizer=scheduled())
            views = networks.images(8, seed=1), networks.images(8, seed=2)
            views = tf.data.Dataset.from_tensors(views)
            model.fit(views.repeat(3), verbose=0)
        ended.append([v.numpy() for v in model.predictor.trainable_variables])
    for one, two in zip(*ended, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("step", [0, 8, 9])
def test_at_a_rate_of_0_the_predictor_alone_moves(step):
    model = made("simsiam", optimizer=scheduled())
    model.optimizer.iterations.assign(step)
    made_moves = {name: constant(moved) for name, moved in moves(model, ones(model)).items()}
    assert made_moves == {"encoder": 0, "projector": 0, "predictor": pytest.approx(-RATE, 1e-3)}


def test_the_predictors_rate_is_left_alone_if_that_is_wanted_or_nothing_decays():
    for options, optimizer in (
        ({"fixed_predictor_rate": False}, scheduled()),
        ({}, keras.optimizers.SGD(RATE / 2)),
        ({"fixed_predictor_rate": False}, keras.optimizers.SGD(RATE / 2)),
    ):
        model = made("simsiam", optimizer=optimizer, **options)
        for step in (1, 5, 7):
            model.optimizer.iterations.assign(step)
            rate = float(model.optimizer.learning_rate)
            made_moves = moves(model, ones(model))
            assert all(constant(m) == pytest.approx(-rate, rel=1e-3) for m in made_moves.values())


@keras.saving.register_keras_serializable(package="tests")
class Rises(keras.optimizers.schedules.LearningRateSchedule):
    """A warmup of four steps by a user's own schedule."""

    def __init__(self, peak):
        self.peak = peak

    def __call__(self, step):
        return self.peak * tf.minimum(tf.cast(step, tf.float32) / 4, 1.0)

    def get_config(self):
        return {"peak": self.peak}


class WithoutConfig(Rises):
    def get_config(self):
        return keras.optimizers.schedules.LearningRateSchedule.get_config(self)


@pytest.mark.parametrize("schedule", [Rises, WithoutConfig])
def test_with_a_schedule_of_ones_own_the_predictor_learns(schedule):
    model = made("simsiam", optimizer=keras.optimizers.SGD(schedule(RATE)))
    model.optimizer.iterations.assign(4)
    assert constant(moves(model, ones(model))["predictor"]) == pytest.approx(-RATE, rel=1e-3)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        lambda rate: tfssl.LARS(rate, momentum=0.9),
        lambda rate: tfssl.LARS(rate, momentum=0.9, momentum_form="popular"),
    ],
    ids=["sgd", "lars", "lars_popular"],
)
def test_with_momentum_the_predictor_moves_as_at_a_constant_rate(optimizer):
    """Paper, section 4.2; momentum 0.9 as in section 3."""
    decaying = made("simsiam", optimizer=optimizer(tfssl.WarmupCosine(RATE, 0, 12)))
    fixed = made("simsiam", optimizer=optimizer(RATE))
    for step in range(12):
        ours, theirs = (moves(model, ones(model))["predictor"] for model in (decaying, fixed))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0.02, atol=1e-6, err_msg=f"step {step}")


def test_a_step_of_training_is_that_of_two_rates():
    model = made("simsiam", optimizer=scheduled())
    model.optimizer.iterations.assign(6)
    views = views_of(model)
    before = [v.numpy() for v in model.trainable_variables]
    gradients = gradients_of(model, lambda: model.loss_on_views(views).loss)
    model.train_step({"views": views})
    count = len(model.predictor.trainable_variables)
    rates = [float(tfssl.WarmupCosine(RATE, 2, 8)(6))] * (len(before) - count) + [RATE] * count
    expected = [b - rate * g.numpy() for b, rate, g in zip(before, rates, gradients, strict=True)]
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-3, atol=1e-6)


def trained(method, steps=60, rate=2.0, **options):
    """The logs of the last step of a short training on noisy views of 16 random images."""
    keras.utils.set_random_seed(0)
    projector = layers.mlp(192, hidden_dim=16, out_dim=8, seed=1)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = method(encoder, projector, **options)
    model.compile(keras.optimizers.SGD(rate), jit_compile=False)
    step = tf.function(model.train_step, autograph=False)
    rng, images = np.random.default_rng(0), networks.images(16)
    for _ in range(steps):
        views = tuple(0.2 * images + 0.8 * rng.random(images.shape, np.float32) for _ in range(2))
        model.reset_metrics()
        logs = step({"views": views})
    return {name: float(value) for name, value in logs.items()}


def test_simsiam_with_stop_gradient_and_predictor_does_not_collapse():
    logs = trained(tfssl.SimSiam, predictor=layers.mlp(8, hidden_dim=8, out_dim=8, seed=2))
    assert logs["z_std"] > 0.8


@pytest.mark.parametrize("without", ["stop-gradient", "predictor"])
def test_simsiam_collapses_without_either(monkeypatch, without):
    """Paper, sections 4.1 and 4.2 and figure 2."""
    predictor = layers.mlp(8, hidden_dim=8, out_dim=8, seed=2)
    if without == "stop-gradient":
        monkeypatch.setattr(tf, "stop_gradient", tf.identity)
    else:
        predictor = keras.layers.Identity()
    logs = trained(tfssl.SimSiam, predictor=predictor)
    assert logs["z_std"] < 0.15 and logs["representation_loss"] < -0.98


@pytest.mark.slow
@pytest.mark.ci
def test_vicreg_collapses_without_variance_and_covariance_and_with_them_does_not():
    with_all = trained(tfssl.VICReg, rate=0.03)
    without = trained(tfssl.VICReg, rate=0.03, variance=0.0, covariance=0.0)
    assert with_all["variance"] < 1.0 < 1.8 < without["variance"]
    assert without["invariance"] < 0.05 < with_all["invariance"]
