"""Settings of augmentation."""

from typing import Literal, Optional

from tfssl import domains
from tfssl.config.schema import MORE_VIEW, VIEW, Schema, group, knob, second_view
from tfssl.config.values import (
    FRACTION,
    NON_NEGATIVE,
    NOT_EMPTY,
    POSITIVE,
    PROBABILITY,
    SIZE,
    within,
)


@group
class ViewOptions(Schema):
    """Augmentation of each view; view 2 uses the same settings unless it has its own."""

    views: Optional[str] = knob(
        None,
        VIEW,
        "Defaults of these flags for a kind of images. "
        + " ".join(f"{name}: {domain.images}." for name, domain in domains.DOMAINS.items())
        + f" Not given, images of 1 channel have {domains.usual(1)}, those of other numbers than 3 "
        f"{domains.usual(2)}, unless the method has views of its own. Or views of your own, "
        "which replace those of the flags: FILE.py:function, a function (size, channels) -> "
        "tfssl.augment.View or a tuple of them, or a name that a plug-in registers.",
        NOT_EMPTY,
        common=True,
    )
    num_views: int = knob(
        2,
        VIEW,
        "Views of each image. simclr, fastsiam, sigreg, swav, dino and emp_ssl take 2 or more; the "
        "third and later ones are augmented as the first.",
        within(1, 1000),
    )
    local_views: int = knob(
        0,
        VIEW,
        "swav and dino: smaller views of each image besides (multi-crop), augmented as the first "
        "but for the flags below.",
        within(0, 1000),
    )
    local_size: Optional[str] = knob(
        None,
        VIEW,
        "Size of these views: side in pixels, or HEIGHTxWIDTH. Not given: 96/224 of --image_size.",
        SIZE,
    )
    local_crop_area_min: float = knob(0.05, VIEW, "Smallest random crop of these views.", FRACTION)
    local_crop_area_max: float = knob(0.25, VIEW, "Largest random crop of these views.", FRACTION)
    local_blur_p: Optional[float] = knob(
        None,
        VIEW,
        "Probability of blur of these views, where --use_blur is on. Not given: --blur_p.",
        PROBABILITY,
    )
    crop_area_min: float = knob(
        0.08, VIEW, "Smallest random crop, as a fraction of the image's area.", FRACTION
    )
    crop_area_max: float = knob(
        1.0, VIEW, "Largest random crop, as a fraction of the image's area.", FRACTION
    )
    crop_aspect_min: float = knob(3 / 4, VIEW, "Smallest width/height of a crop.", POSITIVE)
    crop_aspect_max: float = knob(4 / 3, VIEW, "Largest width/height of a crop.", POSITIVE)
    flip_p: float = knob(0.5, VIEW, "Probability of a left-right flip.", PROBABILITY)
    color_jitter_p: float = knob(0.8, VIEW, "Probability of colour jitter.", PROBABILITY)
    color_jitter_strength: float = knob(
        0.25,
        VIEW,
        "Multiplies the ranges --jitter_*. Table 4: 0.25 is best at batch 512, 0.75 at 1024.",
        NON_NEGATIVE,
        common=True,
    )
    jitter_brightness: float = knob(0.8, VIEW, "Range of brightness at strength 1.", NON_NEGATIVE)
    jitter_contrast: float = knob(0.8, VIEW, "Range of contrast at strength 1.", NON_NEGATIVE)
    jitter_saturation: float = knob(0.8, VIEW, "Range of saturation at strength 1.", NON_NEGATIVE)
    jitter_hue: float = knob(
        0.2,
        VIEW,
        "Range of hue at strength 1, in turns of the colour wheel.",
        NON_NEGATIVE,
    )
    brightness_mode: Literal["multiplicative", "additive"] = knob(
        "multiplicative",
        VIEW,
        "Brightness jitter: a factor (SimCLR) or a shift (BYOL).",
    )
    grayscale_p: float = knob(0.2, VIEW, "Probability of losing all colour.", PROBABILITY)
    use_blur: bool = knob(
        False,
        VIEW,
        "Gaussian blur, by --blur_p and --blur_sigma_* (Table 8).",
        common=True,
    )
    blur_p: float = knob(
        0.5,
        VIEW,
        "Probability of blur, where --use_blur is on.",
        PROBABILITY,
    )
    blur_sigma_min: float = knob(0.1, VIEW, "Smallest sigma of the blur, in pixels.", POSITIVE)
    blur_sigma_max: float = knob(2.0, VIEW, "Largest sigma of the blur, in pixels.", POSITIVE)
    blur_padding: Literal["reflect", "constant"] = knob(
        "reflect",
        VIEW,
        "Padding of images for the blur: reflect, or constant black as in google-research/simclr.",
    )
    solarize_p: float = knob(0.0, VIEW, "Probability of solarization.", PROBABILITY)
    solarize_threshold: float = knob(0.5, VIEW, "Values from here up are inverted.", PROBABILITY)
    flip_up_down_p: float = knob(
        0.0, MORE_VIEW, "Probability of turning an image upside down.", PROBABILITY
    )
    quarter_turns_p: float = knob(
        0.0,
        MORE_VIEW,
        "Probability of a rotation by 0, 90, 180 or 270 degrees, at random.",
        PROBABILITY,
    )
    rotate_p: float = knob(
        0.0, MORE_VIEW, "Probability of a rotation by --rotate_degrees at most.", PROBABILITY
    )
    rotate_degrees: float = knob(
        15.0, MORE_VIEW, "Largest rotation, in degrees, to either side.", within(0, 180)
    )
    elastic_p: float = knob(0.0, MORE_VIEW, "Probability of an elastic deformation.", PROBABILITY)
    elastic_displacement: float = knob(
        0.05,
        MORE_VIEW,
        "Largest displacement of a pixel by it, as a fraction of the smaller side.",
        PROBABILITY,
    )
    gamma_p: float = knob(0.0, MORE_VIEW, "Probability of a change of gamma.", PROBABILITY)
    gamma_min: float = knob(0.7, MORE_VIEW, "Smallest exponent of gamma: brightest.", POSITIVE)
    gamma_max: float = knob(1.5, MORE_VIEW, "Largest exponent of gamma: darkest.", POSITIVE)
    levels_p: float = knob(
        0.0,
        MORE_VIEW,
        "Probability of a change of brightness and contrast of each channel by itself.",
        PROBABILITY,
    )
    levels_brightness: float = knob(
        0.2, MORE_VIEW, "Largest amount that it adds or takes, of [0, 1].", NON_NEGATIVE
    )
    levels_contrast: float = knob(0.4, MORE_VIEW, "Range of its contrast.", NON_NEGATIVE)
    noise_p: float = knob(0.0, MORE_VIEW, "Probability of additive noise.", PROBABILITY)
    noise_deviation: float = knob(
        0.1, MORE_VIEW, "Largest standard deviation of it, of [0, 1].", NON_NEGATIVE
    )
    speckle_p: float = knob(
        0.0, MORE_VIEW, "Probability of multiplicative noise, as of ultrasound.", PROBABILITY
    )
    speckle_deviation: float = knob(
        0.2, MORE_VIEW, "Largest standard deviation of its factor.", NON_NEGATIVE
    )
    channel_dropout_p: float = knob(
        0.0, MORE_VIEW, "Probability that channels of an image are set to 0.", PROBABILITY
    )
    channel_dropout_share: float = knob(
        0.25,
        MORE_VIEW,
        "Probability of a channel to be one of them; one always stays.",
        (lambda x: 0 <= x < 1, "a probability below 1"),
    )
    erase_p: float = knob(0.0, MORE_VIEW, "Probability of erasing a rectangle.", PROBABILITY)
    erase_area_min: float = knob(
        0.02, MORE_VIEW, "Smallest rectangle, as a fraction of the view's area.", FRACTION
    )
    erase_area_max: float = knob(
        0.33, MORE_VIEW, "Largest rectangle, as a fraction of the view's area.", FRACTION
    )
    cutout_p: float = knob(0.0, MORE_VIEW, "Probability of cutting out a square.", PROBABILITY)
    cutout_side: float = knob(
        0.5, MORE_VIEW, "Side of the square, as a fraction of the smaller side.", FRACTION
    )
    view2_crop_area_min: Optional[float] = second_view(crop_area_min)
    view2_crop_area_max: Optional[float] = second_view(crop_area_max)
    view2_flip_p: Optional[float] = second_view(flip_p)
    view2_color_jitter_p: Optional[float] = second_view(color_jitter_p)
    view2_color_jitter_strength: Optional[float] = second_view(color_jitter_strength)
    view2_jitter_brightness: Optional[float] = second_view(jitter_brightness)
    view2_jitter_contrast: Optional[float] = second_view(jitter_contrast)
    view2_jitter_saturation: Optional[float] = second_view(jitter_saturation)
    view2_jitter_hue: Optional[float] = second_view(jitter_hue)
    view2_grayscale_p: Optional[float] = second_view(grayscale_p)
    view2_blur_p: Optional[float] = second_view(blur_p)
    view2_blur_sigma_min: Optional[float] = second_view(blur_sigma_min)
    view2_blur_sigma_max: Optional[float] = second_view(blur_sigma_max)
    view2_solarize_p: Optional[float] = second_view(solarize_p)
    view2_solarize_threshold: Optional[float] = second_view(solarize_threshold)
