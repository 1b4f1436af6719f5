"""What augmentation does to images, as a picture."""

import tensorflow as tf

from tfssl import data, files
from tfssl.data import channels

COLUMNS = 12


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
    rows = framed([channels.shown(view) for view in batch["views"]])
    grid = tf.concat([tf.concat(tf.unstack(row), axis=1) for row in rows], axis=0)
    grid = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    scale = max(1, 64 // rows[0].shape[1])  # so that 32 px can be seen
    grid = tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)
    files.write_whole(path, lambda file: file.write(tf.io.encode_png(grid).numpy()))
    table = "\n".join(f"| {name} | {value} |" for name, value in (settings or {}).items())
    with writer.as_default(step=0):
        tf.summary.image("image", grid[tf.newaxis])
        tf.summary.text("flags", "| flag | value |\n| --- | --- |\n" + table)


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
