"""What the methods after SimCLR and BYOL keep with other options than the default, and compiled."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tests.helpers import costly
from tests.networks import (
    MASKED,
    METHODS,
    PEERS,
    SELF_SUPERVISED,
    elements,
    head,
    images,
    labels,
    made,
)
from tfssl.distribute.strategy import strategy_on


def plain(channels=3, size=None):
    """An encoder without batch normalization, for images of any size."""
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            keras.layers.Conv2D(4, 3, strides=2, activation="gelu", name="conv"),
            keras.layers.Conv2D(6, 3, padding="same", activation="gelu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def views_of(sizes, count=8, seed=0):
    return tuple(images(count, size, seed=10 * seed + i) for i, size in enumerate(sizes))


def batch(sizes=None, model=None, **options):
    """Views of these sizes, or those that a model takes by default, with labels."""
    data = elements(model, 8) if sizes is None else None
    data = data or {"views": views_of(sizes, **options), "label": labels(options.get("count", 8))}
    return tf.nest.map_structure(tf.constant, data)


def floats(logs):
    return {name: float(value) for name, value in logs.items()}


def kept(model):
    """Weights, and what a method remembers."""
    names = ("queue", "center")
    return [*model.variables, *(getattr(model, name) for name in names if hasattr(model, name))]


# Options beside the default ---------------------------------------------------------------------


def both_critics():
    keras.utils.set_random_seed(0)
    options = {"global_projector": head(), "global_weight": 0.5, "estimator": "infonce"}
    return made("deep_infomax", lambda: plain(size=8), **options)


def four_views(**options):
    keras.utils.set_random_seed(0)
    return made("simclr", plain, projector=head(), **options)


# {name: (function that makes a model, sizes of its views)}
OPTIONS = {
    "mocov2-symmetric": (lambda: made("mocov2", plain, symmetric=True), (8, 8)),
    "mocov2-groups": (lambda: made("mocov2", plain, symmetric=True, bn_groups=2), (8, 8)),
    "simclr-4": (four_views, (8,) * 4),
    "simclr-4-memory": (lambda: four_views(memory_size=16), (8,) * 4),
    "fastsiam-4": (lambda: made("fastsiam", plain), (8,) * 4),
    "sigreg-3": (lambda: made("sigreg", plain), (8,) * 3),
    "emp_ssl-4": (lambda: made("emp_ssl", plain), (8,) * 4),
    "swav-multicrop": (lambda: made("swav", plain), (8, 8, 6, 6)),
    "dino-multicrop": (
        lambda: made("dino", plain, first_teacher_temperature=0.02, total_steps=9),
        (8, 6, 8),
    ),
    "deep_infomax-both": (both_critics, (8,)),
}


def some(names, default):
    """Cases of which all but the default ones are slow: they are variants of these."""
    return [pytest.param(n, marks=[] if n in default else pytest.mark.slow) for n in names]


MOST = (
    "simclr-4-memory",
    "mocov2-groups",
    "sigreg-3",
    "swav-multicrop",
    "dino-multicrop",
    "deep_infomax-both",
)


@pytest.mark.parametrize("name", some(OPTIONS, default=MOST))
def test_parts_of_a_batch_are_the_batch_with_other_options(name):
    make, sizes = OPTIONS[name]
    keras.utils.set_random_seed(1)  # equal weights do not come from equal draws before
    whole = make()
    keras.utils.set_random_seed(2)
    parts = make()
    parts.accumulate_steps = 2
    for model in (whole, parts):
        model.optimizer.iterations.assign(3)  # a queue is in use from then on
    data = batch(sizes)
    expected, logged = whole.gradients_of(whole.loss_on, data)
    gradients, scalars = parts.accumulated(data)
    scale = float(max(tf.reduce_max(tf.abs(gradient)) for gradient in expected))
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-5 * scale)
    of_part = {"z_std"} if name.startswith("fastsiam") else set()
    for key in logged.keys() - of_part:
        assert float(scalars[key]) == pytest.approx(float(logged[key]), rel=1e-4, abs=1e-5), key
    for a, b in zip(kept(parts), kept(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    OPTIONS,
)
def test_two_replicas_are_one_device_with_other_options(name):
    make, sizes = OPTIONS[name]
    steps = [batch(sizes, seed=seed) for seed in range(3)]
    views = tuple(np.concatenate(of) for of in zip(*(step["views"] for step in steps)))
    data = tf.data.Dataset.from_tensor_slices(views).batch(8, drop_remainder=True)
    one = make()
    alone = one.fit(data, verbose=0).history
    with strategy_on("CPU", 2).scope():
        two = make()
    together = two.fit(data, verbose=0).history
    for key in alone:
        assert together[key] == pytest.approx(alone[key], rel=2e-4, abs=2e-5), key
    for a, b in zip(kept(two), kept(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", some(PEERS, default=("mocov2", "nnclr", "deep_infomax")))
def test_parts_of_a_batch_in_half_precision(method):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made(method, plain, num_classes=3, compiled={"accumulate_steps": 2})
        model.build((None, 8, 8, 3))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.encoder.compute_dtype == "bfloat16"
    logs = floats(model.train_step(batch(model=model)))
    assert np.isfinite(list(logs.values())).all() and set(logs) == set(model.trackers)
    assert all(v.dtype == "float32" for v in kept(model) if "seed" not in v.path)


# XLA, by which a GPU computes -------------------------------------------------------------------

XLA = {
    **{method: (lambda method=method: made(method, plain), None) for method in PEERS},
    **OPTIONS,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    XLA,
)
def test_xla_takes_the_steps_of_eager_execution(name):
    make, sizes = XLA[name]
    ended = []
    for compiled in (False, True):
        model = make()
        model.build((None, 8, 8, 3))
        model.optimizer.iterations.assign(3)
        step = model.train_step
        if compiled:
            step = tf.function(step, jit_compile=True, autograph=False)
        for _ in range(2):
            logs = step(batch(sizes, model=model))
        ended.append([*kept(model), logs["loss"]])
    for a, b in zip(*ended, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


# The batch --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", PEERS)
def test_the_least_batch_trains_and_a_smaller_one_is_refused(method):
    model = made(method, plain if method == "deep_infomax" else networks.functional)
    least = model.least_batch
    assert least == (1 if method in ("mocov2", "dino", *MASKED) else 2)
    model.build((None, 8, 8, 3))
    for seed in range(2):
        logs = floats(model.train_step(elements(model, least, seed=seed)))
    assert np.isfinite(list(logs.values())).all()
    assert all(np.isfinite(v.numpy()).all() for v in kept(model))
    if least == 2:
        with pytest.raises(ValueError, match=f"{type(model).__name__} compares.* 2 or more"):
            model.fit(networks.dataset(model, batch_size=1), verbose=0)


def test_groups_for_batch_normalization_must_divide_the_parts_of_a_batch():
    model = made("mocov2", plain, bn_groups=4, compiled={"accumulate_steps": 4})
    with pytest.raises(ValueError, match="`bn_groups` must divide .* bn_groups=4 for 2 images"):
        model.fit(networks.dataset(model, batch_size=8), verbose=0)


def test_supcon_in_parts_needs_labels_too():
    model = made("supcon", plain, compiled={"run_eagerly": True, "accumulate_steps": 2})
    views = tf.data.Dataset.from_tensors(views_of((8, 8)))
    with pytest.raises(ValueError, match="Positives by class need labels"):
        model.fit(views, verbose=0)


@pytest.mark.parametrize("method", PEERS)
def test_the_loss_of_views_needs_no_optimizer(method):
    keras.utils.set_random_seed(0)
    model = METHODS[method](plain())
    model.build((None, 8, 8, 3))
    data = batch(model=model)
    outputs = model.loss_on_views(data["views"], data["label"], training=False)
    assert np.isfinite(float(outputs.loss))


# The encoder ------------------------------------------------------------------------------------

CALLS = {  # how often the encoder and the projector are called in a step
    **{method: 1 for method in ("sigreg", "mocov2", "dcl", "dclw", "swav", "dino", "emp_ssl")},
    **{method: 2 for method in ("simsiam", "fastsiam", "barlow_twins", "vicreg")},
    **{method: 2 for method in ("mocov3", "nnclr")},
    **{method: 1 for method in ("deep_infomax", "supcon")},
}


@keras.saving.register_keras_serializable(package="tests")
class Price(keras.Layer):
    """What each call costs, in the loss of a layer."""

    def __init__(self, price, **options):
        super().__init__(**options)
        self.price = price

    def call(self, x):
        self.add_loss(keras.ops.convert_to_tensor(float(self.price)))
        return x

    def get_config(self):
        return {**super().get_config(), "price": self.price}


def priced(method, parts):
    """The loss of a step that pays 1e4 for each call of the encoder, and 1e6 of the projector."""

    def encoder():
        layers = [keras.layers.Conv2D(4, 3, name="conv"), Price(1e4)]
        return keras.Sequential(
            [keras.Input((8, 8, 3)), *layers, keras.layers.GlobalAveragePooling2D()]
        )

    projector = keras.Sequential([Price(1e6), keras.layers.Dense(4)])
    model = made(method, encoder, projector=projector, compiled={"accumulate_steps": parts})
    return float(model.train_step(batch(model=model))["loss"])


@pytest.mark.parametrize("method", CALLS)
def test_the_layers_own_losses_count_once_for_each_call(method):
    """And not those of the networks that follow."""
    assert abs(priced(method, parts=1) - CALLS[method] * (1e4 + 1e6)) < 1e3


@pytest.mark.parametrize("method", some(CALLS, default=("simsiam", "mocov2", "deep_infomax")))
def test_the_layers_own_losses_are_no_more_in_parts(method):
    assert abs(priced(method, parts=2) - CALLS[method] * (1e4 + 1e6)) < 1e3


def test_deep_infomax_takes_an_encoder_of_layers_that_another_network_uses_too():
    """Such as all but the last of a classifier."""
    classifier = keras.Sequential([*plain(size=8).layers, keras.layers.Dense(3)])
    encoder = keras.Sequential([keras.Input((8, 8, 3)), *classifier.layers[:-1]])
    model = made("deep_infomax", lambda: encoder)
    assert model.map_shape == (3, 3, 4)
    assert np.isfinite(float(model.train_step(batch(model=model))["loss"]))


@pytest.mark.parametrize("method", ["simsiam", "mocov2", "mocov3", "dino", "deep_infomax"])
def test_all_networks_get_images_in_the_range_of_the_encoder(method):
    def encoder(*first):
        layers = [*first, keras.layers.Conv2D(4, 3, name="conv")]
        return keras.Sequential(
            [keras.Input((8, 8, 3)), *layers, keras.layers.GlobalAveragePooling2D()]
        )

    losses = []
    for first, input_range in ([], "-1,1"), ([keras.layers.Rescaling(2.0, -1.0)], "0,1"):
        model = made(method, lambda first=first: encoder(*first), input_range=input_range)
        for follower in model.followers.values():
            for variable in follower.trainable_variables or follower.variables:
                variable.assign(0.5 * variable + 0.1)
        losses.append(float(model.loss_on_views(batch(model=model)["views"]).loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# Values for monitoring --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [name for name in SELF_SUPERVISED if "contrast_loss" in made(name).trackers]
)
def test_the_contrast_loss_of_a_guess_is_the_logarithm_of_the_candidates(method):
    """In each of its directions."""
    model = made(method)
    model.build((None, 8, 8, 3))
    for name, part in model.parts.items():
        for variable in part.trainable_variables if name != "encoder" else ():
            variable.assign(tf.zeros_like(variable))
    if method in ("memory", "mocov2"):
        model.queue.assign(tf.zeros_like(model.queue))
    data = batch(model=model)
    outputs = model.loss_on_views(data["views"], data["label"], training=False)
    guess = model.DIRECTIONS * math.log(model.candidates(8))
    assert float(outputs.scalars["contrast_loss"]) == pytest.approx(guess, rel=1e-5)


@pytest.mark.parametrize("method", PEERS)
def test_h_and_z_of_the_first_images_can_be_watched(method):
    model = made(method, plain)
    model.build((None, 8, 8, 3))
    data = batch(model=model)
    model.watch(3, model.projection_dim)
    before = [v.numpy() for v in kept(model)]
    outputs = model.loss_on_views(data["views"], data["label"])
    for variable, value in zip(kept(model), before, strict=True):
        variable.assign(value)
    assert all(z.shape == (8, model.projection_dim) for z in outputs.z)
    model.train_step(data)
    for name, values in (("h", outputs.h), ("z", outputs.z)):
        for number in (1, 2):
            watched = model.watched[f"{name}{number}"].numpy()
            expected = values[number - 1][:3] if number <= len(values) else np.zeros_like(watched)
            np.testing.assert_allclose(watched, expected, rtol=1e-4, atol=1e-5)


# Default heads ----------------------------------------------------------------------------------


def layout(network):
    """The layers of a head in short: 8 bn relu 4."""
    words = []
    for layer in getattr(network, "layers", [network]):
        if isinstance(layer, keras.layers.Dense):
            words.append(str(layer.units))
        elif "BatchNormalization" in type(layer).__name__:
            words.append("bn" if layer.scale else "bn-without-scale")
        elif isinstance(layer, keras.layers.ReLU):
            words.append("relu")
        elif isinstance(layer, keras.layers.Activation) and layer.activation.__name__ != "linear":
            words.append(layer.activation.__name__)
    return " ".join(words)


THREE_WIDE = "2048 bn relu 2048 bn relu 2048"
HEADS = {  # of the papers, as the docstrings say where they differ
    "SimSiam": {"projector": f"{THREE_WIDE} bn-without-scale", "predictor": "512 bn relu 2048"},
    "FastSiam": {"projector": f"{THREE_WIDE} bn-without-scale", "predictor": "512 bn relu 2048"},
    "BarlowTwins": {"projector": THREE_WIDE},
    "VICReg": {"projector": THREE_WIDE},
    "SIGReg": {"projector": "2048 bn relu 2048 bn relu 64"},
    "MoCoV2": {"projector": "2048 relu 128"},
    "MoCoV3": {
        "projector": "2048 bn relu 256 bn-without-scale",
        "predictor": "2048 bn relu 256",
    },
    "NNCLR": {
        "projector": "2048 bn relu 2048 bn relu 256 bn-without-scale",
        "predictor": "4096 bn relu 256",
    },
    "SwAV": {"projector": "2048 bn relu 128", "prototypes": "3000"},
    "DINO": {"projector": "2048 gelu 2048 gelu 256", "prototypes": "4096"},
    "EMPSSL": {"projector": "2048 bn relu 512"},
    "DeepInfoMax": {"projector": "512 bn relu 512", "local_projector": "512 bn relu 512"},
}


@pytest.mark.parametrize("method", HEADS)
def test_default_heads_are_those_of_the_paper(method):
    encoder = plain(size=8)
    options = {"local_layer": "conv"} if method == "DeepInfoMax" else {}
    options |= {"memory_size": 8} if method in ("MoCoV2", "NNCLR") else {}
    model = getattr(tfssl, method)(encoder, **options)
    model.build((None, 8, 8, 3))
    parts = {name: layout(part) for name, part in model.parts.items() if name != "encoder"}
    assert parts == HEADS[method]


@pytest.mark.parametrize("method", ["EMPSSL", costly("NNCLR")])
def test_default_heads_differ_by_their_seeds(method):
    def kernels(seed):
        options = {"memory_size": 8} if method == "NNCLR" else {}
        model = getattr(tfssl, method)(plain(size=8), seed=seed, **options)
        model.build((None, 8, 8, 3))
        return [
            v.numpy().ravel()[:5]
            for name, part in model.parts.items()
            for v in part.trainable_variables
            if name != "encoder" and v.name == "kernel"
        ]

    first, again, other = kernels(0), kernels(0), kernels(1)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert len({tuple(kernel) for kernel in first}) == len(first)
