"""`views`: batches of random views for `fit`, from images in any form."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfssl import augment
from tfssl.compat import as_it_is, prefetched
from tfssl.data import arrays
from tfssl.data.clock import Clock
from tfssl.data.opening import ENDINGS, is_file, open_images
from tfssl.data.pipeline import (
    ORDER,
    PARALLEL,
    PIXELS,
    crops,
    finisher,
    fold,
    view_seeds,
)
from tfssl.data.pipeline import views as batches_of
from tfssl.data.source import Source
from tfssl.notes import say

Images = (
    np.ndarray | tuple[np.ndarray, np.ndarray] | tf.data.Dataset | Source | str | os.PathLike[str]
)
Recipe = augment.View | Callable[..., tf.Tensor]  # an `Op` and a `keras.Layer` too

BUFFER_BYTES = 2**28  # of the shuffle buffer, decoded
BUFFER_MOST, BUFFER_UNKNOWN = 10_000, 256  # images in it, at most and if sizes are unknown


def views(
    x: Images,
    recipe: Recipe | tuple[Recipe, ...] | list[Recipe],
    batch_size: int,
    *,
    num_views: int | None = None,
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    compiled: bool | None = None,
) -> tf.data.Dataset:
    """Makes a `tf.data.Dataset` of random views of images, for `fit`.

    Order and augmentation depend only on the seed, the epoch of `fit`, and the step: a training
    that resumes at an epoch sees the same batches. Without `fit`, each iteration is the next epoch.

    Args:
        x: images: an array [N, H, W, C] or [N, H, W] of uint8, uint16 or floats in [0, 1]; a pair
            (images, labels) with integer labels [N]; a `tf.data.Dataset` of images, (image, label)
            or {"image": ..., "label": ...}, batched or not; a directory of image files; a file of
            arrays "FILE.npz", .npy or .h5, or a table of image files, .csv, .tsv or .parquet, or
            records, .tfrecord;
            "shapes", the embedded dataset; or the name of a dataset of tensorflow_datasets, or of
            one that `tfssl.register(name, kind="source")` added.
        recipe: a view, such as `tfssl.augment.simclr(32)`, or anything that `tfssl.augment.view`
            takes: a function, a Keras layer, an `Op`. Or a tuple of these, one for each view.
        batch_size: images per batch; a smaller last batch is dropped.
        num_views: number of views of each image; None: the number of recipes, or 2 for a single
            recipe.
        seed: integer.
        value_range: (low, high), the values that become 0 and 1; None: the whole range of an
            integer type, and [0, 1] for floats.
        split: split of a directory or a named dataset; None: "train", or the whole of a directory
            without splits.
        data_dir: directory of the datasets of tensorflow_datasets.
        compiled: whether XLA compiles the augmentation, which takes seconds once and is several
            times as fast afterwards. None: if all operations are tfssl's own.

    Returns:
        A dataset of {"views": tuple of float32 [B, H, W, C] in [0, 1], "label": int64 [B]}; without
        "label" if no image has one.

    Raises:
        ValueError: an argument has another form or value than described here, or there are fewer
            images than `batch_size`.

    Example:

    ```python
    images, labels = np.zeros((6, 16, 16, 3), "uint8"), np.arange(6)
    recipe = tfssl.augment.supervised(16)
    views = tfssl.views((images, labels), recipe, batch_size=3, compiled=False)
    [len(batch["views"]) for batch in views]  # [2, 2]
    views.element_spec["views"][0].shape  # (3, 16, 16, 3)
    ```
    """
    recipes = as_recipes(recipe, num_views)
    if not isinstance(seed, (int, np.integer)) or not abs(seed) < 2**31:
        raise ValueError(f"`seed` must be an integer of 32 bits. Received: seed={seed!r}")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be an integer of 1 or more. Received: {batch_size!r}")
    if not all(recipe.stateless for recipe in recipes):
        say("the recipe has its own random state: a resumed training sees other views")
    if compiled is None:
        compiled = known(recipes)
    if not isinstance(x, (str, os.PathLike)) and (split or data_dir):
        raise ValueError(
            "`split` and `data_dir` are for directories and named datasets. "
            f"Received: split={split!r}, data_dir={data_dir!r} with a {type(x).__name__}"
        )
    channels = channels_of(recipes)
    if isinstance(x, tf.data.Dataset):
        return of_dataset(x, recipes, batch_size, seed, value_range, compiled)
    source = as_source(x, value_range, split, data_dir, channels)
    check_channels(source.channels, channels)
    return of_source(source, recipes, batch_size, seed, compiled)


def channels_of(recipes):
    """The number of channels that recipes are for; None: any."""
    counts = sorted({recipe.channels for recipe in recipes if recipe.channels})
    if len(counts) > 1:
        raise ValueError(
            "`recipe` must be of views for the same number of channels. "
            f"Received: {' and '.join(map(str, counts))}"
        )
    return counts[0] if counts else None


def check_channels(found, wanted):
    """Raises ValueError for images of other channels than those that a recipe is for."""
    if wanted and found not in (None, wanted):
        raise ValueError(
            f"`x` must have images [..., {wanted}], as `recipe` is for {wanted} "
            f"channel{'s' if wanted > 1 else ''}. Received: [..., {found}]"
        )


def known(recipes):
    """Whether all operations are tfssl's own, which keep the values and the number of images."""
    return all(recipe.stateless and recipe.whole.per_image for recipe in recipes)


