"""Checkpoints of google-research/simclr's tf2 code, synthesised with its variable names.

`reference` is a second transcription of that network, on plain TensorFlow operations: it decides
names, shapes and features without our layers.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import costly, spared
from tfssl import Config, UsageError
from tfssl.encoders import google
from tfssl.runner.build import PROJECTORS
from tfssl.storage import pretrained
from tfssl.storage.networks import build_encoder

FORMS = {18: (False, (2, 2, 2, 2)), 34: (False, (3, 4, 6, 3)), 50: (True, (3, 4, 6, 3))}


class Weights:
    """Variables by name, made at random when they are first asked for."""

    def __init__(self):
        self.rng, self.values = np.random.default_rng(0), {}

    def __call__(self, name, shape, low=-0.3, high=0.3):
        if name not in self.values:
            self.values[name] = self.rng.uniform(low, high, shape).astype(np.float32)
        return self.values[name]

    def norm(self, x, place, offset=True):
        place, channels = place + "/bn/", x.shape[-1]
        gamma = self(place + "gamma", [channels], 0.5, 1.5)
        beta = self(place + "beta", [channels]) if offset else 0.0
        mean = self(place + "moving_mean", [channels])
        variance = self(place + "moving_variance", [channels], 0.5, 1.5)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def conv(self, x, place, filters, size, stride=1):
        kernel = self(place + "/kernel", [size, size, x.shape[-1], filters])
        if stride == 1:
            return tf.nn.conv2d(x, kernel, 1, "SAME")
        before = (size - 1) // 2
        around = [before, size - 1 - before]
        return tf.nn.conv2d(tf.pad(x, [[0, 0], around, around, [0, 0]]), kernel, stride, "VALID")

    def write(self, path):
        names = [f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in self.values]
        extra = {"global_step/.ATTRIBUTES/VARIABLE_VALUE": np.int64(1234)}
        tf.raw_ops.SaveV2(
            prefix=str(path),
            tensor_names=[*names, *extra],
            shape_and_slices=[""] * (len(names) + 1),
            tensors=[*self.values.values(), *extra.values()],
        )


def reference(w, x, depth, width, stem, sk, se):
    bottlenecks, counts = FORMS[depth]
    root = "resnet_model/"
    place, base = root + "initial_conv_relu_max_pool/", int(64 * width)
    if stem == "cifar":
        x = tf.nn.relu(w.norm(w.conv(x, place + "0/conv2d", base, 3), place + "2"))
    else:
        if sk:
            x = tf.nn.relu(w.norm(w.conv(x, place + "0/conv2d", base // 2, 3, 2), place + "1"))
            x = tf.nn.relu(w.norm(w.conv(x, place + "2/conv2d", base // 2, 3), place + "3"))
            x = tf.nn.relu(w.norm(w.conv(x, place + "4/conv2d", base, 3), place + "6"))
        else:
            x = tf.nn.relu(w.norm(w.conv(x, place + "0/conv2d", base, 7, 2), place + "2"))
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for group, count in enumerate(counts):
        for index in range(count):
            stride = 2 if group and not index else 1
            block = f"{root}block_groups/{group}/layers/{index}/"
            x = residual(w, x, block, base * 2**group, stride, bottlenecks, not index, sk, se)
    return tf.reduce_mean(x, [1, 2])


def residual(w, x, block, filters, stride, bottleneck, project, sk, se):
    shortcut, out = x, filters * (4 if bottleneck else 1)
    if project:
        place = block + ("projection_layers/" if bottleneck else "shortcut_layers/")
        if sk and stride > 1:
            shortcut = tf.pad(shortcut, [[0, 0], [0, 1], [0, 1], [0, 0]])
            shortcut = tf.nn.avg_pool2d(shortcut, 2, stride, "VALID")
            conv, norm, step = "2/conv2d", "3", 1
        elif sk:
            shortcut = tf.nn.avg_pool2d(shortcut, 2, 1, "SAME")
            conv, norm, step = "1/conv2d", "2", 1
        else:
            conv, norm, step = "0/conv2d", "1", stride
        shortcut = w.norm(w.conv(shortcut, place + conv, out, 1, step), place + norm)
    if not bottleneck:
        place = block + "conv2d_bn_layers/"
        x = tf.nn.relu(w.norm(w.conv(x, place + "0/conv2d", filters, 3, stride), place + "1"))
        x = w.norm(w.conv(x, place + "2/conv2d", filters, 3), place + "3")
        gate = block + "se_layer/"
    else:
        place = block + "conv_relu_dropblock_layers/"
        x = tf.nn.relu(w.norm(w.conv(x, place + "0/conv2d", filters, 1), place + "1"))
        if sk:
            inner = place + "3/"
            both = w.conv(x, inner + "conv2d_fixed_padding/conv2d", 2 * filters, 3, stride)
            one, two = tf.split(tf.nn.relu(w.norm(both, inner + "batch_norm_relu")), 2, axis=-1)
            mean = tf.reduce_mean(one + two, [1, 2], keepdims=True)
            mixed = w.conv(mean, inner + "conv2d_0", max(int(filters * 0.0625), 32), 1)
            mixed = tf.nn.relu(w.norm(mixed, inner + "batch_norm_relu_1"))
            logits = tf.stack(tf.split(w.conv(mixed, inner + "conv2d_1", 2 * filters, 1), 2, -1))
            share = tf.nn.softmax(logits, axis=0)
            x, last = one * share[0] + two * share[1], 5
        else:
            x = tf.nn.relu(w.norm(w.conv(x, place + "3/conv2d", filters, 3, stride), place + "4"))
            last = 6
        x = w.norm(w.conv(x, f"{place}{last}/conv2d", out, 1), f"{place}{last + 1}")
        gate = f"{place}{last + 3}/"
    if se:
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        units = max(1, int(filters * 0.25))
        inner = tf.nn.relu(
            w.conv(mean, gate + "se_reduce", units, 1) + w(gate + "se_reduce/bias", [units])
        )
        inner = w.conv(inner, gate + "se_expand", out, 1) + w(gate + "se_expand/bias", [out])
        x = tf.sigmoid(inner) * x
    return tf.nn.relu(x + shortcut)


def project(w, h, layers, out=16):
    for j in range(layers):
        last = j == layers - 1
        units = out if last else h.shape[-1]
        place = f"_projection_head/linear_layers/{j}/"
        h = h @ w(place + "dense/kernel", [h.shape[-1], units])
        h = w.norm(h, place + "bn_relu", offset=not last)
        h = h if last else tf.nn.relu(h)
    return h


VARIANTS = [
    (18, 0.25, "cifar", 0, 0),
    (34, 0.25, "imagenet", 0, 0),
    (50, 0.25, "cifar", 0, 0),
    (50, 0.25, "imagenet", 0, 0),
    (50, 0.5, "imagenet", 1, 0),
    (50, 0.25, "cifar", 1, 1),
    (18, 0.25, "imagenet", 1, 1),
    (18, 0.25, "cifar", 0, 1),
]


@pytest.mark.parametrize(
    "depth,width,stem,sk,se",
    [
        variant if variant[0] == 18 else (costly if variant in VARIANTS[4:6] else spared)(*variant)
        for variant in VARIANTS
    ],
)
def test_equal_features_from_equal_weights(depth, width, stem, sk, se, tmp_path):
    w = Weights()
    images = np.random.default_rng(1).random((2, 40, 56, 3), np.float32)
    h = reference(w, images, depth, width, stem, sk, se)
    z = project(w, h, 3)
    w.write(tmp_path / "ckpt-1234")
    found = pretrained.find(str(tmp_path / "ckpt-1234"))
    about = found.about
    assert (about["resnet_depth"], about["width_multiplier"], about["stem"]) == (depth, width, stem)
    assert (about["sk_ratio"], about["se_ratio"]) == (sk * 0.0625, se * 0.25)
    assert (about["num_proj_layers"], about["proj_out_dim"], about["step"]) == (3, 16, 1234)
    config = pretrained.adopt(Config(), set(), about, "x")
    encoder = build_encoder(config, stem, keras.layers.BatchNormalization)
    projector = PROJECTORS["simclr"](
        config, keras.layers.BatchNormalization, encoder.output_shape[-1]
    )
    found.restore(encoder, projector)
    scale = np.abs(h).max()
    np.testing.assert_allclose(encoder(images) / scale, h / scale, atol=1e-4)
    ours, theirs = np.asarray(projector(encoder(images))), np.asarray(z)
    np.testing.assert_allclose(
        ours / np.abs(theirs).max(), theirs / np.abs(theirs).max(), atol=1e-4
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("theirs")
    w = Weights()
    h = reference(w, np.zeros((1, 32, 32, 3), np.float32), 18, 0.25, "cifar", 0, 0)
    project(w, h, 2)
    w("supervised_head/linear_layer/dense/kernel", [128, 10])
    w.write(directory / "ckpt-1234")
    (directory / "flags.json").write_text(json.dumps({"image_size": 32, "dataset": "cifar10"}))
    (directory / "checkpoint").write_text('model_checkpoint_path: "ckpt-1234"\n')
    return directory


@pytest.mark.slow
def test_a_directory_of_theirs_is_a_checkpoint_for_every_mode(checkpoint, tmp_path):
    common = dict(
        checkpoint=str(checkpoint),
        dataset="shapes",
        train_split="train[:40]",
        eval_split="test[:20]",
        image_size="24x32",
        precision="float32",
    )
    for mode, more in (
        ("knn", dict(knn_k="3")),
        ("linear_eval", dict(linear_epochs=1.0, linear_batch_size=20)),
        ("finetune", dict(train_batch_size=20, train_steps=2, ft_proj_selector=1)),
    ):
        settings = dict(mode=mode, model_dir=str(tmp_path / mode), **common, **more)
        result = tfssl.run(Config(**settings), given=set(settings))
        assert (result.get("encoder") or result["pretrained_weights"])["dataset"] == "cifar10"
    settings = dict(
        mode="export",
        checkpoint=str(checkpoint / "ckpt-1234.index"),
        output=str(tmp_path / "encoder.keras"),
    )
    encoder = tfssl.load_encoder(tfssl.run(Config(**settings), given=set(settings)))
    assert encoder(np.zeros((1, 48, 48, 3))).shape == (1, 128)


def test_what_is_not_theirs_is_refused(checkpoint, tmp_path):
    tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "other"))
    with pytest.raises(UsageError, match="not one of google-research/simclr"):
        pretrained.find(str(tmp_path / "other"))
    (tmp_path / "cut.index").write_bytes((checkpoint / "ckpt-1234.index").read_bytes()[:200])
    with pytest.raises(UsageError, match="cannot be read"):
        pretrained.find(str(tmp_path / "cut"))
    w = Weights()
    reference(w, np.zeros((1, 32, 32, 3), np.float32), 18, 0.25, "cifar", 0, 0)
    del w.values["resnet_model/block_groups/2/layers/1/conv2d_bn_layers/3/bn/gamma"]
    w.write(tmp_path / "hole")
    found = google.find(str(tmp_path / "hole"))
    config = pretrained.adopt(Config(), set(), found.about, "x")
    with pytest.raises(UsageError, match="conv2d_bn_layers/3/bn/gamma.* Received: None"):
        found.restore(build_encoder(config, "cifar", keras.layers.BatchNormalization))


@pytest.mark.parametrize("named", ["", "model.ckpt-10", "model.ckpt-10.index", "hub"])
def test_what_their_tf1_code_wrote_is_refused_with_what_to_take_instead(named, tmp_path):
    """A checkpoint, and a Hub module, whose variables are in a checkpoint of its own."""
    names = ["base_model/conv2d/kernel", "head_supervised/linear_layer/dense/kernel", "global_step"]
    values = [np.zeros((3, 3, 3, 8)), np.zeros((8, 10)), np.int64(3)]
    (tmp_path / "hub" / "variables").mkdir(parents=True)
    for path in (tmp_path / "model.ckpt-10", tmp_path / "hub" / "variables" / "variables"):
        tf.raw_ops.SaveV2(
            prefix=str(path), tensor_names=names, shape_and_slices=[""] * 3, tensors=values
        )
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-10"\n')
    with pytest.raises(UsageError, match="tf1 code.*gs://simclr-checkpoints-tf2") as refusal:
        pretrained.find(str(tmp_path / named))
    assert "\n" not in str(refusal.value)
