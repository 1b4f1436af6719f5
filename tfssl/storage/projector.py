"""Writes representations for TensorBoard's projector, and as a t-SNE plot."""

import os

import numpy as np
from PIL import Image

from tfssl import files

THUMBNAIL = 32  # pixels, side of the images in the projector
MOST_SPRITES = (8192 // THUMBNAIL) ** 2  # TensorBoard accepts sprites of 8192 x 8192 px
LEGEND = 20  # maximum number of classes in the legend


def write_projector(directory, h, ids, names, images):
    """Writes the files of TensorBoard's projector: TSV tables and one sprite image."""
    files.write_text(
        os.path.join(directory, "tensors.tsv"),
        table([[f"{value:.6g}" for value in row] for row in h]),
    )
    files.write_text(
        os.path.join(directory, "metadata.tsv"), table([("file", "label"), *zip(ids, names)])
    )
    side = int(np.ceil(len(images) ** 0.5))
    sprite = np.zeros((side, side, THUMBNAIL, THUMBNAIL, 3), np.uint8)
    sprite.reshape(-1, *images.shape[1:])[: len(images)] = images
    sprite = sprite.transpose(0, 2, 1, 3, 4).reshape(side * THUMBNAIL, side * THUMBNAIL, 3)
    files.write_whole(
        os.path.join(directory, "sprite.png"),
        lambda file: Image.fromarray(sprite).save(file, "png"),
    )
    files.write_text(
        os.path.join(directory, "projector_config.pbtxt"),
        f"""embeddings {{
  tensor_name: "representations"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {THUMBNAIL}
    single_image_dim: {THUMBNAIL}
  }}
}}
""",
    )


def table(rows):
    """Rows of text as TSV, with tabs and line breaks in cells escaped as \\t, \\n and \\r."""
    escapes = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
    return "".join("\t".join(cell.translate(escapes) for cell in row) + "\n" for row in rows)


def picture(directory, places, labels, names, title):
    """Writes map.png, images at their places, if matplotlib is installed.

    Args:
        places: function of no arguments that returns them, [N, 2], and how they were made.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: it needs the pictures extra, pip install 'tfssl[pictures]'")
        return
    points, how = places()
    figure, axis = plt.subplots(figsize=(7.5, 6), constrained_layout=True)
    kinds = sorted(set(labels.tolist()))
    colours = plt.get_cmap("tab10" if len(kinds) <= 10 else "tab20")
    for number, label in enumerate(kinds):
        at = labels == label
        name = names[int(np.argmax(at))] if len(kinds) > 1 else "all"
        axis.scatter(
            *points[at].T, s=7, color=colours(number % colours.N), label=name, linewidths=0
        )
    if 1 < len(kinds) <= LEGEND:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, frameon=False)
    axis.set_title(f"{title}\n{how} of {len(points):,} representations", fontsize=10)
    axis.set(xticks=[], yticks=[])
    path = os.path.join(directory, "map.png")
    files.write_whole(path, lambda file: figure.savefig(file, dpi=120))
    plt.close(figure)
    print(path)
