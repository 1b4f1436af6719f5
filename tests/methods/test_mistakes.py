"""What users do wrong is said in one sentence; datasets of unknown length are counted right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import spared
from tfssl import augment

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8), np.arange(32) % 10


def encoder(channels=3):
    return keras.Sequential(
        [
            keras.Input((None, None, channels)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def view():
    return augment.view(lambda images, seed: images)


def compiled(method=tfssl.SimCLR, compile=(), **options):
    model = method(encoder(), **options)
    model.compile("sgd", **dict(compile))
    return model


@pytest.mark.parametrize("method", [tfssl.SimCLR, spared(tfssl.BYOL)])
def test_a_dataset_of_unknown_length_counts_its_batches_alone(method):
    known = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    histories, steps = [], []
    for dataset in (known, known.filter(lambda image, label: True)):
        model = compiled(method, num_classes=10, seed=1)
        views = tfssl.views(dataset, view(), 8, compiled=False)
        histories.append(model.fit(views, epochs=1, verbose=0).history)
        steps.append(int(model.optimizer.iterations))
    assert steps == [4, 4]
    loss = histories[1]["supervised_loss"][0]
    assert loss == pytest.approx(np.log(10), abs=0.05)
    assert histories[0]["supervised_loss"][0] == pytest.approx(np.log(10), abs=0.05)


def test_a_dataset_without_a_batch_is_refused():
    empty = tf.data.Dataset.from_tensor_slices(IMAGES).filter(lambda image: True)
    with pytest.raises(
        ValueError, match="`x` must give batches of views. Received: a dataset with"
    ):
        compiled().fit(tfssl.views(empty, view(), 100, compiled=False), verbose=0)


class Own(tfssl.SelfSupervised):
    def make_heads(self):
        return {"projector": self.head(keras.layers.Dense(4), self.dim, "projector")}

    def loss_on_views(self, views, labels=None, training=True):
        h = [self.encode(one, training) for one in views]
        return tfssl.Outputs(tf.reduce_mean(h[0] - h[1]), {}, h, h)


class Unbuilt(Own):
    def make_heads(self):
        return {"projector": keras.layers.Dense(4)}


class Bare(Own):
    def loss_on_views(self, views, labels=None, training=True):
        return tf.constant(0.0)


class Vector(Own):
    def loss_on_views(self, views, labels=None, training=True):
        h = [self.encode(one, training) for one in views]
        return tfssl.Outputs(h[0][:, 0], {}, h, h)


def taught_by_itself():
    one = encoder()
    return tfssl.Distilled(one, teacher=tfssl.Supervised(one, num_classes=4))


def pairs(labels=LABELS, batch=8):
    return tfssl.views((IMAGES, labels), view(), batch, compiled=False)


@pytest.mark.parametrize(
    "call,said",
    [
        (
            lambda: compiled(num_classes=5).fit(pairs()),
            "`num_classes` must be at least 10, as `x` has labels up to 9. Received: 5",
        ),
        (
            lambda: compiled(tfssl.Supervised, num_classes=5).fit(
                tf.data.Dataset.from_tensors((IMAGES / np.float32(255), LABELS))
            ),
            "`num_classes` must be at least 10",
        ),
        (
            lambda: tfssl.views(np.zeros((8, 12, 12, 6), np.uint8), augment.simclr(8), 4),
            r"`recipe` cannot be applied to the images of `x`, .*3 channels.*; channels=6 makes",
        ),
        (
            lambda: tfssl.views(np.zeros((8, 12, 12), np.uint8), augment.simclr(8), 4),
            r"`recipe` cannot be applied to the images of `x`, .*; channels=1 makes",
        ),
        (lambda: tfssl.views(IMAGES, "simclr", 8), "`recipe` must be"),
        (lambda: tfssl.views("photoz/", view(), 8), "`x` must be an existing directory"),
        (
            lambda: compiled(compile={"accumulate_steps": 3}).fit(pairs()),
            "`accumulate_steps` must divide the batch size. Received: 3 for batches of 8",
        ),
        (lambda: compiled(temperature="0.2"), "`temperature` must be positive. Received: temper"),
        (lambda: compiled(compile={"weight_decay": "1"}), "`weight_decay` must be 0 or more. Rec"),
        (lambda: compiled(tfssl.Supervised, num_classes=10).fit(pairs()), "takes 1 view of each"),
        (lambda: compiled(num_classes=3.0), "`num_classes` must be an integer of 1 or more. Rec"),
        (lambda: compiled(num_classes=0), "`num_classes` must be an integer of 1 or more. Rec"),
        (lambda: compiled(tfssl.Supervised), "`num_classes` must be given, or a `head`"),
        (lambda: compiled(seed=1.5), "`seed` must be an integer. Received: seed=1.5"),
        (lambda: compiled().fit(pairs(batch=1)), "SimCLR compares .* it needs 2 or more. Rec.* 1"),
        (lambda: compiled(tfssl.NPair).fit(pairs(batch=1)), "NPair compares the images"),
        (
            lambda: compiled()(IMAGES[0]),
            r"Images must be \[B, H, W, C\]. Received: shape \(8, 8, 3",
        ),
        (lambda: compiled().predict(IMAGES * np.nan), "`x` must be finite. Received"),
        (lambda: compiled().save("model.h5"), "`filepath` must end in .keras.* Received: model.h5"),
        (lambda: tfssl.SimCLR(encoder()).compile(None), "`optimizer` must be a Keras optimizer"),
        (lambda: compiled(memory_size=64.5), "`memory_size` must be an integer of 0 or more"),
        (lambda: tfssl.CPC(encoder(), stride=0), "`stride` must be an integer of 1 or more"),
        (lambda: tfssl.LARS(float("nan")), "`learning_rate` must not be negative. Received: lear"),
        (lambda: tfssl.SimCLR(lambda n: n), "`encoder` must be .* without arguments that builds"),
        (lambda: tfssl.BYOL(keras.Model), "`encoder` must be .* Received: the class Model"),
        (lambda: tfssl.Distilled(encoder()), "`num_classes` must be given, or a `teacher`"),
        (lambda: taught_by_itself(), "`teacher` must be a layer of its own"),
        (
            lambda: compiled(num_classes=10).fit(tfssl.views(IMAGES, view(), 8)),
            "learns from labels",
        ),
        (lambda: compiled(Unbuilt), r"Unbuilt.make_heads must build `projector`: self.head\("),
        (lambda: compiled(Bare).fit(pairs()), r"Bare.loss_on_views must return tfssl.Outputs"),
        (lambda: compiled(Vector).fit(pairs()), "Vector.loss_on_views must return a scalar loss"),
    ],
)
def test_a_mistake_is_one_sentence(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(
    "method,options,said",
    [
        (tfssl.SimCLR, {"temprature": 0.2}, "SimCLR takes no argument `temprature`. Did you mean"),
        (tfssl.BYOL, {"memory_size": 64}, "BYOL takes no argument `memory_size`."),
        (Own, {"input_rnge": "0,1"}, "Own takes no argument `input_rnge`. Did you mean `input_ra"),
    ],
)
def test_an_argument_that_there_is_not(method, options, said):
    with pytest.raises(TypeError, match=said):
        method(encoder(), **options)


def test_a_method_of_few_lines_logs_whether_it_collapses():
    model = compiled(Own)
    history = model.fit(pairs(), verbose=0).history
    assert 0 < history["z_std"][0] <= 1 and set(history) == {"loss", "weight_decay", "z_std"}


FLOATS = np.float32(IMAGES[:8] / 255)


@pytest.mark.parametrize(
    "method", [tfssl.SimCLR, tfssl.BYOL, tfssl.NPair, tfssl.Triplet, tfssl.CPC]
)
def test_predict_is_the_representation_of_images(method):
    model = method(encoder())
    expected = model.encoder(FLOATS, training=False)
    np.testing.assert_allclose(model.predict(FLOATS, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "given,said",
    [
        (255 * FLOATS, r"Floats in `x` must be in \[0, 1\].*Received: values in \[0, 255\]"),
        (tfssl.views(IMAGES, view(), 8, compiled=False), "Received: a dataset of views"),
        (tf.data.Dataset.from_tensors(((FLOATS, FLOATS), LABELS[:8])), "a dataset of views"),
        (tf.data.Dataset.from_tensors(200 * FLOATS), "Floats in `x` must be in"),
    ],
)
def test_predict_refuses_what_is_no_image_in_its_range(given, said):
    with pytest.raises(ValueError, match=said):
        tfssl.SimCLR(encoder()).predict(given, verbose=0)


def test_predict_scales_images_of_bytes():
    model = tfssl.SimCLR(encoder())
    found = model.predict(np.uint8(255 * np.round(FLOATS)), verbose=0)
    np.testing.assert_allclose(found, model.encoder(np.round(FLOATS)), rtol=1e-5, atol=1e-6)


def test_a_misspelt_name_of_the_package_is_told():
    with pytest.raises(AttributeError, match="has no attribute 'SimCRL'. Did you mean 'SimCLR'"):
        tfssl.SimCRL


def train(method=tfssl.SimCLR, recipe=None, data=None, **options):
    views = tfssl.views(data or (IMAGES, LABELS), recipe or view(), 8, compiled=False)
    return compiled(method, **options).fit(views, verbose=0)


@pytest.mark.parametrize(
    "recipe,said",
    [
        (lambda images, seed: 255 * images, r"View 1 must be in \[0, 1\].*Received: values in"),
        (keras.layers.Rescaling(255.0), r"View 1 must be in \[0, 1\]"),
        (lambda images, seed: np.nan * images, "View 1 must be finite"),
        (lambda images: images[:4], "`recipe` must return images .* as many as it gets, B = 8"),
        (lambda images: images[0], r"`recipe` must return images .*Received: shape \(8, 8, 3\)"),
    ],
)
def test_what_a_recipe_returns_is_checked(recipe, said):
    with pytest.raises(ValueError, match=said):
        train(recipe=recipe)


def test_views_that_were_refused_once_are_refused_again():
    views = tfssl.views(IMAGES, lambda images, seed: 255 * images, 8, compiled=False)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"View 1 must be in"):
            compiled().fit(views, verbose=0)


def test_labels_beyond_the_classes_of_a_dataset_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    with pytest.raises(ValueError, match="`num_classes` must be above every label in `x`. Rece"):
        train(recipe=augment.supervised(8), data=dataset, num_classes=2)


def test_a_split_is_of_names_and_directories():
    with pytest.raises(ValueError, match="`split` and `data_dir` are for .* with a ndarray"):
        tfssl.views(IMAGES, view(), 8, split="train[:8]")


def test_a_method_in_half_precision_may_return_it():
    class Half(tfssl.SelfSupervised):
        def loss_on_views(self, views, labels=None, training=True):
            h = tuple(self.encode(one, training) for one in views)
            loss = tf.reduce_mean(tf.square(h[0])) + tf.reduce_mean(tf.square(h[1]))
            return tfssl.Outputs(loss, {}, h, h)

    model = Half(encoder(), num_classes=10, dtype="mixed_bfloat16")
    model.compile("sgd")
    history = model.fit(tfssl.views((IMAGES, LABELS), view(), 8, compiled=False), verbose=0).history
    assert np.isfinite(history["loss"][0]) and history["loss"][0] > 0


def test_the_class_of_a_protocol_is_not_one():
    given = (IMAGES, LABELS)
    with pytest.raises(ValueError, match=r"`protocols` must be objects, such as KNN\(\)"):
        tfssl.evaluate(encoder(), given, given, protocols=[tfssl.evaluation.KNN])
