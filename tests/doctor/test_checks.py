"""Every check of the doctor passes on the CPU, and finds a fault that is planted in what it checks.

A fault is in the production code, and only while a check measures: most references are the same
code on the CPU. `FAULTS` must have one for every check, so that no bound is too lax to fail.
"""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import spared
from tfssl import augment, doctor, layers, losses, optim
from tfssl.augment import basis, colour, intensity, ops
from tfssl.doctor import bounds, comparison, references, steps
from tfssl.doctor import layers as of_layers
from tfssl.layers import norm, remat
from tfssl.losses import blockwise, contrastive, regression
from tfssl.methods import Learner, SimCLR, penalties

CHECKS = {check.name: check for check in doctor.checks()}
STEP = "step of simclr, float32, no XLA"


def by_cost(*cases):
    """Cases of `parametrize` that begin with the name of a check; those of steps take seconds."""
    return [spared(*case) if case[0] == STEP else pytest.param(*case) for case in cases]


@pytest.mark.parametrize("name", by_cost(*((name,) for name in CHECKS)))
def test_passes_on_a_cpu(name):
    outcome = doctor.run(CHECKS[name])
    assert outcome.passed, outcome


def other_noise(real):
    return lambda key, images: real(key + 1, images)


# Faults -----------------------------------------------------------------------------------------


def replaced(owner, name, change):
    """A fault: `owner.name` is `change(what it was)`."""
    return lambda patch: patch.setattr(owner, name, change(getattr(owner, name)))


def scaled(place, factor):
    """Multiplies the argument at a place of a function."""

    def change(real):
        def faulty(*args, **options):
            args = list(args)
            args[place] = args[place] * factor
            return real(*args, **options)

        return faulty

    return change


def given(**changes):
    """Calls a function with other keyword arguments than those it is given."""
    return lambda real: lambda *args, **options: real(*args, **{**options, **changes})


def told(**changes):
    """Calls a function with a part of the draw, its third argument, replaced."""

    def change(real):
        def faulty(planes, code, drawn, additive):
            made = {name: function(drawn[name]) for name, function in changes.items()}
            return real(planes, code, {**drawn, **made}, additive)

        return faulty

    return change


def in_order(reverse):
    """The changes of the colour jitter in reverse order."""
    return lambda real: lambda function, order, planes: real(function, order[reverse], planes)


def of_additive(additive):
    return lambda real: lambda planes, code, drawn, _: real(planes, code, drawn, additive)


def of_fill(fill):
    return lambda real: lambda place, size, _: real(place, size, fill)


def in_bfloat16(real):
    """A product of float32 that is computed in bfloat16."""

    def narrow(value):
        return tf.cast(value, tf.bfloat16) if tf.is_tensor(value) else value

    return lambda *args, **options: tf.cast(real(*map(narrow, args), **options), tf.float32)


def with_gradient_of_kernel(factor):
    """Convolutions whose kernel gets `factor` times its gradient."""

    def change(cls):
        class Faulty(cls):
            def convolution_op(self, inputs, kernel):
                @tf.custom_gradient
                def passed(kernel):
                    return tf.identity(kernel), lambda flow: factor * flow

                return super().convolution_op(inputs, passed(tf.convert_to_tensor(kernel)))

        return Faulty

    return change


def not_moved(real):
    """A recomputed segment that forgets its moving averages."""

    def faulty(segment, inputs):
        before = [tf.identity(v) for v in segment.non_trainable_variables]
        outputs = real(segment, inputs)
        for variable, value in zip(segment.non_trainable_variables, before):
            variable.assign(value)
        return outputs

    return faulty


def moved_twice(real):
    def faulty(segment, inputs):
        real(segment, inputs)
        return real(segment, inputs)

    return faulty


def summed(real):
    """Accumulated gradients that are added instead of averaged."""

    def faulty(self, *args):
        gradients, logs = real(self, *args)
        return [self.accumulate_steps * gradient for gradient in gradients], logs

    return faulty


def without_the_first(real):
    """A contrastive loss without a gradient for view 1."""
    return lambda self, z1, z2, labels=None: real(self, tf.stop_gradient(z1), z2, labels)


def nothing(real):
    return lambda *args, **options: None


def unit_of(dtype):
    """Unit vectors that are computed in another type."""
    return lambda real: lambda x: tf.cast(real(tf.cast(x, dtype)), tf.float32)


