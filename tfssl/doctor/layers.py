"""Checks of layers, and of the ways to train in less memory.

Outputs, gradients and moving averages of layers are compared with NumPy in float64. Recomputed and
accumulated gradients are compared with the plain ones of the same device.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfssl import compat, layers, methods
from tfssl.distribute.strategy import strategy_on
from tfssl.doctor import machine, references
from tfssl.doctor.bounds import BFLOAT16, CONVERTED, EXACT, PRODUCT, TWO_WAYS
from tfssl.doctor.comparison import Check
from tfssl.doctor.material import (
    double,
    in_graph,
    initialize,
    numpy_of,
    pictures,
    random,
    rounded,
)

MOMENTUM, EPSILON = 0.9, 1e-5  # of batch normalization


def checks():
    """The checks of layers and memory on one device, a list."""
    return [*of_normalization(), *of_products(), of_rematerialization(), of_accumulation()]


def checks_together():
    """The checks of the first two GPUs together, a list; empty where there are not as many."""
    return [of_synchronization("GPU")] if len(tf.config.list_physical_devices("GPU")) > 1 else []


# Normalization ----------------------------------------------------------------------------------


def of_normalization():
    return [
        of_batch_norm(f"batch normalization, {kind}, {dtype}", shape, dtype, bound)
        for kind, shape in (("images", (8, 6, 6, 16)), ("vectors", (32, 48)))
        for dtype, bound in (("float32", EXACT), ("bfloat16", BFLOAT16))
    ]


def of_batch_norm(name, shape, dtype, bound):
    inputs, flow, weights = to_normalize(shape, dtype)

    def measure():
        layer = normalization_of(layers.FusedBatchNormalization, weights, shape, policy_of(dtype))
        made = through(layer, inputs, flow, layer.compute_dtype, training=True)
        gamma, beta = made.pop("to_weights")
        mean, variance = layer.non_trainable_variables
        return numpy_of(
            {**made, "to_gamma": gamma, "to_beta": beta, "mean": mean, "variance": variance}
        )

    # Statistics are float32 for any type of the inputs.
    bounds = {"mean": EXACT, "variance": EXACT}
    expect = functools.partial(normalized, inputs, flow, weights)
    return Check(name, "normalization", measure, expect, bound, bounds=bounds)


def of_synchronization(kind):
    """Statistics over two replicas, each with a half of the batch."""
    shape = (8, 6, 6, 16)
    inputs, flow, weights = to_normalize(shape, "float32")

    def measure():
        strategy = strategy_on(kind, 2)
        with strategy.scope():
            layer = normalization_of(layers.synchronized, weights, shape, "float32")

        def halves(values):
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.split(values, 2)[context.replica_id_in_sync_group]
            )

        def step(inputs, flow):
            return forward_and_back(layer, inputs, flow, training=True)

        run = tf.function(lambda *parts: strategy.run(step, args=parts), autograph=False)
        made = tf.nest.map_structure(
            strategy.experimental_local_results, run(halves(inputs), halves(flow))
        )
        outputs, to_inputs, (to_gamma, to_beta) = made
        mean, variance = layer.non_trainable_variables
        return numpy_of(
            {
                "outputs": tf.concat(outputs, axis=0),
                "to_inputs": tf.concat(to_inputs, axis=0),
                "to_gamma": tf.add_n(to_gamma),
                "to_beta": tf.add_n(to_beta),
                "mean": mean,
                "variance": variance,
            }
        )

    expect = functools.partial(normalized, inputs, flow, weights)
    name = f"batch normalization over two {kind}s"
    return Check(name, "normalization", measure, expect, EXACT)


def to_normalize(shape, dtype):
    """Inputs, gradient of the outputs, and [gamma, beta, moving mean, moving variance]."""
    channels = shape[-1]
    # Means of the size of the deviations, as after a ReLU.
    inputs = rounded(1.5 * random(0, *shape) + 1 + random(1, channels), dtype)
    flow = rounded(random(2, *shape), dtype)
    weights = [1 + 0.3 * random(3, channels), random(4, channels), random(5, channels)]
    return inputs, flow, [*weights, 1 + random(6, channels) ** 2]


def normalization_of(cls, weights, shape, policy):
    layer = cls(momentum=MOMENTUM, epsilon=EPSILON, dtype=policy)
    layer.build(shape)
    layer.set_weights(weights)
    return layer


def normalized(inputs, flow, weights):
    """The reference of a normalization in training, with its moving averages after the step."""
    gamma, beta, mean, variance = double(*weights)
    made = references.batch_norm(*double(inputs), gamma, beta, *double(flow), EPSILON)
    for moment, before in (("mean", mean), ("variance", variance)):
        made[moment] = MOMENTUM * before + (1 - MOMENTUM) * made[moment]
    return made


def policy_of(dtype):
    return dtype if dtype == "float32" else f"mixed_{dtype}"


def through(layer, inputs, flow, dtype, **options):
    """Outputs of a layer and its gradients for an output gradient, in a graph as in training."""

    def both(inputs, flow):
        return forward_and_back(layer, inputs, flow, **options)

    inputs, flow = tf.cast(inputs, dtype), tf.cast(flow, dtype)
    outputs, to_inputs, to_weights = in_graph(both, inputs, flow)
    return {"outputs": outputs, "to_inputs": to_inputs, "to_weights": to_weights}


def forward_and_back(layer, inputs, flow, **options):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, **options)
    variables = [v.value for v in layer.trainable_variables]
    return outputs, *tape.gradient(outputs, [inputs, variables], flow)


# Products ---------------------------------------------------------------------------------------


def of_products():
    made = []
    native = machine.gpus() or machine.bfloat16_instructions()
    half = BFLOAT16 if native else CONVERTED
    for dtype, bound in (("float32", PRODUCT), ("bfloat16", half)):
        for size, stride in ((3, 1), (3, 2), (1, 2)):
            name = f"convolution {size}x{size}, stride {stride}, {dtype}"
            made.append(of_convolution(name, size, stride, dtype, bound))
        made.append(of_dense(f"dense, {dtype}", dtype, bound))
    return made


def of_convolution(name, size, stride, dtype, bound):
    """A strided one pads half of (size - 1) on every side, as those of the ResNets."""
    padding, side = (size - 1) // 2, 12 // stride
    images, flow = (
        rounded(random(i, 8, s, s, c), dtype) for i, s, c in ((0, 12, 16), (1, side, 32))
    )
    kernel = rounded(random(2, size, size, 16, 32) / (4 * size), dtype)

    def measure():
        layer = layers.ProductGradientConv2D(
            32, size, stride, "valid", use_bias=False, dtype=policy_of(dtype)
        )
        pad = keras.layers.ZeroPadding2D(padding, dtype=policy_of(dtype))
        network = keras.Sequential([pad, layer])
        network.build(images.shape)
        layer.set_weights([kernel])
        made = through(network, images, flow, layer.compute_dtype)
        (made["to_kernel"],) = made.pop("to_weights")
        return numpy_of(made)

    def expect():
        return references.convolution(*double(images, kernel, flow), stride, padding)

    return Check(name, "layer", measure, expect, bound)


def of_dense(name, dtype, bound):
    inputs, flow = (rounded(random(i, 16, units), dtype) for i, units in enumerate((96, 64)))
    kernel, bias = rounded(random(2, 96, 64) / 10, dtype), rounded(random(3, 64), dtype)

    def measure():
        layer = keras.layers.Dense(64, dtype=policy_of(dtype))
        layer.build(inputs.shape)
        layer.set_weights([kernel, bias])
        made = through(layer, inputs, flow, layer.compute_dtype)
        made["to_kernel"], made["to_bias"] = made.pop("to_weights")
        return numpy_of(made)

    def expect():
        return references.dense(*double(inputs, kernel, bias, flow))

    return Check(name, "layer", measure, expect, bound)


# Memory -----------------------------------------------------------------------------------------


def network(normalization, make=None):
    """Two convolutions of images [B, H, W, 3] to [B, 16], which `make` may cut in the middle."""

    def convolved(x):
        x = layers.ProductGradientConv2D(16, 3, padding="same", use_bias=False)(x)
        return keras.layers.ReLU()(normalization()(x))

    inputs = keras.Input((None, None, 3))
    middle = convolved(inputs)
    outputs = keras.layers.GlobalAveragePooling2D()(convolved(middle))
    return make(inputs, outputs, [middle]) if make else keras.Model(inputs, outputs)


def of_rematerialization():
    images, flow = pictures(8, 12, 12), random(1, 8, 16)
    # A momentum by which a step that is left out, or made twice, changes the moving averages much.
    normalization = functools.partial(layers.FusedBatchNormalization, momentum=0.5)

    def made_by(make):
        with compat.dtype_policy("float32"):
            model = network(normalization, make)
        initialize(model)
        made = through(model, images, flow, "float32", training=True)
        gradients = {f"to_{i}": value for i, value in enumerate(made.pop("to_weights"))}
        moved = {f"moving_{i}": v.value for i, v in enumerate(model.non_trainable_variables)}
        return numpy_of({**made, **gradients, **moved})

    return Check(
        "rematerialization",
        "memory",
        functools.partial(made_by, layers.Rematerialized),
        functools.partial(made_by, None),
        TWO_WAYS,
    )


def of_accumulation():
    images = pictures(8, 12, 12)
    batch = {"views": (images, np.roll(images, 2, axis=2)), "label": np.arange(8) % 5}

    def made_by(steps):
        with compat.dtype_policy("float32"):
            encoder = network(lambda: keras.layers.Activation("linear"))
            head = layers.projector(16, out_dim=16, num_layers=2, normalization=None)
            model = methods.SimCLR(encoder, head, num_classes=5, input_range="0,1", temperature=0.5)
        model.build((None, 12, 12, 3))
        model.compile(keras.optimizers.SGD(0.1), accumulate_steps=steps, jit_compile=False)
        initialize(model)

        def gradients_of(batch):
            if steps > 1:
                return model.accumulated(batch)
            return model.gradients_of(model.loss_on, batch)

        gradients, logs = in_graph(gradients_of, batch)
        made = {f"to_{i}": value for i, value in enumerate(gradients)}
        return numpy_of({"loss": logs["loss"], **made})

    return Check(
        "accumulation over two parts",
        "memory",
        functools.partial(made_by, 2),
        functools.partial(made_by, 1),
        TWO_WAYS,
    )
