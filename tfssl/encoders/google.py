"""Loads checkpoints of google-research/simclr's tf2 code into tfssl's networks.

Its `tf.train.Checkpoint(model=...)` and its published SavedModels name each variable by its path in
the object graph: model/resnet_model/..., model/_projection_head/... The names below are those of
tf2/resnet.py and tf2/model.py (383d414). The architecture is inferred from names and shapes. Both
networks compute the same features from equal weights.
"""

import contextlib
import dataclasses
import json
import os
import re

import numpy as np
import tensorflow as tf

from tfssl import encoders, files
from tfssl.errors import UsageError
from tfssl.files import sha256

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
ENCODER, PROJECTOR = "model/resnet_model/", "model/_projection_head/linear_layers/"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclasses.dataclass(frozen=True)
class GoogleWeights:
    """Weights of a google-research/simclr checkpoint; see `tfssl.storage.pretrained.Pretrained`.

    Attributes:
        path: prefix of the files of the checkpoint.
        about: see `Pretrained`.
    """

    path: str
    about: dict

    @property
    def origin(self):
        """What a run records about the weights. The index file has checksums of all variables."""
        return {**self.about, "path": self.path, "weights": sha256(self.path + ".index")}

    def restore(self, encoder, projector=None):
        """Assigns the weights to networks of the architecture in `about`.

        Raises:
            UsageError: a variable is missing or has another shape.
        """
        with readable(self.path):
            self.fill_all(encoder, projector)

    def fill_all(self, encoder, projector):
        """`restore` that raises TensorFlow's errors for damaged files."""
        reader = tf.train.load_checkpoint(self.path)
        names = encoder_names(self.about)
        for kind, variables in (("conv", ["kernel"]), ("norm", NORM), ("gate", ["kernel", "bias"])):
            for number, name in enumerate(names[kind], start=1):
                self.fill(reader, encoder.get_layer(f"{kind}{number}"), ENCODER + name, variables)
        if projector is None:
            return
        layers = [layer for layer in projector.layers if layer.weights]
        for number, layer in enumerate(layers):
            place = f"{PROJECTOR}{number // 2}/"
            if number % 2:
                self.fill(reader, layer, place + "bn_relu/bn", NORM)
            else:
                self.fill(reader, layer, place + "dense", ["kernel"])

    def fill(self, reader, layer, place, variables):
        """Assigns the variables of a layer; normalizations without an offset have no beta."""
        own = {variable.name: variable for variable in layer.variables}
        for name in variables:
            if name not in own:
                continue
            key = f"{place}/{name}{VALUE}"
            shape = reader.get_variable_to_shape_map().get(key)
            if shape != list(own[name].shape):
                raise UsageError(
                    f"`checkpoint={self.path}`: {key} must have the shape "
                    f"{list(own[name].shape)}. Received: {shape}"
                )
            value = reader.get_tensor(key)
            if not np.isfinite(value).all():
                raise UsageError(f"`checkpoint={self.path}` cannot be used: {key} must be finite.")
            own[name].assign(value)


def prefix(path):
    """The prefix of a TensorFlow checkpoint, or None if there is none.

    Args:
        path: a prefix, an .index file, a directory of checkpoints, or a SavedModel.
    """
    candidates = [path, path.removesuffix(".index"), os.path.join(path, "variables", "variables")]
    if os.path.isdir(path):
        candidates.append(tf.train.latest_checkpoint(path) or path)
    return next((p for p in candidates if os.path.isfile(p + ".index")), None)


def find(path):
    """Returns the GoogleWeights at the prefix of a checkpoint.

    Raises:
        UsageError: it cannot be read, or is not of google-research/simclr.
    """
    with readable(path):
        shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    if any(key.startswith("base_model/") for key in shapes):
        raise UsageError(
            f"`checkpoint={path}` is of google-research/simclr's tf1 code (a "
            "checkpoint or a Hub module), which is not read: take the same weights as "
            "its tf2 code has them, gs://simclr-checkpoints-tf2, copied to this "
            "machine."
        )
    shapes = {
        key.removesuffix(VALUE): tuple(shape)
        for key, shape in shapes.items()
        if key.endswith(VALUE) and ".OPTIMIZER_SLOT" not in key
    }
    if not any(key.startswith(ENCODER) for key in shapes):
        raise UsageError(
            f"`checkpoint={path}` is a TensorFlow checkpoint, but not one of "
            f"google-research/simclr's tf2 code: it holds no {ENCODER}..."
        )
    with readable(path):
        try:
            about = network(path, shapes)
        except (KeyError, IndexError, TypeError, ZeroDivisionError):  # unexpected names or shapes
            raise UsageError(
                f"`checkpoint={path}` lacks variables that every network of "
                "google-research/simclr's tf2 code has."
            ) from None
        return GoogleWeights(path, {**about, **provenance(path)})


@contextlib.contextmanager
def readable(path):
    """Context that raises UsageError if TensorFlow cannot read a checkpoint."""
    try:
        yield
    except UsageError:
        raise
    except (tf.errors.OpError, RuntimeError, ValueError, OSError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"`checkpoint={path}` cannot be read ({why}).") from None