def solarized_from(threshold):
    return lambda real: lambda *args: real(threshold)


BFLOAT16 = given(dtype="mixed_bfloat16")
FORGOTTEN = replaced(norm.FusedBatchNormalization, "_update", nothing)
UNBIASED = replaced(norm, "biased", lambda real: lambda variance, images: variance)
WIDE_CROP = replaced(ops, "_bicubic", scaled(1, 1.02))
NARROW_BLUR = replaced(ops, "_gaussian", scaled(0, 0.95))
ONE_SIDE = replaced(keras.layers, "ZeroPadding2D", lambda real: lambda *a, **o: real(((0, 2),) * 2))
WRONG_GRADIENT = replaced(layers, "ProductGradientConv2D", with_gradient_of_kernel(1.02))
WRONG_LUMA = replaced(colour, "LUMA", lambda luma: (luma[0], luma[1], luma[2] + 0.005))

FAULTS = {
    "NT-Xent": [
        replaced(contrastive, "_pairwise_logits", scaled(2, 1.02)),
        replaced(tf, "matmul", in_bfloat16),
    ],
    "NT-Xent, blockwise": [replaced(blockwise, "contrast", scaled(2, 1.02))],
    "BYOL's regression loss": [replaced(regression, "unit_rows", unit_of(tf.bfloat16))],
    "N-pair loss": [replaced(tf, "matmul", in_bfloat16)],
    "triplet loss": [replaced(losses, "triplet_loss", given(margin=4.01))],
    "distillation loss": [replaced(losses, "distillation_loss", scaled(2, 1.02))],
    "batch normalization, images, float32": [UNBIASED],
    "batch normalization, images, bfloat16": [UNBIASED],
    "batch normalization, vectors, float32": [UNBIASED],
    "batch normalization, vectors, bfloat16": [UNBIASED, FORGOTTEN],
    "convolution 3x3, stride 1, float32": [
        replaced(layers, "ProductGradientConv2D", BFLOAT16),
        WRONG_GRADIENT,
    ],
    "convolution 3x3, stride 2, float32": [
        ONE_SIDE,
        replaced(layers, "ProductGradientConv2D", BFLOAT16),
    ],
    "convolution 1x1, stride 2, float32": [replaced(layers, "ProductGradientConv2D", BFLOAT16)],
    "dense, float32": [replaced(keras.layers, "Dense", BFLOAT16)],
    "convolution 3x3, stride 1, bfloat16": [WRONG_GRADIENT],
    "convolution 3x3, stride 2, bfloat16": [ONE_SIDE, WRONG_GRADIENT],
    "convolution 1x1, stride 2, bfloat16": [WRONG_GRADIENT],
    "dense, bfloat16": [replaced(keras.layers, "Dense", given(activation=lambda x: 1.02 * x))],
    "rematerialization": [
        replaced(remat, "recomputed", not_moved),
        replaced(remat, "recomputed", moved_twice),
    ],
    "accumulation over two parts": [replaced(Learner, "mean_over_parts", summed)],
    "LARS, classic": [
        replaced(optim, "LARS", given(eeta=0.0202)),
        replaced(optim, "LARS", given(momentum_form="popular")),
        replaced(optim.LARS, "exclude_from_adaptation", nothing),
    ],
    "LARS, popular": [
        replaced(optim, "LARS", given(eeta=0.0202)),
        replaced(optim, "LARS", given(momentum_form="classic")),
    ],
    "SGD with momentum": [replaced(keras.optimizers, "SGD", given(nesterov=False))],
    "Adam": [
        replaced(keras.optimizers, "Adam", given(beta_1=0.89)),
        replaced(keras.optimizers, "Adam", given(epsilon=1e-2)),
    ],
    "augment: crop and resize, XLA": [
        WIDE_CROP,
        replaced(tf, "einsum", in_bfloat16),
    ],
    "augment: flip, XLA": [replaced(tf, "reverse", lambda real: lambda images, axis: images)],
    "augment: rotate, reflect, XLA": [
        replaced(ops, "_turned", scaled(0, 1.001)),
        replaced(basis, "inside", of_fill("nearest")),
    ],
    "augment: rotate, nearest, XLA": [replaced(basis, "inside", of_fill("reflect"))],
    "augment: rotate, constant, XLA": [replaced(ops, "bilinear", scaled(4, 1.01))],
    "augment: quarter turns, XLA": [replaced(ops, "_turned", scaled(0, -1.0))],
    "augment: brightness, XLA": [
        replaced(ops, "_scale", told(brightness=lambda factor: 1.001 * factor)),
    ],
    "augment: contrast, XLA": [
        replaced(tf, "reduce_mean", lambda real: lambda *a, **o: 1.001 * real(*a, **o)),
    ],
    "augment: saturation, XLA": [
        replaced(
            colour, "high_and_chroma", lambda real: lambda p: (0.999 * real(p)[0], real(p)[1])
        ),
    ],
    "augment: hue, XLA": [replaced(colour, "shift_hue", scaled(1, 1.01))],
    "augment: colour jitter of SimCLR, XLA": [
        replaced(tf, "foldl", in_order(slice(None, None, -1))),
    ],
    "augment: colour jitter of BYOL, XLA": [replaced(ops, "_scale", of_additive(False))],
    "augment: drop of colours, XLA": [WRONG_LUMA],
    "augment: blur, reflect, XLA": [NARROW_BLUR],
    "augment: blur, constant, XLA": [
        NARROW_BLUR,
        replaced(ops, "_filter", lambda real: lambda *a: real(*a[:4], "reflect")),
    ],
    "augment: solarize, XLA": [replaced(ops, "solarize", solarized_from(0.45))],
    "augment: clip, XLA": [
        replaced(tf, "clip_by_value", lambda real: lambda x, low, high: real(x, low, 0.99)),
    ],
    "augment: upside down, XLA": [
        replaced(tf, "reverse", lambda real: lambda images, axis: images),
    ],
    "augment: elastic, XLA": [replaced(ops, "_spline", lambda real: lambda *a: 1.1 * real(*a))],
    "augment: gamma, XLA": [
        replaced(tf, "clip_by_value", lambda real: lambda x, low, high: real(x, 0.01, high)),
    ],
    "augment: levels, XLA": [
        replaced(tf, "reduce_mean", lambda real: lambda *a, **o: 1.001 * real(*a, **o)),
    ],
    "augment: noise, XLA": [replaced(intensity, "normal", other_noise)],
    "augment: speckle, XLA": [replaced(intensity, "normal", other_noise)],
    "augment: lost channels, XLA": [
        replaced(tf, "where", lambda real: lambda chosen, one, other: real(~chosen, one, other)),
    ],
    "augment: erasing, XLA": [replaced(intensity, "rectangle", scaled(3, 1.1))],
    "augment: cutout, XLA": [replaced(intensity, "rectangle", scaled(4, 0.9))],
    "augment: bytes, XLA": [
        replaced(ops, "_FULL_SCALE", lambda scales: {name: 256.0 for name in scales}),
    ],
    "augment: draws, XLA": [
        replaced(ops, "uniform", lambda real: lambda *a: 0.99999 * real(*a)),
        replaced(tf.random, "split", lambda real: lambda seed, parts, alg: real(seed, parts)[::-1]),
    ],
    "augment: SimCLR's view, small, XLA": [WIDE_CROP],
    "augment: SimCLR's view, large, XLA": [NARROW_BLUR],
    "augment: BYOL's first view, XLA": [replaced(ops, "_scale", of_additive(False)), NARROW_BLUR],
    "augment: BYOL's second view, XLA": [
        replaced(ops, "solarize", lambda real: lambda *args: augment.identity()),
    ],
    "augment: centre crop": [
        replaced(tf.image, "resize", lambda real: lambda images, size, _: real(images, size)),
    ],
    STEP: [
        FORGOTTEN,
        replaced(SimCLR, "contrast", without_the_first),
        replaced(contrastive, "_pairwise_logits", scaled(2, 1.05)),
        replaced(penalties, "leave_out", nothing),
    ],
}


