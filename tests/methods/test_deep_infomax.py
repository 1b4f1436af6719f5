"""Deep InfoMax: which parts are scored with which h, by which estimate, from which map."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tests.helpers import assert_close
from tests.networks import head


def encoder(size=8):
    """Maps 6 x 6 x 5 and 2 x 2 x 7 of 8 x 8 images, and h of 7 features."""
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Conv2D(5, 3, activation="relu", name="low"),
            keras.layers.Conv2D(7, 3, strides=2, activation="relu", name="high"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def deep_infomax(of=encoder, **options):
    keras.utils.set_random_seed(0)
    heads = {f"{name}projector": head() for name in ("", "local_", "global_")}
    model = tfssl.DeepInfoMax(of(), **{**heads, **options})
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    return model


def softplus(x):
    return np.log1p(np.exp(x))


def jsd_loop(scores):
    """Equation 4 of the paper, of scores [N, N]."""
    n = len(scores)
    joint = np.mean([-softplus(-scores[i, i]) for i in range(n)])
    return joint - np.mean([softplus(scores[i, j]) for i in range(n) for j in range(n) if i != j])


def infonce_loop(scores):
    """Equation 5, with log N added."""
    n = len(scores)
    return np.mean([scores[i, i] - np.log(np.mean(np.exp(scores[i]))) for i in range(n)])


ESTIMATES = {"jsd": jsd_loop, "infonce": infonce_loop}


def estimates(model, view, layer, bound):
    """(local, global) by loops over positions."""
    maps = view
    for each in model.encoder.layers:
        maps = each(maps)
        if each.name == layer:
            break
    summary = model.projector(model.encoder(view)).numpy().astype(np.float64)
    n, height, width, _ = maps.shape
    of_positions = []
    for row in range(height):
        for column in range(width):
            part = model.local_projector(maps[:, row, column]).numpy()
            of_positions.append(bound(summary @ part.T))
    whole = model.global_projector(tf.reshape(maps, [n, -1])).numpy()
    return np.mean(of_positions), bound(summary @ whole.T)


@pytest.mark.parametrize("estimator", ["jsd", "infonce"])
@pytest.mark.parametrize("layer", [None, "high"])
def test_every_position_and_the_whole_map_are_scored_with_all_h(estimator, layer):
    options = dict(local_weight=0.7, global_weight=0.4, estimator=estimator, local_layer=layer)
    model, (view,) = deep_infomax(**options), (networks.images(8),)
    local, whole = estimates(model, view, layer or "low", ESTIMATES[estimator])
    outputs = model.loss_on_views((view,))
    assert float(outputs.scalars["information_local"]) == pytest.approx(local, rel=1e-4, abs=1e-5)
    assert float(outputs.scalars["information_global"]) == pytest.approx(whole, rel=1e-4, abs=1e-5)
    assert float(outputs.loss) == pytest.approx(-0.7 * local - 0.4 * whole, rel=1e-4, abs=1e-5)
    (h,), (z,) = outputs.h, outputs.z
    np.testing.assert_allclose(h, model.encoder(view), atol=1e-5)
    np.testing.assert_allclose(z, model.projector(model.encoder(view)), atol=1e-5)


@pytest.mark.parametrize("estimator,most", [("jsd", 0.0), ("infonce", np.log(4))])
def test_positions_are_paired_with_the_h_of_their_own_image(estimator, most):
    model = deep_infomax(estimator=estimator, local_layer="high")
    summary = 20 * np.eye(4, dtype=np.float32) - 5
    positions = np.repeat(summary[:, None], 4, axis=1)  # [image, position, feature]

    def local(of):
        return float(model.compare((summary, of.reshape(4, -1)), ())[1]["information_local"])

    assert local(positions) == pytest.approx(most, abs=1e-3)
    assert local(positions[[1, 2, 3, 0]]) < -10  # those of another image
    one = positions.copy()
    one[[0, 1], 2] = one[[1, 0], 2]  # at one of four positions, images are exchanged
    assert local(positions[[1, 2, 3, 0]]) < local(one) < most - 10


def test_a_critic_without_weight_has_no_projector():
    view = networks.images(8)
    both = deep_infomax(global_weight=1.0).loss_on_views((view,)).scalars
    for weights, kept, left_out in (
        ({"local_weight": 1.0, "global_weight": 0.0}, "local", "global"),
        ({"local_weight": 0.0, "global_weight": 1.0}, "global", "local"),
    ):
        model = deep_infomax(**weights)
        assert f"{kept}_projector" in model.parts and f"{left_out}_projector" not in model.parts
        outputs = model.loss_on_views((view,))
        assert float(outputs.scalars[f"information_{left_out}"]) == 0
        assert float(outputs.loss) == -float(outputs.scalars[f"information_{kept}"])
        assert np.isfinite(float(both[f"information_{kept}"]))


@pytest.mark.parametrize("estimator", ["jsd", "infonce"])
def test_the_gradient_is_that_of_the_paper_s_objective(estimator):
    model, view = deep_infomax(estimator=estimator, local_layer="high"), networks.images(8)

    def transcription():
        maps = model.encoder.layers[1](model.encoder.layers[0](view))
        summary = model.projector(tf.reduce_mean(maps, axis=[1, 2]))
        total, itself = 0.0, np.eye(8, dtype=np.float32)
        for position in range(4):
            part = model.local_projector(maps[:, position // 2, position % 2])
            scores = summary @ tf.transpose(part)
            if estimator == "jsd":
                joint = -tf.reduce_sum(itself * tf.math.softplus(-scores)) / 8
                total += joint - tf.reduce_sum((1 - itself) * tf.math.softplus(scores)) / 56
            else:
                total += tf.reduce_sum(itself * tf.nn.log_softmax(scores, axis=1)) / 8
        return -total / 4

    gradients = []
    for function in (lambda: model.loss_on_views((view,)).loss, transcription):
        with tf.GradientTape() as tape:
            loss = function()
        gradients.append(tape.gradient(loss, model.trainable_variables))
    assert_close(*gradients)
    assert all(np.any(gradient != 0) for gradient in gradients[0])


def test_training_raises_the_estimates():
    model = deep_infomax(global_weight=1.0)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    colours = np.random.default_rng(1).random((8, 1, 1, 3), np.float32)  # of each image its own
    views = (0.2 * networks.images(8) + 0.8 * colours,)
    logs = []
    step = tf.function(model.train_step, autograph=False)
    for _ in range(30):
        model.reset_metrics()
        logs.append({name: float(value) for name, value in step({"views": views}).items()})
    for name in ("information_local", "information_global"):
        assert logs[-1][name] > logs[0][name] + 0.05


@pytest.mark.parametrize("of", [encoder, networks.functional])
def test_a_step_warns_of_nothing(of, recwarn):
    model = deep_infomax(of, local_layer="low" if of is encoder else "conv")
    model.build((None, 8, 8, 3))
    model.train_step({"views": (networks.images(8),)})
    assert not [str(warning.message) for warning in recwarn]


def test_the_map_is_the_last_of_a_larger_resolution_or_the_named_layers():
    assert deep_infomax().map_shape == (6, 6, 5)
    assert deep_infomax(local_layer="high").map_shape == (2, 2, 7)
    assert deep_infomax(local_layer="low").map_shape == (6, 6, 5)


def test_the_size_of_the_views_may_be_known_only_to_fit():
    model = deep_infomax(lambda: encoder(None))
    assert not model.built
    views = tf.data.Dataset.from_tensors((networks.images(8, 10),))
    model.compile("sgd", jit_compile=False, run_eagerly=True)
    model.fit(views, verbose=0)
    assert model.map_shape == (8, 8, 5)


def two_convolutions_of_one_size():
    layers = [keras.layers.Conv2D(4, 3, padding="same", name=f"conv{i}") for i in range(2)]
    last = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, last])


def no_maps():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])


@pytest.mark.parametrize(
    "of,options,message",
    [
        (no_maps, {}, "`encoder` must have feature maps of two resolutions"),
        (no_maps, {"local_layer": "conv"}, "one of none. Received: conv"),
        (two_convolutions_of_one_size, {}, "`encoder` must have feature maps of two resolutions"),
        (encoder, {"local_layer": "middle"}, "one of low, high. Received: middle"),
        (encoder, {"local_weight": 0}, "`local_weight` or `global_weight` must be above 0"),
        (encoder, {"local_weight": -1.0}, "`local_weight`"),
        (encoder, {"global_weight": -1.0}, "`global_weight`"),
        (encoder, {"estimator": "mine"}, "`estimator` must be one of jsd, infonce"),
        (encoder, {"projector": head(5)}, "`local_projector` must return as many features"),
    ],
)
def test_what_cannot_be_is_refused(of, options, message):
    with pytest.raises(ValueError, match=message):
        deep_infomax(of, **options)


@pytest.mark.parametrize(
    "of", [lambda: networks.Subclassed(6), keras.layers.Flatten], ids=["subclassed", "layer"]
)
def test_an_encoder_whose_maps_cannot_be_read_is_refused_at_once(of):
    with pytest.raises(ValueError, match="must be a functional or sequential keras.Model"):
        deep_infomax(of)


def test_a_sequential_encoder_may_be_without_its_input():
    convolutions = [keras.layers.Conv2D(4, 3, strides=2, padding="same") for _ in range(2)]
    model = deep_infomax(lambda: keras.Sequential(convolutions))
    model.build((None, 8, 8, 3))
    assert model.map_shape == (4, 4, 4)


def test_two_views_are_refused():
    model, view = deep_infomax(), networks.images(8)
    with pytest.raises(ValueError, match="view"):
        model.fit(tf.data.Dataset.from_tensors((view, view)), verbose=0)
