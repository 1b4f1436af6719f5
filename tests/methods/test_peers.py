"""What keeps Barlow Twins, SIGReg and DINO from collapse, and that without it they do."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tfssl import layers

COUNT = 16  # images


def trained(method, optimizer, steps=60, normalization=keras.layers.BatchNormalization, **options):
    """The logs of the last step of a short training, and the projections of the images."""
    keras.utils.set_random_seed(0)
    projector = layers.mlp(192, hidden_dim=16, out_dim=8, seed=1, normalization=normalization)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = method(encoder, projector, **options)
    model.compile(optimizer, jit_compile=False)
    step = tf.function(model.train_step, autograph=False)
    rng, images = np.random.default_rng(0), networks.images(COUNT)
    for _ in range(steps):
        views = tuple(0.2 * images + 0.8 * rng.random(images.shape, np.float32) for _ in range(2))
        model.reset_metrics()
        logs = step({"views": views})
    z = model.projector(images.reshape(COUNT, -1), training=True).numpy()
    return {name: float(value) for name, value in logs.items()}, z


def redundancy(z):
    """The mean absolute correlation of different dimensions."""
    return np.abs(np.corrcoef(z.T)[~np.eye(z.shape[1], dtype=bool)]).mean()


def test_barlow_twins_spreads_images_and_without_the_redundancy_term_over_one_dimension_alone():
    sgd = keras.optimizers.SGD
    logs, z = trained(tfssl.BarlowTwins, sgd(0.05), off_diagonal=0.1)
    _, redundant = trained(tfssl.BarlowTwins, sgd(0.05), off_diagonal=0.0)
    assert logs["z_std"] > 0.85
    assert redundancy(z) < 0.45 and redundancy(redundant) > 0.7


def test_sigreg_collapses_without_its_regularization():
    options = {"num_slices": 64}
    with_it, z = trained(tfssl.SIGReg, keras.optimizers.SGD(2.0), weight=0.05, **options)
    without, point = trained(tfssl.SIGReg, keras.optimizers.SGD(2.0), weight=0.0, **options)
    assert z.std(axis=0).mean() > 0.6 and with_it["sigreg"] < 3
    assert point.std(axis=0).mean() < 0.08 and without["sigreg"] > 6


@pytest.mark.parametrize(
    "options,least,most",
    [
        ({}, 0.2, 2.0),
        pytest.param({"center_momentum": 1.0}, 0.0, 0.01, id="no centring"),
        pytest.param({"teacher_temperature": 1.0}, math.log(16) - 0.01, math.log(16), id="blunt"),
    ],
)
def test_dinos_teacher_neither_guesses_nor_prefers_one_dimension(options, least, most):
    """Paper, section 5.3 and figure 7: without centring its entropy is 0, unsharpened log K."""
    options = {"num_prototypes": 16, "base_target_decay": 0.9, "frozen_share": 0.0, **options}
    logs, _ = trained(tfssl.DINO, keras.optimizers.Adam(0.01), normalization=None, **options)
    assert least - 1e-4 <= logs["teacher_entropy"] <= most + 1e-4