def faulty(check, fault):
    """The outcome of a check that measures where a fault is."""

    def measure():
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            return check.measure()

    return doctor.run(dataclasses.replace(check, measure=measure))


def test_there_is_a_fault_for_every_check():
    assert list(FAULTS) == list(CHECKS)


@pytest.mark.parametrize(
    "name, number",
    by_cost(*((name, number) for name, all_of in FAULTS.items() for number in range(len(all_of)))),
)
def test_a_planted_fault_is_found(name, number):
    if CHECKS[name].bound == bounds.CONVERTED:
        pytest.skip("the processor's own rounding hides so small a fault")
    outcome = faulty(CHECKS[name], FAULTS[name][number])
    assert outcome.failed is None and outcome.error > outcome.bound, outcome


@pytest.mark.parametrize(
    "spoil", [lambda x: x * np.nan, lambda x: x[..., :-1], lambda x: x[None], lambda x: x + np.inf]
)
def test_nan_and_a_wrong_shape_are_infinitely_wrong(spoil):
    check = CHECKS["augment: flip, XLA"]
    spoilt = dataclasses.replace(
        check, measure=lambda: {name: spoil(value) for name, value in check.expect().items()}
    )
    outcome = doctor.run(spoilt)
    assert outcome.error == math.inf and not outcome.passed and outcome.failed is None


