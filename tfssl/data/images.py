"""Image files: examining them, and decoding them within a graph.

    JPEG, PNG, BMP, GIF    by TensorFlow, to 8 bits; 16-bit PNG to 16 bits
    everything else        by Pillow, or tifffile for TIFF of several channels and more than 8 bits

Images are rotated as their EXIF orientation says.
"""

import functools
import hashlib
import io
import struct
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, TiffImagePlugin

from tfssl.data.orientation import upright
from tfssl.data.values import scaled, scaled_array
from tfssl.files import opened as opened_file

BY_TENSORFLOW, BY_PNG16, BY_PYTHON = range(3)  # decoders
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
Image.init()
FORMATS = tuple(
    {"JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG2000", "PPM", "AVIF"} & Image.OPEN.keys()
)
ORIENTATION, BITS, SAMPLES, EXTRA_SAMPLES, SUBFILE = 274, 258, 277, 338, 254  # tags of TIFF
UNSPECIFIED = 0  # an extra channel that is not alpha
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262
UNSIGNED, SIGNED, SAMPLE_FORMAT = 1, 2, 339
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # of Pillow: more than 8 bits
TIFF = (b"II*\0", b"MM\0*")  # signatures
PNG_DEPTH = 24  # offset of the bits per channel in a PNG
SNIFFED = 4096  # bytes read to recognize a file
MOST_BYTES = 16  # per pixel of a file: four channels of 32 bits
JPEG_SCAN, MOST_SCANS = b"\xff\xda", 1000  # marker of a scan; encoders make a dozen at most
GIF_EXTENSION, GIF_IMAGE = 0x21, 0x2C  # types of GIF blocks


class Found(NamedTuple):
    """What is known about an image file after it was decoded once.

    Attributes:
        size: (height, width) in pixels, upright.
        digest: the first 16 bytes of the file's SHA-256, in hexadecimal.
        reader: its decoder: BY_TENSORFLOW, BY_PNG16 or BY_PYTHON.
        orientation: EXIF orientation, from 1 (upright) to 8.
        dtype: name of the NumPy type of its values.
        low, high: smallest and largest value; 0 and 255 for uint8.
        problem: why it cannot be used, or "".
    """

    size: tuple = (0, 0)
    digest: str = ""
    reader: int = BY_TENSORFLOW
    orientation: int = 1
    dtype: str = "uint8"
    low: float = 0.0
    high: float = 255.0
    problem: str = ""


class Unusable(Exception):
    """An image that is not damaged but cannot be used; the message says why."""


def kind_of(path):
    """Returns "image", "text" or "other", by the extension or else by the content."""
    if str(path).lower().endswith(EXTENSIONS):
        return "image"
    try:
        with opened_file(path) as file:
            start = file.read(SNIFFED)
            file.seek(0)
            if start.startswith(TIFF):
                return "image"
            try:
                with Image.open(file, formats=FORMATS):
                    return "image"
            except Image.DecompressionBombError:
                return "image"
            except Exception:  # Pillow's plugins raise whatever they like
                return "text" if is_text(start) else "other"
    except OSError:
        return "other"


def is_text(start):
    """Whether a file that begins with these bytes is a text, such as labels, but not SVG."""
    try:
        start[:-3].decode()  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in start and b"<svg" not in start


def examine(path, max_pixels, rules=2):
    """Decodes a file and describes it.

    Args:
        path: the file.
        max_pixels: larger images are not decoded.
        rules: 1: read files as tfssl 0.1 did; as for `folder.load`.

    Returns:
        A `Found`.
    """
    try:
        content = content_of(path, MOST_BYTES * max_pixels)
        found = (examine_content if rules == 2 else examine_by_rules_of_0_1)(content, max_pixels)
        return found._replace(digest=hashlib.sha256(content).hexdigest()[:32])
    except Exception as error:  # Pillow's plugins raise whatever they like on damaged input
        return Found(problem=reason(error))


def content_of(path, most):
    """The bytes of a file; raises Unusable if there are more than `most`."""
    with opened_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Unusable(
            f"more than {most / 1e6:,.0f} MB, which no image of `max_image_megapixels` takes"
        )
    return content


