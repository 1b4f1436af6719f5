"""The augmentations of the papers.

`simclr`, `byol` and `supervised` use the settings of the papers, `domain` those for a kind of
images; `simclr_view` and `supervised_view` take every setting.

Images of different sizes cannot share a batch before they are cropped, so a recipe has two stages:
`crop` may run on one image at a time as [1, h, w, C], `pixels` on the batch of crops.
"""

import math
import numbers
import sys
import warnings
from typing import Any, NamedTuple

import tensorflow as tf

from tfssl import domains
from tfssl.augment import basis, ops

Size = int | tuple[int, int]  # a side, or (height, width)

LARGE = 64  # pixels of the smaller side: smaller images get CIFAR's settings, others ImageNet's


class View(NamedTuple):
    """A random view of images, in two stages.

    Attributes:
        crop: the `Op` that brings images to their size.
        pixels: the `Op` for everything else.
        channels: number of channels of the images that it is for; None: any.

    Example:

    ```python
    view = tfssl.augment.simclr(32)
    blurred = tfssl.augment.simclr(32, blur_p=1.0)
    mixed = tfssl.augment.View(crop=view.crop, pixels=blurred.pixels)
    mixed(tf.zeros((2, 40, 40, 3)), seed=[0, 1]).shape  # (2, 32, 32, 3)
    ```
    """

    crop: ops.Op
    pixels: ops.Op
    channels: int | None = None

    def __call__(self, images: tf.Tensor, seed: basis.Seed) -> tf.Tensor:
        """Applies both stages, each with its own seed, to images [B, h, w, C] in [0, 1]."""
        return self.whole(images, seed)

    @property
    def whole(self) -> ops.Op:
        """Both stages as one `Op`."""
        return ops.compose(self.crop, self.pixels)

    @property
    def stateless(self) -> bool:
        """Whether images and seed determine the result, as in every recipe of tfssl."""
        return self.whole.stateless


def simclr(
    size: Size,
    channels: int = 3,
    *,
    jitter_strength: float | None = None,
    blur_p: float | None = None,
    **settings: Any,
) -> View:
    """SimCLR's view (Chen et al. 2020, Appendix A): crop, flip, jitter, grayscale, blur.

    Use it for both views of an image. As in the paper, small images get weaker colour jitter and
    no blur: see `jitter_strength` and `blur_p`.

    Example:

    ```python
    view = tfssl.augment.simclr(32)
    images = np.random.rand(8, 40, 40, 3).astype("float32")
    view(images, seed=[0, 1]).shape  # (8, 32, 32, 3)
    ```

    Args:
        size: side of the result in pixels, or (height, width).
        channels: number of channels of the images. With any other than 3, saturation, hue and
            grayscale are left out, with a warning.
        jitter_strength: factor on the strengths of the colour jitter. None: 1.0 (ImageNet) where
            the smaller side has 64 pixels or more, else 0.5 (CIFAR-10).
        blur_p: probability of the Gaussian blur. None: 0.5 (ImageNet) where the smaller side has
            64 pixels or more, else 0 (CIFAR-10).
        **settings: further arguments of `simclr_view`.

    Returns:
        A `View`: (images [B, h, w, channels] in [0, 1], seed int32 [2]) -> float32
        [B, height, width, channels] in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.
    """
    large = min(_sides(size)) >= LARGE
    return simclr_view(
        size,
        channels,
        jitter_strength=(1.0 if large else 0.5) if jitter_strength is None else jitter_strength,
        blur_p=0.5 * large if blur_p is None else blur_p,
        **settings,
    )


