"""Views of images of other channels and depths, by the bytes that are stored

Two views of 64 px of images of 96 px: crop, flip, brightness and contrast, blur. In memory: 16 bits
are scaled when they are loaded. In files: a folder of 256 of them, PNG or TIFF, not kept in memory.
MB are those of the arrays or the files.
"""

import os
import tempfile

BATCH, EACH, SIDE, SIZE = 128, 16, 96, 64
UNIT = "MB"
ALIVE = False  # batches that are made while others are measured would count as made at once
KINDS = {
    "RGB, 8 bit": (3, "uint8"),
    "grey, 16 bit": (1, "uint16"),
    "6 channels, 16 bit": (6, "uint16"),
}
PLACES = {"in memory": 1024, "in .npy": 1024, "in files": 256}  # number of images
VARIANTS = {f"{kind}, {place}": None for place in PLACES for kind in KINDS}


def build(name, settings):
    import tfssl
    from tfssl.runner import sources

    kind, _, place = name.rpartition(", ")
    channels, dtype = KINDS[kind]
    images = pictures(PLACES[place], channels, dtype)
    recipe = tfssl.augment.simclr_view(
        SIZE, channels, saturation=0.0, hue=0.0, grayscale_p=0.0, blur_p=0.5
    )
    directory = tempfile.mkdtemp()
    how = stored(directory, place, images)
    megabytes = sum(os.path.getsize(entry) for entry in os.scandir(directory)) / 1e6
    config = tfssl.Config(channels=channels, cache_dataset=place == "in memory", **how)
    batches = iter(tfssl.views(sources.load(config, "train"), recipe, batch_size=BATCH).repeat())
    # Many at a time, as some are made before they are asked for.
    return lambda: [next(batches) for _ in range(EACH)], EACH * BATCH * megabytes / len(images), 0


def stored(directory, place, images):
    """Writes images, and returns the settings that read them."""
    import numpy as np
    import tifffile
    from PIL import Image

    if place != "in files":
        np.save(os.path.join(directory, "images.npy"), images)
        return dict(dataset=os.path.join(directory, "images.npy"))
    for number, image in enumerate(images):
        path = os.path.join(directory, f"{number:04}")
        if image.shape[-1] > 3:
            tifffile.imwrite(f"{path}.tiff", image, photometric="minisblack", planarconfig="contig")
        else:
            Image.fromarray(image if image.shape[-1] == 3 else image[..., 0]).save(f"{path}.png")
    return dict(dataset="folder", data_dir=directory)


def pictures(count, channels, dtype):
    """Smooth noise [count, SIDE, SIDE, channels]."""
    import numpy as np
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=(count, SIDE, SIDE, channels))
    noise = 0.5 + ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    return (np.clip(noise, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def targets(rows):
    first, *others = KINDS
    found = []
    for place in PLACES:
        for kind in others:
            ratio = rows[f"{kind}, {place}"]["MB/s"] / rows[f"{first}, {place}"]["MB/s"]
            what = f"{kind}, {place}: at least {first} by the byte: {ratio:.2f} times"
            found.append((what, ratio >= 1))
    return found
