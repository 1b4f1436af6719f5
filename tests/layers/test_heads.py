"""The projector in every mode and depth, and the linear classifier."""

import keras
import numpy as np
import pytest

from tfssl import layers


@pytest.mark.parametrize(
    "mode,num_layers,dense",
    [
        ("none", 3, []),
        ("linear", 3, [(6, 4)]),
        ("nonlinear", 1, [(6, 4)]),
        ("nonlinear", 2, [(6, 6), (6, 4)]),
        ("nonlinear", 3, [(6, 6), (6, 6), (6, 4)]),
    ],
)
def test_layers_of_every_mode(mode, num_layers, dense):
    head = layers.projector(6, mode=mode, out_dim=4, num_layers=num_layers)
    kernels = [v for v in head.trainable_variables if v.name == "kernel"]
    assert [tuple(v.shape) for v in kernels] == dense
    z = head(np.ones((3, 6), np.float32))
    assert z.shape == (3, dense[-1][1] if dense else 6)
    if dense:
        names = [v.name for v in head.trainable_variables]
        assert names.count("bias") == 0 and names.count("gamma") == len(dense)
        assert names.count("beta") == len(dense) - 1  # the last has no offset
        relus = [layer for layer in head.layers if isinstance(layer, keras.layers.ReLU)]
        assert len(relus) == len(dense) - 1


@pytest.mark.parametrize(
    "mode,num_layers,dense",
    [
        ("none", 2, []),
        ("linear", 2, [(6, 4)]),
        ("nonlinear", 2, [(6, 9), (9, 4)]),
        ("nonlinear", 3, [(6, 9), (9, 9), (9, 4)]),
    ],
)
def test_layers_of_byols_head(mode, num_layers, dense):
    head = layers.byol_head(6, mode=mode, out_dim=4, hidden_dim=9, num_layers=num_layers)
    names = [v.name for v in head.trainable_variables]
    kernels = [v for v in head.trainable_variables if v.name == "kernel"]
    assert [tuple(v.shape) for v in kernels] == dense
    hidden = max(len(dense) - 1, 0)
    assert names.count("bias") == names.count("gamma") == names.count("beta") == hidden
    assert head(np.ones((3, 6), np.float32)).shape == (3, dense[-1][1] if dense else 6)


def test_the_head_of_simclrs_paper_is_two_products_and_a_relu():
    """Section 7.1 of the thesis: z = W2 ReLU(W1 h), without normalization."""
    head = layers.projector(6, out_dim=4, hidden_dim=9, num_layers=2, normalization=None)
    w1, w2 = head.get_weights()
    h = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(head(h), np.maximum(h @ w1, 0) @ w2, rtol=1e-5, atol=1e-6)
    large = layers.projector(400, out_dim=300, num_layers=2, normalization=None)
    assert all(w.std() == pytest.approx(400**-0.5, rel=0.02) for w in large.get_weights())


def test_byols_head_without_normalization():
    head = layers.byol_head(6, out_dim=4, hidden_dim=9, normalization=None)
    w1, bias, w2 = head.get_weights()
    h = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(head(h), np.maximum(h @ w1 + bias, 0) @ w2, rtol=1e-5, atol=1e-6)


def test_byols_kernels_have_variance_one_over_fan_in():
    kernel = layers.byol_head(400, hidden_dim=300, out_dim=2).trainable_variables[0].numpy()
    assert kernel.std() == pytest.approx(400**-0.5, rel=0.02)


def test_no_head_is_the_identity():
    h = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_array_equal(layers.projector(6, mode="none")(h), h)


def test_kernels_start_small_and_differ():
    head = layers.projector(400, out_dim=300)
    kernels = [v.numpy() for v in head.trainable_variables if v.name == "kernel"]
    assert all(k.std() == pytest.approx(0.01, rel=0.02) for k in kernels)
    assert not np.array_equal(kernels[0], kernels[1])


def test_classifier_is_one_dense_layer_in_float32():
    head = layers.classifier(6, 10)
    assert [tuple(v.shape) for v in head.trainable_variables] == [(6, 10), (10,)]
    assert head(np.ones((2, 6), "float16")).dtype == "float32"


@pytest.mark.parametrize("options,name", [({"mode": "deep"}, "mode"), ({"num_layers": 0}, "num")])
def test_bad_arguments(options, name):
    with pytest.raises(ValueError, match=name):
        layers.projector(6, **options)
