"""The views for pretraining, from the flags of augmentation or a plug-in's --recipe."""

import functools

import numpy as np
import tensorflow as tf

from tfssl import augment, registry
from tfssl.config import sides
from tfssl.data.inputs import as_recipes, known
from tfssl.errors import UsageError
from tfssl.methods import batches
from tfssl.runner import build


def views(config, size):
    """A tuple of `tfssl.augment.View`, one for each view.

    Args:
        config: a `tfssl.Config`.
        size: (height, width) of the views in pixels.

    Raises:
        UsageError: --recipe is not registered, fails, or makes another number of views.
    """
    if config.recipe:
        return registered(config, size)
    options = [options_of(config, view) for view in (1, 2)]
    first = augment.simclr_view(size, **options[0])
    same = options[0] == options[1]  # one object, whose graph is built once
    second = first if same else augment.simclr_view(size, **options[1])
    large = (first, second, *[first] * (config.num_views - 2))[: config.num_views]
    return large + (local(config, size, options[0]),) * config.local_views


def local(config, size, options):
    """The smaller view of multi-crop, given the options of view 1."""
    if config.local_views == 0:
        return None
    blurred = config.local_blur_p if config.use_blur else 0.0
    return augment.simclr_view(
        local_size(config, size),
        **options
        | {"crop_area": (config.local_crop_area_min, config.local_crop_area_max)}
        | ({} if blurred is None else {"blur_p": blurred}),
    )


def local_size(config, size):
    """(height, width) of the smaller views; by default 96/224 of the others, as in SwAV."""
    return sides(config.local_size) or tuple(max(1, round(side * 96 / 224)) for side in size)


def trained(config, size):
    """The views that the model gets: only crops if the method augments the pixels itself."""
    recipes = views(config, size)
    if not config.facts.crops_only:
        return recipes
    return tuple(recipe._replace(pixels=augment.identity()) for recipe in recipes)


def registered(config, size):
    """The views of the registered recipe that --recipe names."""
    entry = registry.find("recipe", config.recipe)
    if entry is None:
        known = ", ".join(registry.ENTRIES["recipe"]) or "none"
        raise UsageError(
            f"--recipe must be a name that a file of --plugin registers ({known}). "
            f"Received: {config.recipe}"
        )
    return made(entry, config.method, size)


@functools.lru_cache(maxsize=1)  # called for several parts of a run
def made(entry, method, size):
    """The views of a registered recipe, for a method."""
    try:
        recipes = as_recipes(entry.value(size, 3))
    except Exception as error:  # the function is the user's
        raise UsageError(
            f"--recipe={entry.name} cannot be made: {type(error).__name__}: {error}"
        ) from error
    wanted = build.class_of(method).NUM_VIEWS
    if wanted and len(recipes) != wanted:
        raise UsageError(
            f"--recipe={entry.name} must make {wanted} views, which --method={method} "
            f"takes. Received: {len(recipes)}"
        )
    rehearse(entry.name, recipes, size)
    if not all(recipe.stateless for recipe in recipes):
        print(
            f"--recipe={entry.name} keeps random state of its own: a run that is continued "
            "differs from one that was not interrupted"
        )
    return recipes


def rehearse(name, recipes, size):
    """Applies the views of a recipe to random images; raises UsageError if they do not suit."""
    images = np.random.default_rng(0).random((4, *size, 3), np.float32)
    for number, recipe in enumerate(recipes, start=1):
        try:
            made = np.asarray(recipe(tf.constant(images), tf.constant([0, number])))
        except Exception as error:  # the recipe is the user's
            raise UsageError(
                f"--recipe={name} cannot be applied to images of {size[0]}x{size[1]} px: "
                f"{type(error).__name__}: {error}"
            ) from error
        if made.shape != images.shape:
            raise UsageError(
                f"--recipe={name} must make views {list(images.shape)} of images of that shape. "
                f"Received: view {number} of shape {list(made.shape)}"
            )
        low, high = float(made.min()), float(made.max())
        if not (-batches.SLACK <= low and high <= 1 + batches.SLACK):  # False for NaN
            raise UsageError(
                f"--recipe={name} must make finite views in [0, 1]. "
                f"Received: view {number} with values in [{low:.4g}, {high:.4g}]"
            )


def compiled(config, recipes):
    """Whether to compile the augmentation with XLA, which not all recipes support."""
    return config.compile_augmentation and known(recipes)


def options_of(config, view):
    """The ranges and probabilities of the flags for view 1 or 2."""

    def of(name):
        return config.of_view(name, view)

    return dict(
        crop_area=(of("crop_area_min"), of("crop_area_max")),
        crop_aspect=(config.crop_aspect_min, config.crop_aspect_max),
        flip_p=of("flip_p"),
        jitter_p=of("color_jitter_p"),
        jitter_strength=of("color_jitter_strength"),
        brightness=of("jitter_brightness"),
        contrast=of("jitter_contrast"),
        saturation=of("jitter_saturation"),
        hue=of("jitter_hue"),
        brightness_mode=config.brightness_mode,
        grayscale_p=of("grayscale_p"),
        blur_p=of("blur_p") if config.use_blur else 0.0,
        blur_sigma=(of("blur_sigma_min"), of("blur_sigma_max")),
        blur_padding=config.blur_padding,
        solarize_p=of("solarize_p"),
        solarize_threshold=of("solarize_threshold"),
    )
