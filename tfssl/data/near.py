"""Images that look alike: recompressed, resized, brightened or darkened copies.

Each image is reduced to a grey thumbnail of SIDE x SIDE pixels. Two are alike if the correlation of
their thumbnails is at least ALIKE, which does not depend on brightness and contrast.
"""

import base64
import functools

import numpy as np

from tfssl.data import arrays
from tfssl.data.source import Source

SIDE, COARSE = 16, 8  # of thumbnails; the coarse ones find pairs to compare
ALIKE, CANDIDATE = 0.99, 0.97  # least correlations
MOST, MOST_OTHERS = 5_000, 200_000  # images of either side that are compared
BLOCK = 1_000  # images compared with all others at once
CHUNK = 2_048  # images reduced at once


def thumbnail(image):
    """The grey thumbnail of an image [h, w, C] or of images [n, h, w, C], uint8 [..., SIDE, SIDE].

    Each is stretched to the whole range of uint8; values that are not finite count as 0.
    """
    pixels = np.asarray(image, np.float32)
    if np.issubdtype(image.dtype, np.floating):
        pixels = np.nan_to_num(pixels)
    with np.errstate(over="ignore", invalid="ignore"):
        grey = pixels @ np.full(pixels.shape[-1], 1 / pixels.shape[-1], np.float32)
    height, width = grey.shape[-2:]
    grey = parts_of(height) @ grey @ parts_of(width).T
    low = grey.min(axis=(-2, -1), keepdims=True)
    span = np.maximum(grey.max(axis=(-2, -1), keepdims=True) - low, 1e-12)
    return np.rint(255 * (grey - low) / span).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def parts_of(length):
    """Weights [SIDE, length] of the means of SIDE equal parts of an axis."""
    edges = np.arange(SIDE + 1) * length / SIDE
    pixels = np.arange(length)
    low = np.maximum(edges[:-1, np.newaxis], pixels)
    high = np.minimum(edges[1:, np.newaxis], pixels + 1)
    return np.float32(np.maximum(high - low, 0.0) * SIDE / length)


def packed(thumb):
    """A thumbnail as text."""
    return base64.b64encode(thumb.tobytes()).decode()


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIDE, SIDE)


def thumbnails(source, most):
    """The places of at most so many examples of a source, and their thumbnails; None: unknown."""
    places = np.arange(source.num_examples)
    places = places[:: max(1, -(-len(places) // most))]
    if source.arrays:
        images = source.arrays[0]
        parts = [thumbnail(images[places[i : i + CHUNK]]) for i in range(0, len(places), CHUNK)]
        return places, np.concatenate(parts)
    every = source.thumbnails and source.thumbnails()
    return None if every is None else (places, every[places])


def alike(
    one: Source | np.ndarray, other: Source | np.ndarray
) -> tuple[list[tuple[int, int]], int] | None:
    """Finds the examples of one source that look like an example of another one.

    Of more than MOST examples of the first, and MOST_OTHERS of the other, an even sample is
    compared.

    Args:
        one, other: `Source`s, or arrays of images as `tfssl.views` takes them.

    Returns:
        The pairs (place in `one`, place in `other`) that look most alike, at most one for each
        place in `one`, and the number of examples of `one` that were compared; None if the images
        of either are neither in memory nor in files.

    Example:

    ```python
    images = np.random.default_rng(0).integers(0, 200, (8, 32, 32, 3), "uint8")
    tfssl.data.alike(images[3:5] + 20, images)  # ([(0, 3), (1, 4)], 2)
    ```
    """
    one, other = (x if isinstance(x, Source) else arrays.source_of(x) for x in (one, other))
    ours, theirs = thumbnails(one, MOST), thumbnails(other, MOST_OTHERS)
    if ours is None or theirs is None:
        return None
    (places, small), (other_places, others) = ours, theirs
    fine, other_fine = units(small), units(others)
    coarse, other_coarse = units(coarser(small)), units(coarser(others))
    pairs = []
    for start in range(0, len(places), BLOCK):
        rows, columns = np.nonzero(coarse[start : start + BLOCK] @ other_coarse.T >= CANDIDATE)
        for row in np.unique(rows):
            among = columns[rows == row]
            found = other_fine[among] @ fine[start + row]
            if found.max() >= ALIKE:
                best = among[found.argmax()]
                pairs.append((int(places[start + row]), int(other_places[best])))
    return pairs, len(places)


def coarser(thumbs):
    """Thumbnails [n, COARSE, COARSE]."""
    part = SIDE // COARSE
    return thumbs.reshape(-1, COARSE, part, COARSE, part).mean(axis=(2, 4))


def units(thumbs):
    """Thumbnails as vectors of mean 0 and length 1, whose products are correlations; 0 if flat."""
    vectors = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-6)
