"""`--mode=embed`: writes representations of a split, a TensorBoard projector and a t-SNE plot."""

import os
import shlex

import numpy as np
from PIL import Image

from tfssl import data, files
from tfssl.data import channels
from tfssl.report.sample import places
from tfssl.runner import cost, evaluate, frozen
from tfssl.storage import rows, rundir
from tfssl.storage.pretrained import described, learned_by
from tfssl.storage.projector import MOST_SPRITES, THUMBNAIL, picture, write_projector


def embed(config, given):
    """Writes representations of --eval_split.

    To `embed/<step>-<dataset>-<split>-<size>/` in --model_dir: embeddings.npz (h float32 [N, D];
    labels int64 [N], -1 for unlabelled images; classes; files, text [N]: the names of the images in
    the dataset, relative paths for a folder), the files of TensorBoard's projector, and map.png.

    Args, Raises: see `frozen.encoder`.

    Returns:
        The path of the directory.
    """
    job, encoder, origin = frozen.encoder(config, given)
    config, source = job.config, job.eval_source
    name = "-".join(
        [f"step{origin['step']}", source.name, source.split, "x".join(map(str, job.eval_size))]
    )
    directory = os.path.join(config.model_dir, "embed", slug(name))
    rundir.make(config.model_dir)
    print(f"embeddings by {described(origin)}")
    encode = evaluate.encoder_function(config, encoder, job.eval_size)
    cost.announce("embed", cost.of_encoding(config, encode, source, job.eval_size))
    place = os.path.join(directory, evaluate.REPRESENTATIONS)
    h, labels = evaluate.represent(
        config,
        encode,
        source,
        job.eval_size,
        "embed",
        config.eval_steps,
        place=place,
        unlabelled=True,
    )
    ids = source.ids()[: evaluate.count(config, source)]
    rundir.make(directory)
    path = os.path.join(directory, "embeddings.npz")
    files.write_whole(
        path,
        lambda file: np.savez(
            file, h=h, labels=labels, classes=np.array(source.classes, str), files=np.array(ids)
        ),
    )
    print(f"{path}: h {h.shape}, labels {labels.shape}, files {len(ids):,}")

    shown = np.random.default_rng(config.seed).permutation(len(h))
    shown = np.sort(shown[: min(config.embed_points, MOST_SPRITES)])
    names = [
        source.classes[label] if source.classes and label >= 0 else str(label)
        for label in labels[shown]
    ]
    write_projector(
        directory, h[shown], [ids[place] for place in shown], names, thumbnails(job, shown)
    )
    quoted = shlex.quote(str(directory))
    print(f"tensorboard --logdir {quoted}    (Projector, {len(shown):,} images)")
    title = f"{source.name} {source.split}, {learned_by(origin)} on {origin['dataset']}"
    picture(directory, lambda: places(h[shown], config.seed), labels[shown], names, title)
    rows.remove(h)
    return directory


def slug(text):
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in text)


def thumbnails(job, shown):
    """Resized evaluation crops of images, uint8 [len(shown), THUMBNAIL, THUMBNAIL, 3].

    Args:
        job: the `Job`, whose evaluation split has the images.
        shown: int [n], their places, ascending.
    """
    size = (THUMBNAIL, THUMBNAIL)
    _, images = evaluate.crops(job.config, data.subset(job.eval_source, shown), job.eval_size)
    made = []
    for batch in images:
        for image in np.asarray(channels.shown(batch["image"])):
            whole = Image.fromarray((image * 255).round().astype(np.uint8))
            made.append(np.asarray(whole.resize(size, Image.BOX)))
    return np.stack(made)
