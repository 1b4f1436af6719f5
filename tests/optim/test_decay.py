"""The exact list of variables that are decayed, in a model that holds every kind of layer."""

import keras
import pytest

from tfssl.optim import decayed, excluded

L = keras.layers


class OwnNormalization(L.BatchNormalization):
    """Stands for any subclass, whose name holds no hint of what it is."""


class Block(L.Layer):
    """A plain layer with sublayers, which has no public `layers`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(4, 3, padding="same", name="conv")
        self.norms = [OwnNormalization(name="own"), L.GroupNormalization(2, name="group")]
        self.scale = self.add_weight(name="kernel", shape=[1], initializer="ones")

    def call(self, x):
        for norm in self.norms:
            x = norm(x)
        return self.scale * self.conv(x)


class Encoder(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.Sequential(
            [
                L.Conv2D(4, 3, name="conv"),
                L.BatchNormalization(name="kernel"),
                L.ReLU(),
            ],
            name="stem",
        )
        self.block = Block(name="block")
        self.depthwise = L.DepthwiseConv2D(3, padding="same", name="depthwise")
        self.separable = L.SeparableConv2D(6, 3, padding="same", name="separable")

    def call(self, x):
        return self.separable(self.depthwise(self.block(self.stem(x))))


class Whole(keras.Model):
    def __init__(self):
        super().__init__(name="whole")
        self.encoder = Encoder(name="encoder")
        self.heads = {
            "projector": keras.Sequential(
                [
                    L.GlobalAveragePooling2D(),
                    L.Dense(5, name="batch_normalization"),
                    L.LayerNormalization(name="layer"),
                    L.Dense(3, use_bias=False, name="bias"),
                ],
                name="projector",
            )
        }

    def call(self, x):
        return self.heads["projector"](self.encoder(x))


@pytest.fixture(name="model", scope="module")
def built_model():
    model = Whole()
    model(keras.ops.ones([2, 8, 8, 3]))
    return model


def ends(variables):
    return sorted("/".join(v.path.split("/")[-2:]) for v in variables)


def test_exact_lists(model):
    assert ends(decayed(model)) == [
        "batch_normalization/kernel",
        "bias/kernel",
        "conv/kernel",
        "conv/kernel",
        "depthwise/kernel",
        "separable/depthwise_kernel",
        "separable/pointwise_kernel",
    ]
    assert ends(excluded(model)) == [
        "batch_normalization/bias",
        "block/kernel",
        "conv/bias",
        "conv/bias",
        "depthwise/bias",
        "group/beta",
        "group/gamma",
        "kernel/beta",
        "kernel/gamma",
        "layer/beta",
        "layer/gamma",
        "own/beta",
        "own/gamma",
        "separable/bias",
    ]


def test_every_trainable_variable_is_in_one_list(model):
    both = decayed(model) + excluded(model)
    assert len({id(v) for v in both}) == len(both)
    assert {id(v) for v in both} == {id(v) for v in model.trainable_variables}


def test_single_layer():
    layer = L.Dense(2)
    layer.build([None, 3])
    assert decayed(layer) == [layer.kernel]
    assert excluded(layer) == [layer.bias]


def test_attention_is_made_of_dense_layers():
    layer = L.MultiHeadAttention(2, 4)
    layer.build([None, 3, 8], [None, 3, 8])
    assert len(decayed(layer)) == len(excluded(layer)) == 4


def test_shared_layer_counts_once():
    x = keras.Input([3])
    dense = L.Dense(3)
    model = keras.Model(x, dense(dense(x)))
    assert ends(decayed(model)) == [f"{dense.name}/kernel"]


def test_frozen_layers_are_in_neither_list(model):
    model.encoder.trainable = False
    try:
        assert ends(decayed(model)) == ["batch_normalization/kernel", "bias/kernel"]
        assert len(excluded(model)) == 3
    finally:
        model.encoder.trainable = True


def test_unbuilt_layer():
    with pytest.raises(ValueError, match="`layer` must be built. Received: late.built=False"):
        decayed(keras.Sequential([L.Dense(2, name="late")]))
