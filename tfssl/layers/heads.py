"""Heads: projectors, predictors, prototypes, linear classifier."""

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

    As in google-research/simclr tf2: dense layers without bias, each followed by batch
    normalization. All but the last have `hidden_dim` units and ReLU; the last has `out_dim` units,
    no ReLU, and no offset in its normalization. Kernels are initialized from N(0, 0.01).

    With two layers and without normalization it is the head of the paper, z = W2 ReLU(W1 h). Its
    kernels are initialized with variance 1 / fan-in, as nothing else sets the scale of z.

    Args:
        in_dim: dimension D of the representation.
        mode: "none" (z = h), "linear" (one dense layer) or "nonlinear" (`num_layers` layers).
        out_dim: dimension of z.
        hidden_dim: units of the other layers; None: `in_dim`, as in the reference.
        num_layers: number of layers of the nonlinear head, 1 or more.
        bn_momentum: momentum of the moving averages of batch normalization.
        normalization: class of the normalization layers; None for none.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, D] -> float [B, out_dim], or [B, D] for "none".

    Raises:
        ValueError: an unknown mode or fewer than one layer.

    Example:

    ```python
    head = tfssl.layers.projector(512, out_dim=128)
    head.output_shape  # (None, 128)
    model = tfssl.SimCLR(keras.layers.GlobalAveragePooling2D(), tfssl.layers.projector(3))
    ```
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
    return model(inputs, x, name)


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
    """BYOL's projector g: h -> z, or its predictor q: z -> p, which has the same form.

    Grill et al. 2020, section 3.3: a linear layer, batch normalization, ReLU, and a final linear
    layer without batch normalization. As in deepmind-research byol/utils/networks.py (f5de0ed),
    hidden layers have a bias and the last has none; kernels are initialized with variance
    1 / fan-in.

    Args:
        in_dim: dimension of the input.
        mode: "none" (the input itself), "linear" (the final layer only) or "nonlinear".
        out_dim: dimension of the output.
        hidden_dim: units of the hidden layers; None: `in_dim`.
        num_layers: number of layers of the nonlinear head, 1 or more.
        bn_momentum: momentum of the moving averages of batch normalization.
        normalization: class of the normalization layers; None for none.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, in_dim] -> float [B, out_dim], or the input for
        "none".

    Raises:
        ValueError: an unknown mode or fewer than one layer.

    Example:

    ```python
    projector = tfssl.layers.byol_head(512, hidden_dim=64, out_dim=32)
    predictor = tfssl.layers.byol_head(32, hidden_dim=64, out_dim=32, name="predictor")
    predictor(projector(tf.zeros((2, 512)))).shape  # (2, 32)
    ```
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
    return model(inputs, x, name)


def mlp(
    in_dim: int,
    *,
    mode: str = "nonlinear",
    out_dim: int = 2048,
    hidden_dim: int | None = 2048,
    num_layers: int = 2,
    activation: str = "relu",
    bn_momentum: float = 0.9,
    normalization: Callable[..., keras.Layer] | None = keras.layers.BatchNormalization,
    normalize_output: bool = False,
    seed: int = 0,
    name: str = "projector",
) -> keras.Model:
    """A multi-layer perceptron, the projector or predictor of most methods after BYOL.

    Hidden layers are dense layers with batch normalization and an activation. The last layer is
    linear (Barlow Twins, VICReg, SwAV), or followed by batch normalization without scale and offset
    (SimSiam's and MoCo v3's projectors). Kernels are initialized with variance 1 / fan-in.

    Args:
        in_dim: dimension of the input.
        mode: "none" (the input itself), "linear" (the last layer only) or "nonlinear".
        out_dim: dimension of the output.
        hidden_dim: units of the hidden layers; None: `in_dim`.
        num_layers: number of layers of the nonlinear head, 1 or more.
        activation: name of a Keras activation, for the hidden layers.
        bn_momentum: momentum of the moving averages of batch normalization.
        normalization: class of the normalization layers; None for none.
        normalize_output: whether the last layer has a normalization too.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, in_dim] -> float [B, out_dim], or the input for
        "none".

    Raises:
        ValueError: an unknown mode or fewer than one layer.

    Example:

    ```python
    projector = tfssl.layers.mlp(512, hidden_dim=64, out_dim=32, num_layers=3)
    projector(tf.zeros((2, 512))).shape  # (2, 32)
    ```
    """
    layers = depth(mode, num_layers)
    inputs = x = keras.Input((in_dim,), name="input")
    for index in range(layers):
        last = index == layers - 1
        normalized = normalization and (normalize_output or not last)
        x = keras.layers.Dense(
            out_dim if last else hidden_dim or in_dim,
            use_bias=not normalized,
            kernel_initializer=by_fan_in(seed + index),
        )(x)
        if normalized:
            affine = dict(center=not last, scale=not last)
            x = normalization(momentum=bn_momentum, epsilon=1e-5, **affine)(x)
        x = x if last else keras.layers.Activation(activation)(x)
    return model(inputs, x, name)


def prototypes(
    in_dim: int, count: int, *, seed: int = 0, name: str = "prototypes"
) -> keras.layers.Dense:
    """The scores of unit vectors for unit vectors: the prototypes of SwAV and DINO's last layer.

    A dense layer without bias whose columns have length 1 from the start and after each step of an
    optimizer (Caron et al. 2020, arXiv:2006.09882, section 3.1).

    Args:
        in_dim: dimension of the input.
        count: number of prototypes.
        seed: integer; equal seeds give equal initial weights.
        name: name of the layer.

    Returns:
        A built `keras.layers.Dense`: float [B, in_dim] -> float [B, count].

    Example:

    ```python
    scores = tfssl.layers.prototypes(8, count=32)
    bool(tf.reduce_all(abs(scores(tf.math.l2_normalize(tf.ones((2, 8)), axis=1))) <= 1.001))  # True
    ```
    """
    layer = keras.layers.Dense(
        count,
        use_bias=False,
        kernel_initializer=by_fan_in(seed),
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        name=name,
    )
    layer.build((None, in_dim))
    layer.kernel.assign(layer.kernel_constraint(layer.kernel))
    return layer


def model(inputs, outputs, name):
    """A functional model; Keras before 3.14 has none whose inputs are its outputs."""
    if outputs is inputs:
        outputs = keras.layers.Identity()(outputs)
    return keras.Model(inputs, outputs, name=name)


def depth(mode, num_layers):
    """Number of dense layers of a head."""
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more. Received: num_layers={num_layers}")
    return {"none": 0, "linear": 1, "nonlinear": num_layers}[mode]


def first_layers(head: keras.Model, count: int) -> keras.Model:
    """Returns the first layers of a projector, each with its normalization and ReLU, as a model.

    SimCLRv2 finetunes from a middle layer of the projector: Chen et al. 2020, arXiv:2006.10029,
    section 2.2.

    Args:
        head: the result of `projector` or `byol_head`; its layers are shared, not copied.
        count: number of layers, 1 or more; -1: all.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: the head has fewer layers.

    Example:

    ```python
    head = tfssl.layers.projector(512, hidden_dim=64, out_dim=128, num_layers=3)
    tfssl.layers.first_layers(head, 1).output_shape  # (None, 64)
    ```
    """
    starts = [i for i, layer in enumerate(head.layers) if isinstance(layer, keras.layers.Dense)]
    if count == 0 or count > len(starts):
        raise ValueError(f"`count` must be from 1 to {len(starts)}, or -1. Received: count={count}")
    last = head.layers[starts[count] - 1] if 0 < count < len(starts) else head.layers[-1]
    return keras.Model(head.input, last.output, name=head.name)


def classifier(
    in_dim: int, num_classes: int, *, zeros: bool = False, seed: int = 0, name: str = "probe"
) -> keras.Model:
    """A linear classifier: float [B, D] -> float32 logits [B, C].

    Args:
        in_dim: dimension D of the representation.
        num_classes: number of classes C.
        zeros: whether the kernel starts at zero; otherwise it is drawn from N(0, 0.01).
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`.

    Example:

    ```python
    tfssl.layers.classifier(512, num_classes=10).count_params()  # 5130
    ```
    """
    inputs = keras.Input((in_dim,), name="representation")
    logits = keras.layers.Dense(
        num_classes, dtype="float32", kernel_initializer="zeros" if zeros else normal(seed)
    )
    return keras.Model(inputs, logits(inputs), name=name)


def build_head(head: keras.Layer, in_dim: int, name: str) -> int:
    """Builds a head for inputs [B, in_dim] and returns the dimension of its output.

    Args:
        head: a `keras.Layer`.
        in_dim: dimension of the input.
        name: name of the argument that holds the head, for messages.

    Returns:
        integer P.

    Raises:
        ValueError: `head` is not a layer, or does not map [B, in_dim] to [B, P].

    Example:

    ```python
    head = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(16)])
    tfssl.layers.build_head(head, in_dim=512, name="projector")  # 16
    ```
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
