"""Batches for evaluation, from images in any form."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from tfssl import augment, compat
from tfssl.data import Source, arrays, opening, tfds
from tfssl.data.inputs import as_source
from tfssl.data.source import EVAL_SPLITS
from tfssl.errors import UsageError
from tfssl.methods import checks
from tfssl.notes import say

SMALL = 32  # pixels; images up to this size are not cropped, as in the reference
PROPORTION = 0.875  # fraction of the side that the crop of larger images keeps


def crop_proportion(size: tuple[int, int]) -> float:
    """Fraction of the side that the evaluation crop keeps.

    As in google-research/simclr (tf2/data_util.py, 383d414): images of up to 32 pixels are not
    cropped.

    Args:
        size: (height, width) of the result, in pixels.

    Returns:
        float in (0, 1].

    Example:

    ```python
    tfssl.evaluation.crop_proportion((32, 32))  # 1.0
    tfssl.evaluation.crop_proportion((224, 224))  # 0.875
    ```
    """
    return 1.0 if max(size) <= SMALL else PROPORTION


@dataclasses.dataclass(frozen=True)
class Batches:
    """Images of one size in batches; can be iterated repeatedly.

    Attributes:
        name: name of the argument that holds the images, for messages.
        dataset: `tf.data.Dataset` of {"image": float32 [B, H, W, C] in [0, 1], "label": int64 [B],
            "sides": int32 [B, 2]}, the height and width of each image.
        source: the `Source` of the images; None for a `tf.data.Dataset`.
    """

    name: str
    dataset: tf.data.Dataset
    source: Source | None = None

    @property
    def num_classes(self):
        """Number of classes of the labels; 0 if unknown."""
        return self.source.num_classes if self.source else 0

    @property
    def classes(self):
        """Names of the classes; () if unknown."""
        return tuple(self.source.classes) if self.source else ()

    def __iter__(self):
        try:
            yield from self.of_one_size()
        except tf.errors.InvalidArgumentError as error:
            checks.values_in(error, self.name)
            raise

    def of_one_size(self):
        """The batches; raises ValueError if their images differ in size."""
        first = None
        for batch in self.dataset:
            sides = batch["sides"].numpy()
            first = sides[0] if first is None else first
            if (sides != first).any():
                other = sides[(sides != first).any(axis=1)][0]
                raise ValueError(
                    f"`size` must be given where the images of `{self.name}` differ in size. "
                    f"Received: images of {first[0]}x{first[1]} and {other[0]}x{other[1]} px"
                )
            yield batch


def read(x, name, *, batch_size, size=None, value_range=None, scored=False, labelled=False):
    """Makes `Batches` of images in any form.

    Args:
        x: images, as for `tfssl.evaluate`.
        name: name of the argument, for messages.
        batch_size, size, value_range: as for `tfssl.evaluate`.
        scored: whether to take the evaluation split of a dataset with several splits.
        labelled: whether to leave out images without a label.

    Raises:
        ValueError: see `tfssl.evaluate`.
    """
    sides = as_sides(size)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be an integer of 1 or more. Received: {batch_size!r}")
    try:
        source, examples = examples_of(x, value_range, scored)
    except ValueError as error:
        raise ValueError(str(error).replace("`x`", f"`{name}`")) from None
    if source and None in source.image_shape and not sides:
        raise ValueError(
            f"`size` must be given where the images of `{name}` differ in size. Received: size=None"
        )
    if labelled:
        examples = examples.filter(lambda example: example["label"] >= 0)
    return Batches(name, in_batches(examples, batch_size, sides), source)


def as_sides(size):
    """A side or a pair as (height, width); None for None."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"`size` must be two positive sides. Received: size={size!r}")
    return sides


def examples_of(x, value_range, scored):
    """Returns the `Source` of the images, or None, and a dataset of {"image", "label"}."""
    if not isinstance(x, tf.data.Dataset):
        source = as_source(x, value_range, evaluation_split(x) if scored else None)
        return source, examples_in(source)
    if x.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`x` must come to an end. Received: a dataset that repeats for ever")
    examples = arrays.examples_of(x, value_range)
    arrays.check_first(x, value_range)
    return None, examples


def examples_in(source):
    """The examples of a source in order, as a dataset of {"image", "label"}."""
    if source.arrays:
        images, labels = source.arrays
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

    def decoded(example):
        image, label = source.decode(example)
        image = tf.ensure_shape(image, [*source.image_shape, source.channels])
        return {"image": image, "label": label}

    examples = source.ordered()
    return examples.map(decoded, num_parallel_calls=tf.data.AUTOTUNE)


def evaluation_split(x):
    """The evaluation split of a directory or a named dataset; None if there is none."""
    if not isinstance(x, (str, os.PathLike)):
        return None
    x = os.fspath(x)
    if x == "shapes":
        return "test"
    try:
        if os.path.isdir(x) or opening.is_file(x):
            there = opening.splits_of(x)
            return next((split for split in EVAL_SPLITS if split in there), None)
        return tfds.default_split(tfds.find_builder(x, None))
    except UsageError:  # the loader raises it again, with the names of the arguments
        return None


def in_batches(examples, batch_size, sides):
    """Makes `Batches.dataset` of examples; images of different sizes are padded."""

    def prepare(example):
        image = augment.as_float(example["image"])
        if sides:
            image = augment.center_crop(image, sides, crop_proportion(sides))
        return {"image": image, "label": example["label"], "sides": tf.shape(image)[:2]}

    made = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    alike = made.element_spec["image"].shape.is_fully_defined()
    batches = made.batch(batch_size) if alike else made.padded_batch(batch_size)
    return compat.prefetched(batches)


def check_pair(train, test):
    """Raises ValueError if two `Batches` share images or have different classes."""
    if train.source and test.source and train.source.origin:
        if train.source.shares_examples_with(test.source):
            raise ValueError(
                "`test` must not share images with `train`. "
                f"Received: {train.source.split} and {test.source.split} of {test.source.name}"
            )
        copies = test.source.copies_in(train.source)
        if copies:
            say(
                f"{copies:,} of {test.source.num_examples:,} images of `test` are in `train` too: "
                "accuracies on them say little"
            )
    if train.classes and test.classes and train.classes != test.classes:
        differing = sorted(map(str, set(train.classes) ^ set(test.classes)))
        raise ValueError(
            "`test` must have the classes of `train`, in their order. "
            f"Received: {len(test.classes)} for {len(train.classes)}; differing: {differing[:10]}"
        )


def num_classes(train, test, *labels):
    """Number of classes of two `Batches` and their labels."""
    return max(train.num_classes, test.num_classes, *(int(np.max(each)) + 1 for each in labels))
