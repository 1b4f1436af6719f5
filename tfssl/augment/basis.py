"""What the operations of this package are made of: `Op`, random numbers, sampling."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

Range = tuple[float, float]
Seed = tf.Tensor | Sequence[int]


@dataclasses.dataclass(frozen=True)
class Op:
    """A random operation on a batch of images.

    Attributes:
        name: key of the op's draw within the draws of `compose` and `maybe`.
        draw: `draw(seed, images) -> drawn`, a (possibly nested) dict of tensors whose first axis is
            the batch. It depends on the shape of the images only.
        apply: `apply(images, drawn) -> images`, deterministic.
        per_image: whether the result for an image depends only on that image and its draw, so that
            `in_blocks` and `one_by_one` may split a batch.
        stateless: whether images and seed determine the result; False for ops with random state,
            such as a Keras layer.
        own: whether it computes by this package's functions only, which need no AutoGraph; by
            default whether `draw` and `apply` are of this package.

    Example:

    ```python
    invert = tfssl.augment.Op("invert", lambda seed, x: {}, lambda x, drawn: 1 - x)
    invert(tf.zeros((1, 2, 2, 3)), seed=[0, 1]).numpy().max()  # 1.0
    ```
    """

    name: str
    draw: Callable
    apply: Callable
    per_image: bool = dataclasses.field(default=True, kw_only=True)
    stateless: bool = dataclasses.field(default=True, kw_only=True)
    own: bool | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        if self.own is None:
            made = (str(getattr(each, "__module__", None)) for each in (self.draw, self.apply))
            own = all(name.startswith(f"{__package__}.") for name in made)
            object.__setattr__(self, "own", own)

    def __call__(self, images: tf.Tensor, seed: Seed) -> tf.Tensor:
        return self.apply(images, self.draw(seed, images))


def seeds(seed: Seed, count: int | tf.Tensor) -> tf.Tensor:
    """Splits a seed into `count` seeds, int32 [count, 2]."""
    return tf.random.split(seed, count, alg="philox")


def separable(images, rows, columns):
    """Mixes rows by `rows` [B, h, H], then columns by `columns` [B, w, W]: [B, h, w, C]."""
    mixed = tf.einsum("bhy,byxc->bhxc", rows, images)
    return tf.einsum("bwx,bhxc->bhwc", columns, mixed)


def bilinear(images, rows, columns, fill, value):
    """Samples images [B, H, W, C] at real-valued rows and columns [B, h, w]: [B, h, w, C].

    See `rotate` for `fill` and `value`.
    """
    # With gather, as XLA has no kernel for TensorFlow's ImageProjectiveTransformV3.
    batch, height, width, channels = shape_of(images)
    pixels = tf.reshape(images, [batch, height * width, channels])

    def pixel(row, column):
        found = tf.gather(
            pixels, inside(row, height, fill) * width + inside(column, width, fill), batch_dims=1
        )
        if fill != "constant":
            return found
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return tf.where(within[..., None], found, value)

    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)

    def line(row):
        first = pixel(row, left)
        return first + right * (pixel(row, left + 1) - first)

    upper = line(top)
    return upper + down * (line(top + 1) - upper)


def inside(place, size, fill):
    """Maps integer positions along an axis into [0, size), as `fill` says."""
    if fill == "reflect":
        place = tf.math.floormod(place, 2 * size)
        return tf.minimum(place, 2 * size - 1 - place)
    return tf.clip_by_value(place, 0, size - 1)


def fixed(name, apply):
    return Op(name, nothing, lambda images, drawn: apply(images))


def nothing(seed, images):
    """The draw of ops that are not random."""
    return {}


def unchanged(images, drawn):
    """What `identity()` applies."""
    return images


def like(op, name, draw, apply):
    """An `Op` with the flags of another one."""
    return Op(name, draw, apply, per_image=op.per_image, stateless=op.stateless, own=op.own)


def split_seed(seed, parts):
    return tf.unstack(seeds(seed, parts))


def uniform(seed, shape):
    """Floats in [0, 1)."""
    # With an explicit algorithm XLA draws the same bits as TensorFlow, but `stateless_uniform`
    # converts them to other floats. So they are converted here, from 24 bits each.
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg="philox")
    return tf.cast(tf.bitwise.bitwise_and(bits, 2**24 - 1), tf.float32) * 2.0**-24


def is_single(images):
    """Whether the static shape says that the batch has one image."""
    return images.shape[0] == 1


def shape_of(images):
    """Batch, height, width, channels: Python integers where statically known, else tensors."""
    known, actual = images.shape, tf.shape(images)
    return [known[i] if known[i] is not None else actual[i] for i in range(4)]


def require(condition, name, expected, value):
    if not condition:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value}")


def require_one_of(value, name, choices):
    require(value in choices, name, "one of " + ", ".join(map(repr, choices)), repr(value))