def network(path, shapes):
    """Infers the settings of the architecture from names and shapes of the variables."""
    encoder = {
        key.removeprefix(ENCODER): shape for key, shape in shapes.items() if key.startswith(ENCODER)
    }
    blocks = {
        match.groups()
        for key in encoder
        if (match := re.match(r"block_groups/(\d)/layers/(\d+)/", key))
    }
    counts = tuple(sum(group == str(g) for group, _ in blocks) for g in range(4))
    bottlenecks = any("/conv_relu_dropblock_layers/" in key for key in encoder)
    depths = [depth for depth, form in encoders.BLOCKS.items() if form == (bottlenecks, counts)]
    if not depths:
        raise UsageError(
            f"`checkpoint={path}` has groups of {counts} blocks, which no known ResNet has."
        )
    first = encoder["initial_conv_relu_max_pool/0/conv2d/kernel"]
    resnet_d = "initial_conv_relu_max_pool/4/conv2d/kernel" in encoder
    filters = first[-1] * (2 if resnet_d else 1)
    selective = [key for key in encoder if "/conv2d_fixed_padding/" in key]
    averaged = any(re.search(r"(shortcut|projection)_layers/[23]/", key) for key in encoder)
    gate = next(
        (
            shape
            for key, shape in encoder.items()
            if re.match(r"block_groups/0/layers/0/.*se_reduce/kernel$", key)
        ),
        None,
    )
    layers = sorted(
        {
            int(key.removeprefix(PROJECTOR).split("/")[0])
            for key in shapes
            if key.startswith(PROJECTOR)
        }
    )
    out = shapes[f"{PROJECTOR}{layers[-1]}/dense/kernel"][-1] if layers else 128
    return {
        "method": "simclr",
        "resnet_depth": depths[0],
        "width_multiplier": filters / 64,
        "sk_ratio": 0.0625 if selective or averaged else 0.0,
        "se_ratio": gate[-1] / filters if gate else 0.0,
        "input_normalization": "none",
        "stem": "imagenet" if resnet_d or first[0] == 7 else "cifar",
        "proj_head_mode": ("none", "linear")[len(layers)] if len(layers) < 2 else "nonlinear",
        "proj_out_dim": int(out),
        "proj_hidden_dim": None,
        "num_proj_layers": max(1, len(layers)),
        "proj_batch_norm": True,
    }


def provenance(path):
    """The origin of the weights, as far as the flags.json in their directory records it."""
    try:
        flags = json.loads(files.text(os.path.join(os.path.dirname(path), "flags.json")))
    except (OSError, ValueError, RecursionError):
        flags = {}
    flags = flags if isinstance(flags, dict) else {}
    side = flags.get("image_size")
    side = side if isinstance(side, int) and side > 0 else None
    reader = tf.train.load_checkpoint(path)
    steps = [
        int(np.ravel(reader.get_tensor(key + VALUE))[0])
        for key in ("global_step", "optimizer/iter")
        if reader.has_tensor(key + VALUE)
    ]
    dataset, task = flags.get("dataset", "a dataset that is not recorded"), flags.get("train_mode")
    return {
        "dataset": str(dataset),
        "task": str(task or "pretrain"),
        "image_size": [side, side] if side else None,
        "step": steps[0] if steps else 0,
        "source": "google-research/simclr tf2",
    }


def encoder_names(about):
    """Paths of the encoder's layers in the checkpoint, in the order of tfssl's layer numbers.

    Args:
        about: the result of `network`.

    Returns:
        {"conv", "norm", "gate": list of paths below resnet_model}.
    """
    bottlenecks, counts = encoders.BLOCKS[about["resnet_depth"]]
    selective, squeeze = about["sk_ratio"] > 0, about["se_ratio"] > 0
    names = {"conv": [], "norm": [], "gate": []}

    def add(convs=(), norms=(), gates=()):
        names["conv"] += convs
        names["norm"] += [f"{norm}/bn" for norm in norms]
        names["gate"] += gates

    stem = "initial_conv_relu_max_pool/"
    places = [(0, 1), (2, 3), (4, 6)] if selective and about["stem"] == "imagenet" else [(0, 2)]
    for conv, norm in places:
        add([f"{stem}{conv}/conv2d"], [f"{stem}{norm}"])
    for group, count in enumerate(counts):
        for index in range(count):
            block = f"block_groups/{group}/layers/{index}/"
            if index == 0:
                # Before the convolution: padding where it is strided, and the average pooling.
                skipped = (1 if group == 0 else 2) if selective else 0
                shortcut = block + ("projection_layers/" if bottlenecks else "shortcut_layers/")
                add([f"{shortcut}{skipped}/conv2d"], [f"{shortcut}{skipped + 1}"])
            if not bottlenecks:
                layers = block + "conv2d_bn_layers/"
                add([f"{layers}0/conv2d", f"{layers}2/conv2d"], [f"{layers}1", f"{layers}3"])
                gate = block + "se_layer/"
            else:
                layers = block + "conv_relu_dropblock_layers/"
                add([f"{layers}0/conv2d"], [f"{layers}1"])
                if selective:
                    kernel = f"{layers}3/"
                    add(
                        [
                            kernel + "conv2d_fixed_padding/conv2d",
                            kernel + "conv2d_0",
                            kernel + "conv2d_1",
                        ],
                        [kernel + "batch_norm_relu", kernel + "batch_norm_relu_1"],
                    )
                    last = 5
                else:
                    add([f"{layers}3/conv2d"], [f"{layers}4"])
                    last = 6
                add([f"{layers}{last}/conv2d"], [f"{layers}{last + 1}"])
                gate = f"{layers}{last + 3}/"
            if squeeze:
                add(gates=[gate + "se_reduce", gate + "se_expand"])
    return names