def as_recipes(recipe, num_views=None):
    """One recipe, or several, as a tuple with an `augment.View` for each view."""
    single = isinstance(recipe, augment.View) or not isinstance(recipe, (tuple, list))
    count = 2 if num_views is None else num_views
    if not isinstance(count, int):
        raise ValueError(f"`num_views` must be an integer. Received: num_views={num_views!r}")
    recipes = [recipe] * count if single else list(recipe)
    if not recipes or num_views not in (None, len(recipes)):
        given = "one recipe" if single else f"{len(recipes)} recipes"
        raise ValueError(
            "`num_views` must be 1 or more, and as many as the recipes. "
            f"Received: num_views={num_views} and {given}"
        )
    return tuple(map(as_view, recipes))


def as_view(recipe):
    """A recipe as an `augment.View`."""
    if isinstance(recipe, augment.View):
        return recipe
    try:
        return augment.view(recipe)
    except ValueError as error:
        message = str(error).replace("`function`", "`recipe`").replace("function=", "recipe=")
        raise ValueError(message) from None


def as_source(x, value_range=None, split=None, data_dir=None, channels=None):
    """Makes a `Source` of arrays, a directory or a named dataset. See `views`."""
    if isinstance(x, Source):
        return x
    if not isinstance(x, (str, os.PathLike)):
        return arrays.source_of(x, value_range)
    if isinstance(x, os.PathLike) and not (os.path.isdir(x) or is_file(x)):
        raise ValueError(
            f"`x` must be an existing directory, or a file {', '.join(ENDINGS)}. Received: {x}"
        )
    by_default = "auto" if value_range is None else value_range
    return open_images(x, split, data_dir=data_dir, channels=channels, value_range=by_default)


def of_source(source, recipes, batch_size, seed, compiled):
    """`views` of a source."""
    steps = source.num_examples // batch_size
    if not steps:
        raise ValueError(
            f"`batch_size` must be at most {source.num_examples}, the number of images. "
            f"Received: batch_size={batch_size}"
        )
    if source.arrays:  # one tensor, instead of a constant in the graph of each epoch
        source = dataclasses.replace(source, arrays=tuple(map(tf.constant, source.arrays)))

    def of_epoch(epoch):
        first = epoch * steps
        return batches_of(
            source,
            recipes,
            batch_size=batch_size,
            seed=seed,
            start_step=first,
            stop_step=first + steps,
            compiled=compiled,
        )

    if all(recipe.whole.own for recipe in recipes):
        of_epoch = as_it_is(of_epoch)
    return finished(Clock(source.num_classes, known(recipes)), of_epoch, source, steps)


