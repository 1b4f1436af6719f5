"""Every method takes any encoder: built or not, of features, feature maps or tokens."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests import networks
from tests.helpers import spared
from tests.networks import (
    ENCODERS,
    FOLLOWED,
    METHODS,
    SIZE,
    SIZES,
    Subclassed,
    dataset,
    images,
    made,
)

PAIRS = [(method, "functional") for method in METHODS] + [
    (method, encoder)
    for method in ("simclr", "supervised")
    for encoder in ENCODERS
    if encoder != "functional" and (method, encoder) != ("supervised", "mobile_net")
]
UNSUITED = {
    # Built for a patch, it has places for the tokens of a patch, not for those of a whole image.
    ("cpc", "vit"),
    # Without layers whose feature maps can be read.
    ("deep_infomax", "subclassed"),
    ("deep_infomax", "vit"),
}
OTHERS = [
    (method, encoder)
    for method in METHODS
    for encoder in ENCODERS
    if (method, encoder) not in PAIRS and (method, encoder) not in UNSUITED
]


def encoder_of(method, name):
    """An encoder, or for a network that must be made twice a function that makes it."""
    unclonable = name == "subclassed" and method in FOLLOWED
    return (lambda: ENCODERS[name]) if unclonable else ENCODERS[name]


def learns(method, encoder, size=SIZE, **options):
    """Fits two steps and checks what must hold of any encoder."""
    model = made(method, encoder, **options)
    batches = dataset(model, size=size)
    model.build((None, size, size, 3))
    before = {v.path: v.numpy() for v in model.encoder.trainable_variables}
    history = model.fit(batches, verbose=0).history
    assert np.isfinite(history["loss"]).all() and set(history) == set(model.trackers)
    moved = [np.any(v.numpy() != before[v.path]) for v in model.encoder.trainable_variables]
    assert len(moved) == len(before) and np.mean(moved) > 0.8
    learned = [v for part in model.parts.values() for v in part.trainable_variables]
    assert [id(v) for v in model.trainable_variables] == [id(v) for v in learned]
    h = model.encode(images(5, size))
    assert h.shape == (5, model.dim) and np.isfinite(h).all()
    return model


LARGE = [pytest.mark.slow, pytest.mark.ci]
ALIKE = ("npair", "triplet", "dcl", "dclw", "fastsiam", "sigreg", "nnclr", "vicreg", "mocov3")


def marks_of(method, encoder):
    """CI has the networks that take long; methods that pass views as others do are slow tests."""
    return LARGE if encoder == "mobile_net" else [pytest.mark.slow] * (method in ALIKE)


@pytest.mark.parametrize(
    "method,encoder", [pytest.param(*pair, marks=marks_of(*pair)) for pair in PAIRS]
)
def test_a_method_learns_on_an_encoder(method, encoder):
    learns(method, encoder_of(method, encoder), SIZES.get(encoder, SIZE))


@pytest.mark.slow
@pytest.mark.parametrize("method,encoder", OTHERS)
def test_every_method_learns_on_every_encoder(method, encoder):
    size, options = SIZES.get(encoder, SIZE), {}
    if (method, encoder) == ("cpc", "mobile_net"):  # it sees patches, and none so small
        size, options = 64, {"patch": 32}
    learns(method, encoder_of(method, encoder), size, **options)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "byol"])
@pytest.mark.parametrize("name", ["EfficientNetV2B0", "ConvNeXtTiny", "ResNet50V2"])
def test_methods_learn_on_keras_applications(method, name):
    def encoder():
        return getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=(None, None, 3)
        )

    model = learns(method, encoder, size=32)
    assert model.input_range == ((0.0, 1.0) if name == "ResNet50V2" else (0.0, 255.0))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_methods_learn_on_a_backbone_of_keras_hub(method):
    keras_hub = pytest.importorskip("keras_hub")

    def encoder():
        return keras_hub.models.ViTBackbone(
            image_shape=(16, 16, 3),
            patch_size=8,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            mlp_dim=8,
        )

    learns(method, encoder, size=16)


@pytest.mark.parametrize("encoder", ["sequential", "subclassed"])
def test_what_is_built_within_fit_takes_the_step_of_its_own_gradient(encoder):
    """Were gradients paired with another list of variables, the step would be another."""
    model = made("simclr", ENCODERS[encoder], keras.optimizers.SGD(1.0))
    batches = dataset(model).take(1)
    twin = made("simclr", ENCODERS[encoder])
    twin.build((None, SIZE, SIZE, 3))
    with tf.GradientTape() as tape:
        loss = twin.loss_on_views(next(iter(batches))["views"]).loss
    steps = tape.gradient(loss, twin.trainable_variables)
    assert not model.built
    model.fit(batches, verbose=0)
    for ours, start, step in zip(
        model.trainable_variables, twin.trainable_variables, steps, strict=True
    ):
        # Of a bias before a batch normalization the gradient is rounding.
        np.testing.assert_allclose(ours, start - step, rtol=1e-3, atol=1e-4)
        assert ours.name == "bias" or np.abs(step).max() > 1e-2


@pytest.mark.parametrize("encoder,axes", [("vit", 1), ("feature_maps", (1, 2))])
def test_h_is_the_mean_over_places(encoder, axes):
    model = made("simclr", ENCODERS[encoder])
    model.build((None, SIZE, SIZE, 3))
    features = model.encoder(images(3)).numpy()
    np.testing.assert_allclose(model(images(3)), features.mean(axis=axes), rtol=1e-5, atol=1e-6)


def test_an_encoder_that_begins_with_a_rescaling_gets_0_to_255():
    model = made("simclr", ENCODERS["mobile_net"])
    assert model.input_range == (0.0, 255.0)
    expected = model.encoder(255 * images(3, 32)).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(model(images(3, 32)), expected, rtol=1e-4, atol=1e-5)


def test_what_is_built_by_a_call_takes_batches_of_any_size():
    model = made("simclr", ENCODERS["sequential"])
    model(images(3))
    assert np.isfinite(model.fit(dataset(model, batch_size=8), verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    "method",
    ["simclr", spared("byol"), "supervised"],
)
def test_a_batch_in_parts_learns_tokens_with_learned_places(method):
    """Whose gradient is sparse, and of what is not used there is none."""

    class Unused(networks.ViT):
        def build(self, input_shape):
            super().build(input_shape)
            self.token = self.add_weight(shape=(self.dim,), name="token")

    model = made(method, Unused, compiled={"accumulate_steps": 2})
    history = model.fit(dataset(model), verbose=0).history
    whole = made(method, Unused).fit(dataset(model), verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(whole) == len(history)


@pytest.mark.parametrize("method,calls", [("simclr", 1), ("supervised", 1), ("byol", 2)])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_encoders_own_losses_are_in_the_loss(method, calls, parts):
    @keras.saving.register_keras_serializable(package="tests")
    class Bill(keras.Layer):
        def call(self, x):
            self.add_loss(keras.ops.convert_to_tensor(2.0))
            return x

    def encoder(rate=0.5, bill=True):
        layers = [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(rate)),
            *([Bill()] if bill else []),
            keras.layers.GlobalAveragePooling2D(),
        ]
        return keras.Sequential(layers)

    logged = {}
    for name, build in (("with", encoder), ("without", lambda: encoder(0.0, False))):
        model = made(method, build, compiled={"accumulate_steps": parts})
        kernel = model.encoder.layers[0].kernel.numpy()
        batch = next(iter(dataset(model)))
        evaluated = float(model.test_step(batch)["loss"])
        model.reset_metrics()
        logged[name] = np.array([evaluated, float(model.train_step(batch)["loss"])])
    own = 2.0 * calls + 0.5 * np.sum(kernel**2)
    np.testing.assert_allclose(logged["with"] - logged["without"], own, rtol=1e-4)


def test_an_encoder_that_is_regularized_learns_by_that():
    def encoder(rate):
        regularizer = keras.regularizers.L2(rate)
        return keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 3)),
                keras.layers.Conv2D(4, 3, kernel_regularizer=regularizer),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )

    moved = []
    for rate in (0.0, 0.5):
        model = made("simclr", lambda: encoder(rate), keras.optimizers.SGD(0.1))
        kernel = model.encoder.layers[0].kernel
        start = kernel.numpy()
        model.train_step(next(iter(dataset(model))))
        moved.append(kernel.numpy() - start)
    np.testing.assert_allclose(moved[1] - moved[0], -0.1 * start, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["simclr", "byol", "memory"])
def test_layers_that_do_not_train_stay_and_the_others_learn(method):
    def encoder():
        network = networks.functional()
        network.get_layer("conv").trainable = False
        return network

    model = made(method, encoder)
    conv = model.encoder.get_layer("conv")
    before = [v.numpy() for v in conv.variables]
    model.fit(dataset(model), verbose=0)
    for a, b in zip(before, conv.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not {id(v) for v in conv.variables} & {id(v) for v in model.trainable_variables}
    assert model.encoder.trainable_variables  # the normalization's


def test_a_second_network_of_what_cannot_be_cloned():
    with pytest.raises(ValueError, match=r"`encoder` \(Subclassed\) cannot be cloned: .*function"):
        tfssl.BYOL(Subclassed(6)).build((None, SIZE, SIZE, 3))
    by_function = tfssl.BYOL(lambda: Subclassed(6))
    by_hand = tfssl.BYOL(Subclassed(6), target_encoder=Subclassed(6))
    for model in (by_function, by_hand):
        model.compile("sgd", jit_compile=False)
        model.fit(dataset(model), verbose=0)
        assert model.target_encoder is not model.encoder
        shapes = [[v.shape for v in e.variables] for e in (model.encoder, model.target_encoder)]
        assert shapes[0] == shapes[1]


def test_one_layer_cannot_be_two_parts():
    encoder = networks.functional()
    with pytest.raises(ValueError, match="`target_encoder` must be a layer of its own"):
        tfssl.BYOL(encoder, target_encoder=encoder)
    head = networks.projector(6)
    with pytest.raises(ValueError, match="`target_projector` must be a layer of its own"):
        tfssl.BYOL(networks.functional(), projector=head, target_projector=head)