def reason(error):
    """Why a file could not be decoded, in a few words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image of a kind that can be read"
    if isinstance(error, EOFError):
        return "empty"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than `max_image_megapixels` allows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0][:100] if lines else type(error).__name__


def examine_content(content, max_pixels):
    """`examine` for the bytes of a file; raises if they cannot be used."""
    if not content:
        raise EOFError
    if content.startswith(TIFF):
        check_channels(content)
    with opened(content) as image:
        check_pixels(image, max_pixels)
        if image.format == "TIFF":
            check_pages(image)
        reader, orientation = reader_of(image, content), orientation_of(image, content)
        if image.format == "GIF":  # TensorFlow fills missing rows silently
            check_frames(content, max_pixels)
            image.load()
        if image.format == "JPEG":
            check_scans(content)
    try:
        values = np.asarray(READERS[reader](content))
    except tf.errors.OpError:
        reader, values = BY_PYTHON, by_python(content)
    height, width = values.shape[:2]
    size = (width, height) if orientation > 4 else (height, width)
    found = Found(size=size, reader=reader, orientation=orientation)
    if values.dtype == np.uint8:
        return found
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise Unusable("values that are not finite")
    return found._replace(dtype=values.dtype.name, low=low, high=high)


def opened(content):
    """Opens the bytes of a file with Pillow, which reads the header."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        if content.startswith(TIFF):
            raise Unusable("a TIFF of values or channels that cannot be read") from None
        raise


def reader_of(image, content):
    """The decoder of a file that Pillow has opened."""
    if image.format == "PNG":
        return BY_PNG16 if content[PNG_DEPTH] == 16 else BY_TENSORFLOW
    palette_taken_for_grey = image.format == "BMP" and image.mode in ("P", "1")
    by_pillow = palette_taken_for_grey or image.format == "TIFF" or image.mode in DEEP_MODES
    return BY_PYTHON if by_pillow else BY_TENSORFLOW


def examine_by_rules_of_0_1(content, max_pixels):
    """`examine_content` as in tfssl 0.1: 8 bits, and orientations are ignored."""
    with Image.open(io.BytesIO(content)) as image:
        check_pixels(image, max_pixels)
        kind, mode = image.format, image.mode
        if kind == "GIF":
            image.load()
    if not (kind == "BMP" and mode in ("P", "1")):
        try:
            return Found(size=tuple(by_tensorflow(content).shape[:2]))
        except tf.errors.OpError:
            pass
    return Found(size=by_python(content, rules=1).shape[:2], reader=BY_PYTHON)


def check_pixels(image, most):
    """Raises Unusable for an image of more than `most` pixels."""
    width, height = image.size
    if width * height > most:
        raise Unusable(too_large(height, width, most))


def check_scans(content):
    """Raises Unusable for a JPEG with so many scans that decoding would take hours."""
    scans = content.count(JPEG_SCAN)
    if scans > MOST_SCANS:
        raise Unusable(f"a JPEG of {scans:,} scans, more than {MOST_SCANS}")


def check_frames(content, most):
    """Raises Unusable for a GIF of large or many frames; TensorFlow decodes all of them."""
    pixels = [width * height for width, height in gif_frames(content)]
    if max(pixels, default=0) > most or sum(pixels) > MOST_BYTES * most:
        raise Unusable(
            f"a GIF of {len(pixels):,} frames with {sum(pixels) / 1e6:,.3g} megapixels "
            f"in all, too many for `max_image_megapixels={most / 1e6:g}`"
        )


def gif_frames(content):
    """The (width, height) of the frames of a GIF, up to the first malformed block."""

    def colours(flags):
        return 3 << (flags % 8 + 1) if flags & 0x80 else 0

    def after_blocks(place):
        while content[place]:
            place += 1 + content[place]
        return place + 1

    place = 13 + colours(content[10])
    try:
        while content[place] in (GIF_EXTENSION, GIF_IMAGE):
            if content[place] == GIF_EXTENSION:
                place = after_blocks(place + 2)
                continue
            yield struct.unpack_from("<HH", content, place + 5)
            place = after_blocks(place + 11 + colours(content[place + 9]))
    except (IndexError, struct.error):  # truncated: left to the decoder
        return


def check_channels(content):
    """Raises Unusable for a TIFF whose channels are not colours; Pillow opens some of them."""
    file = io.BytesIO(content)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    channels, extra = tags.get(SAMPLES, 1), tags.get(EXTRA_SAMPLES, ())
    if channels > 4 or (channels == 4 and UNSPECIFIED in extra):
        raise Unusable(f"a TIFF of {channels} channels: 1, 3, or those and alpha can be read")


def check_pages(image):
    """Raises Unusable for a TIFF of several pages."""
    pages = sum(reduced(image, number) == 0 for number in range(image.n_frames))
    if pages > 1:
        raise Unusable(f"a TIFF of {pages} pages: save each as a file of its own")
    image.seek(0)


def reduced(image, number):
    """Whether a page of a TIFF is a thumbnail of another page, or a mask."""
    image.seek(number)
    return image.tag_v2.get(SUBFILE, 0) & 0b101


def orientation_of(image, content):
    """The EXIF orientation, from 1 to 8; 1 if it is missing or invalid."""
    if image.format == "PNG" and not any(
        mark in content for mark in (b"eXIf", b"exif", b"Orientation")
    ):
        return 1  # Pillow would decode the whole image to find out
    if image.format == "TIFF" and not of_deep_channels(image):
        return 1  # Pillow rotates those itself
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not damage the image
        return 1
    return value if value in range(1, 9) else 1


