"""Adapts any Keras encoder: input range, output shape, building, cloning."""

import re
import textwrap

import keras
import numpy as np
import tensorflow as tf

from tfssl import compat
from tfssl.encoders.resnets import INPUT_NORMALIZATIONS
from tfssl.layers.remat import Rematerialized

MOMENTS = tuple(zip(*INPUT_NORMALIZATIONS["imagenet"]))  # (mean, deviation) of each channel
# What 0 and 1 become; of "imagenet", in each channel.
RANGES = {
    "0,1": (0.0, 1.0),
    "0,255": (0.0, 255.0),
    "-1,1": (-1.0, 1.0),
    "imagenet": tuple(
        tuple((value - mean) / deviation for mean, deviation in MOMENTS) for value in (0.0, 1.0)
    ),
}
LARGEST_NORMALIZED = 20.0  # largest width of the range of normalized images


def resolve_input_range(input_range, encoder):
    """Returns the range of pixel values that an encoder expects, (low, high).

    "auto" reads the leading Rescaling and Normalization layers of a functional or sequential model.
    If they normalize values of 0 to 255, the encoder expects those; otherwise images in [0, 1].

    Args:
        input_range: "auto", "0,1", "0,255", "-1,1", "imagenet" (the means and deviations of its
            channels), or a pair of numbers, low below high; or of one number for each channel each.
        encoder: a `keras.Layer`.

    Raises:
        ValueError: `input_range` is none of these.
    """
    if input_range == "auto":
        return RANGES["0,255"] if expects_bytes(encoder) else RANGES["0,1"]
    if isinstance(input_range, str) and input_range in RANGES:
        return RANGES[input_range]
    if isinstance(input_range, (tuple, list)) and len(input_range) == 2:
        low, high = (tuple(np.ravel(side).astype(float).tolist()) for side in input_range)
        if len(low) == len(high) and all(map(float.__lt__, low, high)):
            return (low, high) if len(low) > 1 else (low[0], high[0])
    choices = ", ".join(map(repr, ("auto", *RANGES)))
    raise ValueError(
        f"`input_range` must be one of {choices}, or a pair (low, high), low below high, of two "
        "numbers or of as many for each channel. "
        f"Received: input_range={input_range!r}"
    )


def expects_bytes(encoder):
    """Whether the leading layers of an encoder normalize values of 0 to 255."""
    scale = leading_scale(encoder)
    return scale is not None and 255.0 * scale <= LARGEST_NORMALIZED


def leading_scale(encoder):
    """The factor of the leading Rescaling and Normalization layers; None if there are none."""
    found = None
    for layer in getattr(encoder, "layers", ()):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.layers.Rescaling):
            scale = np.mean(np.abs(layer.scale))
        elif isinstance(layer, keras.layers.Normalization):
            scale = normalization_scale(layer)
        else:
            inner = leading_scale(layer) if isinstance(layer, keras.Model) else None
            return found if inner is None else inner * (1.0 if found is None else found)
        found = scale if found is None else found * scale
    return found


def normalization_scale(layer):
    """The mean of 1 / standard deviation over the channels of a Normalization layer."""
    variance = layer.input_variance if layer.input_variance is not None else layer.variance
    deviation = np.sqrt(np.asarray(variance, np.float64))
    return float(np.mean(1.0 / np.maximum(deviation, 1e-12)))


def scaled(images, input_range):
    """Scales images to the input range of an encoder.

    Args:
        images: float [B, H, W, C] in [0, 1], uint8 in [0, 255] or uint16 in [0, 65535].
        input_range: (low, high), each a number or one for each channel; for (0, 1) float images are
            returned unchanged.
    """
    low, high = input_range
    most = {"uint8": 255.0, "uint16": 65535.0}.get(tf.as_dtype(images.dtype).name)
    images = images if most is None else tf.cast(images, tf.float32) / most
    if (low, high) == (0.0, 1.0):
        return images
    check_range(input_range, images.shape[-1])
    dtype = tf.as_dtype(images.dtype).as_numpy_dtype
    low, high = (np.asarray(side, dtype) for side in (low, high))
    return low + (high - low) * images