# Outcomes ---------------------------------------------------------------------------------------


def check_of(got, want, bound=0.1, **options):
    return doctor.Check("name", "group", lambda: got, lambda: want, bound, **options)


def test_the_error_is_relative_and_that_of_the_worst_array():
    got = {"a": np.float32([3, 4.1]), "b": np.float32([1.0])}
    want = {"a": np.float64([3, 4]), "b": np.float64([1.0])}
    outcome = doctor.run(check_of(got, want))
    assert outcome.error == pytest.approx(0.1 / 5, rel=1e-5)
    assert outcome.worst == "a" and outcome.passed and outcome.seconds >= 0


def test_arrays_may_have_bounds_of_their_own():
    got, want = {"a": np.float64(1.05), "b": np.float64(1.02)}, {"a": 1.0, "b": 1.0}
    assert doctor.run(check_of(got, want)).worst == "a"
    outcome = doctor.run(check_of(got, want, bounds={"b": 0.01}))
    assert (outcome.worst, outcome.bound, outcome.passed) == ("b", 0.01, False)


@pytest.mark.parametrize("got", [{}, {"a": np.zeros(2)}, {"a": 0.0, "b": 0.0}, {"b": 0.0}])
def test_all_arrays_must_be_there_and_no_other(got):
    outcome = doctor.run(check_of(got, {"a": 0.0}))
    assert outcome.error == math.inf and not outcome.passed


def test_where_nothing_is_expected_the_error_is_absolute():
    outcome = doctor.run(check_of({"a": np.float32([0.03, 0.04])}, {"a": np.zeros(2)}))
    assert outcome.error == pytest.approx(0.05)


def test_one_image_in_fifty_may_differ_and_no_more():
    want = np.ones((50, 4))
    for wrong, found in ((1, 0.0), (2, 9.0)):
        got = want.copy()
        got[:wrong] = 10.0
        assert comparison.worst_row(got, want, left_out=0.02) == pytest.approx(found)
    got[0] = np.nan  # but it must be a number
    assert comparison.distance_of(got, want, comparison.worst_row) == math.inf


def test_a_row_counts_by_itself():
    want = np.ones((16, 4))
    got = want.copy()
    got[3, 0] = 1.5
    assert comparison.worst_row(got, want) == pytest.approx(0.25)


@pytest.mark.parametrize("side", ["measure", "expect"])
@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("\n no kernel \nsecond line"), "ValueError: no kernel"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "ResourceExhaustedError: OOM"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("x" * 500), "ValueError: " + "x" * 185 + "..."),
    ],
)
def test_an_exception_is_an_outcome(side, error, line):
    def fail():
        raise error

    outcome = doctor.run(dataclasses.replace(check_of({"a": 1.0}, {"a": 1.0}), **{side: fail}))
    assert outcome.failed == line and not outcome.passed and outcome.error == math.inf


def test_an_interruption_is_not():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        doctor.run(dataclasses.replace(check_of({}, {}), measure=interrupted))


# The list ---------------------------------------------------------------------------------------


def test_the_full_list_has_every_step():
    full = doctor.checks(full=True)
    names = [check.name for check in full]
    assert len(set(names)) == len(names) and set(CHECKS) < set(names)
    cases = (len(steps.METHODS) + len(steps.AUGMENTING)) * len(steps.PRECISIONS) * 2
    assert len([check for check in full if check.group == "method"]) == cases
    assert {check.group for check in full} == {
        *("augmentation", "layer", "loss", "memory", "method", "normalization", "optimizer")
    }


@pytest.mark.parametrize("unknown", [{"method": "moco"}, {"precision": "bfloat16"}])
def test_an_unknown_method_or_precision_is_refused(unknown):
    ((name, value),) = unknown.items()
    with pytest.raises(ValueError, match=f"`{name}` must be one of .* Received: {name}='{value}'"):
        doctor.checks(**unknown)


