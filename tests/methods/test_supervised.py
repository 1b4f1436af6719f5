"""A classifier with labels, on an encoder that is frozen, in part, or not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl import layers
from tfssl.methods import Supervised
from tfssl.methods.classification import classification_loss, label_weights


def test_it_learns_what_is_linear_and_moves_its_head_alone():
    """The encoder's batch normalization would change by a pass in training mode; it must not."""
    inputs = keras.Input((2, 2, 3))
    encoder = keras.Model(inputs, keras.layers.Flatten()(keras.layers.BatchNormalization()(inputs)))
    encoder.trainable = False
    model = Supervised(encoder, head=layers.classifier(12, 3, name="head"))
    model.compile(
        optimizer=keras.optimizers.SGD(0.5, momentum=0.9, nesterov=True), jit_compile=False
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=256)
    images = rng.random((256, 2, 2, 3), np.float32)
    images[np.arange(256), 0, 0, labels] += 1.0
    before = [v.numpy() for v in encoder.variables]
    for _ in range(100):
        logs = model.train_step({"views": (images,), "label": labels})
        model.reset_metrics()
    assert float(logs["supervised_acc"]) > 0.98 and float(logs["supervised_loss"]) < 0.2
    for a, b in zip(before, encoder.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.trainable_variables == model.head.trainable_variables
    assert model(images).dtype == "float32"


def test_the_first_loss_is_that_of_a_guess():
    encoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    head = layers.classifier(12, 7, name="head")
    head.set_weights([np.zeros((12, 7)), np.zeros(7)])
    model = Supervised(encoder, head=head)
    loss, scalars = model.loss_on(
        {"views": (np.ones((5, 2, 2, 3), np.float32),), "label": np.arange(5)}
    )
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)
    assert scalars["supervised_loss"] is loss
    np.testing.assert_allclose(scalars["supervised_acc"], 1 / 5)


LOGITS = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
LABELS = np.array([-1, 2, 0, -1, 3, -7, 1, 1, -1])


def learned(logits, labels, compiled):
    """The loss, the accuracy, and the gradient with respect to the logits."""

    @tf.function(jit_compile=compiled)
    def made(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss, scalars = classification_loss(logits, labels)
        assert scalars["supervised_loss"] is loss
        return loss, scalars["supervised_acc"], tape.gradient(loss, logits)

    return [value.numpy() for value in made(tf.constant(logits), tf.constant(labels))]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_images_without_a_label_are_as_if_they_were_not_there(compiled, dtype):
    known = LABELS >= 0
    loss, accuracy, gradient = learned(LOGITS, LABELS.astype(dtype), compiled)
    alone = learned(LOGITS[known], LABELS[known].astype(dtype), compiled)
    np.testing.assert_allclose([loss, accuracy], alone[:2], rtol=1e-6)
    np.testing.assert_allclose(gradient[known], alone[2], rtol=1e-5)
    assert not gradient[~known].any() and 0 < accuracy < 1


@pytest.mark.parametrize("compiled", [False, True])
def test_a_batch_without_any_label_teaches_nothing(compiled):
    loss, accuracy, gradient = learned(LOGITS, np.full(9, -1), compiled)
    assert loss == accuracy == 0 and not gradient.any()


def test_with_all_labels_the_loss_is_the_plain_mean_to_the_last_bit():
    labels = np.maximum(LABELS, 0)
    loss, accuracy, gradient = learned(LOGITS, labels, False)
    with tf.GradientTape() as tape:
        logits = tf.Variable(LOGITS)
        plain = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    assert loss == plain.numpy() and accuracy == np.mean(LOGITS.argmax(1) == labels, dtype="f")
    np.testing.assert_array_equal(gradient, tape.gradient(plain, logits))
    np.testing.assert_array_equal(label_weights(labels), np.ones(9))
