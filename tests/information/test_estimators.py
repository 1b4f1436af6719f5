"""Trained bounds on a known information: below it, InfoNCE at its ceiling, the others noisy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl.information import gaussians
from tfssl.information.critics import Bilinear, Separable
from tfssl.information.estimators import BOUNDS, CriticEstimator, VariationalEstimator

DIMENSION = 4
BATCH = 64


def make(kind, learning_rate=2e-3, dimension=DIMENSION):
    if kind == "barber_agakov":
        model = VariationalEstimator(
            dimension, dimension, gaussians.entropy(dimension), hidden=(64,)
        )
    else:
        critic = Separable(dimension, dimension, hidden=(64, 64))
        model = CriticEstimator(critic, kind, rate=0.1)  # so few steps want a short memory
    model((tf.zeros((2, dimension)), tf.zeros((2, dimension))))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, information, steps, seed=0, dimension=DIMENSION, batch=BATCH):
    """The bound at each step, every batch new."""
    rho = gaussians.correlation(information, dimension)

    @tf.function
    def learn():
        return tf.map_fn(
            lambda step: model.learn(*gaussians.pairs(batch, dimension, rho, [seed, step])),
            tf.range(steps),
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )

    return learn().numpy()


def on_new_pairs(model, information, count, times, dimension=DIMENSION):
    rho = gaussians.correlation(information, dimension)
    return [
        float(model.bound(*gaussians.pairs(count, dimension, rho, [99, i]))) for i in range(times)
    ]


@pytest.mark.parametrize("kind", [*BOUNDS, "barber_agakov"])
def test_a_trained_bound_comes_near_the_truth_from_below(kind):
    """Three standard errors of ten batches of 1,024 new pairs are the sampling error."""
    truth = 1.5
    model = make(kind)
    curve = train(model, truth, 800)
    values = on_new_pairs(model, truth, 1024, 10)
    error = 3 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert truth - 0.3 < np.mean(values) <= truth + error
    assert np.mean(curve[:20]) < 0.6 < np.mean(curve[-100:])


@pytest.mark.slow
def test_infonce_saturates_at_log_n_and_the_others_vary():
    """Of 6 nats, InfoNCE sees log 16 = 2.8 at most; DV and NWJ vary more than at 1 nat."""
    kinds = ("infonce", "dv", "nwj")
    low, high = (
        {kind: train(make(kind), nats, 1000, batch=16)[-300:] for kind in kinds}
        for nats in (1.0, 6.0)
    )
    assert np.all(high["infonce"] <= math.log(16) + 1e-5)
    assert np.mean(high["infonce"]) > math.log(16) - 0.4
    assert np.std(high["infonce"]) < 2 * np.std(low["infonce"])
    assert np.mean(high["dv"]) > math.log(16)
    for kind in ("dv", "nwj"):
        assert np.std(high[kind]) > 2 * np.std(low[kind]), kind


def test_independent_variables_share_nothing():
    for kind in ("infonce", "nwj", "mine"):
        model = make(kind)
        train(model, 0.0, 150)
        assert abs(np.mean(on_new_pairs(model, 0.0, 512, 4))) < 0.1, kind


def test_a_bilinear_critic_learns_gaussians_up_to_the_terms_it_lacks():
    """W is diagonal, as x'z is all of the log density ratio that mixes x and z, and positive."""
    model = CriticEstimator(Bilinear(2, 2, seed=1), "infonce")
    model((tf.zeros((2, 2)), tf.zeros((2, 2))))
    model.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    train(model, 0.5, 500, dimension=2, batch=128)
    w = model.critic.w.kernel.numpy()
    assert np.diag(w).min() > 5 * np.abs(w - np.diag(np.diag(w))).max()


def test_fit_and_evaluate_log_the_bound():
    model = make("mine")
    x, z = gaussians.pairs(256, DIMENSION, gaussians.correlation(2.0, DIMENSION), [0, 0])
    batches = tf.data.Dataset.from_tensors((x, z)).repeat(30)
    before = model.evaluate(batches.take(1), verbose=0, return_dict=True)["bound"]
    history = model.fit(batches, verbose=0).history
    after = model.evaluate(batches.take(1), verbose=0, return_dict=True)["bound"]
    assert before < history["bound"][0] < after
    assert math.isfinite(float(model.log_average))


def test_mines_average_starts_as_the_first_batchs_own():
    """At -inf it would weigh the first batch by 1 / rate."""
    model = make("mine")
    x, z = gaussians.pairs(32, DIMENSION, 0.5, [0, 0])
    scores = model((x, z)).numpy()
    partition = np.exp(scores)[~np.eye(32, dtype=bool)].mean()
    model.loss_and_bound(x, z)
    assert float(model.log_average) == pytest.approx(math.log(partition), abs=1e-4)


@pytest.mark.parametrize(
    "call,said",
    [
        (lambda: CriticEstimator(None, "jsd"), "`bound` must be one of infonce, nwj, dv, mine"),
        (lambda: CriticEstimator(None, "mine", rate=0.0), "`rate` must be in"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
