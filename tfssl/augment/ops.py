"""Random operations on batches of images.

Each operation is an `Op`, a pair of functions. `draw` turns a seed into tensors with one value per
image; `apply` is deterministic. Both are graph code without Python randomness: the same seed gives
the same draw eagerly, in `tf.data` and with `jit_compile=True`.

Images are float32 [B, H, W, C] in [0, 1] with any number of channels; a seed is int32 [2].
Saturation, hue and grayscale need RGB. They raise a ValueError for another number of channels, or
an InvalidArgumentError at run time where the static shape does not have the number.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import tensorflow as tf

from tfssl import compat
from tfssl.augment import colour
from tfssl.augment.basis import (
    Op,
    Range,
    bilinear,
    fixed,
    is_single,
    like,
    nothing,
    require,
    require_one_of,
    separable,
    shape_of,
    split_seed,
    unchanged,
    uniform,
)
from tfssl.augment.intensity import (  # noqa: F401 - all operations are here for users
    channel_dropout,
    cutout,
    erase,
    gamma,
    levels,
    noise,
    speckle,
)

BLOCK_PIXELS = 2**17  # RGB pixels that `in_blocks` augments at a time: 1.5 MB, for the cache
LARGE = 2**12  # pixels of an image from which `one_by_one` splits a batch
_ATTEMPTS = 16
_MIN_COVERED = 0.1
_FULL_SCALE = {tf.uint8: 255.0, tf.uint16: 65535.0}
_CHANGES = ("brightness", "contrast", "saturation", "hue")
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


@dataclasses.dataclass(frozen=True)
class Crop(Op):
    """An `Op` that crops windows and resizes them to one size.

    The draw is {"top", "left", "height", "width": float32 [B]}, in pixels.

    Attributes:
        size: (height, width) of the result, in pixels.
        name, draw, apply, per_image, stateless, own: see `Op`.

    Example:

    ```python
    crop = tfssl.augment.simclr(32).crop
    crop.size  # (32, 32)
    crop.of_image(tf.zeros((50, 40, 3)), [0, 0, 20, 20]).shape  # (32, 32, 3)
    ```
    """

    size: tuple[int, int]

    def of_image(self, image: tf.Tensor, window: Sequence[int | tf.Tensor]) -> tf.Tensor:
        """Crops a single image with `tf.image.resize`: the result of `apply` up to rounding.

        Args:
            image: uint8 [h, w, C] in [0, 255], uint16 in [0, 65535], or float32 in [0, 1].
            window: (top, left, height, width), integer scalars, in pixels.

        Returns:
            float32 [*size, C], not clipped to [0, 1].
        """
        top, left, height, width = window
        image = image[top : top + height, left : left + width]
        resized = tf.image.resize(image, self.size, "bicubic")
        scale = _full_scale(image)
        return resized / scale if scale else resized


def identity() -> Op:
    """Returns the `Op` that leaves images unchanged and draws nothing.

    Example:

    ```python
    images = tf.random.uniform((2, 8, 8, 3))
    bool(tf.reduce_all(tfssl.augment.identity()(images, seed=[0, 1]) == images))  # True
    ```
    """
    return Op("identity", nothing, unchanged)


def compose(*ops: Op) -> Op:
    """Applies `ops` from left to right, each with its own seed.

    The seed of an op depends only on its place: replacing another op by `identity()` does not
    change its draw. Every `draw` sees the shape of the input of the composition, so a crop must
    come first.
    """
    names = [f"{place}_{op.name}" for place, op in enumerate(ops)]
    random = any(op.draw is not nothing for op in ops)

    def draw(seed, images):
        own = split_seed(seed, len(ops))
        return {name: op.draw(own[i], images) for i, (name, op) in enumerate(zip(names, ops))}

    def apply(images, drawn):
        for name, op in zip(names, ops):
            images = op.apply(images, drawn.get(name, {}))
        return images

    return Op(
        "compose",
        draw if random else nothing,
        apply,
        per_image=all(op.per_image for op in ops),
        stateless=all(op.stateless for op in ops),
        own=all(op.own for op in ops),
    )


def maybe(op: Op, p: float) -> Op:
    """Applies `op` to each image independently with probability `p`.

    The draw is `{"chosen": bool [B], op.name: the draw of op}`. For `p` of 0 or 1, and for an
    `identity()`, the result is `identity()` or `op` itself.

    Raises:
        ValueError: `p` lies outside [0, 1].
    """
    require(0 <= p <= 1, "p", "a probability in [0, 1]", p)
    if p in (0, 1) or op.apply is unchanged:
        return op if p else identity()

    def draw(seed, images):
        of_choice, of_op = split_seed(seed, 2)
        chosen = uniform(of_choice, [shape_of(images)[0]]) < p
        return {"chosen": chosen, op.name: op.draw(of_op, images)}

    def apply(images, drawn):
        chosen = drawn["chosen"]
        if is_single(images):  # computes `op` only where it is chosen
            return tf.cond(chosen[0], lambda: op.apply(images, drawn[op.name]), lambda: images)
        # Unlike `tf.where`, this takes one condition per image, and is five times as fast on it.
        return tf.raw_ops.Select(condition=chosen, x=op.apply(images, drawn[op.name]), y=images)

    return like(op, f"maybe_{op.name}", draw, apply)


def as_float(images: tf.Tensor) -> tf.Tensor:
    """Scales integer images to float32 in [0, 1].

    Args:
        images: uint8 in [0, 255], uint16 in [0, 65535], or any other type, which is returned
            unchanged.

    Returns:
        Tensor of the shape of `images`.

    Example:

    ```python
    tfssl.augment.as_float(np.uint8([0, 255])).numpy().tolist()  # [0.0, 1.0]
    ```
    """
    scale = _full_scale(images)
    return tf.cast(images, tf.float32) / scale if scale else images


def on_bytes(op: Op) -> Op:
    """Makes an `Op` that also takes uint8 and uint16 images: it applies `as_float` first.

    Args:
        op: an `Op` for float images.

    Returns:
        An `Op`.

    Example:

    ```python
    op = tfssl.augment.on_bytes(tfssl.augment.simclr(32).whole)
    op(np.zeros((2, 40, 40, 3), "uint8"), seed=[0, 1]).dtype.name  # float32
    ```
    """
    return like(op, op.name, op.draw, lambda images, drawn: op.apply(as_float(images), drawn))


def in_blocks(op: Op, pixels: int = BLOCK_PIXELS) -> Op:
    """Draws for the whole batch but applies the op to a few images at a time.

    The result is the same; intermediate images stay in the processor's cache. An op that is not
    `per_image`, and batches whose static shape is not fully known, are processed whole.

    Args:
        op: an `Op`.
        pixels: approximate number of pixels in a block of RGB images; inversely proportional to the
            number of channels.

    Returns:
        An `Op`.

    Example:

    ```python
    op = tfssl.augment.simclr(32).whole
    blocked = tfssl.augment.in_blocks(op, pixels=2 * 40 * 40)  # two images at a time
    images = tf.random.uniform((4, 40, 40, 3))
    np.allclose(blocked(images, [0, 1]), op(images, [0, 1]), atol=1e-5)  # True
    ```
    """
    if not op.per_image:
        return op

    def apply(images, drawn):
        batch, height, width, channels = shape = shape_of(images)
        if not all(isinstance(side, int) for side in shape):
            return op.apply(images, drawn)  # XLA, which profits most, knows every size
        blocks = -(-batch // max(1, 3 * pixels // (height * width * channels)))
        size = -(-batch // blocks)
        blocks = -(-batch // size)
        if blocks == 1:
            return op.apply(images, drawn)

        def split(values):
            values = tf.concat([values, values[: blocks * size - batch]], axis=0)
            return tf.reshape(values, [blocks, size, *values.shape[1:]])

        made = compat.map_in_turn(
            lambda block: op.apply(*block),
            tf.nest.map_structure(split, (images, drawn)),
            tf.float32,
        )
        return tf.reshape(made, [blocks * size, *made.shape[2:]])[:batch]

    return like(op, op.name, op.draw, apply)


def one_by_one(op: Op) -> Op:
    """Applies the op to one image at a time where images have 64 x 64 pixels or more.

    For a single image, only the operations that it draws are computed; for several, all are
    computed and then selected. With XLA, one at a time is 1.7 times as fast at 128 pixels, and no
    faster at 32.

    Args:
        op: an `Op`; one that is not `per_image` is applied to the whole batch.

    Returns:
        An `Op` with the same result.

    Example:

    ```python
    op = tfssl.augment.one_by_one(tfssl.augment.simclr(32).pixels)
    op(tf.random.uniform((4, 32, 32, 3)), seed=[0, 1]).shape  # (4, 32, 32, 3)
    ```
    """
    blocks = in_blocks(op, pixels=1)

    def apply(images, drawn):
        _, height, width, _ = shape_of(images)
        large = isinstance(height, int) and isinstance(width, int) and height * width >= LARGE
        return (blocks if large else op).apply(images, drawn)

    return like(op, op.name, op.draw, apply)


def random_resized_crop(
    size: tuple[int, int], area: Range = (0.08, 1.0), aspect: Range = (3 / 4, 4 / 3)
) -> Crop:
    """Crops a random window and resizes it bicubically, as SimCLR (Appendix A) does.

    The window is drawn as `tf.image.sample_distorted_bounding_box` does with the whole image as the
    object and `min_object_covered=0.1`. The aspect ratio is uniform. The height in whole pixels is
    uniform between the bounds set by the area range and by the width. Windows outside the area
    range or covering less than a tenth of the image are rejected. The offset is uniform (the last
    offset is never drawn, as in TensorFlow's kernel). The resize equals
    `tf.image.resize(window, size, "bicubic")` up to that kernel's table of 1024 weights. Its
    overshoot is not clipped here: SimCLR clips after the colours.

    Differs from google-research/simclr (tf2/data_util.py, 383d414): 16 attempts instead of 100
    before the whole image is taken, which matters only for area ranges that reject most windows.

    Args:
        size: (height, width) of the result, pixels.
        area: range of the window's fraction of the image's area.
        aspect: range of the window's width / height, relative to that of `size`.

    Raises:
        ValueError: a range is not ordered, or lies outside (0, 1] (`area`) or (0, inf).
    """
    require(min(size) > 0, "size", "two positive sides", size)
    require(0 < area[0] <= area[1] <= 1, "area", "an ordered range in (0, 1]", area)
    require(0 < aspect[0] <= aspect[1], "aspect", "an ordered positive range", aspect)
    ratios = [bound * size[1] / size[0] for bound in aspect]

    def draw(seed, images):
        batch, *sides, _ = shape_of(images)
        full_height, full_width = (tf.cast(side, tf.float32) for side in sides)
        shares = uniform(seed, [batch, 2, 1 + _ATTEMPTS])
        height, width = _window(shares[:, :, 1:], full_height, full_width, area, ratios)
        top = tf.floor(shares[:, 0, 0] * (full_height - height))
        left = tf.floor(shares[:, 1, 0] * (full_width - width))
        return {"top": top, "left": left, "height": height, "width": width}

    def apply(images, drawn):
        _, height, width, _ = shape_of(images)
        rows = _bicubic(drawn["top"], drawn["height"], size[0], height)
        columns = _bicubic(drawn["left"], drawn["width"], size[1], width)
        return separable(images, rows, columns)

    return Crop("random_resized_crop", draw, apply, size)


def flip_left_right(p: float = 0.5) -> Op:
    """Mirrors each image with probability `p`."""
    return maybe(fixed("flip_left_right", lambda images: tf.reverse(images, [2])), p)


def flip_up_down(p: float = 0.5) -> Op:
    """Turns each image upside down with probability `p`, for images without an up: from above."""
    return maybe(fixed("flip_up_down", lambda images: tf.reverse(images, [1])), p)


def elastic(displacement: Range = (0.0, 0.05), grid: int = 4, fill: str = "reflect") -> Op:
    """Deforms each image smoothly, as tissue is deformed.

    Simard et al. 2003, with random displacements at the points of a grid, uniform in a square, and
    cubic B-splines between them. The draw is `{"field": float32 [B, grid, grid, 2] in [-1, 1],
    "displacement": float32 [B]}`.

    Args:
        displacement: range of the largest displacement along an axis, relative to the smaller side.
        grid: points of the grid along an axis; more make a finer deformation.
        fill: as for `rotate`: "reflect" or "nearest".

    Raises:
        ValueError: an argument lies outside its range.
    """
    require(
        0 <= displacement[0] <= displacement[1],
        "displacement",
        "an ordered range from 0",
        displacement,
    )
    require(isinstance(grid, int) and grid >= 2, "grid", "an integer of at least 2", grid)
    require_one_of(fill, "fill", ("reflect", "nearest"))

    def draw(seed, images):
        of_field, of_size = split_seed(seed, 2)
        batch = shape_of(images)[0]
        share = uniform(of_size, [batch])
        return {
            "field": 2.0 * uniform(of_field, [batch, grid, grid, 2]) - 1.0,
            "displacement": displacement[0] + (displacement[1] - displacement[0]) * share,
        }

    def apply(images, drawn):
        _, height, width, _ = shape_of(images)
        smaller = tf.cast(tf.minimum(height, width), tf.float32)
        pixels = (drawn["displacement"] * smaller)[:, None, None, None]
        moved = pixels * tf.einsum(
            "yg,xk,bgkc->byxc", _spline(height, grid), _spline(width, grid), drawn["field"]
        )
        rows, columns = (tf.range(tf.cast(side, tf.float32)) for side in (height, width))
        return bilinear(
            images, rows[:, None] + moved[..., 0], columns + moved[..., 1], fill, value=0.0
        )

    return Op("elastic", draw, apply)


def rotate(angle: Range = (-math.pi, math.pi), fill: str = "reflect", value: float = 0.0) -> Op:
    """Rotates each image about its centre by a random angle, with bilinear interpolation.

    The draw is `{"angle": float32 [B]}`, radians, counterclockwise. The size of the image stays:
    corners are cut off, and uncovered pixels are filled. Quarter turns of a square image equal
    `tf.image.rot90` exactly.

    Args:
        angle: range of the angle, radians.
        fill: how pixels beyond the border are filled, as in `keras.layers.RandomRotation`:
            "reflect" (c b a | a b c | c b a; unlike in `blur`, the border pixels are repeated),
            "nearest" (the border pixels continue) or "constant" (`value`; the border is
            interpolated over one pixel).
        value: the value for "constant", in [0, 1].

    Raises:
        ValueError: `angle` is not an ordered range, `fill` is unknown, or `value` lies outside
            [0, 1].
    """
    require(-math.inf < angle[0] <= angle[1] < math.inf, "angle", "an ordered range", angle)
    require_one_of(fill, "fill", ("reflect", "nearest", "constant"))
    require(0 <= value <= 1, "value", "in [0, 1]", value)

    def draw(seed, images):
        share = uniform(seed, [shape_of(images)[0]])
        return {"angle": angle[0] + (angle[1] - angle[0]) * share}

    def apply(images, drawn):
        rows, columns = _turned(drawn["angle"], *shape_of(images)[1:3])
        return bilinear(images, rows, columns, fill, value)

    return Op("rotate", draw, apply)


def quarter_turns(fill: str = "reflect") -> Op:
    """Rotates each image by 0, 90, 180 or 270 degrees with equal probability; see `rotate`."""
    turn = rotate(fill=fill)

    def draw(seed, images):
        quarters = tf.floor(4.0 * uniform(seed, [shape_of(images)[0]]))
        return {"angle": math.pi / 2 * quarters}

    return Op("quarter_turns", draw, turn.apply)


def color_jitter(
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    brightness_mode: str = "multiplicative",
) -> Op:
    """Changes brightness, contrast, saturation and hue in a random order per image.

    SimCLR, Appendix A. Values are clipped to [0, 1] after each change. Contrast scales about the
    mean of each channel; saturation and hue are those of HSV, as in `tf.image.adjust_saturation`
    and `tf.image.adjust_hue`. A strength of 0 disables that change. Brightness and contrast take
    any number of channels; saturation and hue need RGB.

    The draw is `{"order": int32 [B, n], ...}`: the n enabled changes (0 brightness, 1 contrast,
    2 saturation, 3 hue) in the order of their application, and for each of them "brightness",
    "contrast", "saturation" (factors, or the added amount) or "hue" (fraction of the colour
    circle), float32 [B].

    Args:
        brightness: strength b: factor in [max(0, 1 - b), 1 + b], or amount added in [-b, b].
        contrast: strength c: factor in [max(0, 1 - c), 1 + c].
        saturation: strength s: factor in [max(0, 1 - s), 1 + s].
        hue: largest shift, at most 0.5.
        brightness_mode: "multiplicative" (SimCLR) or "additive" (BYOL).

    Raises:
        ValueError: a strength is negative, `hue` exceeds 0.5, or the mode is unknown; when the op
            is applied: saturation or hue is enabled and the images are not RGB.
    """
    strengths = (brightness, contrast, saturation, hue)
    for name, strength in zip(_CHANGES, strengths):
        require(strength >= 0, name, "non-negative", strength)
    require(hue <= 0.5, "hue", "at most 0.5", hue)
    require_one_of(brightness_mode, "brightness_mode", ("multiplicative", "additive"))
    additive = brightness_mode == "additive"
    ranges = [(max(0.0, 1.0 - strength), 1.0 + strength) for strength in strengths[:3]]
    ranges = [(-brightness, brightness) if additive else ranges[0], *ranges[1:], (-hue, hue)]
    codes = [code for code, strength in enumerate(strengths) if strength > 0]
    of_colours = [_CHANGES[code] for code in codes if code in (_SATURATION, _HUE)]
    if not codes:
        return identity()

    def draw(seed, images):
        keys, shares = tf.unstack(uniform(seed, [2, shape_of(images)[0], len(codes)]))
        drawn = {"order": tf.gather(codes, tf.argsort(keys))}
        for code, share in zip(codes, tf.unstack(shares, axis=1)):
            low, high = ranges[code]
            drawn[_CHANGES[code]] = low + (high - low) * share
        return drawn

    def apply(images, drawn):
        images = colour.ensure_rgb(images, *of_colours)
        batch, height, width, channels = shape_of(images)
        planes = tf.transpose(tf.reshape(images, [batch, height * width, channels]), [2, 0, 1])

        def change(planes, code, drawn=drawn):
            planes = _scale(planes, code, drawn, additive)
            if "hue" in drawn:
                turn = tf.where(code == _HUE, drawn["hue"], 0.0)
                planes = colour.shift_hue(planes, turn[:, None])
            return tf.clip_by_value(planes, 0.0, 1.0)

        def change_one(planes, code):
            """`change` for a single image: computes only the change that `code` selects."""
            branches = [
                functools.partial(change, planes, tf.constant([number]), {name: drawn[name]})
                if name in drawn
                else lambda: planes
                for number, name in enumerate(_CHANGES)
            ]
            return tf.switch_case(code[0], branches)

        # A loop rather than four copies: XLA would fuse the copies into one and recompute each
        # change for every value that depends on it, at ten times the cost.
        # Not tf.transpose: oneDNN logs an error for it on integers.
        order = tf.stack(tf.unstack(drawn["order"], num=len(codes), axis=1))
        planes = tf.foldl(change_one if is_single(images) else change, order, planes)
        return tf.reshape(tf.transpose(planes, [1, 2, 0]), [batch, height, width, channels])

    return Op("color_jitter", draw, apply)


def grayscale() -> Op:
    """Replaces the channels of RGB images by their luma, as in `tf.image.rgb_to_grayscale`.

    Raises:
        ValueError: when the op is applied: the images are not RGB.
    """
    return fixed("grayscale", colour.gray)


def blur(sigma: Range = (0.1, 2.0), taps: int | None = None, padding: str = "reflect") -> Op:
    """Blurs each image with a Gaussian of random width.

    SimCLR, Appendix A. The draw is `{"sigma": float32 [B]}`, pixels.

    Differs from google-research/simclr (tf2/data_util.py, 383d414): one sigma per image instead of
    one per batch, as in the paper; the border is mirrored, where the reference pads with zeros and
    so darkens it (`padding="constant"`); images below 20 pixels get 3 taps, where the reference's
    formula gives one tap and no blur.

    Args:
        sigma: range of the standard deviation, pixels.
        taps: odd length of the kernel, less than twice the smaller side. By default
            2 * floor(floor(side / 10) / 2) + 1 of the smaller side, at least 3: 3 at 32 pixels,
            23 at 224.
        padding: "reflect" or "constant" (zeros).

    Raises:
        ValueError: `sigma` is not an ordered positive range, `taps` is not positive and odd, or
            the padding is unknown.
    """
    require(0 < sigma[0] <= sigma[1], "sigma", "an ordered positive range", sigma)
    require(taps is None or (taps > 0 and taps % 2 == 1), "taps", "positive and odd", taps)
    require_one_of(padding, "padding", ("reflect", "constant"))

    def draw(seed, images):
        share = uniform(seed, [shape_of(images)[0]])
        return {"sigma": sigma[0] + (sigma[1] - sigma[0]) * share}

    def apply(images, drawn):
        _, height, width, _ = shape_of(images)
        if taps is not None:
            radius = taps // 2
        elif isinstance(height, int) and isinstance(width, int):
            radius = max(min(height, width) // 20, 1)
        else:
            radius = tf.maximum(tf.minimum(height, width) // 20, 1)
        weights = _gaussian(drawn["sigma"], radius)
        rows = _filter(images, weights, radius, 1, padding)
        return _filter(rows, weights, radius, 2, padding)

    return Op("blur", draw, apply)


def solarize(threshold: float = 0.5) -> Op:
    """Inverts the values at or above `threshold` (BYOL, Appendix B)."""
    return fixed("solarize", lambda images: tf.where(images < threshold, images, 1.0 - images))


def clip() -> Op:
    """Clips to [0, 1]."""
    return fixed("clip", lambda images: tf.clip_by_value(images, 0.0, 1.0))


def center_crop(images: tf.Tensor, size: tuple[int, int], proportion: float) -> tf.Tensor:
    """Crops the centre of images and resizes it bicubically, as for evaluation.

    Differs from google-research/simclr (tf2/data_util.py, 383d414): images are resized at every
    size, where the reference skips this at 32 pixels and below and can only reshape.

    Args:
        images: float32 [h, w, C] or [B, h, w, C] in [0, 1].
        size: (height, width) of the result, pixels.
        proportion: side of the window relative to the largest window of the result's aspect ratio,
            in (0, 1]; the window has at least one pixel.

    Returns:
        float32 [*size, C] or [B, *size, C] in [0, 1].

    Raises:
        ValueError: `size` is not positive or `proportion` lies outside (0, 1].

    Example:

    ```python
    images = np.random.rand(2, 48, 64, 3).astype("float32")
    tfssl.augment.center_crop(images, (32, 32), proportion=0.875).shape  # (2, 32, 32, 3)
    ```
    """
    require(min(size) > 0, "size", "two positive sides", size)
    require(0 < proportion <= 1, "proportion", "in (0, 1]", proportion)
    sides = tf.shape(images)[-3:-1]
    # Of the windows of this aspect ratio that span the height, and the width, the smaller one fits.
    # Multiplying first keeps the spanned side exact, so that halves round as in the reference.
    spanning = tf.cast(sides, tf.float32)[:, None] * size / tf.cast(size, tf.float32)[:, None]
    window = tf.round(proportion * tf.reduce_min(spanning, axis=0))
    window = tf.cast(tf.maximum(window, 1.0), tf.int32)
    top, left = tf.unstack((sides - window + 1) // 2)
    height, width = tf.unstack(window)
    cropped = images[..., top : top + height, left : left + width, :]
    return tf.clip_by_value(tf.image.resize(cropped, size, "bicubic"), 0.0, 1.0)


def _window(shares, full_height, full_width, area, ratios):
    """Heights and widths [B], integers in float32, from uniform numbers [B, 2, attempts]."""
    ratio = ratios[0] + (ratios[1] - ratios[0]) * shares[:, 0]
    least, most = (bound * full_height * full_width for bound in area)
    highest = tf.round(tf.sqrt(most / ratio))
    highest = tf.minimum(highest, tf.floor((full_width + 0.5) / ratio))
    highest = tf.minimum(highest, full_height)
    lowest = tf.minimum(tf.round(tf.sqrt(least / ratio)), highest)
    height = tf.floor(lowest + shares[:, 1] * (highest - lowest + 1.0))
    # Rounding can leave the area range by less than a row: add or remove one.
    height += tf.cast(height * tf.round(height * ratio) < least, tf.float32)
    height -= tf.cast(height * tf.round(height * ratio) > most, tf.float32)
    width = tf.round(height * ratio)
    least = tf.maximum(least, _MIN_COVERED * full_height * full_width)
    valid = (height * width >= least) & (height * width <= most)
    valid &= (height <= full_height) & (width <= full_width)
    first = tf.argmax(tf.cast(valid, tf.int32), axis=1)[:, None]
    found = tf.reduce_any(valid, axis=1)
    height, width = (tf.gather(sides, first, batch_dims=1)[:, 0] for sides in (height, width))
    return tf.where(found, height, full_height), tf.where(found, width, full_width)


def _bicubic(start, length, size, full):
    """Weights [B, size, full] that resize the window [start, start + length) of an axis.

    Keys's cubic (a = -0.5) at half-pixel centres; taps outside the window are dropped and the rest
    renormalised.
    """
    start, length = start[:, None, None], length[:, None, None]
    target = tf.range(size, dtype=tf.float32)[:, None]
    source = tf.range(tf.cast(full, tf.float32))
    distance = tf.abs(start + (target + 0.5) * (length / size) - 0.5 - source)
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    weights = tf.where(distance < 1.0, near, tf.where(distance < 2.0, far, 0.0))
    weights = tf.where((source >= start) & (source < start + length), weights, 0.0)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def _gaussian(sigma, radius):
    """Weights of 2 * radius + 1 taps per image, [taps, B]."""
    distance = tf.cast(tf.range(-radius, radius + 1), tf.float32)[:, None]
    weights = tf.exp(-0.5 * tf.square(distance / sigma))
    return weights / tf.reduce_sum(weights, axis=0)


def _filter(images, weights, radius, axis, padding):
    """Weighted sums of 2 * radius + 1 neighbours along an axis: 1 for rows, 2 for columns."""
    batch, height, width, channels = shape_of(images)
    padded = tf.pad(images, [[radius, radius] if i == axis else [0, 0] for i in range(4)], padding)
    # Pixels and channels in one axis, which XLA vectorizes.
    step = channels if axis == 2 else 1
    padded = tf.reshape(padded, [batch, -1, shape_of(padded)[2] * channels])

    def tap(place):
        start = [0, place * step * (axis == 1), place * step * (axis == 2)]
        taken = tf.slice(padded, start, [batch, height, width * channels])
        return weights[place][:, None, None] * taken

    if isinstance(radius, int):
        total = tf.add_n([tap(place) for place in range(2 * radius + 1)])
    else:  # the static shape has no size
        total = tf.foldl(
            lambda total, place: total + tap(place), tf.range(1, 2 * radius + 1), initializer=tap(0)
        )
    return tf.reshape(total, [batch, height, width, channels])


def _spline(size, grid):
    """Weights [size, grid] of cubic B-splines at the pixels of an axis; rows add up to 1."""
    places = (tf.range(size, dtype=tf.float32) + 0.5) * (grid / tf.cast(size, tf.float32)) - 0.5
    distance = tf.abs(places[:, None] - tf.range(grid, dtype=tf.float32))
    near = 2.0 / 3.0 + distance * distance * (0.5 * distance - 1.0)
    far = (2.0 - distance) ** 3 / 6.0
    weights = tf.where(distance < 1.0, near, tf.where(distance < 2.0, far, 0.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _turned(angle, height, width):
    """Source rows and columns [B, H, W] of the pixels of images rotated by `angle` [B]."""
    # Rounded, so that quarter turns are exact; at 1,000 pixels this moves none by 0.001.
    sine, cosine = (
        tf.round(2.0**20 * part)[:, None, None] * 2.0**-20
        for part in (tf.sin(angle), tf.cos(angle))
    )
    middle, center = ((tf.cast(side, tf.float32) - 1.0) / 2.0 for side in (height, width))
    down = tf.range(tf.cast(height, tf.float32))[:, None] - middle
    right = tf.range(tf.cast(width, tf.float32)) - center
    return middle + sine * right + cosine * down, center + cosine * right - sine * down


def _scale(planes, code, drawn, additive):
    """Changes brightness, contrast or saturation of planes [C, B, H * W], selected by `code` [B].

    All three scale the distance of a value from a base: black, the mean of the channel, or the
    largest value of the pixel. Saturation cannot exceed 1, which bounds its factor.
    """

    def where_code(change, value, otherwise):
        return tf.where(code == change, value, otherwise)[:, None]

    factor, base = tf.ones_like(code, tf.float32)[:, None], 0.0
    if "brightness" in drawn and additive:
        planes += where_code(_BRIGHTNESS, drawn["brightness"], 0.0)
    elif "brightness" in drawn:
        factor *= where_code(_BRIGHTNESS, drawn["brightness"], 1.0)
    if "contrast" in drawn:
        factor *= where_code(_CONTRAST, drawn["contrast"], 1.0)
        base += where_code(_CONTRAST, 1.0, 0.0) * tf.reduce_mean(planes, axis=2, keepdims=True)
    if "saturation" in drawn:
        high, chroma = colour.high_and_chroma(planes)
        factor *= where_code(_SATURATION, drawn["saturation"], 1.0)
        bound = tf.maximum(high / chroma, where_code(_SATURATION, 0.0, float("inf")))
        factor = tf.minimum(factor, bound)
        base += where_code(_SATURATION, 1.0, 0.0) * high
    return base + factor * (planes - base)


def _full_scale(images):
    """The value that represents 1 in integer images; None for other types."""
    return _FULL_SCALE.get(tf.as_dtype(images.dtype))
