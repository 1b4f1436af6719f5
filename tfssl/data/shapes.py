"""`shapes`: ten classes of drawn figures, a dataset that needs no download.

The class is the shape of the figure. Everything else is random and independent of the label:
position, size, rotation, stretch, solid or hollow, colours and textures of figure and background,
distracting strokes, noise. Pixels alone say little about the class, while a convolutional network
learns it.

Figures are signed-distance functions, evaluated at the pixels of the image: a larger image shows
the same scene at a higher resolution. Lengths are in halves of the shorter side of the image
unless noted, colour levels in [0, 1].
"""

import math

import numpy as np

NUM_EXAMPLES = {"train": 10_000, "test": 2_000}

# Difficulty. Ranges are of uniform distributions.
DIAMETER = (0.6, 0.85)  # of the figure, as fraction of the shorter side
OVERHANG = 0.0  # fraction of the radius by which the figure may leave the image
STRETCH = 0.1  # logarithm of the largest stretch along the figure's axes
HOLLOW = 0.1  # probability that only the outline is drawn
LINE = (0.2, 0.3)  # width of that outline, in radii
LEVEL = (0.3, 0.7)  # mean level of the background
CONTRAST = (0.2, 0.3)  # difference between figure and background, of either sign
CHROMA = 0.1  # largest deviation of a channel from the level
TEXTURE = 0.04  # largest amplitude of a texture
CYCLES = (2.0, 5.0)  # periods of stripes and checks along the shorter side
STROKES = 2  # distracting strokes behind the figure, each present with probability 1/2
STROKE_LENGTH = (0.0, 0.5)
STROKE_WIDTH = (0.05, 0.12)
NOISE = 0.02  # largest standard deviation of the pixel noise

BLOCK = 100  # images per random generator; a multiple of the number of classes


# One signed distance per class, negative inside; figures have about the size and area of the unit
# disc. Distances are exact near the edge.


def disc(x, y):
    return np.hypot(x, y) - 0.7


def triangle(x, y):
    return np.maximum(-y, 0.75**0.5 * np.abs(x) + 0.5 * y) - 0.54


def square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.62


def star(x, y):
    """Five points; by symmetry half of one is computed."""
    radius, turn = np.hypot(x, y), math.pi / 5
    angle = np.abs((np.arctan2(y, x) + turn) % (2 * turn) - turn)
    normal = math.atan2(1 - 0.48 * math.cos(turn), 0.48 * math.sin(turn))
    return radius * np.cos(angle - normal) - math.cos(normal)


def cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.92, np.minimum(x, y) - 0.24)


def crescent(x, y):
    return np.maximum(np.hypot(x, y) - 0.95, 0.74 - np.hypot(x - 0.48, y))


def heart(x, y):
    """A disc whose halves are sheared upwards."""
    x = np.abs(x)
    return 0.8 * (np.hypot(x, y + 0.15 - x) - 0.68)


def arrow(x, y):
    y = np.abs(y)
    head = np.maximum(-x, 0.5**0.5 * (x + y - 0.95))
    shaft = np.maximum(y - 0.24, np.abs(x + 0.4) - 0.55)
    return np.minimum(head, shaft)


