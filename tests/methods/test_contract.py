"""What the methods after SimCLR and BYOL keep, each on a tiny network: state, parts, replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tests.networks import PEERS, dataset, elements, made, values
from tfssl.distribute.strategy import strategy_on

SMALL = (8, 8, 3)
OF_THE_BATCH = ("barlow_twins", "mocov2", "swav")  # statistics, a queue, assignments
REMEMBER = ("mocov2", "nnclr", "swav", "dino")  # something of earlier batches


def plain(channels=3):
    """An encoder without batch normalization: parts of a batch do not depend on each other."""
    return keras.Sequential(
        [
            keras.Input((8, 8, channels)),
            keras.layers.Conv2D(4, 3, strides=2, activation="gelu", name="conv"),
            keras.layers.Conv2D(6, 3, activation="gelu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def built(method, encoder=plain, **options):
    """A compiled model that takes steps eagerly."""
    model = made(method, encoder, **options)
    model.build((None, *SMALL))
    return model


def batch(model, count=8, **options):
    return tf.nest.map_structure(tf.constant, elements(model, count, **options))


def state_of(model):
    """Variables that hold something of earlier steps, besides weights."""
    kept = [getattr(model, name, None) for name in ("queue", "center")]
    return [v.numpy() for v in kept if v is not None]


@pytest.mark.parametrize("method", PEERS)
def test_every_name_is_logged_and_every_part_learns(method):
    model = built(method, num_classes=3, optimizer=keras.optimizers.Adam(0.01))
    if hasattr(model, "frozen_share"):
        model.frozen_share = 0.0
    before = [v.numpy() for v in model.trainable_variables]
    followers = [v.numpy() for part in model.followers.values() for v in part.variables]
    logs = [model.train_step(batch(model, seed=seed)) for seed in range(2)][-1]
    assert set(logs) == set(model.trackers)
    assert all(np.isfinite(float(value)) for value in logs.values())
    for v, old in zip(model.trainable_variables, before, strict=True):
        assert not np.array_equal(v.numpy(), old), v.path
    moved = [v.numpy() for part in model.followers.values() for v in part.variables]
    assert all(not np.array_equal(a, b) for a, b in zip(followers, moved))
    learned = {id(v) for v in model.trainable_variables}
    assert not learned & {id(v) for part in model.followers.values() for v in part.variables}


@pytest.mark.parametrize("method", PEERS)
def test_the_probe_sends_no_gradient_to_the_encoder(method):
    model = built(method, num_classes=3)
    data = batch(model)
    with tf.GradientTape() as tape:
        h = model.loss_on_views(data["views"], data["label"]).h[: model.PROBE_VIEWS]
        loss, _ = model.probe_loss(tf.concat(h, axis=0), data)
    of_encoder, of_probe = tape.gradient(
        loss, [model.encoder.trainable_variables, model.probe.trainable_variables]
    )
    assert all(g is None for g in of_encoder) and all(np.any(g != 0) for g in of_probe)


@pytest.mark.parametrize("method", PEERS)
def test_a_batch_in_parts_has_the_gradients_of_the_whole(method):
    whole, parts = built(method, num_classes=3), built(method, num_classes=3)
    parts.accumulate_steps = 4
    data = whole.batch_of(batch(whole))
    for model in (whole, parts):  # so that a queue is not full of noise alone
        model.after_step(tf.constant(0))
    expected, logged = whole.gradients_of(whole.loss_on, data)
    gradients, scalars = parts.accumulated(data)
    scale = float(max(tf.reduce_max(tf.abs(gradient)) for gradient in expected))
    for got, want, v in zip(gradients, expected, whole.trainable_variables, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-5 * scale, err_msg=v.path)
    of_part = {"z_std"} if method in ("simsiam", "fastsiam") else set()
    for name in logged.keys() - of_part:
        assert float(scalars[name]) == pytest.approx(float(logged[name]), rel=1e-4, abs=1e-5), name
    for a, b in zip(state_of(whole), state_of(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert bool(state_of(whole)) == (method in REMEMBER)


@pytest.mark.parametrize("method", PEERS)
def test_what_is_saved_and_loaded_trains_on(method, tmp_path):
    model = built(method, num_classes=3)
    model.train_step(batch(model))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model) and loaded.get_config().keys() == model.get_config().keys()
    for name, value in loaded.get_config().items():
        if isinstance(value, (int, float, str, bool)):
            assert value == model.get_config()[name], name
    for a, b in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    model.reset_metrics()
    made_here, made_there = (each.train_step(batch(each, seed=5)) for each in (model, loaded))
    for name in made_here:  # queues and centers are not weights, but those of SimCLR's memory
        if name not in ("contrast_loss", "contrast_acc", "contrast_entropy", "loss"):
            np.testing.assert_allclose(made_here[name], made_there[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("method", [*REMEMBER, "mocov3", "simsiam"])
def test_a_checkpoint_has_all_that_a_training_goes_on_from(method, tmp_path):
    def step(model, seed):
        model.train_step(batch(model, seed=seed))

    straight = built(method, num_classes=3)
    for seed in range(3):
        step(straight, seed)
    begun = built(method, num_classes=3)
    for seed in range(2):
        step(begun, seed)
    path = tf.train.Checkpoint(**begun.state()).save(str(tmp_path / "state"))
    resumed = built(method, num_classes=3)
    tf.train.Checkpoint(**resumed.state()).restore(path).assert_existing_objects_matched()
    step(resumed, 2)
    for a, b in zip(
        [*values(straight), *state_of(straight)], [*values(resumed), *state_of(resumed)]
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_half_precision(method, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = built(method, num_classes=3)
    finally:
        keras.config.set_dtype_policy(before)
    logs = model.train_step(batch(model))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert all(v.dtype == "float32" for v in model.trainable_variables)


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_any_number_of_channels(method, channels):
    model = made(method, lambda: plain(channels))
    model.build((None, 8, 8, channels))
    logs = model.train_step(batch(model, channels=channels))
    assert np.isfinite(float(logs["loss"]))


@pytest.mark.parametrize("method", PEERS)
def test_evaluation_changes_nothing(method):
    model = built(method, encoder=networks.functional)
    if method == "deep_infomax":
        model = built(method)
    model.train_step(batch(model))
    before = [*values(model), *state_of(model)]
    logs = model.test_step(batch(model, seed=3))
    assert np.isfinite(float(logs["loss"]))
    for a, b in zip(before, [*values(model), *state_of(model)], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=pytest.mark.ci if name in OF_THE_BATCH else []) for name in PEERS],
)
def test_two_replicas_compute_what_one_device_does(method):
    """Statistics, assignments and queues are of the whole batch."""

    def train(model):
        history = model.fit(dataset(model, count=24), epochs=1, verbose=0).history
        return history, [v.numpy() for v in model.trainable_variables], state_of(model)

    options = {"optimizer": keras.optimizers.SGD(0.01), "seed": 0}
    one = train(made(method, plain, **options))
    with strategy_on("CPU", 2).scope():
        two = train(made(method, plain, **options | {"optimizer": keras.optimizers.SGD(0.01)}))
    for name in one[0]:
        np.testing.assert_allclose(one[0][name], two[0][name], rtol=2e-4, atol=2e-5, err_msg=name)
    for a, b in zip(one[1] + one[2], two[1] + two[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["simsiam", "swav", "mocov2", "dino"])
def test_a_graph_takes_the_steps_of_eager_execution(method):
    ended = []
    for eager in (True, False):
        model = made(method, plain, compiled={"run_eagerly": eager})
        logged = model.fit(dataset(model), verbose=0).history
        ended.append([*values(model), *state_of(model), logged["loss"][0]])
    for a, b in zip(*ended, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "method,count,said",
    [
        ("SimSiam", 3, "SimSiam takes 2 views of each image"),
        ("FastSiam", 1, "FastSiam takes 2 or more views of each image"),
        ("SwAV", 1, "SwAV takes 2 or more views"),
        ("DINO", 1, "DINO takes 2 or more views"),
        ("EMPSSL", 1, "EMPSSL takes 2 or more views"),
        ("DeepInfoMax", 2, "DeepInfoMax takes 1 view of each image"),
    ],
)
def test_another_number_of_views_is_refused(method, count, said):
    model = getattr(tfssl, method)(plain())
    model.compile("sgd")
    views = tuple(networks.images(8, seed=seed) for seed in range(count))
    with pytest.raises(ValueError, match=said):
        model.fit(tf.data.Dataset.from_tensors(views), verbose=0)


@pytest.mark.parametrize("method", ["BarlowTwins", "VICReg", "SIGReg", "EMPSSL", "DCL", "SupCon"])
def test_views_of_two_sizes_are_refused_where_they_do_not_suit(method):
    model = getattr(tfssl, method)(networks.functional())
    model.compile("sgd")
    views = networks.images(8), networks.images(8, size=6)
    with pytest.raises(ValueError, match=f"{method} takes views of one size"):
        model.fit(tf.data.Dataset.from_tensors(views), verbose=0)


@pytest.mark.parametrize(
    "method,options,said",
    [
        ("BarlowTwins", {"off_diagonal": -1}, "`off_diagonal` must be 0 or more"),
        ("VICReg", {"variance": float("nan")}, "`variance` must be 0 or more"),
        ("SIGReg", {"weight": 1.5}, "`weight` must be in .0, 1."),
        ("SIGReg", {"num_slices": 0}, "`num_slices` must be an integer of 1 or more"),
        ("MoCoV2", {"memory_size": 0}, "`memory_size` must be an integer of 1 or more"),
        ("VICReg", {"invariance": 0, "variance": 0, "covariance": 0}, "must not all be 0"),
        ("MoCoV2", {"bn_groups": 0}, "`bn_groups` must be an integer of 1 or more"),
        ("MoCoV2", {"memory_decay": 2}, "`memory_decay` must be in .0, 1."),
        ("MoCoV3", {"temperature": 0}, "`temperature` must be positive"),
        ("NNCLR", {"memory_size": -1}, "`memory_size` must be an integer"),
        ("DCLW", {"sigma": 0}, "`sigma` must be positive"),
        ("SwAV", {"num_prototypes": 1}, "`num_prototypes` must be an integer of 2 or more"),
        ("SwAV", {"epsilon": 0}, "`epsilon` must be positive"),
        ("DINO", {"teacher_temperature": 0}, "`teacher_temperature` must be positive"),
        ("DINO", {"frozen_share": -0.1}, "`frozen_share` must be in .0, 1."),
        ("EMPSSL", {"eps": 0}, "`eps` must be positive"),
        ("DeepInfoMax", {"estimator": "mine"}, "`estimator` must be one of jsd, infonce"),
        ("DeepInfoMax", {"local_weight": 0}, "`local_weight` or `global_weight` must be above 0"),
        ("SupCon", {"temperature": "low"}, "`temperature` must be positive"),
        (
            "MoCoV2",
            {"symmetric": "no"},
            "`symmetric` must be True or False. Received: symmetric='no",
        ),
        ("SimCLR", {"normalize": 0}, "`normalize` must be True or False"),
        ("SimSiam", {"fixed_predictor_rate": None}, "`fixed_predictor_rate` must be True or Fals"),
        ("SimSiam", {"temperature": 0.1}, "SimSiam takes no argument `temperature`"),
    ],
)
def test_arguments_out_of_range_are_refused(method, options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        getattr(tfssl, method)(plain(), **options)


def test_supcon_needs_labels():
    model = tfssl.SupCon(plain())
    model.compile("sgd", run_eagerly=True)
    pair = networks.images(8), networks.images(8, seed=1)
    with pytest.raises(ValueError, match="Positives by class need labels"):
        model.fit(tf.data.Dataset.from_tensors(pair), verbose=0)


def test_a_schedule_goes_by_the_length_of_fit_where_none_is_given():
    model = made("dino", plain, base_target_decay=0.5)
    data = dataset(model)
    first = model.fit(data, epochs=2, verbose=0).history["target_decay"]
    cosine = [1 - 0.25 * (np.cos(np.pi * step / 4) + 1) for step in range(4)]
    np.testing.assert_allclose(first, [np.mean(cosine[:2]), np.mean(cosine[2:])], rtol=1e-5)
