"""A classifier with labels, on an encoder that is frozen, in part, or not."""

import keras
import numpy as np

from tfssl import nets
from tfssl.methods import Supervised


def test_it_learns_what_is_linear_and_moves_its_head_alone():
    """The encoder's batch normalization would change by a pass in training mode; it must not."""
    inputs = keras.Input((2, 2, 3))
    encoder = keras.Model(inputs, keras.layers.Flatten()(keras.layers.BatchNormalization()(inputs)))
    encoder.trainable = False
    model = Supervised(encoder, nets.classifier(12, 3, name="head"))
    model.compile(optimizer=keras.optimizers.SGD(0.5, momentum=0.9, nesterov=True),
                  jit_compile=False)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=256)
    images = rng.random((256, 2, 2, 3), np.float32)
    images[np.arange(256), 0, 0, labels] += 1.0
    before = [v.numpy() for v in encoder.variables]
    for _ in range(100):
        logs = model.train_step({"view1": images, "label": labels})
        model.reset_metrics()
    assert float(logs["supervised_acc"]) > 0.98 and float(logs["supervised_loss"]) < 0.2
    for a, b in zip(before, encoder.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.learned_variables() == model.head.trainable_variables
    assert model(images).dtype == "float32"


def test_the_first_loss_is_that_of_a_guess():
    encoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    head = nets.classifier(12, 7, name="head")
    head.set_weights([np.zeros((12, 7)), np.zeros(7)])
    model = Supervised(encoder, head)
    loss, scalars = model.loss_on({"view1": np.ones((5, 2, 2, 3), np.float32),
                                   "label": np.arange(5)})
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)
    assert scalars["supervised_loss"] is loss
    np.testing.assert_allclose(scalars["supervised_acc"], 1 / 5)
