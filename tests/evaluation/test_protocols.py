"""`evaluate` and `represent`: any encoder, any form of images, exact counts, nothing changed."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl import augment
from tfssl.data import shapes
from tfssl.data.inputs import as_source
from tfssl.evaluation import KNN, Linear, knn_scores, linear_probe, topk_correct
from tfssl.evaluation.images import read

CLASSES, SIDE = 3, 12


def pictures(count, channels=3, seed=0, side=SIDE):
    """uint8 images whose brightness and gradient say a little of their class, and labels in order
    of the classes."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(count) % CLASSES)
    images = rng.integers(0, 200, [count, side, side, channels])
    images[labels == 1, : side // 2] += 30
    images[labels == 2, :, : side // 2] += 30
    return images.astype(np.uint8), labels


TRAIN, TEST = pictures(70), pictures(43, seed=1)


class Tokens(keras.layers.Layer):
    """Rows of an image as tokens; built by the first images, counts how often it is called."""

    def __init__(self, width=7, **options):
        super().__init__(**options)
        self.project, self.calls = keras.layers.Dense(width), 0

    def build(self, shape):
        self.project.build((None, None, shape[2] * shape[3]))

    def call(self, images):
        self.calls += 1
        shape = images.shape
        return self.project(tf.reshape(images, [-1, shape[1], shape[2] * shape[3]]))


def functional(channels=3, pool=True, side=SIDE):
    inputs = keras.Input((side, side, channels))
    x = keras.layers.Conv2D(
        9, 3, strides=2, activation="relu", kernel_initializer=keras.initializers.GlorotNormal(3)
    )(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x) if pool else x
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(0)  # statistics that differ from those of a batch
    model.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    return model


def by_hand(encoder, images):
    features = np.asarray(encoder(images.astype(np.float32) / 255, training=False))
    return features.reshape(len(images), -1, features.shape[-1]).mean(axis=1)


def some_labels(labels, seed):
    """Labels of which a third are missing."""
    return np.where(np.random.default_rng(seed).random(len(labels)) < 1 / 3, -1, labels)


def test_values_and_counts_are_those_of_the_scores_by_hand_without_missing_labels():
    encoder = functional()
    labels, test_labels = some_labels(TRAIN[1], 2), some_labels(TEST[1], 3)
    known, scored = labels >= 0, test_labels >= 0
    h, test_h = by_hand(encoder, TRAIN[0][known]), by_hand(encoder, TEST[0][scored])
    knn = knn_scores(h, labels[known], test_h, k=7, num_classes=CLASSES, temperature=0.2)
    linear = linear_probe(h, labels[known], test_h, num_classes=CLASSES, l2=0.01)
    found = tfssl.evaluate(
        encoder,
        (TRAIN[0], labels),
        (TEST[0], test_labels),
        (KNN(7, temperature=0.2), Linear(l2=0.01)),
        batch_size=16,
    )
    assert list(found) == ["knn_7", "linear"]
    for name, scores in (("knn_7", knn), ("linear", linear)):
        right = topk_correct(scores, test_labels[scored], 1)
        assert found[name] == {
            "examples": scored.sum(),
            "classes": CLASSES,
            "correct_top_1": right,
            "correct_top_5": scored.sum(),
            "top_1": right / scored.sum(),
            "top_5": 1.0,
        }
        assert 0 < right < scored.sum()


def test_by_default_20_neighbours_and_a_linear_classifier():
    encoder = functional()
    h, test_h = by_hand(encoder, TRAIN[0]), by_hand(encoder, TEST[0])
    found = tfssl.evaluate(encoder, TRAIN, TEST)
    knn = knn_scores(h, TRAIN[1], test_h, k=20, num_classes=CLASSES)
    linear = linear_probe(h, TRAIN[1], test_h, num_classes=CLASSES)
    assert {name: scores["correct_top_1"] for name, scores in found.items()} == {
        "knn_20": topk_correct(knn, TEST[1], 1),
        "linear": topk_correct(linear, TEST[1], 1),
    }


def unbatched(images, labels):
    return tf.data.Dataset.from_tensor_slices((images, labels))


FORMS = {
    "a dataset": unbatched,
    "a batched dataset": lambda *pair: unbatched(*pair).batch(9),
    "dicts": lambda *pair: unbatched(*pair).map(lambda x, y: {"image": x, "label": y}),
    "batched dicts": lambda *pair: (
        unbatched(*pair).batch(9).map(lambda x, y: {"image": x, "label": y})
    ),
    "labels int32 [B, 1]": lambda x, y: unbatched(x, y[:, None].astype(np.int32)).batch(9),
    "a generator": lambda x, y: tf.data.Dataset.from_generator(
        lambda: zip(x, y),
        output_signature=(
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([], tf.int64),
        ),
    ),
    "a source": lambda *pair: as_source(pair),
    "a source that is not in memory": lambda *pair: dataclasses.replace(
        as_source(pair), arrays=None
    ),
    "uint16": lambda x, y: (x.astype(np.uint16) * 257, y),
    "floats": lambda x, y: (x.astype(np.float32) / 255, y),
    "tensors": lambda x, y: (tf.constant(x), tf.constant(y)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_images_gives_the_same(form):
    encoder = functional()
    expected = tfssl.evaluate(encoder, TRAIN, TEST, KNN(5))
    train, test = FORMS[form](*TRAIN), FORMS[form](*TEST)
    assert tfssl.evaluate(encoder, train, test, KNN(5), batch_size=10) == expected
    np.testing.assert_allclose(
        tfssl.represent(encoder, test, batch_size=10), by_hand(encoder, TEST[0]), rtol=1e-4
    )


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder with the images of TRAIN and TEST, in their order."""
    root = tmp_path_factory.mktemp("scans")
    for split, (images, labels) in {"train": TRAIN, "test": TEST}.items():
        for place, (image, label) in enumerate(zip(images, labels)):
            path = root / split / f"class{label}" / f"{place:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tf.io.encode_png(image).numpy())
    return root


def test_a_folder_gives_its_train_and_its_test_split(scans):
    encoder = functional()
    expected = tfssl.evaluate(encoder, TRAIN, TEST)
    assert tfssl.evaluate(encoder, scans, str(scans)) == expected
    assert tfssl.evaluate(encoder, scans / "train", scans / "test") == expected
    batches = [
        keras.utils.image_dataset_from_directory(
            scans / split, image_size=(SIDE, SIDE), batch_size=8, verbose=0
        )
        for split in ("train", "test")
    ]
    found = tfssl.evaluate(encoder, *batches, KNN(20), value_range=(0, 255))
    assert found["knn_20"] == expected["knn_20"]


def test_a_folder_is_not_scored_on_what_it_learned_from(scans):
    with pytest.raises(ValueError, match="`test` must not share images with `train`"):
        tfssl.evaluate(functional(), scans / "train", scans / "train")


def test_classes_of_other_names_are_refused(scans, tmp_path):
    for name in ("class0", "class1", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(tf.io.encode_png(TEST[0][0]).numpy())
    with pytest.raises(ValueError, match=r"`test` must have the classes of `train`.*'class2'"):
        tfssl.evaluate(functional(), scans / "train", tmp_path)


def test_shapes_are_scored_on_their_test_split(monkeypatch):
    monkeypatch.setitem(shapes.NUM_EXAMPLES, "train", 120)
    monkeypatch.setitem(shapes.NUM_EXAMPLES, "test", 110)
    for scored, split in ((False, "train"), (True, "test")):
        found = read("shapes", "test", batch_size=100, scored=scored)
        expected = as_source("shapes", split=split)
        images = next(iter(found))["image"]
        np.testing.assert_array_equal(images, expected.arrays[0][:100] / np.float32(255))
        assert found.source.num_examples == expected.num_examples
        assert found.num_classes == expected.num_classes == 10


ENCODERS = {
    "functional": functional,
    "feature maps": lambda channels: functional(channels, pool=False),
    "tokens": lambda channels: Tokens(),
    "sequential, not built": lambda channels: keras.Sequential(
        [keras.layers.Conv2D(5, 3), keras.layers.GlobalMaxPooling2D()]
    ),
}


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("name", ENCODERS)
def test_any_encoder_is_taken(name, channels):
    images, _ = pictures(21, channels)
    encoder = ENCODERS[name](channels)
    h = tfssl.represent(encoder, images, batch_size=8)
    assert h.dtype == np.float32
    np.testing.assert_allclose(h, by_hand(encoder, images), rtol=1e-4, atol=1e-6)


def test_images_without_a_channel_axis_have_one_channel():
    images, _ = pictures(9, channels=1)
    encoder = functional(channels=1)
    one, other = (tfssl.represent(encoder, x) for x in (images, images[..., 0]))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_becomes_float32(policy):
    encoder = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(5, 3, dtype=policy),
            keras.layers.GlobalAveragePooling2D(dtype=policy),
        ]
    )
    h = tfssl.represent(encoder, TEST[0])
    assert h.dtype == np.float32
    features = encoder(TEST[0].astype(np.float32) / 255)
    assert features.dtype != tf.float32
    np.testing.assert_allclose(h, tf.cast(features, tf.float32), atol=0.02)


def test_weights_statistics_and_losses_stay_as_they_are():
    encoder = keras.Sequential(
        [functional(), keras.layers.Dense(4, activity_regularizer="l2"), keras.layers.Dropout(0.5)]
    )
    encoder.build((None, SIDE, SIDE, 3))
    before = [w.copy() for w in encoder.get_weights()]
    state = [v.numpy().copy() for v in encoder.non_trainable_variables]
    first, second = (tfssl.evaluate(encoder, TRAIN, TEST) for _ in range(2))
    assert first == second
    for one, other in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(state, encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    assert encoder.losses == []


def test_one_graph_serves_batches_of_any_length():
    encoder = Tokens()
    tfssl.evaluate(encoder, TRAIN, TEST, KNN(3), batch_size=16)  # of 16, 6 and 11 images
    assert encoder.calls == 2  # to build it, and to trace it


def test_a_learner_stands_for_its_encoder_and_its_input_range():
    body = functional()
    encoder = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 255), body]
    )
    model = tfssl.SimCLR(encoder)
    expected = by_hand(body, TEST[0])
    np.testing.assert_allclose(tfssl.represent(model, TEST[0]), expected, rtol=1e-4)
    np.testing.assert_allclose(tfssl.represent(encoder, TEST[0]), expected, rtol=1e-4)
    other = tfssl.represent(encoder, TEST[0], input_range="0,1")
    assert np.abs(other - expected).max() > 0.01
    with pytest.raises(ValueError, match="`input_range` cannot be set.* Received: input_range='0,"):
        tfssl.represent(model, TEST[0], input_range="0,255")


def test_a_learner_that_is_not_built_is_built_for_the_images():
    encoder = Tokens()
    model = tfssl.BYOL(encoder, target_encoder=Tokens())
    h = tfssl.represent(model, TEST[0])
    assert model.built
    np.testing.assert_allclose(h, by_hand(encoder, TEST[0]), rtol=1e-4, atol=1e-6)


def test_a_classifier_is_measured_by_its_encoder():
    encoder = functional()
    model = tfssl.Supervised(encoder, num_classes=CLASSES)
    found = tfssl.represent(model, TEST[0])
    np.testing.assert_allclose(found, by_hand(encoder, TEST[0]), rtol=1e-4)


def mixed_sizes():
    """A dataset of images of two sizes, and these as arrays."""
    images = [pictures(2, side=20)[0][0], pictures(2, side=26, seed=1)[0][0]]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    )
    return dataset, images


@pytest.mark.parametrize("size,proportion", [(SIDE, 1.0), ((SIDE, SIDE), 1.0), (40, 0.875)])
def test_images_are_cropped_and_resized_to_a_size(size, proportion):
    dataset, images = mixed_sizes()
    sides = (size, size) if isinstance(size, int) else size
    encoder = functional(side=sides[0])
    cropped = [
        augment.center_crop(tf.constant(image / 255, tf.float32), sides, proportion)
        for image in images
    ]
    expected = np.asarray(encoder(tf.stack(cropped), training=False))
    found = tfssl.represent(encoder, dataset, size=size)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_images_of_several_sizes_need_a_size(batch_size):
    dataset, _ = mixed_sizes()
    encoder = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D()])
    with pytest.raises(ValueError, match="`size` must be given.*20x20 and 26x26 px"):
        tfssl.represent(encoder, dataset, batch_size=batch_size)


def test_files_of_several_sizes_need_a_size(tmp_path):
    for place, image in enumerate(mixed_sizes()[1]):
        (tmp_path / f"{place}.png").write_bytes(tf.io.encode_png(image).numpy())
    encoder = functional()
    with pytest.raises(ValueError, match="`size` must be given where the images of `images`"):
        tfssl.represent(encoder, tmp_path)
    assert tfssl.represent(encoder, tmp_path, size=SIDE).shape == (2, 9)


class Constant:
    """A protocol of one's own: always the same class."""

    name = "constant"

    def scores(self, train_h, train_labels, test_h, num_classes):
        assert train_h.shape == (len(train_labels), 9)
        return np.tile(np.eye(num_classes)[1], [len(test_h), 1])


def test_a_protocol_of_ones_own_is_scored():
    found = tfssl.evaluate(functional(), TRAIN, TEST, Constant())
    assert found["constant"]["correct_top_1"] == np.sum(TEST[1] == 1)


def test_a_class_that_is_scored_alone_counts_as_wrong():
    test = TEST[0], np.where(TEST[1] == 2, 5, TEST[1])
    found = tfssl.evaluate(functional(), TRAIN, test, (KNN(70), Linear()))
    for scores in found.values():
        assert scores["classes"] == 6
        assert scores["correct_top_1"] <= np.sum(TEST[1] < 2)


def changed(**change):
    return {"encoder": functional(), "train": TRAIN, "test": TEST, "protocols": KNN(3)} | change


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": lambda x: x}, "`encoder` must be a keras.Layer"),
        ({"train": TRAIN[0]}, "`train` must hold images, with labels"),
        ({"test": (TEST[0], -np.ones(43, int))}, "`test` must hold images, with labels"),
        ({"test": (TEST[0], TEST[1] / 2)}, "Labels must be integers"),
        ({"train": (TRAIN[0].astype(float), TRAIN[1])}, r"Floats in `train` must be in \[0, 1\]"),
        ({"train": unbatched(*TRAIN).repeat()}, "`train` must come to an end"),
        (
            {"test": tf.data.Dataset.from_tensors({"views": TEST[0]})},
            "`test` must be a dataset of images",
        ),
        ({"test": "no such name"}, "no such name"),
        ({"size": 0}, "`size` must be two positive sides. Received: size=0"),
        ({"size": (8, 8, 3)}, "`size` must be two positive sides"),
        ({"batch_size": 0}, "`batch_size` must be an integer of 1 or more. Received: 0"),
        ({"protocols": [KNN(3), KNN(3)]}, "`protocols` must differ in their names"),
        ({"protocols": "knn"}, "`protocols` must be objects with a `name`"),
        ({"protocols": KNN(71)}, r"`k` must be in \[1, 70\]"),
        ({"encoder": functional(side=16)}, r"`encoder` takes images \[\?, 16, 16, 3\]"),
        ({"input_range": "1,2"}, "`input_range` must be one of"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        tfssl.evaluate(**changed(**change))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: KNN(0), "`k` must be an integer of 1 or more. Received: k=0"),
        (lambda: KNN(2.5), "`k` must be an integer"),
        (lambda: KNN(3, temperature=0), "`temperature` must be positive. Received: temperature=0"),
        (lambda: Linear(l2=0.0), "`l2` must be positive. Received: l2=0.0"),
    ],
)
def test_protocols_refuse_what_they_cannot_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Scores:
    name = "own"

    def __init__(self, made):
        self.made = made

    def scores(self, train_h, train_labels, test_h, num_classes):
        return self.made(len(test_h), num_classes)


@pytest.mark.parametrize(
    "made",
    [lambda n, c: np.full((n, c), np.nan), lambda n, c: np.zeros((n, c + 1)), lambda n, c: None],
)
def test_what_is_not_scores_is_refused(made):
    with pytest.raises(ValueError, match=r"`protocols` must return scores of shape .*. Rec.* own"):
        tfssl.evaluate(functional(), TRAIN, TEST, Scores(made))


def test_test_images_that_are_training_images_are_told(caplog):
    both = tuple(np.concatenate(pair) for pair in zip(TEST, (part[:7] for part in TRAIN)))
    with caplog.at_level("INFO", logger="tfssl"):
        tfssl.evaluate(functional(), TRAIN, both, KNN(3))
        assert f"7 of {len(both[0])} images of `test` are in `train` too" in caplog.text
        caplog.clear()
        tfssl.evaluate(functional(), TRAIN, TEST, KNN(3))
    assert "are in `train`" not in caplog.text


def test_slices_of_arrays_are_images_too():
    """They are not contiguous in memory."""
    pairs = [(images[:, ::-1, ::-1], labels) for images, labels in (TRAIN, TEST)]
    copied = [(images.copy(), labels) for images, labels in pairs]
    encoder = functional()
    assert tfssl.evaluate(encoder, *pairs, KNN(3)) == tfssl.evaluate(encoder, *copied, KNN(3))


def test_labels_that_no_training_image_has_are_told(caplog):
    with caplog.at_level("INFO", logger="tfssl"):
        tfssl.evaluate(functional(), TRAIN, (TEST[0], np.where(TEST[1] == 0, 9, TEST[1])), KNN(3))
    wrong = int((TEST[1] == 0).sum())
    assert f"{wrong} of {len(TEST[1])} images of `test` have labels that no image" in caplog.text


def test_representations_that_are_not_finite_are_refused():
    encoder = functional()
    encoder.set_weights([np.full_like(w, np.nan) for w in encoder.get_weights()])
    with pytest.raises(
        ValueError, match="`encoder` must return finite.* Received: 43 of 43 images of `images`"
    ):
        tfssl.represent(encoder, TEST[0])
