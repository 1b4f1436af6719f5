"""The networks that a Config describes, and what is written beside their weights."""

import os

import keras

from tfssl import encoders, registry
from tfssl.config import ARCHITECTURE, sides, value_range
from tfssl.encoders import adapt, named
from tfssl.errors import UsageError


def build_encoder(config, stem, normalization, seed=0, name="encoder", **classes):
    """The encoder that a Config describes; further classes as `encoders.resnet` takes them.

    Returns:
        A functional `keras.Model`: float [B, H, W, 3] in [0, 1] -> h [B, D].
    """
    if config.encoder != "resnet":
        return build_named(config, seed, name)
    return encoders.resnet(
        config.resnet_depth,
        stem=stem,
        width_multiplier=config.width_multiplier,
        sk_ratio=config.sk_ratio,
        se_ratio=config.se_ratio,
        bn_momentum=config.batch_norm_decay,
        input_normalization=config.input_normalization,
        normalization=normalization,
        seed=seed,
        name=name,
        **{"convolution": keras.layers.Conv2D, **classes},
    )


def build_named(config, seed, name):
    """Another encoder than ours, between the scaling that it needs and the mean over places.

    Raises:
        UsageError: there is no such encoder, it takes no such images, or it is of code that this
            command did not name.
    """
    path, colon, _ = config.encoder.partition("(")[0].rpartition(":")
    if path.endswith(".py") and os.path.realpath(path) not in registry.PERMITTED:
        raise UsageError(
            f"The encoder {config.encoder} is code, which is run where it is asked for alone: give "
            f"--encoder={config.encoder} again."
        )
    size = sides(config.encoder_size) if config.encoder_size else (None, None)
    try:
        encoder = named.make(config.encoder, (*size, 3), seed)
        wanted = config.input_range
        wanted = wanted if wanted == "auto" else value_range(wanted)
        low, high = adapt.resolve_input_range(wanted, encoder)
        shape = adapt.known_input_shape(encoder) or (None, *size, 3)
        outputs = inputs = keras.Input(shape[1:], name="images")
        if (low, high) != (0.0, 1.0):
            outputs = keras.layers.Rescaling(high - low, low, dtype="float32")(outputs)
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


def width(config):
    """The dimension D of the representations of the encoder that a Config describes."""
    if config.encoder == "resnet":
        return encoders.width(config.resnet_depth, config.width_multiplier)
    return build_named(config, 0, "encoder").output_shape[-1]


def network(about):
    """What a network is, in words, by what is written beside its weights."""
    if about.get("encoder", "resnet") != "resnet":
        return about["encoder"]
    return f"ResNet-{about['resnet_depth']} x{about['width_multiplier']:g}"


def describe(config, stem, size, **more):
    """What a user, or a later run, has to know about an encoder's weights, as JSON can hold it.

    Args:
        stem: the stem that was built.
        size: (height, width) of the images that it learned from.
        **more: where they come from.
    """
    return {
        **{name: getattr(config, name) for name in ARCHITECTURE},
        "stem": stem,
        "input": "float [B, height, width, 3], RGB in [0, 1]; --input_normalization is a layer",
        "output": "float [B, D], the representation h",
        "image_size": list(size),
        "dataset": config.dataset,
        "train_split": config.train_split,
        "task": config.task,
        "seed": config.seed,
        **more,
    }


def plain_encoder(config, stem, encoder):
    """The same encoder in float32, of Keras's own layers alone."""
    plain = build_encoder(config, stem, keras.layers.BatchNormalization)
    plain.set_weights(encoder.get_weights())
    return plain
