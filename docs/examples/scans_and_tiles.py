"""Writes two small datasets such as users have: grey scans of patients, and multispectral tiles.

    python docs/examples/scans_and_tiles.py

scans/*.png: grey images of 12 bits in files of 16 bits, several of each patient, which show the
figures of the embedded dataset `shapes`; scans/scans.csv: their paths, labels and patients.
tiles.npz: kinds of ground in six bands of 16 bits on levels of their own, with pixels of 0 where
the sensor saw nothing.
"""

import csv
import os

import numpy as np
from PIL import Image

from tfssl.data import shapes

EACH = 4  # scans of a patient


def grey_of(images):
    """The mean of the channels, float32 [N, H, W] in [0, 1]."""
    return images.mean(axis=-1, dtype=np.float32) / 255


def write_scans(count, side, seed=0):
    images, labels = shapes.generate("train", count, side, seed)
    order = np.argsort(labels, kind="stable")  # a patient has one finding
    os.makedirs("scans", exist_ok=True)
    with open("scans/scans.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "patient"])
        for place, number in enumerate(order):
            name = f"{place:05}.png"
            scan = np.rint(4095 * grey_of(images[number])).astype(np.uint16)
            Image.fromarray(scan).save(os.path.join("scans", name))
            finding = shapes.CLASSES[labels[number]]
            rows.writerow([name, finding, f"p{place // EACH:04}"])


def write_tiles(count, side, seed=1):
    """Ten kinds of ground: of five spectra, each in large and in small patches."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(count) % 10
    patches = [rng.normal(size=(count, side // s, side // s)) for s in (8, 2)]
    relief = [p.repeat(side // p.shape[1], 1).repeat(side // p.shape[1], 2) for p in patches]
    relief = np.stack(relief)[labels % 2, np.arange(count)][..., None]
    light = rng.uniform(0.5, 1.5, (count, 1, 1, 1))
    spectra = rng.uniform(0.2, 0.8, (5, 6))[labels // 2] + rng.normal(0, 0.15, (count, 6))
    ground = light * spectra[:, None, None] * (1 + 0.25 * relief)
    ground += rng.normal(0, 0.05, (count, side, side, 6))
    levels, spans = rng.uniform(200, 2000, 6), rng.uniform(1000, 8000, 6)
    values = np.clip(levels + spans * ground, 1, 65535).astype(np.uint16)
    for tile in values[::5]:  # the edge of a swath
        tile[:, : rng.integers(1, side // 4)] = 0
    split = np.where(np.arange(count) % 5 == 4, "test", "train")
    np.savez("tiles.npz", images=values, labels=labels, split=split)


def main(count=4000, side=32):
    write_scans(count, side)
    write_tiles(count, side)
    print(f"scans/scans.csv and tiles.npz: {count:,} images each")


if __name__ == "__main__":
    main()