def test_the_step_is_that_of_the_method_and_the_precision():
    name = doctor.checks(method="byol", precision="mixed_bfloat16")[-1].name
    assert name == "step of byol, mixed_bfloat16, no XLA"


def test_only_the_measurement_is_on_the_device():
    name = "augment: centre crop"
    places, real = [], tf.image.resize

    def noted(images, *args):
        made = real(images, *args)
        places.append(made.device[-5:])
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.image, "resize", noted)
        (check,) = (check for check in doctor.checks("CPU:1") if check.name == name)
        assert doctor.run(check).passed
    assert places == ["CPU:1", "CPU:0"]


@pytest.mark.parametrize(
    "method, precision, compiled, inside",
    [
        spared("simclr", "float32", True, False),
        spared("simclr", "mixed_float16", True, True),
        spared("byol", "mixed_bfloat16", False, False),
        spared("npair", "mixed_float16", False, False),
        spared("triplet", "float32", False, True),
        spared("cpc", "mixed_bfloat16", False, True),
    ],
)
def test_steps_of_the_full_list_pass(method, precision, compiled, inside):
    outcome = doctor.run(steps.of_step(method, precision, compiled, inside))
    assert outcome.passed, outcome


# Two replicas -----------------------------------------------------------------------------------


def test_normalization_over_two_devices():
    assert not of_layers.checks_together()  # without GPUs
    check = of_layers.of_synchronization("CPU")
    assert doctor.run(check).passed
    apart = replaced(layers, "synchronized", lambda real: layers.FusedBatchNormalization)
    assert faulty(check, apart).error > 100 * check.bound


# References -------------------------------------------------------------------------------------


def slopes(function, values, step=1e-6):
    """The gradient of a function of an array, by central differences."""
    made = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        shift = np.zeros_like(values)
        shift[place] = step
        made[place] = (function(values + shift) - function(values - shift)) / (2 * step)
    return made


X, Y, Z = np.random.default_rng(0).normal(size=(3, 4, 5))
IMAGES, KERNEL = np.random.default_rng(1).normal(size=(2, 4, 4, 2)), np.ones((3, 3, 2, 2)) / 7
FLOW = np.random.default_rng(2).normal(size=(2, 2, 2, 2))


@pytest.mark.parametrize(
    "reference, inputs, names",
    [
        (lambda *z: references.nt_xent(*z, 0.3), (X, Y), ("to_z1", "to_z2")),
        (lambda x: references.regression(x, Y), (X,), ("to_prediction",)),
        (references.n_pair, (X, Y), ("to_anchors", "to_positives")),
        (
            lambda *z: references.triplet(*z, margin=2.0),
            (X, Y, Z),
            ("to_anchor", "to_positive", "to_negative"),
        ),
        (lambda x: references.distillation(x, Y, 0.7), (X,), ("to_student",)),
    ],
)
def test_gradients_of_the_references_of_losses(reference, inputs, names):
    for place, name in enumerate(names):

        def loss(values):
            return reference(*inputs[:place], values, *inputs[place + 1 :])["loss"]

        np.testing.assert_allclose(
            reference(*inputs)[name], slopes(loss, inputs[place]), rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize(
    "reference, inputs, names, flow",
    [
        (
            lambda *a: references.batch_norm(*a, flow=Z, epsilon=0.1),
            (X, Y[0], Y[1]),
            ("to_inputs", "to_gamma", "to_beta"),
            Z,
        ),
        (
            lambda *a: references.convolution(*a, flow=FLOW, stride=2, padding=1),
            (IMAGES, KERNEL),
            ("to_inputs", "to_kernel"),
            FLOW,
        ),
        (
            lambda *a: references.dense(*a, flow=Z[:, :4]),
            (X, Y.T, Z[0, :4]),
            ("to_inputs", "to_kernel", "to_bias"),
            Z[:, :4],
        ),
    ],
)
def test_gradients_of_the_references_of_layers(reference, inputs, names, flow):
    for place, name in enumerate(names):

        def product(values):
            made = reference(*inputs[:place], values, *inputs[place + 1 :])
            return np.sum(flow * made["outputs"])

        np.testing.assert_allclose(
            reference(*inputs)[name], slopes(product, inputs[place]), rtol=1e-5, atol=1e-8
        )
