"""LARS against the reference's figures, the paper's loop, and Keras's contracts.

golden/lars.npz was obtained by running google-research/simclr tf2 at 383d414 for three steps on
fixed random variables and gradients.
"""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.reference import lars_step_loop
from tfssl.optim import LARS, WarmupCosine, excluded

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "lars.npz"


def random_kernel(seed=0, shape=(3, 4)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def small_model():
    return keras.Sequential(
        [
            keras.Input([4]),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def fit(model, steps):
    x, y = random_kernel(1, (8 * steps, 4)), random_kernel(2, (8 * steps, 2))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)


def test_golden_three_steps():
    # conv kernel, batch-norm gamma, dense bias, supervised head's kernel, kernel that starts at 0
    with np.load(GOLDEN) as golden:
        variables = [keras.Variable(golden[f"{j}_init"]) for j in range(5)]
        optimizer = LARS(0.7, momentum=0.9, weight_decay=1e-4, eeta=0.001)
        optimizer.exclude_from_adaptation(variables[1:4])
        for s in range(3):
            optimizer.apply([golden[f"{j}_grad_{s}"] for j in range(5)], variables)
            for j, variable in enumerate(variables):
                np.testing.assert_allclose(variable, golden[f"{j}_after_{s}"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("form", ["classic", "popular"])
def test_equals_the_loop_while_the_rate_falls(form, nesterov):
    w, v = random_kernel(), 0.0
    variable = keras.Variable(w)
    schedule = WarmupCosine(2.0, 0, 4)
    optimizer = LARS(schedule, 0.8, 0.01, eeta=0.02, nesterov=nesterov, momentum_form=form)
    for step in range(4):
        gradient = random_kernel(step + 1)
        optimizer.apply([gradient], [variable])
        w, v = lars_step_loop(
            w, gradient, v, float(schedule(step)), 0.8, 0.01, 0.02, form, nesterov
        )
        np.testing.assert_allclose(variable, w, rtol=1e-5, atol=1e-6)


def test_one_step_by_hand():
    variable = keras.Variable([3.0, 4.0])
    LARS(0.5, weight_decay=0.1, eeta=0.2).apply([tf.constant([-0.3, 0.6])], [variable])
    # gradient + decay = (0, 1); trust ratio = 0.2 * 5 / 1
    np.testing.assert_allclose(variable, [3.0, 3.5], rtol=1e-6)


def test_forms_differ_once_the_rate_changes():
    weights = {}
    for form in ("classic", "popular"):
        variable = keras.Variable([1.0])
        optimizer = LARS(1.0, momentum=0.5, eeta=1.0, momentum_form=form)
        optimizer.exclude_from_adaptation([variable])
        optimizer.apply([tf.constant([1.0])], [variable])
        optimizer.learning_rate = 0.0
        optimizer.apply([tf.constant([1.0])], [variable])
        weights[form] = float(variable.numpy()[0])
    assert weights == {"classic": -0.5, "popular": 0.0}


@pytest.mark.parametrize("w, g", [([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])])
def test_ratio_is_one_where_a_norm_is_zero(w, g):
    variable = keras.Variable(w)
    LARS(0.5).apply([tf.constant(g)], [variable])
    np.testing.assert_allclose(variable, np.array(w) - 0.5 * np.array(g))


def test_excluded_from_decay_alone_is_still_adapted():
    variable = keras.Variable([3.0, 4.0])
    optimizer = LARS(0.5, weight_decay=0.1, eeta=0.2)
    optimizer.exclude_from_weight_decay(var_list=[variable])
    optimizer.apply([tf.constant([0.0, 2.0])], [variable])
    np.testing.assert_allclose(variable, [3.0, 3.5], rtol=1e-6)


def test_weight_decay_acts_once():
    variable = keras.Variable([2.0])
    LARS(0.1, weight_decay=0.5, eeta=1.0).apply([tf.constant([0.0])], [variable])
    # gradient + decay = 1, trust ratio = 2: one step of 0.1 * 2
    np.testing.assert_allclose(variable, [1.8], rtol=1e-6)


def test_fits_a_compiled_model():
    model = small_model()
    optimizer = LARS(0.1, weight_decay=1e-4)
    optimizer.exclude_from_adaptation(excluded(model))
    model.compile(optimizer=optimizer, loss="mse")
    before = [w.copy() for w in model.get_weights()]
    fit(model, 2)
    assert int(optimizer.iterations) == 2
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_slots_are_float32_under_mixed_precision(policy):
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = small_model()
        optimizer = LARS(0.1)
        model.compile(optimizer=optimizer, loss="mse")
        fit(model, 1)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    slots = [v for v in optimizer.variables if "momentum" in v.path]
    assert len(slots) == len(model.trainable_variables)
    assert {v.dtype for v in slots} == {"float32"}


@pytest.mark.parametrize("rate", [0.3, WarmupCosine(0.3, 2, 10)])
def test_serialisation(rate):
    optimizer = LARS(rate, 0.8, 1e-4, 0.01, nesterov=True, momentum_form="popular", clipnorm=1.0)
    config = keras.optimizers.serialize(optimizer)
    assert config["registered_name"] == "tfssl>LARS"
    copy = keras.optimizers.deserialize(config)
    assert isinstance(copy, LARS)
    assert copy.get_config() == optimizer.get_config()
    variables = keras.Variable(random_kernel()), keras.Variable(random_kernel())
    for each, variable in zip((optimizer, copy), variables):
        for step in range(3):
            each.apply([tf.constant(random_kernel(step + 1))], [variable])
    np.testing.assert_array_equal(*variables)


def test_checkpoint_restores_momentum_and_step(tmp_path):
    def trained(steps):
        keras.utils.set_random_seed(0)
        model = small_model()
        optimizer = LARS(WarmupCosine(0.3, 1, 8), weight_decay=1e-4)
        optimizer.exclude_from_adaptation(excluded(model))
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer, loss="mse")
        if steps:
            fit(model, steps)
        return model, tf.train.Checkpoint(model=model, optimizer=optimizer)

    straight, checkpoint = trained(3)
    path = checkpoint.save(str(tmp_path / "ckpt"))
    resumed, checkpoint = trained(0)
    checkpoint.restore(path).assert_consumed()
    for model in (straight, resumed):
        fit(model, 2)
    assert int(resumed.optimizer.iterations) == 5
    for a, b in zip(straight.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_excluding_too_late():
    variable = keras.Variable([1.0])
    optimizer = LARS(0.1)
    optimizer.build([variable])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_adaptation([variable])


@pytest.mark.parametrize(
    "name, value",
    [
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
        ("eeta", 0.0),
        ("momentum_form", "heavy"),
    ],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must .* Received: {name}={value}"):
        LARS(0.1, **{name: value})
