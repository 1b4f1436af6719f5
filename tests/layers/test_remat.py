"""With blocks computed again for the gradient, training is the same, number for number."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tests.helpers import spared
from tfssl import encoders, layers
from tfssl.methods import Supervised

IMAGES = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)


def pair(depth=18, stem="cifar", normalization=layers.FusedBatchNormalization, **options):
    """The plain encoder and the one that computes its blocks again, with equal weights."""
    made = [
        encoders.resnet(
            depth,
            stem=stem,
            width_multiplier=1 / 16,
            remat=remat,
            normalization=normalization,
            convolution=layers.ProductGradientConv2D,
            **options,
        )
        for remat in (None, layers.Rematerialized)
    ]
    rng = np.random.default_rng(1)
    # With its last gamma at 0, as at the start, no gradient would enter a block.
    weights = [rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in made[0].get_weights()]
    for encoder in made:
        encoder.set_weights(weights)
    return made


def step(encoder, graph=True):
    """The outputs of a training pass, its gradients, and the statistics after it."""
    target = np.random.default_rng(2).normal(size=encoder.output_shape[1:]).astype("float32")

    def compute():
        with tf.GradientTape() as tape:
            h = tf.cast(encoder(IMAGES, training=True), tf.float32)
            loss = tf.reduce_sum(tf.square(h) * target)
        return h, tape.gradient(loss, encoder.trainable_variables)

    h, gradients = (tf.function(compute) if graph else compute)()
    return [h, *gradients, *encoder.non_trainable_variables]


def assert_close(one, other, tolerance=1e-5):
    for a, b in zip(one, other, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * max(1.0, np.abs(a).max()))


KERAS = keras.layers.BatchNormalization


@pytest.mark.parametrize(
    "options",
    [
        {},
        spared({"se_ratio": 0.25, "normalization": KERAS}),
        spared({"depth": 50}),
        spared({"depth": 50, "stem": "imagenet", "sk_ratio": 0.0625, "se_ratio": 0.25}),
    ],
    ids=str,
)
def test_outputs_gradients_and_statistics(options):
    """The statistics too: they would be others had they moved twice."""
    plain, remat = pair(**options)
    before = [v.numpy() for v in plain.non_trainable_variables]
    expected = step(plain)
    assert_close(expected, step(remat))
    assert all(not np.array_equal(a, b) for a, b in zip(before, expected[-len(before) :]))


def test_eagerly_and_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        plain, remat = pair()
    finally:
        keras.config.set_dtype_policy("float32")
    assert_close(step(plain, graph=False), step(remat, graph=False))
    assert remat(IMAGES, training=True).dtype == tf.bfloat16


def test_it_has_the_layers_variables_and_inference_of_the_plain_one(tmp_path):
    plain, remat = pair()
    assert [type(layer) for layer in remat.layers] == [type(layer) for layer in plain.layers]
    assert [(v.name, v.shape) for v in remat.variables] == [
        (v.name, v.shape) for v in plain.variables
    ]
    plain.set_weights([w + 0.1 for w in plain.get_weights()])
    tf.train.Checkpoint(encoder=plain).write(str(tmp_path / "state"))
    tf.train.Checkpoint(encoder=remat).read(str(tmp_path / "state")).assert_consumed()
    np.testing.assert_array_equal(remat(IMAGES), plain(IMAGES))


@pytest.mark.parametrize("after_block", [spared(0), 2, spared(4)])
def test_what_is_frozen_stays_and_is_not_computed_again(after_block, monkeypatch):
    plain, remat = pair()
    for encoder in (plain, remat):
        encoders.freeze(encoder, after_block)
    frozen = [v.numpy() for v in remat.get_layer("norm1").variables]
    again = []
    monkeypatch.setattr(keras, "remat", lambda f: again.append(f) or tf.recompute_grad(f))
    assert_close(step(plain), step(remat))
    assert len(again) == 8 - 2 * after_block  # two blocks in each of four groups
    for a, b in zip(frozen, remat.get_layer("norm1").variables):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_batch_in_parts():
    """The gradient within the loop of --accumulate_steps."""
    made = []
    for encoder in pair():
        model = Supervised(encoder, head=layers.classifier(32, 10))
        model.build((None, 32, 32, 3))
        model.compile(optimizer="sgd", jit_compile=False)
        model.accumulate_steps = 2
        batch = {"views": (IMAGES,), "label": np.arange(4)}
        gradients, scalars = tf.function(model.accumulated)(batch)
        made.append([*gradients, scalars["loss"], *encoder.non_trainable_variables])
    assert_close(*made)


def convolutions(encoder):
    """Forward convolutions of a training step, as TensorFlow has optimized it."""
    context.enable_graph_collection()
    try:
        step(encoder)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_graph_collection()
    return sum(
        node.op.endswith("Conv2D")
        for graph in graphs
        for node in graph.post_optimization_graph.node
    )


@pytest.mark.slow
def test_the_second_computation_is_not_merged_with_the_first():
    """Else all would be kept as without."""
    plain, remat = pair()
    count = sum(isinstance(layer, keras.layers.Conv2D) for layer in plain.layers)
    assert (convolutions(plain), convolutions(remat)) == (count, 2 * count)
