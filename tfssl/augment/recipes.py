"""The papers' augmentations, each a visible list.

Images of different sizes cannot share a batch before they are cropped, so a recipe has two stages:
`crop` may run on one image at a time as [1, h, w, 3], `pixels` on the batch of equal crops.
"""

from typing import NamedTuple

from tfssl.augment import ops


class View(NamedTuple):
    """A random view of images: `crop` brings them to size, `pixels` does everything else."""

    crop: ops.Op
    pixels: ops.Op

    def __call__(self, images, seed):
        """Both stages on a batch of equal sizes, each with a seed of its own."""
        return self.whole(images, seed)

    @property
    def whole(self):
        """Both stages as one `Op`."""
        return ops.compose(*self)


def simclr_view(
    size,
    *,
    crop_area=(0.08, 1.0),
    crop_aspect=(3 / 4, 4 / 3),
    flip_p=0.5,
    jitter_p=0.8,
    jitter_strength=1.0,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    brightness_mode="multiplicative",
    grayscale_p=0.2,
    blur_p=0.0,
    blur_sigma=(0.1, 2.0),
    blur_padding="reflect",
    solarize_p=0.0,
    solarize_threshold=0.5,
):
    """SimCLR's view (Chen et al. 2020, Appendix A); with `solarize_p` also BYOL's (Appendix B).

    Args:
        size: (height, width) of the result, pixels.
        crop_area: range of the crop's share of the image.
        crop_aspect: range of the crop's width / height, relative to that of `size`.
        flip_p: probability of a left-right flip.
        jitter_p: probability of the colour jitter.
        jitter_strength: factor on the four strengths that follow (1 for ImageNet, 0.5 for CIFAR).
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

    Returns:
        A `View` whose images are float32 [B, *size, 3] in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.
    """
    jitter = [jitter_strength * s for s in (brightness, contrast, saturation, hue)]
    return View(
        crop=ops.random_resized_crop(size, crop_area, crop_aspect),
        pixels=ops.compose(
            ops.flip_left_right(flip_p),
            ops.maybe(ops.color_jitter(*jitter, brightness_mode), jitter_p),
            ops.maybe(ops.grayscale(), grayscale_p),
            ops.clip(),
            ops.maybe(ops.blur(blur_sigma, padding=blur_padding), blur_p),
            ops.maybe(ops.solarize(solarize_threshold), solarize_p),
        ),
    )


def supervised_view(size, *, crop_area=(0.08, 1.0), crop_aspect=(3 / 4, 4 / 3), flip_p=0.5):
    """The view for training with labels: crop and flip, no colour. Arguments: see `simclr_view`."""
    return View(
        crop=ops.random_resized_crop(size, crop_area, crop_aspect),
        pixels=ops.compose(ops.flip_left_right(flip_p), ops.clip()),
    )