def hourglass(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.maximum(y - 0.8, (x - 0.9 * y - 0.1) / math.hypot(1, 0.9))


def zigzag(x, y):
    """The letter Z: two bars and a diagonal."""
    bars = np.abs(np.abs(y) - 0.68) - 0.17
    diagonal = np.maximum(
        np.abs(0.75 * y - 0.68 * x) / math.hypot(0.75, 0.68) - 0.17, np.abs(y) - 0.85
    )
    return np.maximum(np.minimum(bars, diagonal), np.abs(x) - 0.75)


FIGURES = (disc, triangle, square, star, cross, crescent, heart, arrow, hourglass, zigzag)
CLASSES = tuple(figure.__name__ for figure in FIGURES)


def generate(split, num_examples, image_size, seed):
    """Draws the first examples of a split; each ten in a row have every class once.

    Example i depends only on the split, the seed and i. A larger `num_examples` extends the
    dataset, and another `image_size` draws the same scenes (with other pixel noise).

    Args:
        split: "train" or "test", independent random streams.
        num_examples: integer >= 1; NUM_EXAMPLES has the usual sizes, which are not limits.
        image_size: pixels, an integer or (height, width).
        seed: integer >= 0.

    Returns:
        (images uint8 [N, H, W, 3], labels int64 [N] in [0, 10)).

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    from tfssl.data import shapes

    images, labels = shapes.generate("train", 20, image_size=32, seed=0)
    images.shape, sorted(labels[:10].tolist())  # ((20, 32, 32, 3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    ```
    """
    if split not in NUM_EXAMPLES:
        raise ValueError(
            f"`split` must be one of {', '.join(NUM_EXAMPLES)}. Received: split={split}"
        )
    for name, value, least in (("num_examples", num_examples, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")
    height, width = _height_width(image_size)
    stream = list(NUM_EXAMPLES).index(split)
    images = np.empty((num_examples, height, width, 3), np.uint8)
    labels = np.empty(num_examples, np.int64)
    for start in range(0, num_examples, BLOCK):
        rng = np.random.Generator(np.random.Philox([seed, stream, start // BLOCK]))
        tens = np.tile(np.arange(len(CLASSES)), (BLOCK // len(CLASSES), 1))
        block = rng.permuted(tens, axis=1).ravel()
        stop = min(start + BLOCK, num_examples)
        labels[start:stop] = block[: stop - start]
        images[start:stop] = draw(block, (height, width), rng)[: stop - start]
    return images, labels


def draw(labels, image_size, rng):
    """Draws one image per label.

    Args:
        labels: int [N], in [0, 10): indices into CLASSES.
        image_size: pixels, an integer or (height, width).
        rng: `np.random.Generator`, or an integer seed.

    Returns:
        uint8 [N, H, W, 3].

    Raises:
        ValueError: if image_size or a label is out of its range.
    """
    labels, (height, width) = np.asarray(labels), _height_width(image_size)
    if labels.ndim != 1 or np.any((labels < 0) | (labels >= len(CLASSES))):
        raise ValueError(f"`labels` must be [N] in [0, {len(CLASSES)}). Received: labels={labels}")
    rng = np.random.default_rng(rng)
    scene = random_scene(rng, len(labels))
    images = render(labels, scene, height, width)
    noise = rng.standard_normal(images.shape, np.float32)
    images += noise * (scene["noise"][..., None] * 255)
    return np.clip(np.rint(images, out=images), 0, 255, out=images).astype(np.uint8)


def random_scene(rng, count):
    """Random parameters of N scenes: arrays [N, 1, 1] or, for colours, [N, 1, 1, 3]."""

    def uniform(low, high, *more):
        return rng.uniform(low, high, (count, 1, 1, *more)).astype(np.float32)

    def sign():
        return np.where(uniform(0, 1) < 0.5, np.float32(-1), np.float32(1))

    def colour(level):
        hue = uniform(0, 2 * np.pi, 1) + np.float32([0, 2 * np.pi / 3, 4 * np.pi / 3])
        return level[..., None] + uniform(0, CHROMA, 1) * np.cos(hue)

    def texture():
        """Stripes, checks, a gradient, or nothing, each as a product of two waves."""
        kind, cycles = rng.integers(4, size=(count, 1, 1)), uniform(*CYCLES)
        checks, shade, plain = kind == 1, kind == 2, kind == 3
        return {
            "angle": uniform(0, 2 * np.pi),
            "along": np.pi * np.where(shade, np.float32(0.4), cycles),
            "across": np.pi * np.where(checks, cycles, np.float32(0)),
            "phase": uniform(0, 2 * np.pi),
            "amplitude": np.where(plain, np.float32(0), uniform(0.5 * TEXTURE, TEXTURE)),
        }

    level = uniform(*LEVEL)
    return {
        "x": uniform(-1, 1),
        "y": uniform(-1, 1),
        "radius": uniform(*DIAMETER),
        "angle": uniform(0, 2 * np.pi),
        "mirror": sign(),
        "stretch": np.exp(uniform(-STRETCH, STRETCH)),
        "hollow": uniform(0, 1) < HOLLOW,
        "line": uniform(*LINE),
        "ground": colour(level),
        "ground_texture": texture(),
        "figure": colour(level + sign() * uniform(*CONTRAST)),
        "figure_texture": texture(),
        "clutter": colour(level + sign() * uniform(*CONTRAST)),
        "strokes": [
            {
                "x": uniform(-1, 1),
                "y": uniform(-1, 1),
                "angle": uniform(0, np.pi),
                "length": uniform(*STROKE_LENGTH),
                "width": uniform(*STROKE_WIDTH),
                "present": uniform(0, 1) < 0.5,
            }
            for _ in range(STROKES)
        ],
        "noise": uniform(0, NOISE),
    }


def render(labels, scene, height, width):
    """Draws scenes without noise: float32 [N, H, W, 3] in [0, 255], not clipped."""
    short = min(height, width)
    grid = _axis(width, short)[None, None, :], _axis(height, short)[None, :, None]
    extent = width / short, height / short

    def cover(distance):
        return np.clip(0.5 - distance * (short / 2), 0, 1)[..., None]

    distance = figure_distance(labels, scene, grid, extent)
    figure = cover(distance)
    figure -= scene["hollow"][..., None] * cover(distance + scene["line"] * scene["radius"])
    images = scene["ground"] + _texture(scene["ground_texture"], grid)
    clutter = cover(strokes_distance(scene["strokes"], grid, extent))
    images += clutter * (scene["clutter"] - images)
    images += figure * (scene["figure"] + _texture(scene["figure_texture"], grid) - images)
    images *= 255
    return images


def figure_distance(labels, scene, grid, extent):
    """Signed distance of each pixel from the figure, float32 [N, H, W]."""
    room = [np.float32(side) - (1 - OVERHANG) * scene["radius"] for side in extent]
    x, y = _turned(grid, scene["x"] * room[0], scene["y"] * room[1], scene["angle"])
    x *= scene["mirror"] / (scene["radius"] * scene["stretch"])
    y *= scene["stretch"] / scene["radius"]
    distance = np.empty_like(x)
    for label in np.unique(labels):
        own = labels == label
        distance[own] = FIGURES[label](x[own], y[own])
    return distance * scene["radius"]


def strokes_distance(strokes, grid, extent):
    """Signed distance of each pixel from the nearest stroke, a segment with round ends."""
    nearest = np.float32(np.inf)
    for stroke in strokes:
        x, y = _turned(grid, stroke["x"] * extent[0], stroke["y"] * extent[1], stroke["angle"])
        x = np.maximum(np.abs(x) - stroke["length"] / 2, 0)
        distance = np.hypot(x, y) - stroke["width"] / 2
        nearest = np.minimum(nearest, np.where(stroke["present"], distance, np.inf))
    return nearest


def _texture(texture, grid):
    x, y = _turned(grid, 0, 0, texture["angle"])
    x = np.sin(x * texture["along"] + texture["phase"])
    y = np.cos(y * texture["across"])
    return (texture["amplitude"] * x * y)[..., None]


def _turned(grid, x, y, angle):
    """Coordinates of the pixels relative to (x, y), rotated by an angle in radians."""
    x, y, cos, sin = grid[0] - x, grid[1] - y, np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _axis(pixels, short):
    """Centres of the pixels along a side; 0 in the middle, the shorter side is [-1, 1]."""
    return ((2 * np.arange(pixels) + 1 - pixels) / short).astype(np.float32)


def _height_width(image_size):
    height, width = np.broadcast_to(image_size, 2)
    if height < 1 or width < 1:
        raise ValueError(
            "`image_size` must be a positive integer or (height, width). "
            f"Received: image_size={image_size}"
        )
    return int(height), int(width)
