"""Learning rates by the depth of a Vision Transformer's layers, and freezing by its blocks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.networks import functional, images, labels
from tfssl.distribute.strategy import strategy_on
from tfssl.encoders import sections

DECAY = 0.5
FACTORS = {"patches": 1 / 16, "tokens": 1 / 16, "block1": 1 / 8, "block2": 1 / 4, "block3": 1 / 2}


def vit():
    return tfssl.encoders.vit(patch_size=2, dim=8, depth=3, heads=2)


def trained(optimizer, decay=None, encoder=None, steps=1, **options):
    """[(name of a layer, change by some steps)] of the weights of a classifier."""
    model = tfssl.Supervised(encoder or vit(), num_classes=3, layer_decay=decay, **options)
    model.build((None, 8, 8, 3))
    model.compile(optimizer, jit_compile=False, run_eagerly=True)
    before = [v.numpy() for v in model.trainable_variables]
    for _ in range(steps):
        model.train_step((tf.constant(images(4)), tf.constant(labels(4))))
    after = [(v.path.split("/")[0], v.numpy()) for v in model.trainable_variables]
    return [(name, value - old) for (name, value), old in zip(after, before)]


@pytest.mark.parametrize("form", ["sgd", "lars", "adamw"])
def test_each_layer_has_the_rate_of_its_depth(form):
    """0.5 for the last block, 0.25 for the one before; the head and the norm have the whole one."""

    def optimizer():
        if form == "adamw":
            return keras.optimizers.AdamW(1e-3, weight_decay=0.5)
        return keras.optimizers.SGD(30.0) if form == "sgd" else tfssl.LARS(30.0)

    one_rate, decayed = trained(optimizer()), trained(optimizer(), DECAY)
    for (name, change), (_, found) in zip(one_rate, decayed, strict=True):
        expected = FACTORS.get(name, 1.0) * change
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(change).max())
    assert {name for name, _ in one_rate} > FACTORS.keys()


def test_later_steps_have_the_rates_too_in_a_graph_and_on_two_replicas():
    def fitted():
        keras.utils.set_random_seed(0)
        model = tfssl.Supervised(vit(), num_classes=3, layer_decay=DECAY)
        model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.1), jit_compile=False)
        data = tf.data.Dataset.from_tensor_slices((images(8), labels(8))).batch(4, True)
        model.fit(data, epochs=2, verbose=0)
        return [v.numpy() for v in model.trainable_variables]

    one = fitted()
    with strategy_on("CPU", 2).scope():
        two = fitted()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def test_it_is_saved(tmp_path):
    model = tfssl.Supervised(vit(), num_classes=3, layer_decay=DECAY)
    model.build((None, 8, 8, 3))
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layer_decay == DECAY and [f for f, _ in loaded.hidden.rates] == [
        *(1 / 16, 1 / 8, 1 / 4, 1 / 2)
    ]


@pytest.mark.parametrize(
    ("decay", "encoder", "message"),
    [
        (0.0, vit, "`layer_decay` must be positive"),
        (1.5, vit, r"`layer_decay` must be in \[0, 1\]"),
        (0.5, functional, "`layer_decay` needs a Vision Transformer: .*Received: `encoder` cnn"),
    ],
)
def test_what_has_no_depth_is_refused(decay, encoder, message):
    with pytest.raises(ValueError, match=message):
        tfssl.Supervised(encoder(), 3, layer_decay=decay).build((None, 8, 8, 3))


@pytest.mark.parametrize("quarters", range(4))
def test_blocks_are_frozen_by_quarters(quarters):
    encoder = tfssl.encoders.vit(patch_size=2, dim=8, depth=4, heads=2)
    sections.freeze(sections.find(encoder), quarters)
    learning = {v.path.split("/")[0] for v in encoder.trainable_variables}
    blocks = {f"block{number}" for number in range(quarters + 1, 5)}
    assert learning == blocks | {"norm"}
