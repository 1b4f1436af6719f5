"""Sources to batches. Every batch is a function of (seed, step) alone.

The examples form one endless stream, a new permutation for every epoch, and the batch of step k
takes the places [k * batch, (k + 1) * batch) in it, across the seam of two epochs where it falls
there (as shuffle-repeat-batch does). So a run that starts again at step k sees what it would have
seen, without replaying what came before. Several processes, or replicas, each make their own parts
of the same batches.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfssl import augment
from tfssl.data.orientation import stored_window, upright, upright_shape
from tfssl.data.source import Source

ORDER, VIEWS, PIXELS = 0, 1, 2  # what a seed is for: keeps the streams of random numbers apart
WINDOW = ("top", "left", "height", "width")
SEEP = 2  # pixels that a JPEG's colours, held at half the resolution, are interpolated from
JPEG_CHANNELS = (1, 3)  # that one can be decoded to
PARALLEL = max(2, os.cpu_count() or 2)  # batches augmented at once, each by about one core
SHUFFLE_BLOCK = 8192  # undecoded examples that a streamed dataset is shuffled within


@dataclasses.dataclass(frozen=True)
class Share:
    """The parts that one process makes of every batch: [first, first + count) of so many."""

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
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Training batches of several random views of each image.

    Args:
        source: a `Source`; held in memory, its images are augmented as one batch; streamed, each
            image is decoded and cropped by itself and the other operations run on the batch, and
            the order is random within blocks only.
        recipes: the views, each a `tfssl.augment.View`.
        batch_size: images per batch.
        seed: integer; with the step it decides order and augmentation.
        start_step, stop_step: the steps to make, stop excluded.
        compiled: whether XLA compiles what runs on batches: several times as fast, after some
            seconds of compilation; the same views up to rounding.
        finished: whether to run what runs on batches here; otherwise it is left to `finisher`,
            which can run it on another device.
        share: which parts of every batch to make. A part is B / parts images in a row, and the
            parts of a step follow each other. Their images, and what is done to each, are the same
            in however many parts a batch is made.

    Returns:
        `tf.data.Dataset` of stop - start dicts {"views": a tuple of float32 [B, H, W, C] in
        [0, 1], "label": int64 [B]}; unfinished, of what `finisher` takes. Of parts, as many times
        the share's count.
    """
    build = batches_in_memory if source.arrays else batches_streamed
    batches = build(source, recipes, batch_size, seed, start_step, share)
    if finished:
        batches = batches.map(
            finisher(source, recipes, compiled, parts=share.parts), num_parallel_calls=PARALLEL
        )
    steps = (stop_step - start_step) * share.count
    counted = tf.data.experimental.assert_cardinality(steps)
    made = batches.take(steps).apply(counted).prefetch(2)
    made.checked = True  # `fit` need not look into the first batch
    return made


