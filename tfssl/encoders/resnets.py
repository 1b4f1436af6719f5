"""ResNet v1 encoders (He et al. 2016), as SimCLR and SimCLRv2 use them (Chen et al. 2020)."""

import collections
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfssl import layers

BLOCKS = {  # depth: (whether blocks are bottlenecks, blocks in each of the four groups)
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
    200: (True, (3, 24, 36, 3)),
}
STEMS = ("cifar", "imagenet")
INPUT_NORMALIZATIONS = {  # (mean, standard deviation) of the channels of images in [0, 1]
    "none": None,
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def resnet(
    depth: int,
    *,
    stem: str,
    width_multiplier: float = 1.0,
    sk_ratio: float = 0.0,
    se_ratio: float = 0.0,
    bn_momentum: float = 0.9,
    input_normalization: str | tuple[Sequence[float], Sequence[float]] = "none",
    normalization: Callable[..., keras.Layer] | None = None,
    convolution: Callable[..., keras.Layer] | None = None,
    remat: Callable[..., keras.Model] | None = None,
    channels: int = 3,
    seed: int = 0,
    name: str = "encoder",
) -> keras.Model:
    """Builds a ResNet encoder from images to the global average of the last feature map.

    He et al. 2016. As in google-research/simclr tf2 (`resnet.py`, 383d414), the stride of a
    bottleneck is in its 3x3 convolution, the first block of each group has a projection shortcut,
    strided convolutions pad explicitly, and the last batch normalization of a block starts with
    gamma = 0. Differs from it: the stem is an argument instead of a function of the image size, so
    that the same weights take images of any size.

    Args:
        depth: 18, 34, 50, 101, 152 or 200.
        stem: "cifar" (3x3 convolution, output stride 8 in all) or "imagenet" (7x7 convolution and
            max-pooling, output stride 32).
        width_multiplier: factor on the numbers of filters; the first group has 64 times it.
        sk_ratio: above 0, selective kernels in bottlenecks (Li et al. 2019; SimCLRv2 uses 0.0625)
            with the ResNet-D stem and shortcuts (He et al. 2019).
        se_ratio: above 0, squeeze-and-excitation after each block (Hu et al. 2018).
        bn_momentum: momentum of the moving averages of batch normalization.
        input_normalization: "none", or "imagenet" for a first layer that standardises the channels
            of images in [0, 1], as in DeepMind's BYOL; or (means, standard deviations), a number
            for each channel.
        normalization: class of the normalization layers; None: `tfssl.layers.synchronized`, which
            is faster and uses the statistics of all replicas of `tf.distribute`. Loading a saved
            model with it requires tfssl; `keras.layers.BatchNormalization` does not.
        convolution: class of the convolutions; None: `tfssl.layers.ProductGradientConv2D`, which is
            faster and requires tfssl, too.
        remat: class of the model, called with (inputs, outputs, ends), that recomputes blocks for
            the gradient, such as `tfssl.layers.Rematerialized`; None: `keras.Model`.
        channels: number of channels of the images.
        seed: integer; equal seeds give equal initial weights.
        name: name of the model.

    Returns:
        A functional `keras.Model`: float [B, H, W, channels] -> float [B, D]; D is 512 (depth 18,
        34) or 2048 times the width multiplier.

    Raises:
        ValueError: an unknown depth, stem or input normalization, a width without any filter,
            `channels` below 1, or input_normalization="imagenet" with channels other than 3.

    Example:

    ```python
    encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.125)
    encoder(tf.zeros((2, 32, 32, 3))).shape  # (2, 64)
    ```
    """
    if depth not in BLOCKS:
        raise ValueError(f"`depth` must be one of {sorted(BLOCKS)}. Received: depth={depth}")
    if stem not in STEMS:
        raise ValueError(f"`stem` must be one of {STEMS}. Received: stem={stem!r}")
    moments = input_normalization
    if isinstance(input_normalization, str):
        moments = INPUT_NORMALIZATIONS.get(input_normalization, input_normalization)
    if moments is not None and not are_moments(moments):
        raise ValueError(
            f"`input_normalization` must be one of {tuple(INPUT_NORMALIZATIONS)}, or a pair of as "
            "many means and standard deviations above 0. "
            f"Received: input_normalization={input_normalization!r}"
        )
    if channels < 1:
        raise ValueError(f"`channels` must be at least 1. Received: channels={channels}")
    if moments is not None and channels != len(moments[0]):
        raise ValueError(
            f"`channels` must be {len(moments[0])} with input_normalization="
            f"{input_normalization!r}. Received: channels={channels}"
        )
    filters = first_filters(width_multiplier)
    if filters < 1:
        raise ValueError(
            "`width_multiplier` must leave at least one filter. "
            f"Received: width_multiplier={width_multiplier}"
        )
    bottlenecks, groups = BLOCKS[depth]
    parts = Parts(
        normalization or layers.synchronized,
        bn_momentum,
        sk_ratio,
        se_ratio,
        seed,
        convolution or layers.ProductGradientConv2D,
    )
    block = parts.bottleneck if bottlenecks else parts.basic
    inputs = keras.Input((None, None, channels), name="images")
    x = parts.stem(standardized(inputs, moments), filters, stem)
    ends = [x]
    for group, count in enumerate(groups):
        for index in range(count):
            stride = 2 if group > 0 and index == 0 else 1
            ending = f"group{group + 1}" if index == count - 1 else None
            x = block(x, filters * 2**group, stride, project=index == 0, name=ending)
            ends.append(x)
    h = keras.layers.GlobalAveragePooling2D(name="representation")(x)
    return remat(inputs, h, ends, name=name) if remat else keras.Model(inputs, h, name=name)


def first_filters(width_multiplier: float) -> int:
    """Number of filters of the first group of a ResNet; each further group has twice as many.

    Args:
        width_multiplier: as for `resnet`.

    Returns:
        integer.

    Example:

    ```python
    tfssl.encoders.first_filters(0.5)  # 32
    ```
    """
    return round(64 * width_multiplier)


def width(depth: int, width_multiplier: float) -> int:
    """Dimension D of the representation of a ResNet.

    Args:
        depth, width_multiplier: as for `resnet`.

    Returns:
        integer.

    Example:

    ```python
    tfssl.encoders.width(18, 1.0), tfssl.encoders.width(50, 2.0)  # (512, 4096)
    ```
    """
    return first_filters(width_multiplier) * (32 if BLOCKS[depth][0] else 8)


def are_moments(value):
    """Whether a value is a pair of as many means and positive standard deviations."""
    try:
        means, deviations = (np.asarray(side, np.float64) for side in value)
    except (TypeError, ValueError):
        return False
    finite = np.isfinite(means).all() and np.isfinite(deviations).all()
    return means.ndim == 1 and means.shape == deviations.shape and finite and (deviations > 0).all()


def standardized(images, moments):
    """Standardises the channels of images in [0, 1]; None: leaves them."""
    if moments is None:
        return images
    # Not keras.layers.Normalization: its constants become further inputs of an ONNX export. float32
    # in every precision, as bfloat16 has fewer bits of mantissa than a pixel.
    return keras.layers.Rescaling(
        scale=[1 / deviation for _, deviation in zip(*moments)],
        offset=[-mean / deviation for mean, deviation in zip(*moments)],
        dtype="float32",
        name="input_normalization",
    )(images)


def freeze(encoder: keras.Model, after_block: int) -> None:
    """Freezes the first layers of a ResNet, including their batch statistics.

    Args:
        encoder: the result of `resnet`; changed in place.
        after_block: -1: nothing is frozen; 0: the stem; 1 to 4: the stem and this number of groups
            of blocks. `fine_tune_after_block` of google-research/simclr.

    Example:

    ```python
    encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.0625)
    tfssl.encoders.freeze(encoder, after_block=4)
    encoder.trainable_variables  # []
    ```
    """
    if after_block < 0:
        return
    last = f"group{after_block}" if after_block else "stem"
    for layer in encoder.layers[: encoder.layers.index(encoder.get_layer(last)) + 1]:
        layer.trainable = False


def copy_all_but_the_stem(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights but those of the stem from one ResNet to another.

    Args:
        source: the result of `resnet`.
        target: a ResNet that differs from `source` in its stem only; changed in place.

    Example:

    ```python
    small = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.0625, seed=1)
    large = tfssl.encoders.resnet(18, stem="imagenet", width_multiplier=0.0625, seed=2)
    tfssl.encoders.copy_all_but_the_stem(small, large)
    np.array_equal(small.get_layer("conv9").kernel, large.get_layer("conv9").kernel)  # True
    ```
    """
    pairs = [
        encoder.layers[encoder.layers.index(encoder.get_layer("stem")) + 1 :]
        for encoder in (source, target)
    ]
    for theirs, ours in zip(*pairs, strict=True):
        ours.set_weights(theirs.get_weights())


def output_stride(stem: str) -> int:
    """Stride of the last feature map of a ResNet, which is the smallest sensible image side.

    Args:
        stem: "cifar" or "imagenet".

    Returns:
        integer, in pixels.

    Example:

    ```python
    tfssl.encoders.output_stride("imagenet")  # 32
    ```
    """
    return {"cifar": 8, "imagenet": 32}[stem]


class Parts:
    """The building blocks of a ResNet; each method maps a tensor to a tensor."""

    def __init__(
        self, normalization, bn_momentum, sk_ratio, se_ratio, seed, convolution=keras.layers.Conv2D
    ):
        self.sk_ratio, self.se_ratio, self.convolution = sk_ratio, se_ratio, convolution
        self.normalization = functools.partial(normalization, momentum=bn_momentum, epsilon=1e-5)
        self.next_seed = iter(range(seed * 100_003, (seed + 1) * 100_003)).__next__
        self.count = collections.Counter()

    def name(self, kind):
        """Names conv1, conv2, ... that do not depend on models built earlier in the process."""
        self.count[kind] += 1
        return f"{kind}{self.count[kind]}"

    def conv(self, x, filters, size, stride=1):
        """A convolution without bias; a strided one pads half of (size - 1) before the image."""
        padding = "same"
        if stride > 1:
            before = (size - 1) // 2
            after = size - 1 - before
            x = keras.layers.ZeroPadding2D(((before, after), (before, after)))(x) if size > 1 else x
            padding = "valid"
        return self.convolution(
            filters,
            size,
            stride,
            padding,
            use_bias=False,
            kernel_initializer=self.initializer(),
            name=self.name("conv"),
        )(x)

    def norm(self, x, relu=True, start_at_zero=False, name=None):
        x = self.normalization(
            gamma_initializer="zeros" if start_at_zero else "ones", name=self.name("norm")
        )(x)
        return keras.layers.ReLU(name=name)(x) if relu else x

    def stem(self, x, filters, stem):
        """The layers before the first block; the last one is named stem."""
        if stem == "cifar":
            return self.norm(self.conv(x, filters, 3), name="stem")
        if self.sk_ratio > 0:  # ResNet-D: three 3x3 in place of one 7x7
            half = max(1, filters // 2)
            x = self.norm(self.conv(x, half, 3, stride=2))
            x = self.norm(self.conv(x, half, 3))
            x = self.norm(self.conv(x, filters, 3))
        else:
            x = self.norm(self.conv(x, filters, 7, stride=2))
        return keras.layers.MaxPooling2D(3, 2, padding="same", name="stem")(x)

    def basic(self, x, filters, stride, project, name=None):
        shortcut = self.shortcut(x, filters, stride) if project else x
        x = self.norm(self.conv(x, filters, 3, stride))
        x = self.norm(self.conv(x, filters, 3), relu=False, start_at_zero=True)
        return self.join(x, shortcut, filters, name)

    def bottleneck(self, x, filters, stride, project, name=None):
        shortcut = self.shortcut(x, 4 * filters, stride) if project else x
        x = self.norm(self.conv(x, filters, 1))
        if self.sk_ratio > 0:
            x = self.selective_kernel(x, filters, stride)
        else:
            x = self.norm(self.conv(x, filters, 3, stride))
        x = self.norm(self.conv(x, 4 * filters, 1), relu=False, start_at_zero=True)
        return self.join(x, shortcut, filters, name)

    def shortcut(self, x, filters, stride):
        if self.sk_ratio > 0:  # ResNet-D: average, then a 1x1 of stride 1
            if stride > 1:
                x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
            x = keras.layers.AveragePooling2D(2, stride, "valid" if stride > 1 else "same")(x)
            stride = 1
        return self.norm(self.conv(x, filters, 1, stride), relu=False)

    def join(self, x, shortcut, filters, name):
        """The end of a block; in the last block of a group it has the name of the group."""
        if self.se_ratio > 0:
            x = self.squeeze_excite(x, filters)
        return keras.layers.ReLU(name=name)(keras.layers.Add()([x, shortcut]))

    def squeeze_excite(self, x, filters):
        """Scales channels by a gate in (0, 1) with a bottleneck of se_ratio * filters units."""
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        for units, activation in (
            (max(1, int(filters * self.se_ratio)), "relu"),
            (x.shape[-1], "sigmoid"),
        ):
            gate = keras.layers.Conv2D(
                units,
                1,
                activation=activation,
                kernel_initializer=self.initializer(),
                name=self.name("gate"),
            )(gate)
        return keras.layers.Multiply()([x, gate])

    def selective_kernel(self, x, filters, stride):
        """Two 3x3 convolutions, mixed per channel by an attention softmax."""
        both = self.norm(self.conv(x, 2 * filters, 3, stride))
        streams = both[..., :filters], both[..., filters:]
        mix = keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Add()(streams))
        mix = self.norm(self.conv(mix, max(int(filters * self.sk_ratio), 32), 1))
        mix = keras.layers.Reshape((1, 2, filters))(self.conv(mix, 2 * filters, 1))
        mix = keras.layers.Softmax(axis=2)(mix)
        weighted = [
            keras.layers.Multiply()([stream, mix[:, :, i : i + 1, :]])
            for i, stream in enumerate(streams)
        ]
        return keras.layers.Add()(weighted)

    def initializer(self):
        return keras.initializers.VarianceScaling(seed=self.next_seed())