def of_deep_channels(image):
    """Whether Pillow would truncate a TIFF to 8 bits."""
    tags = image.tag_v2
    return tags.get(SAMPLES, 1) > 1 and max(tags.get(BITS, (1,))) > 8


def by_tensorflow(content):
    """Decodes bytes to uint8 [H, W, 3]; of an animation, the first frame."""
    return tf.io.decode_image(content, channels=3, expand_animations=False)


def by_png16(content):
    """Decodes the bytes of a PNG to uint16 [H, W, 3]."""
    return tf.io.decode_png(content, channels=3, dtype=tf.uint16)


def by_python(content, rules=2):
    """Decodes bytes to an array [H, W, 3] of the stored type: uint8, uint16, int32 or floats.

    Args:
        rules: 1: always uint8, as in tfssl 0.1.
    """
    with Image.open(io.BytesIO(content)) as image:
        if rules == 1 or not (image.mode in DEEP_MODES or image.format == "TIFF"):
            return np.asarray(image.convert("RGB"))
        if image.format == "TIFF" and of_deep_channels(image):
            values = by_tifffile(content)
        elif image.format == "TIFF":
            values = of_tiff(image)
        else:
            values = np.asarray(image)
    values = values[..., np.newaxis] if values.ndim == 2 else values
    return np.repeat(values[..., :1], 3, axis=2) if values.shape[2] < 3 else values[..., :3]


def of_tiff(image):
    """The values of a TIFF with the sign and polarity of its tags, which Pillow ignores."""
    tags = image.tag_v2
    signed = tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == SIGNED
    if image.mode not in DEEP_MODES:
        values = np.asarray(image if signed else image.convert("RGB"))
        return values.view(np.int8) if signed else values
    values = np.asarray(image)
    if values.dtype == np.int32 and not signed and max(tags.get(BITS, (1,))) == 32:
        values = values.view(np.uint32)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and values.dtype == np.uint16:
        values = 65535 - values
    return values


def by_tifffile(content):
    """Decodes a TIFF of several channels and more than 8 bits to [H, W, C]."""
    try:
        import tifffile
    except ImportError:
        raise Unusable(
            "a TIFF of several channels and more than 8 bits needs the tiff extra: "
            "pip install '.[tiff]'"
        ) from None
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        values = page.asarray()
        return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values


READERS = {BY_TENSORFLOW: by_tensorflow, BY_PNG16: by_png16, BY_PYTHON: by_python}


def decode(example, deep, rules=2):
    """Decodes an example of a folder to an image [H, W, 3], as graph code.

    Args:
        example: {"image": bytes of the file} and, if the files of a split differ in them,
            "reader", "orientation": int32, "low", "high": float64; see `Found`.
        deep: whether to return float32, with [low, high] mapped to [0, 1]; otherwise uint8 in
            [0, 255].
        rules: as for `by_python`.
    """
    content = example["image"]
    if "reader" not in example:
        return three_channels(by_tensorflow(content))
    low, high = example["low"], example["high"]

    def by(reader):
        if reader == BY_PYTHON:
            values = functools.partial(python_values, deep=deep, rules=rules)
            return tf.numpy_function(
                values, [content, low, high], tf.float32 if deep else tf.uint8, stateful=False
            )
        values = READERS[reader](content)
        if not deep:
            return tf.cast(values, tf.uint8)
        return scaled(values, *tf.unstack(tf.cast([low, high], tf.float32)))

    image = tf.switch_case(
        example["reader"],
        [functools.partial(by, reader) for reader in (BY_TENSORFLOW, BY_PNG16, BY_PYTHON)],
    )
    return upright(three_channels(image), example["orientation"])


def python_values(content, low, high, deep, rules):
    """`by_python`, scaled to [0, 1] if `deep`."""
    try:
        values = by_python(content, rules)
    except Exception as error:  # Pillow's plugins raise whatever they like on damaged input
        raise ValueError(reason(error)) from None  # as TensorFlow's own decoders do
    return scaled_array(values, low, high) if deep else values


def three_channels(image):
    """Sets the static shape of an image within a graph."""
    return image if tf.executing_eagerly() else tf.ensure_shape(image, [None, None, 3])


def within(found, max_pixels):
    """The `Found`, with a problem if the image has more than `max_pixels`."""
    height, width = found.size
    if found.problem or height * width <= max_pixels:
        return found
    return found._replace(problem=too_large(height, width, max_pixels))


def too_large(height, width, most):
    return (
        f"{width} x {height} px are {width * height / 1e6:,.3g} megapixels, more than "
        f"`max_image_megapixels={most / 1e6:g}` allows"
    )