def finisher(
    source: Source,
    recipes: Sequence[augment.View],
    compiled: bool = False,
    in_blocks: bool = True,
    parts: int = 1,
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function from unfinished batches of `views` to finished ones.

    Args:
        source, recipes: those of `views`.
        compiled: as for `views`.
        in_blocks: whether to go through the batch in blocks, for a processor's cache; a GPU would
            rather have all at once.
        parts: in how many a batch comes.
    """
    if in_blocks and compiled:
        recipes = [recipe._replace(pixels=augment.one_by_one(recipe.pixels)) for recipe in recipes]
    operations = [
        augment.on_bytes(recipe.whole if source.arrays else recipe.pixels) for recipe in recipes
    ]
    if in_blocks:
        operations = [augment.in_blocks(operation) for operation in operations]

    @tf.function(jit_compile=compiled, reduce_retracing=True)
    def augmented(images, seeds, part):
        return [
            operation.apply(images[i], draw(operation, images[i], seeds[i], part))
            for i, operation in enumerate(operations)
        ]

    def draw(operation, images, seed, part):
        """Draws for the whole batch, and takes what falls to the part."""
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
        images = batch["images"]
        images = images if isinstance(images, tuple) else (images,) * len(recipes)
        made = augmented(images, batch["seeds"], batch["part"])
        return {"views": tuple(made), "label": batch["label"]}

    return finish


def batches_in_memory(source, recipes, batch_size, seed, start_step, share):
    """{"images": [B, h, w, C] as decoded, "seeds": int32 [views, 2], "label", "part": int32}."""
    images, labels = map(tf.convert_to_tensor, source.arrays)

    def gather(step, part, indices):
        return {
            "images": tf.gather(images, indices),
            "label": tf.gather(labels, indices),
            "seeds": view_seeds(seed, step, len(recipes)),
            "part": part,
        }

    stream = epochs(
        source.num_examples,
        start_step * batch_size,
        lambda epoch: tf.data.Dataset.from_tensor_slices(
            tf.random.experimental.stateless_shuffle(
                tf.range(source.num_examples), fold(seed, ORDER, epoch), alg="philox"
            )
        ),
    )
    return in_parts(stream, lambda place, index: index, batch_size, start_step, share).map(gather)


def batches_streamed(source, recipes, batch_size, seed, start_step, share):
    """As `batches_in_memory`, but "images" are, per view, the crops [B, H, W, C]."""
    records = source.records()

    def crop(place, example):
        seeds = tf.unstack(view_seeds(seed, place, len(recipes)))
        return crops(source, example, [recipe.crop for recipe in recipes], seeds)

    stream = epochs(
        source.num_examples,
        start_step * batch_size,
        lambda epoch: shuffled(records, source.num_examples, fold(seed, ORDER, epoch)),
    )
    return in_parts(stream, crop, batch_size, start_step, share).map(
        lambda step, part, made: {
            "images": made[0],
            "label": made[1],
            "part": part,
            "seeds": view_seeds(seed, step, len(recipes), PIXELS),
        }
    )


def in_parts(stream, function, batch_size, start_step, share):
    """The stream, from the first place of a step on, in batches, of which a share is made.

    Args:
        stream: `tf.data.Dataset` of examples.
        function: (place, example) -> what the batches are of.

    Returns:
        `tf.data.Dataset` of (step, part, batch).
    """
    size = batch_size // share.parts
    placed = tf.data.Dataset.zip(
        tf.data.Dataset.range(start_step * batch_size, tf.int64.max), stream
    )
    if share != WHOLE:
        first, last = share.first, share.first + share.count - 1

        def ours(place, _):
            part = (place % batch_size) // size
            return (first <= part) & (part <= last)

        placed = placed.filter(ours)
    batches = placed.map(function, num_parallel_calls=tf.data.AUTOTUNE).batch(
        size, drop_remainder=True
    )
    numbers = tf.data.Dataset.range(start_step * share.count, tf.int64.max)
    return tf.data.Dataset.zip(numbers, batches).map(
        lambda number, batch: (
            number // share.count,
            tf.cast(share.first + number % share.count, tf.int32),
            batch,
        )
    )


def crops(source, example, operations, seeds):
    """One example's crops by the operations, float32 [H, W, C] each, and its label."""
    image, label = source.decode(example)  # a graph runs what is used of it alone
    image = tf.ensure_shape(image, [None, None, source.channels])
    if not all(isinstance(operation, augment.Crop) for operation in operations):
        image = augment.as_float(image)[tf.newaxis]
        return tuple(op(image, s)[0] for op, s in zip(operations, seeds)), label

    def windows(shape):
        """Integer (top, left, height, width) of every crop of an image of this shape."""
        drawn = [op.draw(s, tf.zeros([1, *tf.unstack(shape)])) for op, s in zip(operations, seeds)]
        return [[tf.cast(window[name][0], tf.int32) for name in WINDOW] for window in drawn]

    def from_all():
        return tuple(
            op.of_image(image, window) for op, window in zip(operations, windows(tf.shape(image)))
        )

    def from_jpeg():
        """Decodes the least rectangle that holds all windows, and what colour seeps in from."""
        shape = tf.io.extract_jpeg_shape(content)
        if orientation is not None:
            shape = upright_shape(shape, orientation)
        chosen = windows(shape)
        top, left = (tf.maximum(tf.reduce_min([w[i] for w in chosen]) - SEEP, 0) for i in (0, 1))
        bottom, right = (
            tf.minimum(tf.reduce_max([w[i] + w[i + 2] for w in chosen]) + SEEP, shape[i])
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
            for op, window in zip(operations, chosen)
        )

    # Values of other types are scaled by `decode`, and a JPEG has no other channels.
    if source.content is None or image.dtype != tf.uint8 or source.channels not in JPEG_CHANNELS:
        return from_all(), label
    content = source.content(example)
    orientation = source.orientation and source.orientation(example)
    return tf.cond(tf.io.is_jpeg(content), from_jpeg, from_all), label


def epochs(num_examples, first, one_epoch):
    """The endless stream of epochs from place `first` on; `one_epoch(epoch)` is a Dataset."""
    stream = tf.data.Dataset.range(first // num_examples, tf.int64.max).flat_map(one_epoch)
    return stream.skip(first % num_examples)


def shuffled(records, num_examples, seed):
    """The records from a random one on, around to it, shuffled within blocks.

    `Dataset.shuffle` would do better within an epoch, but keeps its seed from the first epoch when
    it stands in a `flat_map`, and could not start at a step without reading all before it.
    """
    start = tf.random.stateless_uniform(
        [], fold_in(seed, 0), maxval=num_examples, dtype=tf.int64, alg="philox"
    )
    turned = records.skip(start).concatenate(records.take(start))

    def permute(number, block):
        size = tf.shape(tf.nest.flatten(block)[0])[0]
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size), fold_in(seed, number + 1), alg="philox"
        )
        return tf.nest.map_structure(lambda values: tf.gather(values, order), block)

    return turned.batch(SHUFFLE_BLOCK).enumerate().map(permute).unbatch()


def labelled(
    source: Source, crop: Callable[[tf.Tensor], tf.Tensor], *, batch_size: int
) -> tf.data.Dataset:
    """Evaluation batches: the whole split once, in its own order, the last batch short.

    Args:
        crop: image float32 [H, W, C] in [0, 1] -> float32 [h, w, C].
        batch_size: images in a batch; with more than there are, one batch has all.

    Returns:
        `tf.data.Dataset` of dicts {"image": float32 [B, h, w, C], "label": int64 [B]}.
    """
    # TensorFlow prepares a place for each image of a batch, those that never come too.
    batch_size = min(batch_size, max(1, source.num_examples))
    if source.arrays:
        examples, decode = tf.data.Dataset.from_tensor_slices(source.arrays), lambda *pair: pair
    else:
        examples, decode = source.records(), source.decode

    def prepare(*example):
        image, label = decode(*example)
        return {"image": crop(augment.as_float(image)), "label": label}

    examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(2)


def view_seeds(seed, number, views, use=VIEWS, epoch=()):
    """A seed for every view, int32 [views, 2].

    Args:
        number: of the image or the batch.
        epoch: (its number,) where these are counted anew in each; () where they are not.
    """
    return tf.stack([fold(seed, use, *epoch, number, view) for view in range(views)])


def fold(seed, *numbers):
    """A seed int32 [2] that depends on an integer and on every number; they may be tensors."""
    return fold_in(tf.constant([seed, 0], tf.int32), *numbers)


def fold_in(folded, *numbers):
    for number in numbers:
        folded = tf.random.experimental.stateless_fold_in(folded, number)
    return folded
