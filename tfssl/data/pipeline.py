"""Makes batches of views from a `Source`. Each batch is a function of (seed, step) only.

The examples form one endless stream with a new permutation for each epoch. The batch of step k
takes the examples [k * batch, (k + 1) * batch) of the stream and may span two epochs, as with
shuffle-repeat-batch. A run that resumes at step k therefore sees the same batches without replaying
earlier ones. Several processes, or replicas, each make their own parts of the same batches.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfssl import augment
from tfssl.compat import as_it_is, prefetched
from tfssl.data.orientation import stored_window, upright, upright_shape
from tfssl.data.source import Source
from tfssl.errors import UsageError

ORDER, VIEWS, PIXELS = 0, 1, 2  # uses of a seed, each with its own stream of random numbers
WINDOW = ("top", "left", "height", "width")
SEEP = 2  # pixels around a window that the interpolation of a JPEG's subsampled colours reads
JPEG_CHANNELS = (1, 3)  # numbers of channels that a JPEG can be decoded to
PARALLEL = max(2, os.cpu_count() or 2)  # batches augmented at once, each by about one core
WHOLLY, BLOCKS = "whole", "blocks"  # how streamed images are shuffled
SHUFFLE_BLOCK = 8192  # undecoded examples that are shuffled together, by blocks


@dataclasses.dataclass(frozen=True)
class Share:
    """The parts of every batch that one process makes.

    Attributes:
        first: index of the first part.
        count: number of parts that this process makes.
        parts: number of parts in a batch.

    Example:

    ```python
    second_of_two_processes = tfssl.data.Share(first=1, count=1, parts=2)
    tfssl.data.WHOLE  # Share(first=0, count=1, parts=1)
    ```
    """

    first: int
    count: int
    parts: int


WHOLE = Share(0, 1, 1)


def views(
    source: Source,
    recipes: Sequence[augment.View],
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    stop_step: int,
    compiled: bool = False,
    finished: bool = True,
    by_index: bool = False,
    share: Share = WHOLE,
    shuffle: str = "auto",
) -> tf.data.Dataset:
    """Makes training batches of random views of each image, for a range of steps.

    Args:
        source: a `Source`. Images in memory are augmented as one batch. Streamed images are decoded
            and cropped one at a time, and the other operations run on the batch.
        recipes: the views, each a `tfssl.augment.View`.
        batch_size: images per batch.
        seed: integer; seed and step determine order and augmentation.
        start_step, stop_step: the range of steps, `stop_step` excluded.
        compiled: whether XLA compiles the operations on batches: several times as fast after some
            seconds of compilation; the same views up to rounding.
        finished: whether to apply the operations on batches. If not, `finisher` applies them, for
            example on another device.
        by_index: whether unfinished batches have the indices of their images instead of the images,
            for a `finisher` that holds the images itself. Only for images in memory.
        share: which parts of every batch to make. A part is B / parts consecutive images. The
            images and their augmentations do not depend on the number of parts.
        shuffle: "whole": every order of an epoch's images is as likely, in memory and streamed
            alike; "blocks": streamed images are read in their order from a random one on, and
            shuffled within blocks of 8,192; "auto": the whole, unless the source has no `at`, or is
            distant.

    Returns:
        `tf.data.Dataset` of (stop_step - start_step) * share.count dicts {"views": a tuple of
        float32 [B, H, W, C] in [0, 1], "label": int64 [B]}; if not finished, of the input of
        `finisher`.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of(np.zeros((10, 8, 8, 3), "uint8"))
    recipes = [tfssl.augment.supervised(8)] * 2
    batches = tfssl.data.views(source, recipes, batch_size=4, seed=0, stop_step=3)
    [len(batch["views"]) for batch in batches]  # [2, 2, 2]
    ```
    """
    build = batches_in_memory if source.arrays else batches_streamed
    options = {"by_index": by_index} if source.arrays else {"shuffle": shuffle}
    batches = build(source, recipes, batch_size, seed, start_step, share, **options)
    if finished:
        batches = batches.map(
            finisher(source, recipes, compiled, parts=share.parts), num_parallel_calls=PARALLEL
        )
    steps = (stop_step - start_step) * share.count
    counted = tf.data.experimental.assert_cardinality(steps)
    made = prefetched(batches.take(steps).apply(counted))
    made.checked = True  # spares `fit` the check of the first batch
    return made


def finisher(
    source: Source,
    recipes: Sequence[augment.View],
    compiled: bool = False,
    in_blocks: bool = True,
    parts: int = 1,
    device: str | None = None,
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Makes the function that finishes the batches of `views(..., finished=False)`.

    Args:
        source, recipes, compiled: as for `views`.
        in_blocks: whether to process the batch in blocks that fit the cache of a CPU; faster on a
            CPU, slower on a GPU.
        parts: number of parts in a batch; see `Share`.
        device: name of a device, such as "GPU:0", which then holds all images of the source, for
            batches `by_index`.

    Returns:
        A function from an unfinished batch to {"views": a tuple of float32 [B, H, W, C] in [0, 1],
        "label": int64 [B]}.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source, recipes = source_of(np.zeros((4, 8, 8, 3), "uint8")), [tfssl.augment.supervised(8)]
    options = dict(batch_size=4, seed=0, stop_step=1, finished=False)
    (batch,) = tfssl.data.views(source, recipes, **options)
    tfssl.data.finisher(source, recipes)(batch)["views"][0].shape  # (4, 8, 8, 3)
    ```
    """
    if in_blocks and compiled:
        recipes = [recipe._replace(pixels=augment.one_by_one(recipe.pixels)) for recipe in recipes]

    def step(recipe):
        """The function of a view: images, seed, part -> images."""
        operation = augment.on_bytes(recipe.whole if source.arrays else recipe.pixels)
        operation = augment.in_blocks(operation) if in_blocks else operation

        def made(images, seed, part):
            return operation.apply(images, draw(operation, images, seed, part))

        # Traced once for views of the same recipe; one with state of its own may not be.
        return tf.function(made, autograph=not recipe.whole.own) if recipe.stateless else made

    steps = {recipe: step(recipe) for recipe in recipes}
    if device:
        with tf.device(device):
            held_images, held_labels = map(tf.identity, source.arrays)

    own = all(recipe.whole.own for recipe in recipes)

    @tf.function(jit_compile=compiled, reduce_retracing=True, autograph=not own)
    def augmented(images, seeds, part):
        return [steps[recipe](images[i], seeds[i], part) for i, recipe in enumerate(recipes)]

    def draw(operation, images, seed, part):
        """Draws for the whole batch and takes the draws of the part."""
        if parts == 1:
            return operation.draw(seed, images)
        size = images.shape[0]
        whole = tf.broadcast_to(images[:1], [parts * size, *images.shape[1:]])
        return tf.nest.map_structure(
            lambda values: tf.slice(
                values, [part * size] + [0] * (values.shape.rank - 1), [size, *values.shape[1:]]
            ),
            operation.draw(seed, whole),
        )

    def finish(batch):
        if device:
            indices = batch["indices"]
            batch = {
                **batch,
                "images": tf.gather(held_images, indices),
                "label": tf.gather(held_labels, indices),
            }
        images = batch["images"]
        images = images if isinstance(images, tuple) else (images,) * len(recipes)
        made = augmented(images, batch["seeds"], batch["part"])
        return {"views": tuple(made), "label": batch["label"]}

    return as_it_is(finish) if own else finish


def batches_in_memory(source, recipes, batch_size, seed, start_step, share, by_index=False):
    """A dataset of {"images": [B, h, w, C], "seeds": int32 [views, 2], "label", "part": int32}.

    With `by_index`, {"indices": int32 [B], "seeds", "part"}.
    """
    images, labels = (None, None) if by_index else map(tf.convert_to_tensor, source.arrays)
    size = batch_size // share.parts

    @as_it_is
    def of_part(step, indices, part=share.first):
        indices = tf.slice(indices, [part * size], [size])
        made = (
            {"indices": indices}
            if by_index
            else {"images": tf.gather(images, indices), "label": tf.gather(labels, indices)}
        )
        return {**made, "seeds": view_seeds(seed, step, len(recipes)), "part": part}

    @as_it_is
    def of_batch(step, indices):
        parts = tf.range(share.first, share.first + share.count)
        return tf.data.Dataset.from_tensor_slices(parts).map(
            lambda part: of_part(step, indices, part)
        )

    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    batches = tf.data.Dataset.zip(
        steps, order(source.num_examples, batch_size, seed, start_step * batch_size)
    )
    if share.count == 1:
        return batches.map(of_part)
    return batches.flat_map(of_batch)


def order(num_examples, batch_size, seed, first):
    """The indices of the endless stream from example `first` on, int32 [B] for each batch."""

    @as_it_is
    def of_epoch(epoch):
        shuffled = tf.random.experimental.stateless_shuffle(
            tf.range(num_examples), fold(seed, ORDER, epoch), alg="philox"
        )
        done = tf.where(epoch == first // num_examples, first % num_examples, 0)
        return shuffled[done:]

    numbers = tf.data.Dataset.range(first // num_examples, tf.int64.max)
    return numbers.map(of_epoch).prefetch(1).rebatch(batch_size, drop_remainder=True)


def batches_streamed(source, recipes, batch_size, seed, start_step, share, shuffle):
    """Like `batches_in_memory`, but "images" is a tuple of crops [B, H, W, C], one per view."""

    def crop(place, example):
        seeds = tf.unstack(view_seeds(seed, place, len(recipes)))
        return crops(source, example, [recipe.crop for recipe in recipes], seeds)

    @as_it_is
    def batch(step, part, made):
        seeds = view_seeds(seed, step, len(recipes), PIXELS)
        return {"images": made[0], "label": made[1], "part": part, "seeds": seeds}

    crop = as_it_is(crop) if all(recipe.crop.own for recipe in recipes) else crop
    count, first = source.num_examples, start_step * batch_size
    if shuffled_as_whole(source, shuffle):
        stream = order(count, batch_size, seed, first).unbatch()
        read = as_it_is(lambda place, index: (place, source.at(tf.cast(index, tf.int64))))
    else:
        records, read = source.records(), None
        stream = epochs(
            count, first, lambda epoch: in_blocks(records, count, fold(seed, ORDER, epoch))
        )
    return in_parts(stream, read, source, crop, batch_size, start_step, share).map(batch)


def shuffled_as_whole(source, shuffle):
    """Whether the images of a source come in any order, or in blocks; see `views`.

    Raises:
        UsageError: they cannot come in any order, and have to.
    """
    if source.arrays:
        return True
    if source.at:
        return shuffle == WHOLLY or shuffle != BLOCKS and not source.distant
    if shuffle == WHOLLY:
        raise UsageError(
            f"`shuffle={WHOLLY}` needs images that can be read in any order, which those of "
            f"`dataset={source.name}` cannot, as they are compressed together, or a stream. Give "
            f"`shuffle={BLOCKS}`. Received: {WHOLLY}"
        )
    return False


def in_parts(stream, read, source, function, batch_size, start_step, share):
    """Batches a stream that begins at `start_step`, and makes the parts of a share.

    Args:
        stream: `tf.data.Dataset` of examples of the source, or of what `read` makes them of.
        read: (place in the stream, element) -> (place, example); None: elements are examples.
        function: (place in the stream, example) -> element of a batch.

    Returns:
        `tf.data.Dataset` of (step, part, batch).
    """
    size = batch_size // share.parts
    placed = tf.data.Dataset.zip(
        tf.data.Dataset.range(start_step * batch_size, tf.int64.max), stream
    )
    if share != WHOLE:
        first, last = share.first, share.first + share.count - 1

        @as_it_is
        def ours(place, _):
            part = (place % batch_size) // size
            return (first <= part) & (part <= last)

        placed = placed.filter(ours)
    if read:
        placed = placed.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    made = source.fetched(placed).map(function, num_parallel_calls=tf.data.AUTOTUNE)
    batches = made.batch(size, drop_remainder=True)
    numbers = tf.data.Dataset.range(start_step * share.count, tf.int64.max)

    @as_it_is
    def placed_part(number, batch):
        part = tf.cast(share.first + number % share.count, tf.int32)
        return number // share.count, part, batch

    return tf.data.Dataset.zip(numbers, batches).map(placed_part)


def crops(source, example, operations, seeds):
    """The crops of one example, float32 [H, W, C] per operation, and its label."""
    image, label = source.decode(example)  # the graph drops what is not used
    image = tf.ensure_shape(image, [None, None, source.channels])
    if not all(isinstance(operation, augment.Crop) for operation in operations):
        image = augment.as_float(image)[tf.newaxis]
        return tuple(op(image, s)[0] for op, s in zip(operations, seeds)), label

    def windows(shape):
        """Integer (top, left, height, width) of the crops of an image of this shape."""
        drawn = [op.draw(s, tf.zeros([1, *tf.unstack(shape)])) for op, s in zip(operations, seeds)]
        return [[tf.cast(window[name][0], tf.int32) for name in WINDOW] for window in drawn]

    def from_all():
        return tuple(
            op.of_image(image, window) for op, window in zip(operations, windows(tf.shape(image)))
        )

    def from_jpeg():
        """Decodes the smallest rectangle around all windows and a margin of SEEP."""
        shape = tf.io.extract_jpeg_shape(content)
        if orientation is not None:
            shape = upright_shape(shape, orientation)
        boxes = windows(shape)
        top, left = (tf.maximum(tf.reduce_min([w[i] for w in boxes]) - SEEP, 0) for i in (0, 1))
        bottom, right = (
            tf.minimum(tf.reduce_max([w[i] + w[i + 2] for w in boxes]) + SEEP, shape[i])
            for i in (0, 1)
        )
        stored = [top, left, bottom - top, right - left]
        if orientation is not None:
            stored = stored_window(stored, orientation, shape[0], shape[1])
        part = tf.image.decode_and_crop_jpeg(content, stored, channels=source.channels)
        if orientation is not None:
            part = upright(part, orientation)
        return tuple(
            op.of_image(part, [window[0] - top, window[1] - left, *window[2:]])
            for op, window in zip(operations, boxes)
        )

    # `decode` scales values of other types; a JPEG has 1 or 3 channels.
    if source.content is None or image.dtype != tf.uint8 or source.channels not in JPEG_CHANNELS:
        return from_all(), label
    content = source.content(example)
    orientation = source.orientation and source.orientation(example)
    return tf.cond(tf.io.is_jpeg(content), from_jpeg, from_all), label


def epochs(num_examples, first, one_epoch):
    """The endless stream of epochs from example `first` on; `one_epoch(epoch)` is a dataset."""
    numbers = tf.data.Dataset.range(first // num_examples, tf.int64.max)
    return numbers.flat_map(as_it_is(one_epoch)).skip(first % num_examples)


def in_blocks(records, num_examples, seed):
    """The records rotated by a random offset and shuffled within blocks.

    `Dataset.shuffle` mixes an epoch better, but within `flat_map` it keeps the seed of the first
    epoch, and it cannot start at a step without reading all records before it.
    """
    start = tf.random.stateless_uniform(
        [], fold_in(seed, 0), maxval=num_examples, dtype=tf.int64, alg="philox"
    )
    turned = records.skip(start).concatenate(records.take(start))

    @as_it_is
    def permute(number, block):
        size = tf.shape(tf.nest.flatten(block)[0])[0]
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size), fold_in(seed, number + 1), alg="philox"
        )
        return tf.nest.map_structure(lambda values: tf.gather(values, order), block)

    return turned.batch(SHUFFLE_BLOCK).enumerate().map(permute).unbatch()


def labelled(
    source: Source, crop: Callable[[tf.Tensor], tf.Tensor], *, batch_size: int, start: int = 0
) -> tf.data.Dataset:
    """Makes evaluation batches: the whole split once, in its order; the last batch may be smaller.

    Args:
        source: a `Source`.
        crop: function from an image float32 [H, W, C] in [0, 1] to float32 [h, w, C].
        batch_size: images per batch, at most the whole split.
        start: images at the beginning that are passed over; they are not read if the source has
            `at`, and not decoded in any case.

    Returns:
        `tf.data.Dataset` of dicts {"image": float32 [B, h, w, C], "label": int64 [B]}.

    Example:

    ```python
    from tfssl.data.arrays import source_of

    source = source_of((np.zeros((5, 8, 8, 3), "uint8"), np.arange(5)))
    batches = tfssl.data.labelled(source, lambda image: image[2:6, 2:6], batch_size=3)
    [batch["image"].shape[0] for batch in batches]  # [3, 2]
    ```
    """
    # TensorFlow allocates memory for a full batch, however few images there are.
    batch_size = min(batch_size, max(1, source.num_examples))
    if source.arrays:
        pairs = tf.data.Dataset.from_tensor_slices(source.arrays)
        examples, decode = pairs.skip(start), lambda *pair: pair
    else:
        examples, decode = source.ordered(start), source.decode

    def prepare(*example):
        image, label = decode(*example)
        return {"image": crop(augment.as_float(image)), "label": label}

    examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return prefetched(examples.batch(batch_size))


def view_seeds(seed, number, views, use=VIEWS, epoch=()):
    """A seed for every view, int32 [views, 2].

    Args:
        number: number of the image or the batch.
        epoch: (number of the epoch,) if `number` is counted within the epoch, else ().
    """
    return tf.stack([fold(seed, use, *epoch, number, view) for view in range(views)])


def fold(seed, *numbers):
    """A seed int32 [2] from an integer seed and numbers, which may be tensors."""
    return fold_in(tf.constant([seed, 0], tf.int32), *numbers)


def fold_in(folded, *numbers):
    for number in numbers:
        folded = tf.random.experimental.stateless_fold_in(folded, number)
    return folded