def byol(size: Size, channels: int = 3) -> tuple[View, View]:
    """The two views of BYOL (Grill et al. 2020, Appendix B and Table 6).

    The first is always blurred and never solarized; the second is blurred with probability 0.1 and
    solarized with 0.2. Brightness is added (at most 0.4), contrast changes by 0.4, saturation by
    0.2, hue by 0.1. These are the settings of deepmind-research byol (f5de0ed), at every size.

    Example:

    ```python
    first, second = tfssl.augment.byol(32)
    images = np.random.rand(4, 40, 40, 3).astype("float32")
    second(images, seed=[0, 1]).shape  # (4, 32, 32, 3)
    ```

    Args:
        size: side of the results in pixels, or (height, width).
        channels: number of channels of the images. With any other than 3, saturation, hue and
            grayscale are left out, with one warning.

    Returns:
        Two `View`s; see `simclr`.

    Raises:
        ValueError: an argument lies outside its range.
    """
    colours = {"saturation": 0.2, "hue": 0.1, "grayscale_p": 0.2}
    if not _has_colours(channels, saturation=0.2, hue=0.1, grayscale=0.2):
        colours = dict.fromkeys(colours, 0.0)
    common = dict(brightness=0.4, contrast=0.4, brightness_mode="additive", **colours)
    return (
        simclr_view(size, channels, blur_p=1.0, **common),
        simclr_view(size, channels, blur_p=0.1, solarize_p=0.2, **common),
    )


def supervised(size: Size, channels: int = 3, **settings: Any) -> View:
    """The view for training with labels: crop and flip, as He et al. 2016 train on ImageNet.

    Example:

    ```python
    view = tfssl.augment.supervised((24, 32))
    view(tf.zeros((2, 40, 40, 6)), seed=[0, 1]).shape  # (2, 24, 32, 6)
    ```

    Args:
        size: side of the result in pixels, or (height, width).
        channels: number of channels of the images; the view does not depend on it.
        **settings: further arguments of `supervised_view`.

    Returns:
        A `View`; see `simclr`.

    Raises:
        ValueError: an argument lies outside its range.
    """
    return supervised_view(size, channels, **settings)


def domain(name: str, size: Size, channels: int = 3, **settings: Any) -> View:
    """A view with the settings for a kind of images.

    `tfssl.domains.DOMAINS` lists the settings of each, and where they come from.

    Example:

    ```python
    view = tfssl.augment.domain("satellite", 32, channels=6)
    images = np.random.rand(4, 40, 40, 6).astype("float32")
    view(images, seed=[0, 1]).shape  # (4, 32, 32, 6)
    ```

    Args:
        name: "standard", "natural" or "small" photographs, "grey_medical", "microscopy",
            "satellite", "texture" or "drawing".
        size: side of the result in pixels, or (height, width).
        channels: number of channels of the images. With any other than 3, saturation, hue and
            grayscale are left out.
        **settings: arguments of `simclr_view` to use instead.

    Returns:
        A `View`; see `simclr`.

    Raises:
        ValueError: there is no such kind, or an argument lies outside its range.
    """
    known = domains.DOMAINS
    basis.require_one_of(name, "name", tuple(known))
    chosen = domains.NO_COLOURS if channels != 3 else {}
    return simclr_view(size, channels, **{**chosen, **known[name].settings, **settings})


