"""Pictures: of views, of masked images that are completed, and of attention."""

import tensorflow as tf

from tfssl import data, files
from tfssl.callbacks.tensorboard import Points
from tfssl.data import channels

COLUMNS, MOST_HEADS = 12, 6
SIDE = 64  # pixels that an image has at least


def save_views(source, recipes, path, writer, seed=0, settings=None):
    """Writes the views of the first batch as a PNG and as TensorBoard's `image`, step 0.

    One row per view, one image per column. Views of another size are shown at scale.

    Args:
        source: a `tfssl.data.Source`.
        recipes: a `tfssl.augment.View` for each view.
        path: the PNG to write.
        writer: a `tf.summary` writer.
        seed: integer, of the order of the images and of the augmentation.
        settings: {name: value}, written to TensorBoard as a table beside the picture.
    """
    batches = data.views(
        source, recipes, batch_size=min(COLUMNS, source.num_examples), seed=seed, stop_step=1
    )
    with data.reading(source.name):
        batch = next(iter(batches))
    save(grid_of(batch["views"]), path, writer, "image", step=0)
    table = "\n".join(f"| {name} | {value} |" for name, value in (settings or {}).items())
    with writer.as_default(step=0):
        tf.summary.text("flags", "| flag | value |\n| --- | --- |\n" + table)


class Reconstructions(Points):
    """Writes how a model completes masked images, as a PNG and as TensorBoard's `reconstructions`.

    Three rows: the images, the masked images, the completed ones.

    Args:
        start_step, total_steps, writer, every: as for `Points`.
        images: float32 [B, H, W, C] in [0, 1], of the size of the views.
        path: the PNG to write.
        seed: integer, of the masks.
    """

    def __init__(self, start_step, total_steps, writer, every, images, path, seed=0):
        super().__init__(start_step, total_steps, writer, every)
        self.images, self.path, self.seed = images[:COLUMNS], path, seed

    def write(self, step, logs):
        rows = [self.images, *self.model.reconstruct(self.images, self.seed)]
        save(grid_of(rows), self.path, self.writer, "reconstructions", step)


class Attention(Points):
    """Writes where the heads of a Vision Transformer look, as a PNG and as `attention`.

    A row of images, and one for each head, at most MOST_HEADS: what the class token takes from
    every patch in the last block, the most of each image in white.

    Args:
        start_step, total_steps, writer, every, images, path: as for `Reconstructions`.
        attention: function of the images that returns this, float32 [B, heads, rows, columns].
    """

    def __init__(self, start_step, total_steps, writer, every, images, path, attention):
        super().__init__(start_step, total_steps, writer, every)
        self.images, self.path, self.attention = images[:COLUMNS], path, attention

    def write(self, step, logs):
        maps = self.attention(self.images)[:, :MOST_HEADS]
        maps /= tf.reduce_max(maps, axis=(2, 3), keepdims=True)
        size, shown = self.images.shape[1:3], channels.shown(self.images)
        heads = [
            tf.repeat(tf.image.resize(one[..., tf.newaxis], size, "nearest"), shown.shape[-1], -1)
            for one in tf.unstack(maps, axis=1)
        ]
        save(grid_of([shown, *heads]), self.path, self.writer, "attention", step)


def save(grid, path, writer, tag, step):
    """Writes a picture as a PNG and to TensorBoard."""
    files.write_whole(path, lambda file: file.write(tf.io.encode_png(grid).numpy()))
    with writer.as_default(step=step):
        tf.summary.image(tag, grid[tf.newaxis])


def grid_of(rows):
    """Batches of images as one picture, uint8 [height, width, 3 or 1], each batch a row."""
    rows = framed([channels.shown(row) for row in rows])
    grid = tf.concat([tf.concat(tf.unstack(row), axis=1) for row in rows], axis=0)
    grid = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    scale = max(1, SIDE // rows[0].shape[1])
    return tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)


def framed(views):
    """The views of a batch in white frames of equal size."""
    height, width = (max(view.shape[axis] for view in views) for axis in (1, 2))
    return [
        tf.pad(
            view,
            [[0, 0], [0, height - view.shape[1]], [0, width - view.shape[2]], [0, 0]],
            constant_values=1.0,
        )
        for view in views
    ]
