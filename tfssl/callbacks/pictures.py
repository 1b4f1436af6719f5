"""What augmentation does to images, as a picture."""

import os

import tensorflow as tf

from tfssl import data
from tfssl.storage import rundir

COLUMNS = 12


def save_views(source, recipes, config, writer):
    """Writes the views of the first batch as `views.png` and as TensorBoard's `image`, step 0.

    One row per view, one image per column; the settings go to TensorBoard as a table beside it.
    """
    batches = data.views(
        source, recipes, batch_size=min(COLUMNS, source.num_examples), seed=config.seed, stop_step=1
    )
    with data.reading(source.name):
        batch = next(iter(batches))
    rows = list(batch["views"])
    grid = tf.concat([tf.concat(tf.unstack(row), axis=1) for row in rows], axis=0)
    grid = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    scale = max(1, 64 // rows[0].shape[1])  # so that 32 px can be seen
    grid = tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)
    rundir.write_whole(
        os.path.join(config.model_dir, "views.png"),
        lambda file: file.write(tf.io.encode_png(grid).numpy()),
    )
    settings = "\n".join(f"| {name} | {value} |" for name, value in config.to_dict().items())
    with writer.as_default(step=0):
        tf.summary.image("image", grid[tf.newaxis])
        tf.summary.text("flags", "| flag | value |\n| --- | --- |\n" + settings)
