"""A student's loss is the paper's, and what it is taught is what it learns."""

import keras
import numpy as np
import pytest

import tfssl
from tfssl import layers
from tfssl.methods import Distilled

IMAGES = np.random.default_rng(0).random((12, 2, 2, 3), np.float32)
ANSWERS = 2 * np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)


def student(temperature=1.0, alpha=1.0, labels=np.full(12, -1)):
    encoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    model = Distilled(
        encoder,
        head=layers.classifier(12, 4, seed=2, name="head"),
        temperature=temperature,
        alpha=alpha,
    )
    model.teach(ANSWERS, labels)
    return model


def softmax(x):
    p = np.exp(np.float64(x))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature,alpha", [(1.0, 1.0), (0.5, 1.0), (2.0, 0.3), (1.0, 0.0)])
def test_the_loss_is_equation_3_over_the_images_of_the_batch(temperature, alpha):
    labels = np.full(12, -1)
    labels[[3, 5, 8]] = [1, 0, 3]
    model = student(temperature, alpha, labels)
    places = np.array([8, 2, 5, 11, 3])
    loss, scalars = model.loss_on({"views": (IMAGES[places],), "label": places})
    logits = model(IMAGES[places]).numpy()
    distill = -np.mean(
        np.sum(
            softmax(ANSWERS[places] / temperature) * np.log(softmax(logits / temperature)), axis=1
        )
    )
    log_p = np.log(softmax(logits))
    supervised = -(log_p[0, 3] + log_p[2, 0] + log_p[4, 1]) / 5
    np.testing.assert_allclose(loss, alpha * distill + (1 - alpha) * supervised, rtol=1e-5)
    np.testing.assert_allclose(scalars["distill_loss"], distill, rtol=1e-5)
    np.testing.assert_allclose(scalars["supervised_loss"], supervised, rtol=1e-5)
    assert set(scalars) == set(Distilled.SCALARS)
    np.testing.assert_allclose(
        scalars["teacher_agreement"],
        np.mean(logits.argmax(axis=1) == ANSWERS[places].argmax(axis=1)),
    )


@pytest.mark.slow
def test_it_comes_to_answer_as_the_teacher_does_without_a_label():
    model = student()
    model.compile(optimizer=keras.optimizers.Adam(0.05), jit_compile=False)
    for _ in range(300):
        model.reset_metrics()
        logs = model.train_step({"views": (IMAGES,), "label": np.arange(12)})
    assert float(logs["teacher_agreement"]) == 1
    p = softmax(ANSWERS)
    entropy = -np.mean(np.sum(p * np.log(p), axis=1))
    assert 0 <= float(logs["distill_loss"]) - entropy < 0.05
    assert float(logs["supervised_loss"]) == 0


def test_labels_that_are_not_known_teach_nothing():
    model = student(alpha=0.0)
    before = [v.numpy() for v in model.variables]
    model.compile(optimizer=keras.optimizers.SGD(1.0), jit_compile=False)
    model.train_step({"views": (IMAGES,), "label": np.arange(12)})
    for a, b in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_classifier_on_weights_from_a_file_teaches_a_student(tmp_path):
    images, labels = np.random.default_rng(2).random((16, 8, 8, 3), np.float32), np.arange(16) % 4
    one_view = tfssl.views((images, labels), tfssl.augment.supervised(8), 8, num_views=1)
    tfssl.encoders.resnet(18, stem="cifar", width_multiplier=1 / 16).save(
        tmp_path / "encoder.keras"
    )
    pretrained = keras.models.load_model(tmp_path / "encoder.keras")
    teacher = tfssl.Supervised(pretrained, num_classes=4)
    teacher.compile("adam")
    teacher.fit(one_view, verbose=0)
    weights = teacher.get_weights()
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    student = Distilled(encoder, teacher)
    student.compile("adam")
    history = student.fit(one_view, verbose=0).history
    assert student.num_classes == 4 and 0 <= history["teacher_agreement"][0] <= 1
    for before, after in zip(weights, teacher.get_weights()):
        np.testing.assert_array_equal(before, after)
    student.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(again.teacher(images), teacher(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again(images), student(images), rtol=1e-5, atol=1e-6)


def test_a_teacher_returns_logits_and_says_how_many():
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="`teacher` must return logits.*Received: a SimCLR"):
        Distilled(encoder, tfssl.SimCLR(keras.models.clone_model(encoder)))

    class Own(keras.Model):
        def call(self, images):
            return images[:, 0, 0]

    with pytest.raises(ValueError, match="`num_classes` must be given, as the `teacher` does not"):
        Distilled(encoder, Own())
    assert Distilled(encoder, Own(), num_classes=3).num_classes == 3