def check_range(input_range, channels):
    """Raises ValueError if a range is for another number of channels, which may be None."""
    wanted = np.size(input_range[0])
    if wanted > 1 and channels not in (None, wanted):
        raise ValueError(
            "`input_range` must have as many numbers on each side as the images have "
            f"channels, {channels}. Received: {wanted}"
        )


def pooled(features):
    """Averages feature maps [B, h, w, D] and tokens [B, n, D] over positions to [B, D]."""
    axes = list(range(1, features.shape.rank - 1))
    return tf.reduce_mean(features, axis=axes) if axes else features


def build(encoder, input_shape, name="encoder"):
    """Builds an encoder and returns the shape of its output.

    Args:
        encoder: a `keras.Layer`, built or not.
        input_shape: (batch, height, width, channels); unknown sides are None.
        name: name of the encoder in messages.

    Returns:
        The shape of the output, a tuple of 2, 3 or 4 entries; the last one is not None.

    Raises:
        ValueError: the encoder does not take images of this shape, or does not return a single
            tensor [B, D], [B, h, w, D] or [B, n, D].
    """
    check_input(encoder, input_shape, name)
    try:
        outputs = encoder(keras.KerasTensor(input_shape, dtype="float32"))
    except Exception as error:  # the code of the encoder is the user's
        raise ValueError(
            f"`{name}` could not be built for images {shape_text(input_shape)}: {first_line(error)}"
        ) from error
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) not in (2, 3, 4) or shape[-1] is None:
        got = shape_text(shape) if shape is not None else type(outputs).__name__
        raise ValueError(
            f"`{name}` must return one tensor [B, D], [B, h, w, D] or [B, n, D] with D known. "
            f"Received: {got}"
        )
    return tuple(shape)


def check_input(encoder, input_shape, name="encoder"):
    """Raises ValueError if an encoder with a fixed input shape does not take another shape."""
    expected = known_input_shape(encoder)
    if expected is None:
        return
    fits = len(expected) == len(input_shape) and all(
        theirs is None or ours is None or theirs == ours
        for theirs, ours in zip(expected[1:], input_shape[1:])
    )
    if not fits:
        raise ValueError(
            f"`{name}` takes images {shape_text(expected)}. "
            f"Received: images {shape_text(input_shape)}"
        )


def known_input_shape(encoder):
    """The input shape of a built functional or sequential model; None for any other layer."""
    if not getattr(encoder, "built", False):
        return None
    try:
        shape = encoder.input_shape
    except (AttributeError, ValueError):
        return None
    return tuple(shape) if isinstance(shape, (tuple, list)) and len(shape) == 4 else None


def shape_text(shape):
    """A shape as text: [?, 32, 32, 3]."""
    return "[" + ", ".join("?" if side is None else str(side) for side in shape) + "]"


def with_map(encoder, input_shape, layer=None):
    """A model that returns a feature map besides the output of an encoder.

    Args:
        encoder: a functional or sequential `keras.Model`.
        input_shape: (None, height, width, channels) of the images.
        layer: name of the layer whose output is the map; None: the last one whose height and width
            are larger than those of the last map.

    Returns:
        A pair: a `keras.Model`, images -> [map [B, h, w, C], output of the encoder]; and (h, w, C).

    Raises:
        ValueError: the encoder has no such map.
    """
    encoder, maps = maps_of(encoder)
    if layer is not None and layer not in maps:
        raise ValueError(
            f"`local_layer` must be a layer of the encoder that returns a feature map: one of "
            f"{', '.join(maps) or 'none'}. Received: {layer}"
        )
    shapes = map_shapes(encoder, maps, input_shape)
    if layer is None:
        last = list(shapes.values())[-1] if shapes else (0, 0, 0)
        larger = [name for name, shape in shapes.items() if shape[0] * shape[1] > last[0] * last[1]]
        if not larger:
            raise ValueError(
                "`encoder` must have feature maps of two resolutions or more, or `local_layer` "
                f"must name one. Received: maps {sorted(set(shapes.values()))}"
            )
        layer = larger[-1]
    outputs = [maps[layer], encoder.outputs[0]]
    return keras.Model(encoder.inputs[0], outputs), shapes[layer]


