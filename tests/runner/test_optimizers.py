"""The optimizers of the runner: which, with what settings, and on what weights."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.networks import elements, small_vit
from tfssl.config import DECOUPLED
from tfssl.runner import optimizers

OF = {
    "lars": tfssl.LARS,
    "momentum": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": tfssl.optim.AdamW,
    "lion": tfssl.optim.Lion,
    "muon": tfssl.optim.Muon,
}


def optimizer(name, model=None, **settings):
    config = tfssl.Config(optimizer=name, **settings)
    job = types.SimpleNamespace(config=config, learning_rate=0.01, warmup_steps=0, total_steps=10)
    return optimizers.build(job, model or built(tfssl.SimMIM))


def built(method, **options):
    model = method(small_vit(), **options)
    model.build((None, 8, 8, 3))
    return model


def test_there_is_one_of_every_name():
    field = {field.name: field for field in dataclasses.fields(tfssl.Config)}["optimizer"]
    assert set(OF) == set(field.type.__args__)


@pytest.mark.parametrize("name", OF)
def test_it_has_the_settings_of_the_flags(name):
    made = optimizer(name, weight_decay=0.02, adam_beta_2=0.95, clip_norm=1.5)
    assert type(made) is OF[name] and made.global_clipnorm == 1.5
    assert float(made.learning_rate) == pytest.approx(0.01)
    assert made.weight_decay == (0.02 if name in DECOUPLED else None)
    if name in ("adam", "adamw"):
        assert made.beta_2 == 0.95
    if name == "muon":
        assert made.adam_beta_2 == 0.95 and made.adam_weight_decay == 0.02
    assert optimizer(name).global_clipnorm is None


@pytest.mark.parametrize("name", DECOUPLED)
def test_kernels_decay_and_nothing_else_does(name):
    """By the share of a step, also where there is no gradient."""
    model = built(tfssl.SimMIM)
    model.compile(optimizer(name, model, weight_decay=0.5), jit_compile=False)
    for v in model.trainable_variables:
        v.assign(tf.ones(v.shape))
    before = [v.numpy() for v in model.trainable_variables]
    model.optimizer.apply([tf.zeros(v.shape) for v in model.trainable_variables])
    kernels = {id(v) for part in model.parts.values() for v in tfssl.optim.decayed(part)}
    for v, old in zip(model.trainable_variables, before):
        expected = old * (1 - 0.01 * 0.5) if id(v) in kernels else old
        np.testing.assert_allclose(v, expected, rtol=1e-6, err_msg=v.path)
    logs = model.train_step(elements(model, 4))
    assert float(logs["weight_decay"]) == 0


def cosine(step, start=0.04, end=0.4, steps=10):
    """Caron et al. 2021, section 3.2."""
    return end + (start - end) * (1 + np.cos(np.pi * min(step, steps) / steps)) / 2


@pytest.mark.parametrize("name", DECOUPLED)
def test_the_weight_decay_goes_from_one_value_to_another(name):
    """Twelve steps of a training of ten, without gradients, compiled as a training is."""
    model = built(tfssl.SimMIM)
    made = optimizer(name, model, weight_decay=0.04, weight_decay_end=0.4)
    model.compile(made, jit_compile=False)
    kernels = [v for part in model.parts.values() for v in tfssl.optim.decayed(part)]
    for v in kernels:
        v.assign(tf.ones(v.shape))
    others = [v.numpy() for v in model.trainable_variables if all(v is not k for k in kernels)]
    nothing = [tf.zeros(v.shape) for v in model.trainable_variables]
    apply = tf.function(lambda: made.apply(nothing))
    expected = 1.0
    for step in range(12):
        expected *= 1 - float(made.learning_rate) * cosine(step)
        apply()
        for v in kernels:
            np.testing.assert_allclose(v, np.full(v.shape, expected), rtol=1e-6, err_msg=v.path)
    assert float(made.weight_decay) == pytest.approx(0.4)
    after = [v.numpy() for v in model.trainable_variables if all(v is not k for k in kernels)]
    for one, other in zip(others, after):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DECOUPLED)
@pytest.mark.parametrize("end", [None, 0.3])
def test_it_is_saved_with_its_schedule(name, end):
    made = optimizer(name, weight_decay=0.02, weight_decay_end=end)
    saved = keras.optimizers.serialize(made)
    again = keras.optimizers.deserialize(json.loads(json.dumps(saved)))
    again.build([])
    for step, decay in ((0, 0.02), (5, cosine(5, 0.02, end or 0.02)), (10, end or 0.02)):
        again.iterations.assign(step)
        assert float(again.weight_decay) == pytest.approx(decay)
        if name == "muon":
            assert float(again.adam_weight_decay) == pytest.approx(decay)


@pytest.mark.parametrize("wrong", [-1.0, "0.1", [0.1]])
def test_a_decay_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="A weight decay must be a number of 0 or more"):
        tfssl.optim.Lion(1e-3, weight_decay=wrong)


def test_a_decay_that_begins_at_0_has_no_ratio():
    with pytest.raises(tfssl.UsageError, match="--weight_decay_end needs a --weight_decay above 0"):
        tfssl.Config(optimizer="adamw", weight_decay=0.0, weight_decay_end=0.1)


def test_a_schedule_and_a_decay_in_compile_are_refused():
    decay = keras.optimizers.schedules.CosineDecay(0.04, 10, alpha=10.0)
    with pytest.raises(ValueError, match="`weight_decay` must be given once"):
        built(tfssl.SimMIM).compile(tfssl.optim.AdamW(weight_decay=decay), weight_decay=0.1)


def test_muon_takes_matrices_within_the_network():
    model = built(tfssl.MAE, decoder_dim=32, decoder_depth=1, num_classes=3)
    made = optimizer("muon", model)
    model.compile(made, jit_compile=False)
    by_muon = {
        v.path
        for v in model.trainable_variables
        if made.adam_velocities[made._get_variable_index(v)] is None
    }
    kernels = ("attention/qkv", "attention/output", "hidden", "output")
    blocks = ("block1", "block2", "mae/decoder/block1")
    within = {f"{block}/{name}/kernel" for block in blocks for name in kernels}
    assert by_muon == within | {"mae/decoder/embed/kernel"}


def test_gradients_are_clipped_by_their_common_norm():
    model = built(tfssl.SimMIM)
    config = dict(momentum=0.0, weight_decay=0.0)
    steps = []
    for clip in (None, 1e-3):
        again = built(tfssl.SimMIM)
        again.set_weights(model.get_weights())
        again.compile(optimizer("momentum", clip_norm=clip, **config), jit_compile=False)
        before = [v.numpy() for v in again.trainable_variables]
        again.train_step(elements(again, 4))
        steps.append([v.numpy() - old for v, old in zip(again.trainable_variables, before)])
    norms = [np.sqrt(sum(float(np.sum(s.astype(np.float64) ** 2)) for s in of)) for of in steps]
    assert norms[0] > norms[1] == pytest.approx(0.01 * 1e-3, rel=1e-2)
