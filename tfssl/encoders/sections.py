"""The parts of a Vision Transformer, for methods that pass some of its tokens only."""

from typing import NamedTuple

import keras
import tensorflow as tf

from tfssl import compat
from tfssl.layers.remat import Rematerialized, recomputed
from tfssl.layers.transformer import Tokens, TransformerBlock


class Sections(NamedTuple):
    """A Vision Transformer in parts, which share its layers.

    Attributes:
        patches: `keras.Model`, images [B, H, W, C] -> map of patches [B, rows, columns, D].
        tokens: the `tfssl.layers.Tokens` layer.
        blocks: list of `tfssl.layers.TransformerBlock`, in order.
        norm: the normalization after them, of tokens; None: there is none.
        head: `keras.Model`, tokens after the last block -> the encoder's output.
        remat: whether the blocks are computed again for the gradient.
    """

    patches: keras.Model
    tokens: Tokens
    blocks: list[TransformerBlock]
    norm: keras.layers.LayerNormalization | None
    head: keras.Model
    remat: bool

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of the patches in pixels."""
        return self.patches.layers[-1].strides

    @property
    def dim(self) -> int:
        return self.tokens.dim

    def transformed(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Tokens after the last block: [B, n, D] -> [B, n, D]."""
        for block in self.blocks:
            x = recomputed(block, x) if self.remat and training else block(x, training=training)
        return x

    def normalized(self, x: tf.Tensor) -> tf.Tensor:
        return self.norm(x) if self.norm is not None else x


def sections(encoder: keras.Layer, needed_by: str) -> Sections:
    """The parts of a Vision Transformer.

    Args:
        encoder: a built functional `keras.Model` of `tfssl.encoders.vit` or `from_timm`, or another
            one of a convolution, `Tokens` and `TransformerBlock`s in sequence.
        needed_by: name of the method, for the message.

    Raises:
        ValueError: it is none.
    """
    parts = find(encoder)
    if parts is None:
        raise ValueError(
            f"{needed_by} needs a Vision Transformer: tfssl.encoders.vit(...) or from_timm(...). "
            f"Received: `encoder` {encoder.name} ({type(encoder).__name__})"
        )
    return parts


def class_attention(parts: Sections, images: tf.Tensor) -> tf.Tensor:
    """How much the class token takes from each patch in the last block.

    Caron et al. 2021 (DINO), Figure 1: the heads of a network that was trained without labels
    attend to objects.

    Args:
        parts: those of an encoder with a class token.
        images: float [B, H, W, C], as the encoder takes them.

    Returns:
        float32 [B, heads, rows, columns]; the sum over an image is the share that the token takes
        from patches, 1 at most.
    """
    patches = parts.patches(images)
    rows, columns = patches.shape[1:3]
    x = parts.tokens(patches)
    for block in parts.blocks[:-1]:
        x = block(x)
    last = parts.blocks[-1]
    of_class = last.attention.maps(last.norm1(x))[:, :, 0, parts.tokens.first :]
    return tf.cast(tf.reshape(of_class, [-1, last.heads, rows, columns]), tf.float32)


def layers_of(parts: Sections) -> list[list[keras.Layer]]:
    """The layers of a Vision Transformer before its head: embedding, first block, second, ..."""
    return [[*parts.patches.layers, parts.tokens], *([block] for block in parts.blocks)]


def rates(encoder: keras.Layer, decay: float, needed_by: str) -> list[tuple[float, list]]:
    """Factors of the learning rate by depth: [(factor, variables), ...].

    `decay` to the power of the number of layers that follow, of which the head is one (Clark et al.
    2020, ELECTRA; Bao et al. 2022, BEiT, Appendix); 1 for all that is not listed.

    Raises:
        ValueError: the encoder is no Vision Transformer.
    """
    depths = layers_of(sections(encoder, needed_by))
    return [
        (decay ** (len(depths) - place), [v for x in group for v in x.trainable_variables])
        for place, group in enumerate(depths)
    ]


def freeze(parts: Sections, quarters: int) -> None:
    """Freezes the embedding of a Vision Transformer, and quarters of its blocks from the first."""
    depths = layers_of(parts)
    for group in depths[: 1 + round(len(parts.blocks) * quarters / 4)]:
        for layer in group:
            layer.trainable = False


def find(encoder):
    """The `Sections` of an encoder; None: it is no such network."""
    if not compat.is_functional(encoder):
        return None
    remat = any(isinstance(layer, Rematerialized) for layer in (encoder, *encoder.layers))
    encoder = compat.flattened(encoder)
    outputs = compat.outputs_within(encoder)
    named = {layer.name: layer for layer in encoder.layers}
    layers = [named[name] for name in outputs if name in named]
    blocks = [layer for layer in layers if isinstance(layer, TransformerBlock)]
    tokens = [layer for layer in layers if isinstance(layer, Tokens)]
    before = layers[: layers.index(tokens[0])] if len(tokens) == 1 else []
    if not blocks or not before or not isinstance(before[-1], keras.layers.Conv2D):
        return None
    inputs, chain = compat.inputs_within(encoder), [before[-1], *tokens, *blocks]
    if any(inputs[b.name] != [outputs[a.name]] for a, b in zip(chain, chain[1:])):
        return None  # something lies between them
    last = layers.index(blocks[-1])
    norms = [x for x in layers[last:] if isinstance(x, keras.layers.LayerNormalization)]
    return Sections(
        patches=keras.Model(encoder.inputs[0], outputs[before[-1].name]),
        tokens=tokens[0],
        blocks=blocks,
        norm=norms[0] if norms else None,
        head=keras.Model(outputs[blocks[-1].name], encoder.outputs[0]),
        remat=remat,
    )
