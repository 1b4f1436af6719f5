"""Freezes the first layers of any encoder, selected by the size of their feature maps."""

import math

import keras

SIDE = 64  # pixels of the images for which the sizes of feature maps are computed


def freeze_to(encoder, halvings):
    """Freezes the layers before the feature map has been halved more than `halvings` times.

    Args:
        encoder: a built functional or sequential `keras.Model`, or a model that contains one.
        halvings: 1: all layers up to the last one whose feature map has at least half of the side
            of the image; 2: a quarter; and so on.

    Returns:
        The number of frozen layers.

    Raises:
        ValueError: the encoder is not a functional model, or its feature map never gets smaller.
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
    """The functional or sequential model with the most layers in an encoder, or None."""
    models = [
        layer
        for layer in encoder._flatten_layers()
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None)
    ]
    return max(models, key=lambda model: len(model.layers), default=None)


def levels_of(model):
    """How often the feature map of each layer was halved; None for layers without one."""
    channels = model.inputs[0].shape[-1]
    outputs = [layer.output for layer in model.layers]
    shapes = keras.Model(model.inputs, outputs).compute_output_shape((1, SIDE, SIDE, channels))
    return [
        round(math.log2(SIDE / shape[1])) if len(shape) == 4 and shape[1] else None
        for shape in shapes
    ]
