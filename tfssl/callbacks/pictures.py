"""Pictures: what augmentation does to images, and how masked images are completed."""

import tensorflow as tf

from tfssl import data, files
from tfssl.callbacks.tensorboard import Points
from tfssl.data import channels

COLUMNS = 12
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
    grid = grid_of(batch["views"])
    write(path, grid)
    table = "\n".join(f"| {name} | {value} |" for name, value in (settings or {}).items())
    with writer.as_default(step=0):
        tf.summary.image("image", grid[tf.newaxis])
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
        grid = grid_of([self.images, *self.model.reconstruct(self.images, self.seed)])
        write(self.path, grid)
        with self.writer.as_default(step=step):
            tf.summary.image("reconstructions", grid[tf.newaxis])


def grid_of(rows):
    """Batches of images as one picture, uint8 [height, width, 3 or 1], each batch a row."""
    rows = framed([channels.shown(row) for row in rows])
    grid = tf.concat([tf.concat(tf.unstack(row), axis=1) for row in rows], axis=0)
    grid = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    scale = max(1, SIDE // rows[0].shape[1])
    return tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)


def write(path, grid):
    files.write_whole(path, lambda file: file.write(tf.io.encode_png(grid).numpy()))


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
