"""Writes two small datasets such as users have: grey scans of patients, and multispectral tiles.

    python docs/examples/scans_and_tiles.py

scans/*.png: grey images of 12 bits in files of 16 bits, several of each patient, which show figures
of the embedded dataset `shapes`; scans/scans.csv: their paths, labels and patients.
tiles.npz: six kinds of ground in six bands of 16 bits on levels of their own, with pixels of 0
where the sensor saw nothing.
"""

import csv
import os
import sys

import numpy as np
from PIL import Image

from tfssl.data import shapes

FINDINGS = ("disc", "cross", "crescent", "zigzag")
EACH = 4  # scans of a patient
GROUND = ("fields", "orchard", "forest", "town", "river", "lake")
MATERIALS, BANDS = 4, 6  # water, soil, ..., each with a spectrum


def write_scans(count, side, seed=0):
    images, labels = shapes.generate("train", count * 10 // len(FINDINGS), side, seed)
    wanted = np.isin(labels, [shapes.CLASSES.index(name) for name in FINDINGS])
    order = np.flatnonzero(wanted)[np.argsort(labels[wanted], kind="stable")]
    os.makedirs("scans", exist_ok=True)
    with open("scans/scans.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "patient"])
        for place, number in enumerate(order):  # a patient has one finding
            name = f"{place:05}.png"
            scan = np.rint(4095 / 255 * images[number].mean(axis=-1)).astype(np.uint16)
            Image.fromarray(scan).save(os.path.join("scans", name))
            rows.writerow([name, shapes.CLASSES[labels[number]], f"p{place // EACH:04}"])


def ground(kind, side, rng):
    """Which of its two materials a tile shows where, bool [side, side]."""
    y, x = np.mgrid[:side, :side] / side - rng.uniform(0.3, 0.7, (2, 1, 1))
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    turns = 2 * np.pi * rng.uniform(3, 5)
    if kind == "fields":
        level = np.sin(turns * along)
    elif kind == "orchard":
        level = np.sin(turns * along) * np.sin(turns * across) - 0.3
    elif kind == "forest":
        waves, phases = rng.normal(0, 14, (2, 8, 1, 1)), rng.uniform(0, 2 * np.pi, (8, 1, 1))
        level = np.sin(waves[0] * x + waves[1] * y + phases).sum(axis=0)
    elif kind == "town":
        blocks = rng.random((16, 16)) - 0.5
        level = blocks[np.int64(6 * along + 8), np.int64(6 * across + 8)]
    elif kind == "river":
        level = 0.08 - np.abs(across - 0.12 * np.sin(6 * along))
    else:
        level = rng.uniform(0.2, 0.35) - np.hypot(along, 1.5 * across)
    return level > 0


def write_tiles(count, side, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(count) % len(GROUND)
    first = np.stack([ground(GROUND[label], side, rng) for label in labels])[..., None]
    pair = rng.permuted(np.tile(np.arange(MATERIALS), (count, 1)), axis=1)[:, :2]
    spectra = rng.uniform(0.2, 0.8, (MATERIALS, BANDS))[pair] + rng.normal(
        0, 0.03, (count, 2, BANDS)
    )
    one, other = spectra[:, :, None, None].swapaxes(0, 1)
    light = rng.uniform(0.7, 1.3, (count, 1, 1, 1))
    seen = light * np.where(first, one, other) + rng.normal(0, 0.05, (count, side, side, BANDS))
    levels, spans = rng.uniform(200, 2000, BANDS), rng.uniform(1000, 8000, BANDS)
    values = np.clip(levels + spans * seen, 1, 65535).astype(np.uint16)
    for tile in values[::5]:  # the edge of a swath
        tile[:, : rng.integers(1, side // 4)] = 0
    split = np.where(np.arange(count) % 5 == 4, "test", "train")
    np.savez("tiles.npz", images=values, labels=np.array(GROUND)[labels], split=split)


def main(count=4000, side=32):
    write_scans(count, side)
    write_tiles(count, side)
    print(f"scans/scans.csv and tiles.npz: {count:,} images each")


if __name__ == "__main__":
    for path in ("scans", "tiles.npz"):  # which may be the user's own
        if os.path.lexists(path):
            sys.exit(f"{path} must not exist yet in this directory.")
    main()
