"""The views for pretraining, from the flags of augmentation or a function of the user's."""

import dataclasses
import functools
import inspect

import numpy as np
import tensorflow as tf

from tfssl import augment, registry
from tfssl.config import VIEW_FLAGS, Config, sides
from tfssl.data.inputs import as_recipes, known
from tfssl.domains import DOMAINS
from tfssl.errors import UsageError
from tfssl.methods import batches
from tfssl.runner import build, plugins
from tfssl.storage.networks import channels as channels_of
from tfssl.text import printable

ARGUMENTS = tuple(inspect.signature(augment.simclr_view).parameters)[2:]  # after size, channels
FIELDS = {field.name for field in dataclasses.fields(Config)}


def views(config, size):
    """A tuple of `tfssl.augment.View`, one for each view.

    Args:
        config: a `tfssl.Config`.
        size: (height, width) of the views in pixels.

    Raises:
        UsageError: --views names no function, or one that fails or makes another number of views.
    """
    if config.own_views:
        return own(config, size)
    options = [options_of(config, view) for view in (1, 2)]
    first = augment.simclr_view(size, channels_of(config), **options[0])
    same = options[0] == options[1]  # one object, whose graph is built once
    second = first if same else augment.simclr_view(size, channels_of(config), **options[1])
    large = (first, second, *[first] * (config.num_views - 2))[: config.num_views]
    return large + (local(config, size, options[0]),) * config.local_views


def local(config, size, options):
    """The smaller view of multi-crop, given the options of view 1."""
    if config.local_views == 0:
        return None
    blurred = config.local_blur_p if config.use_blur else 0.0
    return augment.simclr_view(
        local_size(config, size),
        channels_of(config),
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


def own(config, size):
    """The views of the function that --views names, in a file or a plug-in."""
    return made(function_of(config.views), config.views, config.method, size, channels_of(config))


def function_of(name):
    """The function (size, channels) -> views that --views names.

    Raises:
        UsageError: there is none of that name, or its file fails.
    """
    entry = registry.find("recipe", name)
    if entry:
        return entry.value
    if not plugins.file_of(name):
        known = ", ".join([*DOMAINS, *registry.ENTRIES["recipe"]])
        raise UsageError(
            f"--views must be one of {known}, or FILE.py:function. Received: {printable(name)}"
        )
    path, _, function = name.rpartition(":")
    plugins.files_there(path, "views")
    try:
        module = registry.module_of(path)
    except ValueError as error:
        raise UsageError(f"--views={printable(name)} cannot be used: {error}") from error
    value = getattr(module, function, None)
    if not callable(value):
        raise UsageError(
            f"--views must name a function of {printable(path)}. Received: {printable(function)}"
        )
    return value


@functools.lru_cache(maxsize=1)  # called for several parts of a run
def made(function, name, method, size, channels):
    """The views of a function of the user's, for a method."""
    try:
        recipes = as_recipes(function(size, channels))
    except Exception as error:  # the function is the user's
        raise UsageError(
            f"--views={name} cannot be made: {type(error).__name__}: {error}"
        ) from error
    wanted = build.class_of(method).NUM_VIEWS
    if wanted and len(recipes) != wanted:
        raise UsageError(
            f"--views={name} must make {wanted} views, which --method={method} "
            f"takes. Received: {len(recipes)}"
        )
    rehearse(name, recipes, size, channels)
    if not all(recipe.stateless for recipe in recipes):
        print(
            f"--views={name} keeps random state of its own: a run that is continued "
            "differs from one that was not interrupted"
        )
    return recipes


def rehearse(name, recipes, size, channels):
    """Applies the views of a recipe to random images; raises UsageError if they do not suit."""
    images = np.random.default_rng(0).random((4, *size, channels), np.float32)
    for number, recipe in enumerate(recipes, start=1):
        try:
            made = np.asarray(recipe(tf.constant(images), tf.constant([0, number])))
        except Exception as error:  # the recipe is the user's
            raise UsageError(
                f"--views={name} cannot be applied to images of {size[0]}x{size[1]} px: "
                f"{type(error).__name__}: {error}"
            ) from error
        if made.shape != images.shape:
            raise UsageError(
                f"--views={name} must make views {list(images.shape)} of images of that shape. "
                f"Received: view {number} of shape {list(made.shape)}"
            )
        low, high = float(made.min()), float(made.max())
        if not (-batches.SLACK <= low and high <= 1 + batches.SLACK):  # False for NaN
            raise UsageError(
                f"--views={name} must make finite views in [0, 1]. "
                f"Received: view {number} with values in [{low:.4g}, {high:.4g}]"
            )


def compiled(config, recipes):
    """Whether to compile the augmentation with XLA, which not all recipes support."""
    return config.compile_augmentation and known(recipes)


def options_of(config, view):
    """The arguments of `simclr_view` from the flags, for view 1 or 2."""
    made = {}
    for argument in ARGUMENTS:
        flag = VIEW_FLAGS.get(argument, argument)
        names = (f"{flag}_min", f"{flag}_max") if f"{flag}_min" in FIELDS else (flag,)
        values = tuple(config.of_view(name, view) for name in names)
        made[argument] = values if len(values) > 1 else values[0]
    return made | {"blur_p": made["blur_p"] if config.use_blur else 0.0}
