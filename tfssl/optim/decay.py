"""Selects the variables that get weight decay and layer adaptation.

These are the kernels of convolution and dense layers, including subclasses. All others are
excluded: biases, scales and offsets of normalization layers, and variables of any other layer. The
selection uses the type of the layer, since the name of a Keras 3 variable does not say which layer
it belongs to.

Differs from google-research/simclr (tf2/model.py, 383d414): there, LARS follows this rule, except
that the supervised head is excluded too; with momentum and Adam, biases are decayed as well.
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
    """Returns the trainable variables of a layer that get weight decay and layer adaptation.

    Args:
        layer: a built `keras.Layer` or `keras.Model`, nested to any depth.

    Returns:
        list of variables, in the order of `layer.trainable_variables`.

    Raises:
        ValueError: if a convolution or dense layer in it is not built.

    Example:

    ```python
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((8,)), *layers])
    [variable.name for variable in tfssl.optim.decayed(model)]  # ['kernel']
    ```
    """
    kernels = _kernel_ids(layer)
    return [v for v in layer.trainable_variables if id(v) in kernels]


def excluded(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the trainable variables of a layer that `decayed` leaves out.

    Args:
        layer: a built `keras.Layer` or `keras.Model`, nested to any depth.

    Returns:
        list of variables, in the order of `layer.trainable_variables`.

    Raises:
        ValueError: as for `decayed`.

    Example:

    ```python
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((8,)), *layers])
    [variable.name for variable in tfssl.optim.excluded(model)]  # ['bias', 'gamma', 'beta']
    ```
    """
    kernels = _kernel_ids(layer)
    return [v for v in layer.trainable_variables if id(v) not in kernels]


def _kernel_ids(layer):
    # Only models have the public `layers`. The sublayers of a plain layer, such as the convolutions
    # of a residual block, are reached through `_flatten_layers`.
    found = [sub for sub in layer._flatten_layers() if isinstance(sub, KERNEL_LAYERS)]
    for sub in found:
        if not sub.built:
            raise ValueError(f"`layer` must be built. Received: {sub.name}.built=False")
    return {id(getattr(sub, name)) for sub in found for name in KERNELS if hasattr(sub, name)}
