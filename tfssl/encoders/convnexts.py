"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) for images of any size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras

from tfssl.layers.convnext import ConvNeXtBlock
from tfssl.layers.transformer import EPSILON, normal


class Size(NamedTuple):
    """Of a ConvNeXt: blocks and dimension of each stage."""

    depths: tuple[int, ...]
    dims: tuple[int, ...]


# tiny: section 2.7; the smaller ones: ConvNeXt V2 (Woo et al. 2023, arXiv:2301.00808), and timm's.
SIZES = {
    "atto": Size((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": Size((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": Size((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": Size((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": Size((3, 3, 9, 3), (96, 192, 384, 768)),
}
SEEDS_OF_A_LAYER = 10


def convnext(
    size: str = "atto",
    patch_size: int = 4,
    *,
    channels: int = 3,
    layer_scale: float | None = 1e-6,
    stochastic_depth: float = 0.0,
    depths: Sequence[int] | None = None,
    dims: Sequence[int] | None = None,
    remat: Callable | None = None,
    seed: int = 0,
    name: str = "convnext",
) -> keras.Model:
    """Builds a ConvNeXt for images of any size.

    The side of the map is that of the image over `patch_size`, and halves from stage to stage.
    Parameters and representations are those of timm's `convnext_atto` to `convnext_tiny` with equal
    weights, for images whose sides the network halves to whole numbers.

    Args:
        size: "atto" (3.4 million parameters), "femto" (4.8), "pico" (8.5), "nano" (15.0) or "tiny"
            (27.8).
        patch_size: side of the patches of the first layer in pixels: 4; 1 or 2 for images of 32 px.
        channels: number of channels of the images.
        layer_scale: see `tfssl.layers.ConvNeXtBlock`.
        stochastic_depth: likewise; the probability grows from 0 in the first block to this in the
            last.
        depths, dims: blocks and dimensions of the stages, in place of those of `size`.
        remat: see `tfssl.encoders.vit`.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, H, W, channels] -> float [B, D], D the last dimension.

    Raises:
        ValueError: an unknown size, or a number out of range.

    Example:

    ```python
    encoder = tfssl.encoders.convnext("atto", patch_size=2, depths=(1, 1), dims=(8, 16))
    encoder(tf.zeros((2, 32, 40, 3))).shape  # (2, 16)
    ```
    """
    if size not in SIZES:
        raise ValueError(f"`size` must be one of {tuple(SIZES)}. Received: size={size!r}")
    depths = tuple(depths or SIZES[size].depths)
    dims = tuple(dims or SIZES[size].dims)
    check(patch_size, channels, stochastic_depth, depths, dims)
    images = keras.Input((None, None, channels), name="images")
    x = patches(dims[0], patch_size, seed, "stem")(images)
    x = norm("stem_norm")(x)
    ends, number, count = [x], 0, sum(depths)
    for stage, (depth, dim) in enumerate(zip(depths, dims), start=1):
        if stage > 1:
            x = norm(f"downsample{stage}_norm")(x)
            x = patches(dim, 2, seed + stage, f"downsample{stage}")(x)
        for block in range(1, depth + 1):
            x = ConvNeXtBlock(
                layer_scale=layer_scale,
                stochastic_depth=stochastic_depth * number / max(1, count - 1),
                seed=seed + SEEDS_OF_A_LAYER * (number + 1),
                name=f"stage{stage}_block{block}",
            )(x)
            number += 1
            ends.append(x)
    h = norm("norm")(keras.layers.GlobalAveragePooling2D(name="mean")(x))
    return remat(images, h, ends, name=name) if remat else keras.Model(images, h, name=name)


def check(patch_size, channels, stochastic_depth, depths, dims):
    """Raises ValueError for numbers out of range."""
    named = {"patch_size": (patch_size,), "channels": (channels,), "depths": depths, "dims": dims}
    for what, values in named.items():
        if not all(isinstance(value, int) and value >= 1 for value in values):
            received = values[0] if what in ("patch_size", "channels") else values
            raise ValueError(f"`{what}` must be of integers of at least 1. Received: {received!r}")
    if len(depths) != len(dims):
        raise ValueError(
            f"`depths` and `dims` must be of equal lengths. Received: {depths} and {dims}"
        )
    if not 0 <= stochastic_depth < 1:
        raise ValueError(
            f"`stochastic_depth` must be in [0, 1). Received: stochastic_depth={stochastic_depth}"
        )


def patches(dim, side, seed, name):
    """A convolution of squares that do not overlap."""
    return keras.layers.Conv2D(
        dim, side, side, padding="same", kernel_initializer=normal(seed), name=name
    )


def norm(name):
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)
