"""`--mode=embed`: representations of a split as a file, a TensorBoard projector and a picture."""

import os

import numpy as np
from PIL import Image

from tfssl import files
from tfssl.runner import cost, evaluate, frozen
from tfssl.storage import rundir
from tfssl.storage.pretrained import described
from tfssl.storage.projector import MOST_SPRITES, THUMBNAIL, picture, write_projector


def embed(config, given):
    """Writes representations of --eval_split; arguments and errors: see `frozen.encoder`.

    In `embed/<step>-<dataset>-<split>-<size>/` of --model_dir: embeddings.npz (h float32 [N, D],
    labels int64 [N], -1 without labels, classes, files: text [N], what the dataset calls each
    image, for a folder its file below it), the files of TensorBoard's projector with the images as
    sprites, and tsne.png.

    Returns:
        The directory.
    """
    job, encoder, origin = frozen.encoder(config, given)
    config, source = job.config, job.eval_source
    name = "-".join(
        [f"step{origin['step']}", source.name, source.split, "x".join(map(str, job.eval_size))]
    )
    directory = os.path.join(config.model_dir, "embed", slug(name))
    rundir.make(config.model_dir)
    print(f"embeddings by {described(origin)}")
    encode = evaluate.batch_function(encoder, job.eval_size)
    cost.tell("embed", cost.of_encoding(config, encode, source, job.eval_size))
    h, labels = evaluate.represent(
        config, encode, source, job.eval_size, "embed", config.eval_steps
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

    chosen = np.random.default_rng(config.seed).permutation(len(h))
    chosen = np.sort(chosen[: min(config.embed_points, MOST_SPRITES)])
    names = [
        source.classes[label] if source.classes and label >= 0 else str(label)
        for label in labels[chosen]
    ]
    write_projector(
        directory, h[chosen], [ids[place] for place in chosen], names, thumbnails(job, chosen)
    )
    print(f"tensorboard --logdir {directory}    (Projector, {len(chosen):,} images)")
    picture(
        directory,
        h[chosen],
        labels[chosen],
        names,
        f"{source.name} {source.split}, {origin['method']} on {origin['dataset']}",
        config.seed,
    )
    return directory


def slug(text):
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in text)


def thumbnails(job, chosen):
    """uint8 [len(chosen), THUMBNAIL, THUMBNAIL, 3] of the evaluation crops, in order."""
    wanted, size = set(chosen.tolist()), (THUMBNAIL, THUMBNAIL)
    _, images = evaluate.crops(job.config, job.eval_source, job.eval_size)
    made, place = [], 0
    for batch in images:
        for image in batch["image"].numpy():
            if place in wanted:
                whole = Image.fromarray((image * 255).round().astype(np.uint8))
                made.append(np.asarray(whole.resize(size, Image.BOX)))
            place += 1
    return np.stack(made)
