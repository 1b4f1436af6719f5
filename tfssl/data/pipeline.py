"""Sources to batches. Every batch is a function of (seed, step) alone.

The examples form one endless stream, a new permutation for every epoch, and the batch of step k
takes the places [k * batch, (k + 1) * batch) in it, across the seam of two epochs where it falls
there (as shuffle-repeat-batch does). So a run that starts again at step k sees what it would have
seen, without replaying what came before.
"""

import os

import tensorflow as tf

from tfssl import augment

ORDER, VIEWS, PIXELS = 0, 1, 2  # what a seed is for: keeps the streams of random numbers apart
WINDOW = ("top", "left", "height", "width")
SEEP = 2  # pixels that a JPEG's colours, held at half the resolution, are interpolated from
PARALLEL = max(2, os.cpu_count() or 2)  # batches augmented at once, each by about one core
SHUFFLE_BLOCK = 8192  # undecoded examples that a streamed dataset is shuffled within


def views(source, recipes, *, batch_size, seed, start_step=0, stop_step, compiled=False,
          finished=True):
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

    Returns:
        `tf.data.Dataset` of stop - start dicts {"view1", "view2", ...: float32 [B, H, W, 3] in
        [0, 1], "label": int64 [B]}; unfinished, of what `finisher` takes.
    """
    build = batches_in_memory if source.arrays else batches_streamed
    batches = build(source, recipes, batch_size, seed, start_step)
    if finished:
        batches = batches.map(finisher(source, recipes, compiled), num_parallel_calls=PARALLEL)
    steps = stop_step - start_step
    counted = tf.data.experimental.assert_cardinality(steps)
    return batches.take(steps).apply(counted).prefetch(2)


def finisher(source, recipes, compiled=False, in_blocks=True):
    """The function from unfinished batches of `views` to finished ones.

    Args:
        source, recipes: those of `views`.
        compiled: as for `views`.
        in_blocks: whether to go through the batch in blocks, for a processor's cache; a GPU would
            rather have all at once.
    """
    operations = [augment.on_bytes(recipe.whole if source.arrays else recipe.pixels)
                  for recipe in recipes]
    if in_blocks:
        operations = [augment.in_blocks(operation) for operation in operations]

    @tf.function(jit_compile=compiled, reduce_retracing=True)
    def augmented(images, seeds):
        return [operation(images[i], seeds[i]) for i, operation in enumerate(operations)]

    def finish(batch):
        images = batch["images"]
        images = images if isinstance(images, tuple) else (images,) * len(recipes)
        made = augmented(images, batch["seeds"])
        return {f"view{i + 1}": view for i, view in enumerate(made)} | {"label": batch["label"]}

    return finish


def batches_in_memory(source, recipes, batch_size, seed, start_step):
    """{"images": uint8 [B, h, w, 3], "seeds": int32 [views, 2], "label"}."""
    images, labels = map(tf.constant, source.arrays)

    def gather(step, indices):
        return {"images": tf.gather(images, indices), "label": tf.gather(labels, indices),
                "seeds": view_seeds(seed, step, len(recipes))}

    stream = epochs(
        source.num_examples, start_step * batch_size,
        lambda epoch: tf.data.Dataset.from_tensor_slices(
            tf.random.experimental.stateless_shuffle(
                tf.range(source.num_examples), fold(seed, ORDER, epoch), alg="philox")))
    batches = stream.batch(batch_size, drop_remainder=True)
    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    return tf.data.Dataset.zip(steps, batches).map(gather)


def batches_streamed(source, recipes, batch_size, seed, start_step):
    """{"images": per view the crops [B, H, W, 3], "seeds": int32 [views, 2], "label"}."""
    records = source.records()

    def crop(place, example):
        seeds = tf.unstack(view_seeds(seed, place, len(recipes)))
        return crops(source, example, [recipe.crop for recipe in recipes], seeds)

    first = start_step * batch_size
    stream = epochs(source.num_examples, first,
                    lambda epoch: shuffled(records, source.num_examples, fold(seed, ORDER, epoch)))
    places = tf.data.Dataset.range(first, tf.int64.max)
    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    cropped = tf.data.Dataset.zip(places, stream).map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    batches = tf.data.Dataset.zip(steps, cropped.batch(batch_size, drop_remainder=True))
    return batches.map(lambda step, made: {
        "images": made[0], "label": made[1],
        "seeds": view_seeds(seed, step, len(recipes), PIXELS)})


def crops(source, example, operations, seeds):
    """One example's crops by the operations, float32 [H, W, 3] each, and its label."""
    image, label = source.decode(example)  # a graph runs what is used of it alone
    image = tf.ensure_shape(image, [None, None, 3])
    if not all(isinstance(operation, augment.Crop) for operation in operations):
        image = as_float(image)[tf.newaxis]
        return tuple(op(image, s)[0] for op, s in zip(operations, seeds)), label

    def windows(shape):
        """Integer (top, left, height, width) of every crop of an image of this shape."""
        drawn = [op.draw(s, tf.zeros([1, *tf.unstack(shape)])) for op, s in zip(operations, seeds)]
        return [[tf.cast(window[name][0], tf.int32) for name in WINDOW] for window in drawn]

    def from_all():
        return tuple(op.of_image(image, window)
                     for op, window in zip(operations, windows(tf.shape(image))))

    def from_jpeg():
        """Decodes the least rectangle that holds all windows, and what colour seeps in from."""
        shape = tf.io.extract_jpeg_shape(content)
        chosen = windows(shape)
        top, left = (tf.maximum(tf.reduce_min([w[i] for w in chosen]) - SEEP, 0) for i in (0, 1))
        bottom, right = (
            tf.minimum(tf.reduce_max([w[i] + w[i + 2] for w in chosen]) + SEEP, shape[i])
            for i in (0, 1))
        part = tf.image.decode_and_crop_jpeg(
            content, [top, left, bottom - top, right - left], channels=3)
        return tuple(op.of_image(part, [window[0] - top, window[1] - left, *window[2:]])
                     for op, window in zip(operations, chosen))

    if source.content is None:
        return from_all(), label
    content = source.content(example)
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
        [], fold_in(seed, 0), maxval=num_examples, dtype=tf.int64, alg="philox")
    turned = records.skip(start).concatenate(records.take(start))

    def permute(number, block):
        size = tf.shape(tf.nest.flatten(block)[0])[0]
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size), fold_in(seed, number + 1), alg="philox")
        return tf.nest.map_structure(lambda values: tf.gather(values, order), block)

    return turned.batch(SHUFFLE_BLOCK).enumerate().map(permute).unbatch()


def labelled(source, crop, *, batch_size):
    """Evaluation batches: the whole split once, in its own order, the last batch short.

    Args:
        crop: image float32 [H, W, 3] in [0, 1] -> float32 [h, w, 3].

    Returns:
        `tf.data.Dataset` of dicts {"image": float32 [B, h, w, 3], "label": int64 [B]}.
    """
    if source.arrays:
        examples, decode = tf.data.Dataset.from_tensor_slices(source.arrays), lambda *pair: pair
    else:
        examples, decode = source.records(), source.decode

    def prepare(*example):
        image, label = decode(*example)
        return {"image": crop(as_float(image)), "label": label}

    examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(2)


def as_float(images):
    """uint8 in [0, 255] -> float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def view_seeds(seed, number, views, use=VIEWS):
    """A seed for every view, int32 [views, 2]."""
    return tf.stack([fold(seed, use, number, view) for view in range(views)])


def fold(seed, *numbers):
    """A seed int32 [2] that depends on an integer and on every number; they may be tensors."""
    return fold_in(tf.constant([seed, 0], tf.int32), *numbers)


def fold_in(folded, *numbers):
    for number in numbers:
        folded = tf.random.experimental.stateless_fold_in(folded, number)
    return folded
