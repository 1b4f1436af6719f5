"""Callbacks that log accuracies and information: right values, where Keras looks for them."""

import csv
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl.callbacks import KNN, Information, Probe
from tfssl.callbacks.measures import OF_ONE_VIEW, OF_TWO_VIEWS, Measure
from tfssl.distribute.strategy import strategy_on
from tfssl.information import representation
from tfssl.losses import multi_view_nt_xent, nt_xent

CLASSES, SIDE = 3, 8


def pictures(count, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 200, [count, SIDE, SIDE, channels])
    images[labels == 1, : SIDE // 2] += 30
    images[labels == 2, :, : SIDE // 2] += 30
    return images.astype(np.uint8), labels


TRAIN, TEST = pictures(60), pictures(31, seed=1)


class Counted(keras.layers.Layer):
    """Counts how often the layer is called, by hand or by a graph that is traced."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = 0

    def call(self, images):
        self.calls += 1
        return images


def encoder_of(channels=3):
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, channels)),
            Counted(),
            keras.layers.Conv2D(6, 3, kernel_initializer=keras.initializers.GlorotNormal(1)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1, seed=3),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


METHODS = {
    "simclr": lambda encoder: tfssl.SimCLR(encoder, temperature=0.5),
    "simclr with a memory": lambda encoder: tfssl.SimCLR(encoder, memory_size=20),
    "byol": tfssl.BYOL,
    "triplet": tfssl.Triplet,
    "mocov2": lambda encoder: tfssl.MoCoV2(encoder, memory_size=32),
    "nnclr": lambda encoder: tfssl.NNCLR(encoder, memory_size=32),
}


def model_of(method="simclr", channels=3):
    model = METHODS[method](encoder_of(channels))
    model.compile(keras.optimizers.SGD(0.1))
    return model


def batch_of(channels=3, count=16, seed=5):
    rng = np.random.default_rng(seed)
    return tuple(rng.random((count, SIDE, SIDE, channels), np.float32) for _ in range(2))


def views_of(channels=3):
    return tf.data.Dataset.from_tensors(batch_of(channels)).repeat(2)


def fitted(model, *callbacks, epochs=3, channels=3):
    return model.fit(
        views_of(channels), epochs=epochs, callbacks=list(callbacks), verbose=0
    ).history


@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_accuracies_are_those_of_evaluate(method):
    model = model_of(method)
    history = fitted(model, KNN(TRAIN, TEST, k=7), Probe(TRAIN, TEST, l2=0.01))
    found = tfssl.evaluate(
        model.encoder, TRAIN, TEST, (tfssl.evaluation.KNN(7), tfssl.evaluation.Linear(0.01))
    )
    assert history["knn_7"][-1] == found["knn_7"]["top_1"]
    assert history["linear"][-1] == found["linear"]["top_1"]
    assert len(history["knn_7"]) == len(history["linear"]) == 3


def test_a_classifier_is_measured_too():
    model = tfssl.Supervised(encoder_of(), num_classes=CLASSES)
    model.compile("sgd")
    images = tf.data.Dataset.from_tensors((TRAIN[0] / np.float32(255), TRAIN[1]))
    callbacks = [KNN(TRAIN, TEST), Information(batch_of()[0])]
    history = model.fit(images, epochs=2, callbacks=callbacks, verbose=0).history
    found = tfssl.evaluate(model.encoder, TRAIN, TEST, tfssl.evaluation.KNN(20))
    assert history["knn_20"][-1] == found["knn_20"]["top_1"]
    h = np.asarray(model.encode(batch_of()[0]))
    assert history["uniformity"][-1] == pytest.approx(representation.uniformity(h), rel=1e-4)
    assert not {"alignment", "infonce_bound"} & set(history)


def test_six_channels():
    train, test = pictures(40, channels=6), pictures(20, seed=1, channels=6)
    model = model_of(channels=6)
    history = fitted(model, KNN(train, test, k=3), Information(views_of(6)), channels=6, epochs=1)
    found = tfssl.evaluate(model.encoder, train, test, tfssl.evaluation.KNN(3))
    assert history["knn_3"] == [found["knn_3"]["top_1"]]
    assert history["effective_rank"][0] > 1


def test_early_stopping_stops_where_the_accuracy_does_not_rise():
    encoder = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten()])
    model = tfssl.SimCLR(encoder)  # which has nothing to learn in its encoder
    model.compile("sgd")
    knn = KNN(TRAIN, TEST, k=5)
    stop = keras.callbacks.EarlyStopping(monitor="knn_5", mode="max", patience=2)
    history = fitted(model, knn, stop, epochs=9)
    assert history["knn_5"] == history["knn_5"][:1] * 3
    assert stop.stopped_epoch == 2


class Epochs(Measure):
    """Measures how often it has measured."""

    count = 0

    def measure(self):
        self.count += 1
        return {"count": self.count}


def logged(callback, epochs, first=0):
    callback.on_train_begin()
    found = []
    for epoch in range(first, first + epochs):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        found.append(logs["count"])
    return found


def test_between_measurements_the_last_value_is_logged_again():
    assert logged(Epochs(every=1), 4) == [1, 2, 3, 4]
    assert logged(Epochs(every=3), 8) == [1, 1, 2, 2, 2, 3, 3, 3]
    assert logged(Epochs(every=3), 4, first=7) == [1, 2, 2, 2]  # goes on from epoch 7
    callback = Epochs(every=3)
    assert logged(callback, 2) == [1, 1] and logged(callback, 2) == [2, 2]


def test_every_epoch_has_a_row_in_the_file_of_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    knn = KNN(TRAIN, TEST, k=5, every=2, name="neighbours")
    history = fitted(model_of(), knn, keras.callbacks.CSVLogger(str(path)), epochs=3)
    with open(path) as file:
        rows = [float(row["neighbours"]) for row in csv.DictReader(file)]
    assert rows == history["neighbours"] and rows[1] == rows[2]


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("method", ["simclr with a memory", "byol"])
def test_the_training_is_the_same_without_them(method):
    plain, measured = (model_of(method) for _ in range(2))
    for one, other in zip(plain.variables, measured.variables, strict=True):
        other.assign(one)
    losses = fitted(plain)["loss"]
    callbacks = [KNN(TRAIN, TEST), Probe(TRAIN, TEST), Information(views_of())]
    assert fitted(measured, *callbacks)["loss"] == losses
    for one, other in zip(plain.variables, measured.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_graphs_are_traced_once():
    model = model_of()
    counted, calls = model.encoder.layers[0], []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: calls.append(counted.calls))
    callbacks = [KNN(TRAIN, TEST, batch_size=16), Information(views_of()), note]
    for _ in range(2):
        fitted(model, *callbacks, epochs=3)
    assert calls[1:] == calls[:-1] and len(calls) == 6


def test_information_is_that_of_the_representations():
    model, views = model_of(), batch_of(seed=9)
    before = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: before.append(np.asarray(model.encode(views[0])))
    )
    history = fitted(model, note, Information(views))
    h1, h2 = (np.asarray(model.encode(view)) for view in views)
    z1, z2 = (model.projector(h, training=False) for h in (h1, h2))
    expected = {
        "effective_rank": representation.effective_rank(representation.singular_values(h1)),
        "uniformity": representation.uniformity(h1),
        "alignment": representation.alignment(h1, h2),
        "lidar": representation.lidar([h1, h2]),
        "view_retrieval": representation.view_retrieval(h1, h2),
        "view_rank": representation.view_rank(h1, h2),
        "neighbours_kept": representation.neighbours_kept(before[-1], h1, 10),
        "loss_of_views": 2 * float(nt_xent(z1, z2, 0.5)),
        "infonce_bound": math.log(2 * 16 - 1) - float(nt_xent(z1, z2, 0.5)),
    }
    found = {name: history[name][-1] for name in expected}
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert math.isnan(history["spectrum_decay"][-1])  # of 6 features, the ranks from 11 on


def test_information_of_several_batches():
    model, batches = model_of(), [batch_of(seed=seed) for seed in (1, 2, 3)]
    dataset = tf.data.Dataset.from_tensor_slices(
        tuple(np.concatenate([batch[view] for batch in batches]) for view in range(2))
    ).batch(16)
    callback = Information(dataset, num_batches=3)
    callback.set_model(model)
    found = callback.measure()
    h1, h2 = (np.concatenate([model.encode(batch[view]) for batch in batches]) for view in range(2))
    assert found["lidar"] == pytest.approx(representation.lidar([h1, h2]), rel=1e-4)
    losses = [model.loss_on_views(batch, training=False).loss for batch in batches]
    assert found["loss_of_views"] == pytest.approx(np.mean(losses), rel=1e-5)
    ceiling = math.log(2 * 16 - 1)
    assert found["infonce_bound"] == pytest.approx(ceiling - np.mean(losses) / 2, abs=1e-5)


def test_smaller_views_are_not_compared_with_larger_ones():
    views = *batch_of(), batch_of(seed=8)[0][:, ::2, ::2]
    model = tfssl.DINO(encoder_of(3), num_prototypes=6)
    model.compile("sgd")
    callback = Information(views)
    callback.set_model(model)
    model.build((None, SIDE, SIDE, 3))
    h = [np.asarray(model.encode(view)) for view in views[:2]]
    assert callback.measure()["lidar"] == pytest.approx(representation.lidar(h), rel=1e-3)


def test_a_memory_raises_the_ceiling_of_the_bound():
    model = model_of("simclr with a memory")
    callback = Information(batch_of())
    callback.set_model(model)
    loss = model.loss_on_views(batch_of(), training=False).scalars["contrast_loss"]
    assert callback.measure()["infonce_bound"] == pytest.approx(
        math.log(2 * 16 - 1 + 20) - float(loss) / 2, abs=1e-5
    )


@pytest.mark.parametrize("views", [2, 3])
def test_the_candidates_are_all_views_of_other_images_and_the_positive(views):
    model = model_of()
    batch = tuple(batch_of(seed=seed)[0] for seed in range(views))
    callback = Information(batch)
    callback.set_model(model)
    z = [model.projector(model.encode(view), training=False) for view in batch]
    expected = math.log(views * 15 + 1) - float(multi_view_nt_xent(z, 0.5))
    assert callback.measure()["infonce_bound"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("method,candidates", [("mocov2", 1 + 32), ("nnclr", 16)])
def test_the_bound_of_a_loss_of_one_direction(method, candidates):
    model = model_of(method)
    callback = Information(batch_of())
    callback.set_model(model)
    loss = model.loss_on_views(batch_of(), training=False).scalars["contrast_loss"]
    expected = math.log(candidates) - float(loss)
    assert callback.measure()["infonce_bound"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["byol", "triplet"])
def test_there_is_no_bound_without_such_a_loss(method):
    callback = Information(batch_of())
    callback.set_model(model_of(method))
    assert set(callback.measure()) == {*OF_ONE_VIEW, *OF_TWO_VIEWS, "loss_of_views"}


@pytest.mark.parametrize(
    "views",
    [
        batch_of(),
        (batch_of(), np.zeros(16, int)),
        {"views": batch_of()},
        views_of(),
        tf.data.Dataset.from_tensors((batch_of(), np.zeros(16, int))),
    ],
    ids=["views", "with labels", "a dict", "a dataset", "a dataset with labels"],
)
def test_views_come_in_every_form_that_fit_takes(views):
    model = model_of()
    one, other = Information(batch_of()), Information(views)
    for callback in (one, other):
        callback.set_model(model)
    assert one.measure() == pytest.approx(other.measure(), nan_ok=True)


def test_a_network_that_has_diverged_is_logged_as_nan():
    model = model_of()
    for variable in model.encoder.trainable_variables:
        variable.assign(variable * np.nan)
    logs = {}
    for callback in (KNN(TRAIN, TEST), Probe(TRAIN, TEST), Information(batch_of())):
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_end(0, logs)
    names = {"knn_20", "linear", *OF_ONE_VIEW, *OF_TWO_VIEWS, "loss_of_views", "infonce_bound"}
    assert set(logs) == names and np.isnan(list(logs.values())).all()


@pytest.mark.slow
@pytest.mark.ci
def test_two_replicas():
    strategy = strategy_on("CPU", 2)
    with strategy.scope():
        model = model_of()
    history = fitted(model, KNN(TRAIN, TEST, k=5), Information(batch_of()), epochs=2)
    found = tfssl.evaluate(model.encoder, TRAIN, TEST, tfssl.evaluation.KNN(5))
    assert history["knn_5"][-1] == found["knn_5"]["top_1"]
    h = np.asarray(model.encode(batch_of()[0]))
    assert history["uniformity"][-1] == pytest.approx(representation.uniformity(h), rel=1e-3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: KNN(TRAIN, TEST, every=0), "`every` must be an integer of 1 or more"),
        (lambda: KNN(TRAIN, TEST, k=0), "`k` must be an integer of 1 or more"),
        (lambda: KNN(TRAIN, (TEST[0], TEST[1] / 2)), "Labels must be integers"),
        (lambda: Probe(TRAIN, TEST, l2=0), "`l2` must be positive"),
        (lambda: Information(np.zeros(3)), "`views` must give"),
        (lambda: Information(batch_of(count=1)), "`views` must be of at least 2 images"),
        (lambda: Information(views_of().take(0)), "`views` must hold a batch"),
        (lambda: Information(views_of(), num_batches=0), "`num_batches` must be an integer"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "views, message",
    [
        ((255 * batch_of()[0], batch_of()[1]), r"View 1 must be in \[0, 1\]"),
        (batch_of()[:1], "SimCLR takes 2 or more views of each image: .* Received: 1"),
    ],
)
def test_views_that_the_model_does_not_take_are_refused(views, message):
    with pytest.raises(ValueError, match=message):
        fitted(model_of(), Information(views), epochs=1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: KNN(pictures(9, channels=1), TEST), "`encoder` takes images .* 3].* 1]"),
        (
            lambda: KNN(tuple(part[:9] for part in TRAIN), TEST),
            r"`k` must be in \[1, 9\], the number of training images with a label; .*: k=20",
        ),
        (lambda: Probe(TRAIN, (TEST[0], -np.ones(31, int))), "`test` must hold images, with"),
        (
            lambda: Information(batch_of(channels=1)),
            r"`views` must have images of shape \(8, 8, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(make, message):
    model = model_of()
    with pytest.raises(ValueError, match=message):
        fitted(model, make())
    assert int(model.optimizer.iterations) == 0


def test_information_needs_a_learner():
    with pytest.raises(ValueError, match="needs a tfssl.methods.Learner. Received: Sequential"):
        Information(batch_of()).set_model(encoder_of())


@pytest.mark.slow
def test_the_runner_is_not_needed():
    program = (
        "import sys, tfssl; tfssl.callbacks.KNN, tfssl.callbacks.Probe, tfssl.evaluate;"
        "print([name for name in sys.modules if 'tfssl.runner' in name])"
    )
    made = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True)
    assert made.stdout.strip() == "[]", made.stderr