def simclr_view(
    size: Size,
    channels: int = 3,
    *,
    crop_area: ops.Range = (0.08, 1.0),
    crop_aspect: ops.Range = (3 / 4, 4 / 3),
    flip_p: float = 0.5,
    jitter_p: float = 0.8,
    jitter_strength: float = 1.0,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
    brightness_mode: str = "multiplicative",
    grayscale_p: float = 0.2,
    blur_p: float = 0.0,
    blur_sigma: ops.Range = (0.1, 2.0),
    blur_padding: str = "reflect",
    solarize_p: float = 0.0,
    solarize_threshold: float = 0.5,
    flip_up_down_p: float = 0.0,
    quarter_turns_p: float = 0.0,
    rotate_p: float = 0.0,
    rotate_degrees: float = 15.0,
    elastic_p: float = 0.0,
    elastic_displacement: float = 0.05,
    gamma_p: float = 0.0,
    gamma: ops.Range = (0.7, 1.5),
    levels_p: float = 0.0,
    levels_brightness: float = 0.2,
    levels_contrast: float = 0.4,
    noise_p: float = 0.0,
    noise_deviation: float = 0.1,
    speckle_p: float = 0.0,
    speckle_deviation: float = 0.2,
    channel_dropout_p: float = 0.0,
    channel_dropout_share: float = 0.25,
    erase_p: float = 0.0,
    erase_area: ops.Range = (0.02, 0.33),
    cutout_p: float = 0.0,
    cutout_side: float = 0.5,
) -> View:
    """SimCLR's view (Chen et al. 2020, Appendix A); with `solarize_p` also BYOL's (Appendix B).

    The settings from `flip_up_down_p` on are for other images than photographs; `domain` has values
    for kinds of them. The operations are applied in the order of the arguments.

    Args:
        size: side of the result in pixels, or (height, width).
        channels: number of channels of the images. With any other than 3, saturation, hue and
            grayscale are left out; a warning names those that were enabled.
        crop_area: range of the crop's fraction of the image's area.
        crop_aspect: range of the crop's width / height, relative to that of `size`.
        flip_p: probability of a left-right flip.
        jitter_p: probability of the colour jitter.
        jitter_strength: factor on the next four strengths (1 for ImageNet, 0.5 for CIFAR).
        brightness: strength of the brightness change; see `ops.color_jitter`.
        contrast: strength of the contrast change.
        saturation: strength of the saturation change.
        hue: largest hue shift, fraction of the colour circle.
        brightness_mode: "multiplicative" (SimCLR) or "additive" (BYOL).
        grayscale_p: probability of grayscale.
        blur_p: probability of the Gaussian blur (0.5 in the paper for ImageNet, 0 for CIFAR).
        blur_sigma: range of the blur's standard deviation, pixels.
        blur_padding: "reflect", or "constant" as in google-research/simclr.
        solarize_p: probability of solarization.
        solarize_threshold: value from which solarization inverts.
        flip_up_down_p: probability of turning an image upside down.
        quarter_turns_p: probability of a rotation by 0, 90, 180 or 270 degrees.
        rotate_p, rotate_degrees: probability of a rotation, and its largest angle to either side.
        elastic_p, elastic_displacement: see `ops.elastic`; the displacement is at most this.
        gamma_p, gamma: see `ops.gamma`.
        levels_p, levels_brightness, levels_contrast: brightness and contrast of each channel by
            itself; see `ops.levels`.
        noise_p, noise_deviation: see `ops.noise`; the deviation is at most this.
        speckle_p, speckle_deviation: see `ops.speckle`; likewise.
        channel_dropout_p: probability that channels are set to 0.
        channel_dropout_share: probability of each channel then; see `ops.channel_dropout`.
        erase_p, erase_area: see `ops.erase`.
        cutout_p, cutout_side: see `ops.cutout`.

    Returns:
        A `View` whose images are float32 [B, height, width, channels] in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.

    Example:

    ```python
    view = tfssl.augment.simclr_view(32, crop_area=(0.2, 1.0), blur_p=0.5)
    view(tf.random.uniform((2, 40, 40, 3)), seed=[0, 1]).shape  # (2, 32, 32, 3)
    ```
    """
    if not jitter_strength >= 0:
        raise ValueError(
            f"`jitter_strength` must be 0 or more. Received: jitter_strength={jitter_strength}"
        )
    jittered = jitter_p * jitter_strength
    if not _has_colours(
        channels, saturation=jittered * saturation, hue=jittered * hue, grayscale=grayscale_p
    ):
        saturation = hue = grayscale_p = 0.0
    jitter = [jitter_strength * s for s in (brightness, contrast, saturation, hue)]
    return View(
        crop=ops.random_resized_crop(_sides(size), crop_area, crop_aspect),
        pixels=ops.compose(
            ops.flip_left_right(flip_p),
            ops.maybe(ops.color_jitter(*jitter, brightness_mode), jitter_p),
            ops.maybe(ops.grayscale(), grayscale_p),
            ops.clip(),
            ops.maybe(ops.blur(blur_sigma, padding=blur_padding), blur_p),
            ops.maybe(ops.solarize(solarize_threshold), solarize_p),
            *_turned(
                flip_up_down_p,
                quarter_turns_p,
                (rotate_p, rotate_degrees),
                (elastic_p, elastic_displacement),
            ),
            ops.maybe(ops.gamma(gamma), gamma_p),
            ops.maybe(ops.levels(levels_brightness, levels_contrast), levels_p),
            ops.maybe(ops.noise((0.0, noise_deviation)), noise_p),
            ops.maybe(ops.speckle((0.0, speckle_deviation)), speckle_p),
            ops.maybe(ops.channel_dropout(channel_dropout_share), channel_dropout_p),
            ops.maybe(ops.erase(erase_area), erase_p),
            ops.maybe(ops.cutout(cutout_side), cutout_p),
        ),
        channels=None if channels == 3 else channels,
    )


