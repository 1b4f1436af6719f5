"""What a user of Keras does with a method: compile, fit, evaluate, save, load, go on."""

import contextlib
import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tests.helpers import costly, spared
from tests.networks import METHODS, SELF_SUPERVISED, SIZE, dataset, elements, images, labels, made
from tfssl import layers
from tfssl.distribute.strategy import strategy_on

# Together they have all that a method can have: a queue, a network that follows, a head of its own
# kind, a teacher. What the others hold beside it is a loss without state.
WITH_STATE = ["memory", "byol", "distilled"]
# test_contract.py has the others.
SPANNING = [name if name in WITH_STATE else spared(name) for name in METHODS]


def kernels(model):
    return [v for v in model.trainable_variables if "kernel" in v.name]


def history_of(model, *batches, **options):
    return model.fit(*batches, verbose=0, **options).history


# Compiling


def test_an_optimizer_by_its_name():
    model = made("simclr", optimizer="adam")
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert np.isfinite(history_of(model, dataset(model))["loss"]).all()


@pytest.mark.parametrize("method", ["simclr", "supervised"])
def test_weight_decay_in_the_loss_is_half_the_squares_of_kernels(method):
    model = made(method, compiled={"weight_decay": 0.2})
    expected = 0.5 * 0.2 * sum(np.sum(v.numpy() ** 2) for v in kernels(model))
    plain = made(method).train_step(next(iter(dataset(model))))
    logs = model.train_step(next(iter(dataset(model))))
    assert float(logs["weight_decay"]) == pytest.approx(expected, rel=1e-5)
    assert float(logs["loss"]) == pytest.approx(float(plain["loss"]) + expected, rel=1e-5)


def test_lars_adapts_and_decays_kernels_alone():
    """The step of a kernel is a share of its length; that of all else is the plain gradient."""
    model = made("simclr", optimizer=tfssl.LARS(1.0), compiled={"weight_decay": 0.1})
    batch = next(iter(dataset(model)))
    start = [v.numpy() for v in model.trainable_variables]
    twin = made("simclr")
    gradients, _ = twin.gradients_of(twin.loss_on, batch)
    logs = model.train_step(batch)
    assert float(logs["weight_decay"]) == 0  # it is the optimizer's
    for v, before, gradient in zip(model.trainable_variables, start, gradients, strict=True):
        gradient = gradient.numpy()
        if "kernel" in v.name:
            gradient += 0.1 * before
            gradient *= 0.001 * np.linalg.norm(before) / np.linalg.norm(gradient)
        np.testing.assert_allclose(before - v.numpy(), gradient, rtol=2e-3, atol=1e-6)


