"""Freezing a part of any encoder: its layers up to where the feature map has become so small."""

import math

import keras

SIDE = 64  # pixels of the images by which maps are measured


def freeze_to(encoder, halvings):
    """Stops the layers from learning whose maps are not smaller than the image by more halvings.

    Args:
        encoder: a built functional or sequential `keras.Model`, or one around such a model.
        halvings: 1: all layers up to the last one whose map has half of the image's side or more;
            2: a quarter; and so on.

    Returns:
        The number of layers that were frozen.

    Raises:
        ValueError: the encoder does not tell its layers, or its map never becomes so small.
    """
    model = inner(encoder)
    levels = [] if model is None else levels_of(model)
    before = [
        place for place, level in enumerate(levels) if level is not None and level <= halvings
    ]
    if not before or max(filter(None, levels), default=0) <= halvings:
        raise ValueError(
            f"`encoder` must be a functional model whose map becomes smaller than 1/{2**halvings} "
            "of the image"
        )
    for layer in model.layers[: before[-1] + 1]:
        layer.trainable = False
    return before[-1] + 1


def inner(encoder):
    """The functional or sequential model with the most layers in an encoder; None without one."""
    models = [
        layer
        for layer in encoder._flatten_layers()
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None)
    ]
    return max(models, key=lambda model: len(model.layers), default=None)


def levels_of(model):
    """How often each layer's map has been halved; None for a layer that returns no map."""
    channels = model.inputs[0].shape[-1]
    outputs = [layer.output for layer in model.layers]
    shapes = keras.Model(model.inputs, outputs).compute_output_shape((1, SIDE, SIDE, channels))
    return [
        round(math.log2(SIDE / shape[1])) if len(shape) == 4 and shape[1] else None
        for shape in shapes
    ]
