"""Vision Transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) for images of any size."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from tfssl.layers.transformer import EPSILON, Tokens, TransformerBlock


class Size(NamedTuple):
    """Of a Vision Transformer: Touvron et al. 2021 (DeiT, arXiv:2012.12877), Table 1."""

    dim: int
    depth: int
    heads: int


SIZES = {"tiny": Size(192, 12, 3), "small": Size(384, 12, 6), "base": Size(768, 12, 12)}
POOLS = ("token", "mean")
USUAL_GRID = 14  # patches along a side: 16 px of 224
SEEDS_OF_A_BLOCK = 10


def vit(
    size: str = "tiny",
    patch_size: int = 16,
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int = 3,
    pool: str = "token",
    class_token: bool | None = None,
    positions: str = "sincos",
    registers: int = 0,
    layer_scale: float | None = None,
    stochastic_depth: float = 0.0,
    train_patches: bool = True,
    dim: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    remat: Callable | None = None,
    seed: int = 0,
    name: str = "vit",
) -> keras.Model:
    """Builds a Vision Transformer for images of any size.

    The sides are padded with black to multiples of the patch. Parameters and representations are
    those of timm's `vit_tiny_patch16_224` and others with equal weights (positions="learned").

    Args:
        size: "tiny" (192 dimensions, 12 blocks, 3 heads), "small" (384, 12, 6) or "base" (768, 12,
            12).
        patch_size: side of the patches in pixels: 16 for images of 224 px, 4 for 32 px.
        image_size: side, or (height, width), of the images for which the grid of the positions is
            made; on others it is stretched. None: 14 patches along each side.
        channels: number of channels of the images.
        pool: the representation: "token", the class token; or "mean", of the patches.
        class_token: whether there is one; None: with pool="token" alone.
        positions: "sincos" or "learned"; see `tfssl.layers.Tokens`.
        registers: number of register tokens.
        layer_scale, stochastic_depth: see `tfssl.layers.TransformerBlock`; the probability grows
            from 0 in the first block to this in the last.
        train_patches: False leaves the projection of the patches at its random weights, which makes
            MoCo v3 stable (Chen et al. 2021, arXiv:2104.02057, section 4.2).
        dim, depth, heads: in place of those of `size`.
        remat: class of the model, called with (inputs, outputs, ends), that recomputes blocks for
            the gradient, such as `tfssl.layers.Rematerialized`; None: `keras.Model`.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, H, W, channels] -> float [B, D].

    Raises:
        ValueError: an unknown size, pool or kind of positions, or a number out of range.

    Example:

    ```python
    encoder = tfssl.encoders.vit("tiny", patch_size=4, depth=2)
    encoder(tf.zeros((2, 32, 40, 3))).shape  # (2, 192)
    ```
    """
    check(size, pool, patch_size=patch_size, channels=channels, dim=dim, depth=depth, heads=heads)
    usual = SIZES[size]
    dim, depth, heads = dim or usual.dim, depth or usual.depth, heads or usual.heads
    if dim % heads:
        raise ValueError(f"`heads` must divide `dim`, {dim}. Received: {heads}")
    if pool == "token" and class_token is False:
        raise ValueError("`pool`='token' needs a class token. Received: class_token=False")
    if not 0 <= stochastic_depth < 1:
        raise ValueError(
            f"`stochastic_depth` must be in [0, 1). Received: stochastic_depth={stochastic_depth}"
        )
    images = keras.Input((None, None, channels), name="images")
    patches = keras.layers.Conv2D(
        dim,
        patch_size,
        patch_size,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        trainable=train_patches,
        name="patches",
    )(images)
    tokens = Tokens(
        grid_of(image_size, patch_size),
        class_token=pool == "token" if class_token is None else class_token,
        registers=registers,
        positions=positions,
        seed=seed,
        name="tokens",
    )
    x = tokens(patches)
    ends = [x]
    for number in range(depth):
        x = TransformerBlock(
            heads,
            layer_scale=layer_scale,
            stochastic_depth=stochastic_depth * number / max(1, depth - 1),
            seed=seed + SEEDS_OF_A_BLOCK * (number + 1),
            name=f"block{number + 1}",
        )(x)
        ends.append(x)
    norm = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")
    if pool == "token":
        h = norm(x)[:, 0]
    else:  # normalized after the mean, as in MAE's finetuning
        h = norm(keras.layers.GlobalAveragePooling1D(name="mean")(x[:, tokens.first :]))
    return remat(images, h, ends, name=name) if remat else keras.Model(images, h, name=name)


def check(size, pool, **counts):
    """Raises ValueError for unknown names, and for counts that are given and no positive number."""
    for what, value, choices in (("size", size, tuple(SIZES)), ("pool", pool, POOLS)):
        if value not in choices:
            raise ValueError(f"`{what}` must be one of {choices}. Received: {what}={value!r}")
    for what, value in counts.items():
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"`{what}` must be an integer of at least 1. Received: {value!r}")


def grid_of(image_size, patch_size):
    """The rows and columns of the patches of an image; a patch at its edge may be cut."""
    if image_size is None:
        return USUAL_GRID, USUAL_GRID
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    return tuple(-(-side // patch_size) for side in sides)