def test_adamw_decays_kernels_alone():
    decayed, plain = (
        made("simclr", optimizer=optimizer)
        for optimizer in (
            keras.optimizers.AdamW(0.01, weight_decay=0.5),
            keras.optimizers.Adam(0.01),
        )
    )
    start = [v.numpy() for v in decayed.trainable_variables]
    for model in (decayed, plain):
        for v in model.trainable_variables:
            v.assign(v + 1.0)  # biases and norms of 0 could not be seen to decay
        model.train_step(next(iter(dataset(model))))
    for a, b, before in zip(decayed.trainable_variables, plain.trainable_variables, start):
        expected = -0.01 * 0.5 * (before + 1.0) if "kernel" in a.name else 0.0
        np.testing.assert_allclose(a.numpy() - b.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("optimizer", [tfssl.LARS, keras.optimizers.AdamW])
def test_weight_decay_in_two_places_is_refused(optimizer):
    with pytest.raises(
        ValueError, match="`weight_decay` must be given once.*0.1 in compile, and 0.2"
    ):
        made("simclr", optimizer=optimizer(0.1, weight_decay=0.2), compiled={"weight_decay": 0.1})


@pytest.mark.parametrize("name", ["loss", "metrics", "weighted_metrics", "loss_weights"])
def test_a_loss_or_metrics_are_refused(name):
    model = tfssl.SimCLR(networks.functional())
    with pytest.raises(ValueError, match=f"`{name}` cannot be set: SimCLR has a loss"):
        model.compile("adam", **{name: "mse"})


@pytest.mark.parametrize(
    "compiled,message",
    [
        ({"weight_decay": -0.1}, "`weight_decay` must be 0 or more"),
        ({"accumulate_steps": 0}, "`accumulate_steps` must be an integer of 1 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(compiled, message):
    with pytest.raises(ValueError, match=message):
        made("simclr", compiled=compiled)


def test_an_optimizer_of_another_model_is_refused():
    optimizer = keras.optimizers.SGD(0.1)
    made("simclr", optimizer=optimizer)
    with pytest.raises(ValueError, match="`optimizer` must be a new one"):
        made("simclr", optimizer=optimizer)


@pytest.mark.parametrize(
    "method,compiled",
    [
        ("memory", {"run_eagerly": True}),
        spared("memory", {"steps_per_execution": 2}),
        costly("byol", {"run_eagerly": True}),
        ("byol", {"steps_per_execution": 2}),
    ],
)
def test_ways_to_execute_make_the_same_steps(method, compiled):
    ended = []
    for options in ({}, compiled):
        model = made(method, compiled=options)
        logged = history_of(model, dataset(model, count=32))
        ended.append([*networks.values(model), logged["loss"][0]])
    for a, b in zip(*ended, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["memory", spared("byol"), "supervised"])
def test_half_precision_scales_the_loss(method):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = made(method)
    finally:
        keras.config.set_dtype_policy(before)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    start = [v.numpy() for v in model.encoder.trainable_variables]
    scale = float(model.optimizer.dynamic_scale)
    # The first steps are skipped, until the scale has come down to what float16 holds.
    logged = history_of(model, dataset(model), epochs=8)
    assert 0 < logged["loss"][0] < 50 and scale > 1000  # what is logged is not scaled
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert any(np.any(a != b) for a, b in zip(start, model.encoder.trainable_variables))
    assert model.encode(images(2)).dtype == tf.float16


# Fitting


def forms(model):
    x = elements(model)
    slices = tf.data.Dataset.from_tensor_slices
    return {
        "views": slices(x["views"]).batch(8),
        "pair": slices((x["views"], x["label"])).batch(8),
        "dict": slices(x).batch(8),
    }


def test_all_forms_of_a_batch_are_one():
    logged = {}
    for name in ("views", "pair", "dict"):
        model = made("simclr")
        batches = forms(model)[name]
        logged[name] = history_of(model, batches, epochs=2, validation_data=batches)
    names = set(tfssl.SimCLR.SCALARS) | {"loss", "weight_decay"}
    for history in logged.values():
        assert set(history) == names | {f"val_{name}" for name in names}
        assert history == logged["views"] and len(history["loss"]) == 2


@pytest.mark.parametrize("name", ["pair", "dict"])
def test_labels_reach_the_probe(name):
    model = made("simclr", num_classes=3)
    logged = history_of(model, forms(model)[name], validation_data=forms(model)[name])
    assert logged["supervised_loss"][0] > 0.5 and 0 <= logged["val_supervised_acc"][0] <= 1
    with pytest.raises(ValueError, match="probe learns from labels"):
        model.fit(forms(model)["views"], verbose=0)


def of(*views, label=None):
    views = views if label is None else (views, label)
    return tf.data.Dataset.from_tensor_slices(views).batch(8)


def nan():
    made = images()
    made[3, 1, 1, 0] = np.nan
    return made


REFUSED = {
    "one view": (
        lambda: of(images(), label=labels()),
        "SimCLR takes 2 or more views of .* Received: 1",
    ),
    "views of two sizes": (
        lambda: of(images(), images()[:, :4]),
        "SimCLR takes views of one size",
    ),
    "bytes as floats": (
        lambda: of(images(), 255 * images()),
        r"View 2 must be in \[0, 1\].*Received: values in \[0.* 25",
    ),
    "not a number": (lambda: of(nan(), images()), "View 1 must be finite"),
    "uint8": (
        lambda: of(*[(255 * images()).astype(np.uint8)] * 2),
        r"View 1 must be of floats in \[0, 1\]. Received: uint8 images; tfssl.views",
    ),
    "an array": (
        images,
        "`fit` needs a tf.data.Dataset of views, labels included. Received: ndarray; tf",
    ),
    "no images": (
        lambda: tf.data.Dataset.from_tensor_slices(np.zeros((16, 5), "f")).batch(8),
        r"`x` must give \(view1, view2\).*Received: float32 \[\?, 5\]",
    ),
    "other channels": (
        lambda: of(*[images(channels=4)] * 2),
        r"`encoder` takes images \[\?, \?, \?, 3\]. Received: images \[\?, 8, 8, 4\]",
    ),
    "two numbers of channels": (
        lambda: of(images(), images(channels=1)),
        "Views must have one known number of channels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_dataset_of_views_is_refused_with_a_sentence(case):
    data, message = REFUSED[case]
    model = made("simclr")
    before = networks.values(model)
    with pytest.raises(ValueError, match=message):
        model.fit(data(), verbose=0)
    for a, b in zip(before, networks.values(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", ["one view", "uint8", "an array", "bytes as floats"])
def test_validation_data_are_checked_before_the_training(case):
    data, message = REFUSED[case]
    model = made("simclr")
    with pytest.raises(ValueError, match=message.replace("`fit`", "`validation_data`")):
        model.fit(dataset(model), validation_data=data(), verbose=0)
    assert int(model.optimizer.iterations) == 0


def test_arrays_are_no_views_for_fit_or_evaluate():
    model = made("simclr")
    with pytest.raises(ValueError, match="`fit` needs a tf.data.Dataset of views"):
        model.fit(images(), images(), verbose=0)
    with pytest.raises(ValueError, match="`evaluate` needs a tf.data.Dataset of views"):
        model.evaluate(images(), verbose=0)


@pytest.mark.parametrize("method", SPANNING)
def test_evaluation_changes_no_state(method):
    model = made(method, **({"num_classes": 3} if method in SELF_SUPERVISED else {}))
    model.fit(dataset(model), verbose=0)
    before = networks.values(model)
    first, second = (model.evaluate(dataset(model), verbose=0, return_dict=True) for _ in range(2))
    assert first == second and set(first) == set(model.trackers)
    for a, b in zip(before, networks.values(model), strict=True):
        np.testing.assert_array_equal(a, b)


# Saving


@pytest.mark.parametrize("method", [spared(m) if m == "byol" else m for m in SPANNING])
def test_what_is_saved_and_loaded_goes_on_as_it_would_have(method, tmp_path):
    model = made(method, optimizer=keras.optimizers.Adam(0.01), compiled={"weight_decay": 1e-3})
    model.fit(dataset(model), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.jit_compile = False
    assert type(loaded) is type(model) and loaded.fitted_steps == model.fitted_steps == 2
    batches = dataset(model, seed=5)
    kept = [[*each.weights, *each.optimizer.variables] for each in (model, loaded)]
    for ours, theirs in zip(*kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    assert loaded.evaluate(batches, verbose=0, return_dict=True) == pytest.approx(
        expected, rel=1e-5
    )
    ahead = [history_of(each, batches, epochs=2)["loss"] for each in (model, loaded)]
    assert ahead[1] == pytest.approx(ahead[0], rel=1e-5)


@pytest.mark.parametrize("method", [spared("memory"), "byol", spared("supervised")])
def test_weights_alone(method, tmp_path):
    model = made(method)
    model.fit(dataset(model), verbose=0)
    model.save_weights(tmp_path / "all.weights.h5")
    other = made(method)
    other.fit(dataset(other, seed=7), verbose=0)
    other.load_weights(tmp_path / "all.weights.h5")
    for a, b in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_a_config_makes_a_model_of_the_same_form(method):
    model = made(method)
    made_again = type(model).from_config(model.get_config())
    configs = [
        json.dumps(each.get_config(), default=str, sort_keys=True) for each in (model, made_again)
    ]
    assert configs[0] == configs[1]
    shapes = [[(v.name, v.shape) for v in each.variables] for each in (model, made_again)]
    assert shapes[0] == shapes[1]


def test_options_survive_a_config():
    model = tfssl.SimCLR(
        networks.functional(), temperature=0.3, memory_size=7, memory_decay=0.9, input_range="-1,1"
    )
    again = tfssl.SimCLR.from_config(model.get_config())
    kept = [
        (each.temperature, each.memory_size, each.memory_decay, each.input_range)
        for each in (model, again)
    ]
    assert kept[0] == kept[1] == (0.3, 7, 0.9, (-1.0, 1.0))


def test_an_encoder_that_cannot_say_how_it_was_made_is_not_saved(tmp_path):
    model = made("simclr", lambda: networks.Subclassed(6))
    model.fit(dataset(model), verbose=0)
    with pytest.raises(
        ValueError, match=r"`encoder` \(Subclassed\) cannot be saved: it defines no"
    ):
        model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "all.weights.h5")  # which need not be made again


def test_an_encoder_of_ones_own_is_saved(tmp_path):
    model = made("byol", networks.ViT)
    model.fit(dataset(model), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images(3)), model(images(3)), rtol=1e-5, atol=1e-6)


# Callbacks


class Stop(Exception):
    pass


class StopAfterFirst(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise Stop


def random_views(batch_size=8):
    x = (images(24, 12), labels(24))
    return tfssl.views(x, tfssl.augment.supervised(SIZE), batch_size, seed=3, compiled=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",  # a queue goes on as it was in the test of saving above
    ["memory", "byol"],
)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(method, tmp_path):
    def train(*callbacks):
        model = made(method, optimizer=keras.optimizers.Adam(0.01))
        model.fit(random_views(), epochs=3, verbose=0, callbacks=list(callbacks))
        return networks.values(model)

    straight = train()
    with pytest.raises(Stop):
        train(keras.callbacks.BackupAndRestore(tmp_path / "backup"), StopAfterFirst())
    again = train(keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    for a, b in zip(straight, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_views_of_an_epoch_differ_from_those_of_the_next():
    seen = []

    class Watch(tfssl.SimCLR):
        def loss_on_views(self, views, labels=None, training=True):
            seen.append(float(tf.reduce_sum(views[0])))
            return super().loss_on_views(views, labels, training)

    model = Watch(networks.functional())
    model.compile("sgd", run_eagerly=True)
    model.fit(random_views(), epochs=2, verbose=0)
    assert len(seen) == 6 and len(set(seen)) == 6


def test_callbacks_of_keras(tmp_path):
    model = made("simclr", optimizer=keras.optimizers.SGD(0.0))
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="val_loss", save_best_only=True
    )
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = history_of(
        model, dataset(model), epochs=9, validation_data=dataset(model), callbacks=[stop, best, log]
    )
    # By its statistics batch normalization evaluates better after each epoch, or after none.
    assert len(history["loss"]) < 9
    loaded = keras.models.load_model(tmp_path / "best.keras")
    expected = min(history["val_loss"])
    assert loaded.evaluate(dataset(model), verbose=0, return_dict=True)["loss"] == pytest.approx(
        expected, rel=1e-5
    )
    header, *rows = (tmp_path / "log.csv").read_text().split()
    assert set(header.split(",")) == set(history) | {"epoch"} and len(rows) == len(history["loss"])


@pytest.mark.parametrize("method", [spared("memory"), "byol"])
def test_an_average_of_the_optimizer_leaves_the_following_network_alone(method):
    def follower(model):
        network = model.target_encoder if method == "byol" else model.memory_encoder
        return [v.numpy() for v in network.variables]

    ended = []
    for use_ema in (False, True):
        optimizer = keras.optimizers.Adam(0.01, use_ema=use_ema, ema_momentum=0.5)
        model = made(method, optimizer=optimizer)
        model.fit(dataset(model), verbose=0)
        ended.append((model, follower(model)))
    (plain, left), (averaged, right) = ended
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [model.encoder.trainable_variables[0].numpy() for model in (plain, averaged)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4  # the online one is its average


def test_averages_are_swapped_in_for_the_validation():
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9)
    model = made("byol", optimizer=optimizer)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    kept = {}

    class Keep(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            kept["averages"] = [v.numpy() for v in model.trainable_variables]
            kept["target"] = [v.numpy() for v in model.target_encoder.variables]

        def on_train_batch_end(self, batch, logs=None):
            kept["learned"] = [v.numpy() for v in model.trainable_variables]

        def on_epoch_end(self, epoch, logs=None):
            kept["after"] = [v.numpy() for v in model.target_encoder.variables]

    history_of(model, dataset(model), validation_data=dataset(model), callbacks=[swap, Keep()])
    assert any(np.any(a != b) for a, b in zip(kept["averages"], kept["learned"]))
    for a, b in zip(kept["target"], kept["after"], strict=True):
        np.testing.assert_array_equal(a, b)


# Several devices


def replicated_head(in_dim, out_dim=4):
    """With batch normalization over all replicas; heads made inside normalize on each apart."""
    normalization = functools.partial(keras.layers.BatchNormalization, synchronized=True)
    return layers.projector(
        in_dim, out_dim=out_dim, hidden_dim=8, num_layers=2, normalization=normalization
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_two_replicas_begin_as_one_device(method):
    def losses(scope):
        with scope:
            heads = {"projector": replicated_head(5)}
            heads |= {"predictor": replicated_head(4)} if method == "byol" else {}
            model = made(method, networks.sequential, **heads)
            first = model.fit(random_views(), steps_per_epoch=1, verbose=0).history["loss"]
            model.fit(random_views(), epochs=2, initial_epoch=1, verbose=0)
            return first[0], int(tf.convert_to_tensor(model.optimizer.iterations))

    two, steps = losses(strategy_on("CPU", 2).scope())
    assert two == pytest.approx(losses(contextlib.nullcontext())[0], abs=1e-4) and steps == 4


# Schedules


def decays(model, *batches, **options):
    logged = []

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            logged.append(float(logs["target_decay"]))
            model.reset_metrics()

    model.fit(*batches, verbose=0, callbacks=[Note()], **options)
    return logged


def cosine(steps, total, base=0.99):
    return 1 - (1 - base) * (np.cos(np.pi * np.array(steps) / total) + 1) / 2


@pytest.mark.slow
def test_byols_schedule_is_as_long_as_fit():
    model = made("byol")
    np.testing.assert_allclose(
        decays(model, dataset(model), epochs=2), cosine(range(4), 4), atol=1e-6
    )
    # A second training has its steps ahead of it, not behind.
    np.testing.assert_allclose(
        decays(model, dataset(model), epochs=2), cosine(range(4, 8), 8), atol=1e-6
    )


@pytest.mark.slow
def test_byols_schedule_goes_on_at_a_later_epoch():
    model = made("byol")
    first = decays(model, dataset(model), epochs=1)
    later = decays(model, dataset(model), epochs=3, initial_epoch=1)
    np.testing.assert_allclose(first, cosine(range(2), 2), atol=1e-6)
    np.testing.assert_allclose(later, cosine(range(2, 6), 6), atol=1e-6)


def test_byols_schedule_goes_by_what_it_is_told():
    model = made("byol", total_steps=10, base_target_decay=0.5)
    np.testing.assert_allclose(
        decays(model, dataset(model), epochs=2), cosine(range(4), 10, 0.5), atol=1e-6
    )
    model = made("byol")
    endless = dataset(model).repeat()
    np.testing.assert_allclose(
        decays(model, endless, epochs=2, steps_per_epoch=3), cosine(range(6), 6), atol=1e-6
    )


def test_byols_decay_is_constant_where_the_length_is_not_known():
    model = made("byol")
    unknown = dataset(model).filter(lambda _: True)
    np.testing.assert_allclose(decays(model, unknown, epochs=2), [0.99] * 4, atol=1e-6)


def test_xla_is_refused_for_several_replicas():
    """Whose exchange it cannot compile."""
    with strategy_on("CPU", 2).scope():
        model = tfssl.SimCLR(keras.layers.Flatten())
        with pytest.raises(ValueError, match='`jit_compile` must be False or "auto" for several'):
            model.compile("sgd", jit_compile=True)
        model.compile("sgd", jit_compile="auto")
