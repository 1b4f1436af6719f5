"""What suits kinds of images: settings of augmentation, each with its source.

The settings are arguments of `tfssl.augment.simclr_view`; what is not named has its default there.
Nothing is imported here, so that the command line knows them before TensorFlow is loaded.
"""

from typing import Any, NamedTuple


class Domain(NamedTuple):
    """A kind of images.

    Attributes:
        images: what they show, for the help.
        settings: {argument of `tfssl.augment.simclr_view`: value}.
        sources: {those arguments, as a text: why they have these values}.
    """

    images: str
    settings: dict[str, Any]
    sources: dict[str, str]


NO_COLOURS = dict(saturation=0.0, hue=0.0, grayscale_p=0.0)

DOMAINS = {
    "standard": Domain(
        "SimCLR's, with weak colour jitter: the default for images of 3 channels",
        dict(jitter_strength=0.25),
        {
            "all": "Chen et al. 2020, SimCLR, Appendix A, without blur",
            "jitter_strength": "Sáez Maldonado 2021, Table 4: best with batches of 512",
        },
    ),
    "natural": Domain(
        "photographs of 64 pixels and more",
        dict(jitter_strength=1.0, blur_p=0.5),
        {"all": "Chen et al. 2020, SimCLR, Appendix A: the settings for ImageNet"},
    ),
    "small": Domain(
        "photographs of about 32 pixels",
        dict(jitter_strength=0.5),
        {"all": "Chen et al. 2020, SimCLR, Appendix B.9: the settings for CIFAR-10, without blur"},
    ),
    "grey_medical": Domain(
        "X-rays and slices of CT and MRI, where grey levels carry meaning",
        dict(
            crop_area=(0.3, 1.0),
            rotate_p=0.5,
            rotate_degrees=10.0,
            jitter_strength=1.0,
            brightness=0.4,
            contrast=0.4,
            **NO_COLOURS,
        ),
        {
            "flip_p, rotate_degrees": "Sowrirajan et al. 2021, MoCo-CXR, section 3: mirrored and "
            "turned by up to 10 degrees",
            "crop_area": "the same: small crops lose the finding; ours, as they crop by pixels",
            "blur_p, solarize_p": "the same: neither, as both hide or invent findings",
            "brightness, contrast": "exposures and windows differ; half of SimCLR's strength",
        },
    ),
    "microscopy": Domain(
        "cells and tissue, one channel for each stain",
        dict(
            crop_area=(0.2, 1.0),
            flip_up_down_p=0.5,
            quarter_turns_p=1.0,
            jitter_p=0.0,
            jitter_strength=1.0,
            levels_p=0.8,
            levels_brightness=0.2,
            levels_contrast=0.4,
            channel_dropout_p=0.2,
            channel_dropout_share=0.25,
            **NO_COLOURS,
        ),
        {
            "levels_p": "Moutakanni et al. 2025, Cell-DINO: each channel by itself, with a "
            "standard deviation of 0.2",
            "channel_dropout_p": "the same: a channel is lost with a probability of 0.2",
            "flip_up_down_p, quarter_turns_p": "a slide has no up; Ciga et al. 2022",
        },
    ),
    "satellite": Domain(
        "the Earth from above, bands of a sensor",
        dict(
            crop_area=(0.2, 1.0),
            flip_up_down_p=0.5,
            quarter_turns_p=1.0,
            jitter_strength=1.0,
            brightness=0.4,
            contrast=0.4,
            blur_p=0.5,
            channel_dropout_p=0.5,
            channel_dropout_share=0.25,
            **NO_COLOURS,
        ),
        {
            "crop_area, brightness, contrast, blur_p, channel_dropout_p": "Wang et al. 2023, "
            "SSL4EO-S12, its MoCo v2 for 13 bands of Sentinel-2",
            "flip_up_down_p, quarter_turns_p": "an image from above has no up",
        },
    ),
    "texture": Domain(
        "surfaces and materials, without a shape",
        dict(
            crop_area=(0.2, 1.0),
            flip_up_down_p=0.5,
            quarter_turns_p=1.0,
            jitter_strength=0.5,
            gamma_p=0.5,
        ),
        {
            "flip_up_down_p, quarter_turns_p, gamma_p": "Ojala et al. 2002: a texture stays what "
            "it is when it is turned, and under monotonic changes of its grey levels",
            "crop_area": "any part of a surface shows it; ours",
        },
    ),
    "drawing": Domain(
        "line drawings, handwriting, characters, spectrograms",
        dict(
            crop_area=(0.4, 1.0),
            flip_p=0.0,
            rotate_p=0.8,
            rotate_degrees=15.0,
            elastic_p=0.5,
            jitter_strength=0.5,
            **NO_COLOURS,
        ),
        {
            "elastic_p, rotate_degrees": "Simard et al. 2003: handwriting is deformed and slanted",
            "flip_p": "a mirrored character is another one, or none",
            "crop_area": "a small part of a line could be of any drawing; ours",
        },
    ),
}


def settings(name):
    """The settings of a domain; {} for any other name."""
    return DOMAINS[name].settings if name in DOMAINS else {}


def usual(channels):
    """The domain for images of a number of channels, where nothing else is known about them.

    It was the best, or level with it, on the datasets with so many channels in `results/kinds`.
    """
    return {1: "drawing", 3: "standard"}.get(channels, "microscopy")