def with_last_map(encoder, input_shape):
    """A model that returns the last feature map besides the output of an encoder.

    Args:
        encoder: a functional or sequential `keras.Model`.
        input_shape: (None, height, width, channels) of the images.

    Returns:
        A pair: a `keras.Model`, images -> [map [B, h, w, C], output of the encoder]; and (h, w, C).

    Raises:
        ValueError: the encoder has no map of several positions whose sides divide those of the
            images.
    """
    encoder, maps = maps_of(encoder)
    shapes = map_shapes(encoder, maps, input_shape)
    several = [name for name, (rows, columns, _) in shapes.items() if rows * columns > 1]
    found = shapes[several[-1]] if several else None
    if not found or any(side % count for side, count in zip(input_shape[1:3], found)):
        raise ValueError(
            "`encoder` must end in a feature map whose sides divide those of the images, "
            f"{input_shape[1]}x{input_shape[2]}. Received: "
            f"{f'{found[0]}x{found[1]}' if found else 'none of several positions'}"
        )
    outputs = [maps[several[-1]], encoder.outputs[0]]
    return keras.Model(encoder.inputs[0], outputs), found


def maps_of(encoder):
    """The layers of an encoder that return feature maps.

    Returns:
        A pair: the encoder, with the layers of models within it in their place; and {name of a
        layer: its output}.

    Raises:
        ValueError: their outputs cannot be read.
    """
    check_readable(encoder)
    encoder = compat.flattened(encoder)
    outputs = compat.outputs_within(encoder)
    return encoder, {name: output for name, output in outputs.items() if len(output.shape) == 4}


def check_readable(encoder):
    """Raises ValueError unless the feature maps of an encoder can be read once it is built."""
    unbuilt = isinstance(encoder, keras.Sequential) and not encoder.built
    readable = compat.is_functional(encoder) and not isinstance(encoder, Rematerialized)
    if not (readable or unbuilt):
        raise ValueError(
            "`encoder` must be a functional or sequential keras.Model, whose feature maps can be "
            f"read. Received: {type(encoder).__name__}"
        )


def map_shapes(encoder, maps, input_shape):
    """{name of a layer: (h, w, C)} of feature maps, for images of a shape."""
    if not maps:
        return {}
    images = keras.KerasTensor(tuple(input_shape), dtype="float32")
    specs = keras.Model(encoder.inputs[0], list(maps.values()))(images)
    specs = specs if isinstance(specs, (list, tuple)) else [specs]
    return {name: tuple(spec.shape[1:]) for name, spec in zip(maps, specs, strict=True)}


def clone(encoder, argument="target_encoder"):
    """Makes a second encoder of the same architecture, with new initial weights.

    Args:
        encoder: a `keras.Layer` with `get_config()`.
        argument: name of the argument that takes a second encoder, for messages.

    Raises:
        ValueError: Keras cannot make the layer from its configuration.
    """
    try:
        if type(encoder).__name__ in ("Functional", "Sequential"):
            return keras.models.clone_model(encoder)
        return type(encoder).from_config(encoder.get_config())
    except Exception as error:  # get_config and constructors are the user's code
        raise ValueError(
            f"`encoder` ({type(encoder).__name__}) cannot be cloned: {why(error)}. Define "
            f"get_config(), give `{argument}`, or give a function that builds the encoder in its "
            "place."
        ) from None


def why(error):
    """Why Keras could not clone or serialize a layer."""
    if isinstance(error, NotImplementedError):
        return "it defines no get_config()"
    return first_line(error)


PREFACES = ("Exception encountered", "Could not automatically infer", "Error encountered")


def first_line(error):
    """The first informative line of an error, without the preface that Keras adds."""
    text = re.sub("\x1b[^m]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(PREFACES)] or lines
    return textwrap.shorten(lines[0], 200, placeholder=" ...") if lines else type(error).__name__