def of_dataset(dataset, recipes, batch_size, seed, value_range, compiled):
    """`views` of a `tf.data.Dataset`; its length and the sizes of its images may be unknown."""
    examples = arrays.examples_of(dataset, value_range)
    arrays.check_first(dataset, value_range)
    image = examples.element_spec["image"]
    check_channels(image.shape[-1], channels_of(recipes))
    cropped = all(isinstance(recipe.crop, augment.Crop) for recipe in recipes)
    if not int(examples.cardinality()):
        raise ValueError("`x` must hold images. Received: an empty dataset")
    if not cropped and None in image.shape[:2]:
        raise ValueError(
            "Images of different sizes need a recipe that begins with a crop, such as "
            "tfssl.augment.simclr(size)"
        )
    source = stream_source(image)
    buffer = buffer_size(image)

    def of_epoch(epoch):
        def crop(place, example):
            seeds = tf.unstack(view_seeds(seed, place, len(recipes), epoch=(epoch,)))
            return crops(source, example, [recipe.crop for recipe in recipes], seeds)

        def unfinished(step, batch):
            images, labels = batch
            seeds = view_seeds(seed, step, len(recipes), PIXELS, (epoch,))
            return {"images": images, "label": labels, "seeds": seeds, "part": 0}

        tf.random.set_seed(1)  # for this graph only: the order must not depend on the global seed
        order = tf.cast(fold(seed, ORDER, epoch), tf.int64)[0]
        shuffled = examples.shuffle(buffer, seed=order, reshuffle_each_iteration=False)
        made = shuffled.enumerate().map(crop, num_parallel_calls=tf.data.AUTOTUNE)
        batches = made.batch(batch_size, drop_remainder=True).enumerate().map(unfinished)
        return batches.map(finisher(source, recipes, compiled), num_parallel_calls=PARALLEL)

    labelled = arrays.parts(dataset.element_spec)[1] is not None
    count = int(examples.cardinality())
    if 0 <= count < batch_size:
        raise ValueError(
            f"`batch_size` must be at most {count}, the number of images. "
            f"Received: batch_size={batch_size}"
        )
    source = dataclasses.replace(source, num_classes=int(labelled))
    return finished(
        Clock(checked=known(recipes)), of_epoch, source, count // batch_size if count > 0 else None
    )


def unfit(error, source):
    """The error for a recipe that fails on the images of a source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shape = ["?" if side is None else side for side in (*source.image_shape, source.channels)]
    hint = ""
    if "must have 3 channels" in lines[-1]:
        hint = f"; channels={source.channels} makes tfssl's recipes for such images"
    return ValueError(
        f"`recipe` cannot be applied to the images of `x`, [H, W, C] = {shape}: {lines[-1]}{hint}"
    )


def finished(clock, of_epoch, source, steps):
    """The dataset of all epochs, with its length if that is known."""
    try:
        dataset = clock.dataset(of_epoch)
    except (TypeError, ValueError) as error:  # raised by a recipe
        raise unfit(error, source) from None
    check_shapes(dataset.element_spec)
    if not source.num_classes:
        dataset = dataset.map(lambda batch: {"views": batch["views"]})
    if steps:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    dataset = prefetched(dataset)
    dataset.clock = clock
    return dataset


def check_shapes(spec):
    """Raises ValueError if a recipe changes the number of images or their dimensions."""
    size = spec["label"].shape[0]
    for view in spec["views"]:
        rank = view.shape.rank
        if rank is not None and rank != 4 or rank and view.shape[0] not in (None, size):
            raise ValueError(
                f"`recipe` must return images [B, H, W, C], as many as it gets, B = {size}. "
                f"Received: shape {view.shape}"
            )


def stream_source(image):
    """A `Source` with the fields that `crops` and `finisher` read."""
    return Source(
        name="dataset",
        split="all",
        examples=("all", 0, 0),
        num_classes=0,
        image_shape=tuple(image.shape[:2]),
        records=None,
        decode=lambda example: (example["image"], example["label"]),
        dtype=image.dtype.as_numpy_dtype,
        channels=image.shape[-1],
    )


def buffer_size(image):
    """Number of images in the shuffle buffer."""
    if None in image.shape:
        return BUFFER_UNKNOWN
    return max(1, min(BUFFER_MOST, BUFFER_BYTES // (image.shape.num_elements() * image.dtype.size)))
