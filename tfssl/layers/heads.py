"""Heads: the projectors of SimCLR and BYOL, BYOL's predictor, the linear classifier."""

from collections.abc import Callable

import keras

MODES = ("none", "linear", "nonlinear")


def projector(
    in_dim: int,
    *,
    mode: str = "nonlinear",
    out_dim: int = 128,
    hidden_dim: int | None = None,
    num_layers: int = 3,
    bn_momentum: float = 0.9,
    normalization: Callable[..., keras.Layer] | None = keras.layers.BatchNormalization,
    seed: int = 0,
    name: str = "projector",
) -> keras.Model:
    """SimCLR's projection head g: h -> z (Chen et al. 2020, section 2.1; SimCLRv2, section 2.1).

    As google-research/simclr tf2 builds it: dense layers without bias, each followed by batch
    normalization; all but the last have `hidden_dim` units and end in ReLU, the last has `out_dim`
    units, no ReLU, and no offset in its normalization. Kernels start as N(0, 0.01).

    Without normalization and with two layers it is the paper's own, z = W2 ReLU(W1 h); kernels then
    start with variance 1 / fan-in, as nothing else sets the scale of z.

    Args:
        in_dim: dimension D of the representation.
        mode: "none" (z = h), "linear" (one dense layer) or "nonlinear" (`num_layers` of them).
        out_dim: dimension of z.
        hidden_dim: units of the other layers; None: in_dim, as in the reference.
        num_layers: layers of the nonlinear head, 1 or more.
        normalization: class of the normalization layers; None: none.

    Returns:
        A functional `keras.Model`: float [B, D] -> float [B, out_dim], or [B, D] for "none".

    Raises:
        ValueError: an unknown mode or fewer than one layer.
    """
    layers = depth(mode, num_layers)
    inputs = x = keras.Input((in_dim,), name="representation")
    for index in range(layers):
        last = index == layers - 1
        kernel = (normal if normalization else by_fan_in)(seed + index)
        x = keras.layers.Dense(
            out_dim if last else hidden_dim or in_dim, use_bias=False, kernel_initializer=kernel
        )(x)
        if normalization:
            x = normalization(momentum=bn_momentum, epsilon=1e-5, center=not last)(x)
        x = x if last else keras.layers.ReLU()(x)
    return keras.Model(inputs, x, name=name)


def byol_head(
    in_dim: int,
    *,
    mode: str = "nonlinear",
    out_dim: int = 256,
    hidden_dim: int | None = 4096,
    num_layers: int = 2,
    bn_momentum: float = 0.9,
    normalization: Callable[..., keras.Layer] | None = keras.layers.BatchNormalization,
    seed: int = 0,
    name: str = "projector",
) -> keras.Model:
    """BYOL's projector g: h -> z, and of the same form its predictor q: z -> p.

    Grill et al. 2020, section 3.3: a linear layer, batch normalization, ReLU, and a final linear
    layer that is not batch-normalized. As in deepmind-research byol/utils/networks.py (f5de0ed),
    hidden layers have a bias and the last has none; kernels start with variance 1 / fan-in.

    Args:
        in_dim: dimension of the input.
        mode: "none" (the input itself), "linear" (the final layer alone) or "nonlinear".
        out_dim: dimension of the output.
        hidden_dim: units of the hidden layers; None: in_dim.
        num_layers: layers of the nonlinear head, the last included; 1 or more.
        normalization: class of the normalization layers; None: none.

    Returns:
        A functional `keras.Model`: float [B, in_dim] -> float [B, out_dim], or the input for
        "none".

    Raises:
        ValueError: an unknown mode or fewer than one layer.
    """
    layers = depth(mode, num_layers)
    inputs = x = keras.Input((in_dim,), name="input")
    for index in range(layers):
        last = index == layers - 1
        x = keras.layers.Dense(
            out_dim if last else hidden_dim or in_dim,
            use_bias=not last,
            kernel_initializer=by_fan_in(seed + index),
        )(x)
        if not last and normalization:
            x = normalization(momentum=bn_momentum, epsilon=1e-5)(x)
        x = x if last else keras.layers.ReLU()(x)
    return keras.Model(inputs, x, name=name)


def depth(mode, num_layers):
    """Layers of a head."""
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more. Received: num_layers={num_layers}")
    return {"none": 0, "linear": 1, "nonlinear": num_layers}[mode]


def first_layers(head: keras.Model, count: int) -> keras.Model:
    """The first layers of a projector, each with its normalization and ReLU, as a model.

    What SimCLRv2 finetunes from: Chen et al. 2020, arXiv:2006.10029, section 2.2.

    Args:
        head: what `projector` or `byol_head` returned; its layers are shared, not copied.
        count: how many, 1 or more; -1: all.

    Raises:
        ValueError: the head has fewer.
    """
    starts = [i for i, layer in enumerate(head.layers) if isinstance(layer, keras.layers.Dense)]
    if count == 0 or count > len(starts):
        raise ValueError(f"`count` must be from 1 to {len(starts)}, or -1. Received: count={count}")
    last = head.layers[starts[count] - 1] if 0 < count < len(starts) else head.layers[-1]
    return keras.Model(head.input, last.output, name=head.name)


def classifier(
    in_dim: int, num_classes: int, *, zeros: bool = False, seed: int = 0, name: str = "probe"
) -> keras.Model:
    """A linear classifier: float [B, D] -> float32 logits [B, C]; its kernel N(0, 0.01), or 0."""
    inputs = keras.Input((in_dim,), name="representation")
    logits = keras.layers.Dense(
        num_classes, dtype="float32", kernel_initializer="zeros" if zeros else normal(seed)
    )
    return keras.Model(inputs, logits(inputs), name=name)


def build_head(head: keras.Layer, in_dim: int, name: str) -> int:
    """Builds a head of any kind for inputs [B, in_dim], and returns the dimension of its output.

    Args:
        head: a `keras.Layer`.
        in_dim: dimension of the input.
        name: of the argument that it came by, for messages.

    Raises:
        ValueError: it is no layer, or does not map [B, in_dim] to [B, P].
    """
    if not isinstance(head, keras.Layer):
        raise ValueError(f"`{name}` must be a keras.Layer. Received: {head!r}")
    try:
        shape = head(keras.KerasTensor((None, in_dim), dtype="float32")).shape
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must take features [B, {in_dim}]: {error}") from error
    if len(shape) != 2 or shape[-1] is None:
        raise ValueError(f"`{name}` must return [B, P] with P known. Received: {shape}")
    return shape[-1]


def by_fan_in(seed):
    return keras.initializers.VarianceScaling(seed=seed)


def normal(seed):
    return keras.initializers.RandomNormal(stddev=0.01, seed=seed)
