"""Reads the weights of Vision Transformers and ConvNeXts by the names that timm gives them."""

import math
import os
import zipfile
from collections.abc import Mapping

import keras
import numpy as np

from tfssl.encoders import named
from tfssl.encoders.convnexts import convnext
from tfssl.encoders.vits import vit
from tfssl.layers.convnext import ConvNeXtBlock
from tfssl.layers.transformer import Tokens, TransformerBlock

PATCHES, STEM = "patch_embed.proj.weight", "stem.0.weight"
EXPECTED = "`weights` must be those of a Vision Transformer or a ConvNeXt of timm."
IN_HEAD = 64  # dimensions of a head in all sizes of the papers
# How the names of weights begin that change the representation: none of them may be left over.
BODY = ("patch_embed.", "pos_embed", "blocks.", "norm", "fc_norm", "stem.", "stages.")


def from_timm(
    weights: Mapping[str, np.ndarray] | str | os.PathLike[str],
    *,
    heads: int | None = None,
    stochastic_depth: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Makes a Vision Transformer, or a ConvNeXt, of the weights of one of timm, DINO or MAE.

    Given the same images, normalized as its training wants them, its representations are those of
    timm's `forward` without a classifier (num_classes=0), to rounding.

    Args:
        weights: {name: array} by the names of timm's `state_dict`; or a `.safetensors` file of
            them, as timm's models on the Hugging Face hub are (needs the safetensors package), or
            an `.npz`. Heads, decoders and the like are left out.
        heads: number of heads, which the weights do not tell; None: one for 64 dimensions, as in
            all sizes of the papers.
        stochastic_depth: as for `tfssl.encoders.vit`, for training on.
        name: name of the model; None: "vit" or "convnext".

    Returns:
        As `tfssl.encoders.vit` or `tfssl.encoders.convnext`.

    Raises:
        ValueError: these are not the weights of such a network.

    Example:

    ```python
    try:
        tfssl.encoders.from_timm("vit_small.pth")
    except ValueError as error:
        str(error)  # '`weights` must be a .safetensors or .npz file. Received: vit_small.pth'
    ```
    """
    weights = Noted(plain(weights))
    try:
        family, options = described(weights, heads)
        build, fill = FAMILIES[family]
        model = build(**options, stochastic_depth=stochastic_depth, name=name or family)
        fill(model, weights)
    except KeyError as error:
        raise ValueError(f"{EXPECTED} Missing: {error.args[0]}") from None
    more = [name for name in weights if name.startswith(BODY) and name not in weights.read]
    if more:
        raise ValueError(f"{EXPECTED} Received: {more[0]}, which these do not have")
    return model


class Noted(dict):
    """A dict that notes the keys of the values that were read."""

    def __init__(self, values):
        super().__init__(values)
        self.read = set()

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)


def plain(weights):
    """The weights, or those in a file, by their names without a common prefix."""
    weights = weights if isinstance(weights, Mapping) else read(weights)
    is_convnext = any(weight.endswith(STEM) for weight in weights)
    return without_prefix(weights, STEM if is_convnext else PATCHES)


def described(weights, heads=None):
    """The network in which weights fit.

    Args:
        weights: result of `plain`.
        heads: as for `from_timm`.

    Returns:
        A pair: "vit" or "convnext"; and the arguments of `vit` or `convnext`, a dict.

    Raises:
        KeyError: the name of a weight that is missing.
        ValueError: their positions are those of no square.
    """
    return of_convnext(weights) if STEM in weights else of_vit(weights, heads)


def name_of(family, options):
    """The name by which `encoders.named.make` makes a network: "vit_base(dim=1024, ...)"."""
    sizes = named.FAMILIES[family][1]
    size = list(sizes)[-1]  # any, as its dimensions are given, unless they are those of a size
    for name, usual in sizes.items():
        own = usual._asdict()
        if all(np.array_equal(options[key], value) for key, value in own.items()):
            size = name
            options = {key: value for key, value in options.items() if key not in own}
            break
    values = ", ".join(f"{name}={value!r}" for name, value in options.items() if name != "channels")
    return f"{family}_{size}({values})"


def read(path):
    """The arrays of a file.

    Raises:
        ValueError: it is of another kind, cannot be read, or its library is not installed.
    """
    path = os.fspath(path)
    try:
        if path.endswith(".npz"):
            if os.path.exists(path) and not zipfile.is_zipfile(path):
                raise ValueError("it is no .npz file")
            with np.load(path) as archive:
                return dict(archive)
        if path.endswith(".safetensors"):
            from safetensors.numpy import load_file

            return load_file(path)
    except ImportError:
        raise ValueError(f"`weights` {path} needs safetensors: pip install safetensors") from None
    except Exception as error:  # of NumPy, safetensors and the file system
        raise ValueError(f"`weights` {path} cannot be read: {error}") from None
    raise ValueError(f"`weights` must be a .safetensors or .npz file. Received: {path}")


def without_prefix(weights, first):
    """The weights by their names without a prefix such as "backbone.", which `first` has."""
    names = [name for name in weights if name.endswith(first)]
    if not names:
        raise ValueError(f"{EXPECTED} Missing: {first}")
    prefix = names[0].removesuffix(first)
    return {
        name.removeprefix(prefix): np.asarray(value, np.float32)
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def of_vit(weights, heads):
    """`described` of a Vision Transformer."""
    dim, channels, patch_size, _ = weights["patch_embed.proj.weight"].shape
    class_token = "cls_token" in weights
    registers = weights["reg_token"].shape[1] if "reg_token" in weights else 0
    blocks = {int(key.split(".")[1]) for key in weights if key.startswith("blocks.")}
    places = weights["pos_embed"].shape[1]
    side = math.isqrt(places)
    if places - side**2 not in (0, int(class_token), int(class_token) + registers):
        raise ValueError(
            f"`weights` must have positions of a square of patches. Received: {places} positions"
        )
    return "vit", {
        "patch_size": patch_size,
        "image_size": side * patch_size,
        "channels": channels,
        "class_token": class_token,
        "pool": "mean" if "fc_norm.weight" in weights or not class_token else "token",
        "positions": "learned",
        "registers": registers,
        "layer_scale": 1.0 if "blocks.0.ls1.gamma" in weights else None,
        "dim": dim,
        "depth": len(blocks),
        "heads": heads or max(1, dim // IN_HEAD),
    }


def fill_vit(model, weights):
    """Sets the weights of a network.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape.
    """
    fill_patches(model.get_layer("patches"), weights, "patch_embed.proj")
    fill_tokens(model.get_layer("tokens"), weights)
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    for number, block in enumerate(blocks):
        start = f"blocks.{number}."
        for name, layer in (("norm1", block.norm1), ("norm2", block.norm2)):
            fill_norm(layer, weights, start + name)
        for name, layer in (
            ("attn.qkv", block.attention.qkv),
            ("attn.proj", block.attention.output_layer),
            ("mlp.fc1", block.hidden),
            ("mlp.fc2", block.output_layer),
        ):
            assign(layer.kernel, weights, f"{start}{name}.weight", (1, 0))
            assign(layer.bias, weights, f"{start}{name}.bias")
        for scale, name in zip(block.scales, ("ls1.gamma", "ls2.gamma")):
            if scale is not None:
                assign(scale, weights, start + name)
    last = "fc_norm" if "fc_norm.weight" in weights else "norm"
    fill_norm(model.get_layer("norm"), weights, last)


def of_convnext(weights):
    """`described` of a ConvNeXt."""
    blocks = {tuple(key.split(".")[1:4:2]) for key in weights if ".blocks." in key}
    stages = sorted({int(stage) for stage, _ in blocks})
    depths = [sum(int(stage) == number for stage, _ in blocks) for number in stages]
    dim, channels, patch_size, _ = weights[STEM].shape
    dims = [dim] + [weights[f"stages.{n}.downsample.1.weight"].shape[0] for n in stages[1:]]
    return "convnext", {
        "patch_size": patch_size,
        "channels": channels,
        "layer_scale": 1.0 if "stages.0.blocks.0.gamma" in weights else None,
        "depths": depths,
        "dims": dims,
    }


def fill_convnext(model, weights):
    """Sets the weights of a network; errors as for `fill_vit`."""
    depths = of_convnext(weights)[1]["depths"]
    fill_patches(model.get_layer("stem"), weights, "stem.0")
    fill_norm(model.get_layer("stem_norm"), weights, "stem.1")
    for number, depth in enumerate(depths):
        if number:
            start = f"stages.{number}.downsample."
            fill_norm(model.get_layer(f"downsample{number + 1}_norm"), weights, f"{start}0")
            fill_patches(model.get_layer(f"downsample{number + 1}"), weights, f"{start}1")
        for block in range(depth):
            layer = model.get_layer(f"stage{number + 1}_block{block + 1}")
            fill_convnext_block(layer, weights, f"stages.{number}.blocks.{block}.")
    fill_norm(model.get_layer("norm"), weights, "head.norm")


def fill_convnext_block(block: ConvNeXtBlock, weights, start):
    assign(block.depthwise.kernel, weights, f"{start}conv_dw.weight", (2, 3, 0, 1))
    assign(block.depthwise.bias, weights, f"{start}conv_dw.bias")
    fill_norm(block.norm, weights, f"{start}norm")
    for layer, name in ((block.hidden, "mlp.fc1"), (block.output_layer, "mlp.fc2")):
        kernel = weights[f"{start}{name}.weight"]  # of a dense layer, or of a 1x1 convolution
        flat = {f"{start}{name}.weight": kernel.reshape(kernel.shape[:2])}
        assign(layer.kernel, flat, f"{start}{name}.weight", (1, 0))
        assign(layer.bias, weights, f"{start}{name}.bias")
    if block.scale is not None:
        assign(block.scale, weights, f"{start}gamma")


def fill_patches(layer, weights, name):
    assign(layer.kernel, weights, f"{name}.weight", (2, 3, 1, 0))
    assign(layer.bias, weights, f"{name}.bias")


def fill_norm(layer, weights, name):
    assign(layer.gamma, weights, f"{name}.weight")
    assign(layer.beta, weights, f"{name}.bias")


def fill_tokens(layer: Tokens, weights):
    """Sets learned tokens and positions; timm's positions of registers become part of these."""
    places = weights["pos_embed"][0]
    first, places = places[: -math.prod(layer.grid)], places[-math.prod(layer.grid) :]
    layer.learned.assign(places)
    if layer.class_token:
        layer.learned_first.assign(first[:1] if len(first) else np.zeros((1, layer.dim)))
    added = [weights[name][0] for name in ("cls_token", "reg_token") if name in weights]
    if added:
        added = np.concatenate(added)
        if len(first) == layer.first:
            added[int(layer.class_token) :] += first[int(layer.class_token) :]
        layer.added.assign(added)


def assign(variable, weights, name, order=None):
    """Sets a variable to a weight, with its axes in another order."""
    value = weights[name] if order is None else weights[name].transpose(order)
    if tuple(variable.shape) != value.shape:
        raise ValueError(
            f"`weights` must have {name} of shape {tuple(variable.shape)}. Received: {value.shape}"
        )
    variable.assign(value)


FAMILIES = {"vit": (vit, fill_vit), "convnext": (convnext, fill_convnext)}
