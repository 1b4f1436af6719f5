"""Builds the network of a Config, and the description stored with its weights."""

import os

import keras
import numpy as np

from tfssl import encoders, registry
from tfssl.config import ARCHITECTURE, NAMED_RANGES, moments, sides, value_range
from tfssl.encoders import adapt, named
from tfssl.errors import UsageError


def build_encoder(config, stem, normalization, seed=0, name="encoder", **classes):
    """Builds the encoder of a Config.

    Args:
        config: a `tfssl.Config`.
        stem: stem of a ResNet, "cifar" or "imagenet".
        normalization: class of its normalization layers.
        seed: integer, seed of the initial weights.
        name: name of the model.
        **classes: further classes for `encoders.resnet`.

    Returns:
        A functional `keras.Model`: float [B, H, W, channels] in [0, 1] -> h [B, D].
    """
    if config.encoder != "resnet":
        return build_named(config, seed, name, classes.get("remat"))
    return encoders.resnet(
        config.resnet_depth,
        stem=stem,
        channels=channels(config),
        width_multiplier=config.width_multiplier,
        sk_ratio=config.sk_ratio,
        se_ratio=config.se_ratio,
        bn_momentum=config.batch_norm_decay,
        input_normalization=moments(config.input_normalization) or config.input_normalization,
        normalization=normalization,
        seed=seed,
        name=name,
        **{"convolution": keras.layers.Conv2D, **classes},
    )


def build_named(config, seed, name, remat=None):
    """Builds an encoder other than tfssl's ResNet, with input scaling and global pooling.

    Args:
        config, seed, name: as for `build_encoder`.
        remat: class of the model that computes its blocks again for the gradient, or None.

    Raises:
        UsageError: there is no such encoder, it does not accept such images, its blocks cannot be
            computed again, or it is defined in a Python file that this command did not name.
    """
    if remat and not named.has_blocks(config.encoder):
        raise UsageError(
            "--remat is for the resnet, vit and convnext encoders of tfssl. Received: "
            f"--encoder={config.encoder}"
        )
    path, colon, _ = config.encoder.partition("(")[0].rpartition(":")
    if path.endswith(".py") and os.path.realpath(path) not in registry.PERMITTED:
        raise UsageError(
            f"The encoder {config.encoder} is code, which is run only if the command names it: "
            f"give --encoder={config.encoder} again."
        )
    size = sides(config.encoder_size) if config.encoder_size else (None, None)
    try:
        more = {"remat": remat} if remat else {}
        encoder = named.make(config.encoder, (*size, channels(config)), seed, **more)
        wanted = config.input_range
        wanted = wanted if wanted in NAMED_RANGES else value_range(wanted)
        low, high = adapt.resolve_input_range(wanted, encoder)
        shape = adapt.known_input_shape(encoder) or (None, *size, channels(config))
        adapt.check_range((low, high), shape[-1])
        outputs = inputs = keras.Input(shape[1:], name="images")
        if (low, high) != (0.0, 1.0):
            span = np.subtract(high, low).tolist()
            low = list(low) if isinstance(low, tuple) else low
            outputs = keras.layers.Rescaling(span, low, dtype="float32")(outputs)
        adapt.build(encoder, (None, *shape[1:]))
        outputs = encoder(outputs)
        pool = {3: keras.layers.GlobalAveragePooling1D, 4: keras.layers.GlobalAveragePooling2D}
        if len(outputs.shape) > 2:
            outputs = pool[len(outputs.shape)](name="representation")(outputs)
        return keras.Model(inputs, outputs, name=name)
    except ValueError as error:
        size_may_help = not config.encoder_size and "could not be" in str(error)
        hint = ". --encoder_size may be what it needs" if size_may_help else ""
        which = "" if str(error).startswith("`encoder`") else f"--encoder={config.encoder}: "
        raise UsageError(f"{which}{error}{hint}") from error


def channels(config):
    """The number of channels of the images of a Config."""
    return config.channels or 3


def width(config):
    """The dimension D of the representations of a Config's encoder."""
    if config.encoder == "resnet":
        return encoders.width(config.resnet_depth, config.width_multiplier)
    return build_named(config, 0, "encoder").output_shape[-1]


def network(about):
    """The name of a network for messages, from its description."""
    if about.get("encoder", "resnet") != "resnet":
        return about["encoder"]
    return f"ResNet-{about['resnet_depth']} x{about['width_multiplier']:g}"


def describe(config, stem, size, **more):
    """The description of an encoder's weights for users and later runs, a JSON-serializable dict.

    Args:
        config: the `tfssl.Config` of the run.
        stem: the stem of the encoder.
        size: (height, width) of the training images.
        **more: further entries.
    """
    return {
        **{name: getattr(config, name) for name in ARCHITECTURE},
        "stem": stem,
        # names of existing directories of linear evaluations depend on these two sentences
        "input": f"float [B, height, width, {channels(config)}], "
        f"{'' if config.channels else 'RGB '}in [0, 1]; --input_normalization is a layer",
        "output": "float [B, D], the representation h",
        "image_size": list(size),
        "dataset": config.dataset,
        "train_split": config.train_split,
        "task": config.task,
        "seed": config.seed,
        **more,
    }


def plain_encoder(config, stem, encoder):
    """A copy of the encoder in float32, of Keras's own layers only."""
    plain = build_encoder(config, stem, keras.layers.BatchNormalization)
    plain.set_weights(encoder.get_weights())
    return plain
