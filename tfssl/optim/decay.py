"""The one rule that says which variables are weight-decayed and layer-adapted.

The kernels of convolutions and dense layers are; everything else is not: biases, scales and
offsets of normalisation layers, and variables that a layer of any other type made. The rule goes
by the type of the layer, since Keras 3 names every kernel `kernel` and every bias `bias`, and says
in no variable's name whose it is. A subclass of a convolution or dense layer is one.

Differs from google-research/simclr (tf2/model.py, 383d414): there, LARS follows this rule, save
that the supervised head is left out as well; but with momentum and Adam, biases are decayed too.
"""

import keras

KERNEL_LAYERS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def decayed(layer: keras.Layer) -> list[keras.Variable]:
    """Trainable variables of a layer or model that take weight decay and layer adaptation.

    Args:
        layer: a built `keras.Layer` or `keras.Model`, nested to any depth.

    Returns:
        list of variables, in the order of `layer.trainable_variables`.

    Raises:
        ValueError: if a convolution or dense layer in it is not built.
    """
    kernels = _kernel_ids(layer)
    return [v for v in layer.trainable_variables if id(v) in kernels]


def excluded(layer: keras.Layer) -> list[keras.Variable]:
    """Trainable variables of a layer or model that `decayed` leaves out.

    Takes the argument of `decayed`, raises what it raises, and keeps the same order.
    """
    kernels = _kernel_ids(layer)
    return [v for v in layer.trainable_variables if id(v) not in kernels]


def _kernel_ids(layer):
    # Only models have the public `layers`; a plain layer's own sublayers (a residual block's
    # convolutions, say) can be reached through `_flatten_layers` alone.
    found = [sub for sub in layer._flatten_layers() if isinstance(sub, KERNEL_LAYERS)]
    for sub in found:
        if not sub.built:
            raise ValueError(f"`layer` must be built. Received: {sub.name}.built=False")
    return {id(getattr(sub, name)) for sub in found for name in KERNELS if hasattr(sub, name)}