def supervised_view(
    size: Size,
    channels: int = 3,
    *,
    crop_area: ops.Range = (0.08, 1.0),
    crop_aspect: ops.Range = (3 / 4, 4 / 3),
    flip_p: float = 0.5,
    flip_up_down_p: float = 0.0,
    quarter_turns_p: float = 0.0,
    rotate_p: float = 0.0,
    rotate_degrees: float = 15.0,
    elastic_p: float = 0.0,
    elastic_displacement: float = 0.05,
) -> View:
    """The view for training with labels: crop and flip, or turns, no colour changes.

    Args:
        size, channels, crop_area, crop_aspect, flip_p: see `simclr_view`.
        flip_up_down_p, quarter_turns_p, rotate_p, rotate_degrees: likewise.
        elastic_p, elastic_displacement: likewise.

    Returns:
        A `View`; see `simclr`.

    Raises:
        ValueError: an argument lies outside its range.

    Example:

    ```python
    view = tfssl.augment.supervised_view(32, crop_area=(0.5, 1.0), flip_p=0.0)
    view(tf.random.uniform((2, 40, 40, 3)), seed=[0, 1]).shape  # (2, 32, 32, 3)
    ```
    """
    _require_channels(channels)
    return View(
        crop=ops.random_resized_crop(_sides(size), crop_area, crop_aspect),
        pixels=ops.compose(
            ops.flip_left_right(flip_p),
            ops.clip(),
            *_turned(
                flip_up_down_p,
                quarter_turns_p,
                (rotate_p, rotate_degrees),
                (elastic_p, elastic_displacement),
            ),
        ),
    )


def _turned(flip_up_down_p, quarter_turns_p, rotation, deformation):
    """The operations on the places of pixels, each where its probability is above 0."""
    (rotate_p, degrees), (elastic_p, displacement) = rotation, deformation
    angle = math.radians(degrees)
    return (
        ops.flip_up_down(flip_up_down_p),
        ops.maybe(ops.quarter_turns(), quarter_turns_p),
        ops.maybe(ops.rotate((-angle, angle)), rotate_p),
        ops.maybe(ops.elastic((0.0, displacement)), elastic_p),
    )


def _sides(size):
    """A side or a pair as (height, width)."""
    sides = (size, size) if isinstance(size, numbers.Integral) else size
    if not _is_pair(sides):
        raise ValueError(
            f"`size` must be a side or (height, width), in pixels. Received: size={size!r}"
        )
    return tuple(sides)


def _is_pair(sides):
    return (
        isinstance(sides, (tuple, list))
        and len(sides) == 2
        and all(isinstance(side, numbers.Integral) for side in sides)
    )


def _has_colours(channels, **settings):
    """Whether images are RGB; if not, warns about the settings that need RGB and are not 0."""
    _require_channels(channels)
    on = [name for name, value in settings.items() if value]
    if channels != 3 and on:
        warnings.warn(
            f"Left out of the view, as images need 3 channels for it: {', '.join(on)}. "
            f"Received: channels={channels}",
            stacklevel=_level_outside(),
        )
    return channels == 3


def _level_outside():
    """The `stacklevel` for `warnings.warn` of the first caller outside this module."""
    level, frame = 1, sys._getframe(1)
    while frame and frame.f_code.co_filename == __file__:
        level, frame = level + 1, frame.f_back
    return level


def _require_channels(channels):
    if not isinstance(channels, numbers.Integral) or channels < 1:
        raise ValueError(f"`channels` must be a positive integer. Received: channels={channels!r}")
