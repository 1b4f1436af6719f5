"""Image files: examining them, and decoding them within a graph.

    JPEG, PNG, BMP, GIF    by TensorFlow, to 8 bits; 16-bit PNG to 16 bits
    everything else        by Pillow, or tifffile for TIFF of several channels and more than 8 bits

Images are rotated as their EXIF orientation says.
"""

import functools
import hashlib
import io
import os
import re
import struct
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, TiffImagePlugin

from tfssl.data import near
from tfssl.data.channels import converted
from tfssl.data.orientation import upright
from tfssl.data.values import NONE, scaled, scaled_array
from tfssl.files import opened as opened_file

BY_TENSORFLOW, BY_PNG16, BY_PYTHON = range(3)  # decoders
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
Image.init()
FORMATS = tuple(
    {"JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG2000", "PPM", "AVIF"} & Image.OPEN.keys()
)
ORIENTATION, BITS, SAMPLES, EXTRA_SAMPLES, SUBFILE = 274, 258, 277, 338, 254  # tags of TIFF
WIDTH, HEIGHT = 256, 257
UNSPECIFIED = 0  # an extra channel that is not alpha
REDUCED = 0b101  # bits of SUBFILE: a thumbnail of another page, or a mask
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262
UNSIGNED, SIGNED, SAMPLE_FORMAT = 1, 2, 339
KINDS = {UNSIGNED: "uint", SIGNED: "int", 3: "float"}  # of SAMPLE_FORMAT
UNREAD = ("float64", "uint64", "int64", "float16", "float24")  # unless there are several channels
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # of Pillow: more than 8 bits
TIFF = (b"II*\0", b"MM\0*")  # signatures
BANDS = b"tfssl bands\0"  # the beginning of what `content_of` makes of a folder of bands
WORDS = re.compile(r"[_\-. ]+")  # what is between the words of the name of a band
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
        channels: number of channels; 3 for grey and colours, with or without alpha.
        pages: number of pages of a TIFF, without thumbnails and masks.
        thumb: its thumbnail, upright, as text; see `near.py`. "" if it is not known.
    """

    size: tuple = (0, 0)
    digest: str = ""
    reader: int = BY_TENSORFLOW
    orientation: int = 1
    dtype: str = "uint8"
    low: float = 0.0
    high: float = 255.0
    problem: str = ""
    channels: int = 3
    pages: int = 1
    thumb: str = ""


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


def examine(path, max_pixels, rules=2, missing=NONE):
    """Decodes a file and describes it.

    Args:
        path: the file.
        max_pixels: larger images are not decoded.
        rules: 1: read files as tfssl 0.1 did; as for `folder.load`.
        missing: `values.Missing`, which `low` and `high` leave out.

    Returns:
        A `Found`.
    """
    try:
        content = content_of(path, MOST_BYTES * max_pixels)
        found = (
            examine_content(content, max_pixels, missing)
            if rules == 2
            else examine_by_rules_of_0_1(content, max_pixels)
        )
        return found._replace(digest=hashlib.sha256(content).hexdigest()[:32])
    except Exception as error:  # Pillow's plugins raise whatever they like on damaged input
        return Found(problem=reason(error))


def content_of(path, most=None):
    """The bytes of a file, or of the files of a folder of bands one after the other.

    Raises:
        Unusable: there are more than `most`.
    """
    if os.path.isdir(path):
        return bands_of(path, most)
    with opened_file(path) as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise Unusable(
            f"more than {most / 1e6:,.0f} MB, which no image of `max_image_megapixels` takes"
        )
    return content


def bands_of(folder, most=None):
    """The files of a folder that has one for each band, in one: BANDS, sizes, contents.

    Bands are in the order of the names of their files. Hidden files and texts are left out.
    """
    folder = os.fsdecode(folder)
    parts = [content_of(os.path.join(folder, name), most) for name in files_of_bands(folder)]
    if most is not None and sum(map(len, parts)) > most:
        raise Unusable(
            f"more than {most / 1e6:,.0f} MB, which no image of `max_image_megapixels` takes"
        )
    sizes = struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts))
    return b"".join([BANDS, sizes, *parts])


def files_of_bands(folder):
    """The names of the image files of a folder of bands, in order."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return [name for name in names if kind_of(os.path.join(folder, name)) == "image"]


def names_of_bands(folder):
    """What tells the files of a folder of bands apart, in their order: ("B02", "B03").

    That is their names without the ending and without the words at either end that all of them
    have, such as those of the tile or its date, or the name of the folder. () if nothing is left,
    as of a single file.
    """
    own = os.path.basename(os.path.normpath(folder))
    stems = [os.path.splitext(name)[0] for name in files_of_bands(folder)]
    if len(own) > 2 and all(stem.startswith(own) for stem in stems):  # perhaps without a separator
        stems = [stem.removeprefix(own).lstrip("_-. ") for stem in stems]
    words = [WORDS.split(stem) for stem in stems]
    for end in (0, -1):
        while words and all(words) and len({each[end].lower() for each in words}) == 1:
            for each in words:
                each.pop(end)
    return tuple("_".join(each) for each in words) if any(words) else ()


def parts_of(content):
    """The contents of the files in the result of `bands_of`."""
    (count,) = struct.unpack_from("<Q", content, len(BANDS))
    sizes = struct.unpack_from(f"<{count}Q", content, len(BANDS) + 8)
    place, parts = len(BANDS) + 8 * (1 + count), []
    for size in sizes:
        parts.append(content[place : place + size])
        place += size
    return parts


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


def examine_content(content, max_pixels, missing=NONE):
    """`examine` for the bytes of a file; raises if they cannot be used."""
    if not content:
        raise EOFError
    if content.startswith(BANDS):
        return examine_bands(content, max_pixels, missing)
    layout = tiff_layout(content) if content.startswith(TIFF) else None
    if layout and layout.stacked:
        return examine_stack(content, layout, max_pixels, missing)
    with opened(content) as image:
        check_pixels(image, max_pixels)
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
    return of_values(values, reader, orientation, missing)


def examine_stack(content, layout, max_pixels, missing):
    """`examine_content` for a TIFF of several pages, or of channels that are not colours."""
    if layout.width * layout.height > max_pixels:
        raise Unusable(too_large(layout.height, layout.width, max_pixels))
    if layout.width * layout.height * layout.samples * layout.pages > MOST_BYTES * max_pixels:
        raise Unusable(f"more values than {MOST_BYTES} times `max_image_megapixels`")
    values = by_tifffile(content, layout.pages)
    found = of_values(values, BY_PYTHON, layout.orientation, missing)
    return found._replace(channels=layout.samples * layout.pages, pages=layout.pages)


def examine_bands(content, max_pixels, missing):
    """`examine_content` for the result of `bands_of`."""
    founds = [examine_content(part, max_pixels) for part in parts_of(content)]
    if {found.orientation for found in founds} - {1}:
        raise Unusable("bands that are rotated by EXIF")
    values = by_python(content)
    if values.shape[0] * values.shape[1] > max_pixels:
        raise Unusable(too_large(*values.shape[:2], max_pixels))
    return of_values(values, BY_PYTHON, 1, missing)._replace(channels=values.shape[2])


def of_values(values, reader, orientation, missing=NONE):
    """The `Found` of an image with these values [H, W, C], as they are stored."""
    height, width = values.shape[:2]
    size = (width, height) if orientation > 4 else (height, width)
    small = near.thumbnail(values)
    if orientation > 1:
        small = upright(tf.constant(small[..., np.newaxis]), orientation).numpy()[..., 0]
    found = Found(size=size, reader=reader, orientation=orientation, thumb=near.packed(small))
    if values.dtype == np.uint8:
        return found
    there = values[~missing.where(values)] if missing.values else values
    if not there.size:
        raise Unusable("no value that is not `no_data`")
    low, high = float(there.min()), float(there.max())
    if not np.isfinite([low, high]).all():
        raise Unusable("values that are not finite")
    return found._replace(dtype=values.dtype.name, low=low, high=high)


def thumbnails(founds):
    """The thumbnails of images as they were found, uint8 [N, 16, 16]; None if one is not known.

    Of an image that could not be read, black.
    """
    texts = [None if found.problem else found.thumb for found in founds]
    if "" in texts:
        return None
    black = np.zeros((near.SIDE, near.SIDE), np.uint8)
    return np.stack([black if text is None else near.unpacked(text) for text in texts])


def opened(content):
    """Opens the bytes of a file with Pillow, which reads the header."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        if not content.startswith(TIFF):
            raise
        layout = tiff_layout(content)
        if layout and layout.dtype in UNREAD:
            raise Unusable(
                f"a TIFF of {layout.dtype}, which cannot be read: save it in 32 bits"
            ) from None
        raise Unusable("a TIFF of values or channels that cannot be read") from None


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


class Layout(NamedTuple):
    """What the header of a TIFF says.

    Attributes:
        width, height: in pixels, as stored.
        samples: channels of a page.
        colours: whether these are grey or colours, with or without alpha.
        pages: number of pages, without thumbnails and masks.
        orientation: from 1 to 8.
        dtype: name of the type of its values.
    """

    width: int
    height: int
    samples: int
    colours: bool
    pages: int
    orientation: int
    dtype: str

    @property
    def stacked(self):
        """Whether it is read as channels one after the other."""
        return self.pages > 1 or not self.colours


def tiff_layout(content):
    """The `Layout` of the bytes of a TIFF; None if the header cannot be read."""
    file, pages, first = io.BytesIO(content), 0, None
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    seen, place = set(), tags.next
    try:
        while place and place not in seen:
            seen.add(place)
            file.seek(place)
            tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
            tags.load(file)
            place = tags.next
            first = first or dict(tags)
            pages += not tags.get(SUBFILE, 0) & REDUCED
    except Exception:  # a damaged directory: left to the decoder
        if first is None:
            return None
    if first is None or WIDTH not in first or HEIGHT not in first:
        return None
    samples, extra = first.get(SAMPLES, 1), first.get(EXTRA_SAMPLES, ())
    orientation = first.get(ORIENTATION, 1)
    return Layout(
        first[WIDTH],
        first[HEIGHT],
        samples,
        samples <= 4 and UNSPECIFIED not in extra,
        max(1, pages),
        orientation if orientation in range(1, 9) else 1,
        KINDS.get(first.get(SAMPLE_FORMAT, (UNSIGNED,))[0], "") + str(max(first.get(BITS, (1,)))),
    )


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
    """Decodes bytes to an array [H, W, C] of the stored type: uint8, uint16, int32 or floats.

    C is 3, but for a TIFF of several pages or of channels that are not colours.

    Args:
        rules: 1: always uint8, as in tfssl 0.1.
    """
    if content.startswith(BANDS):
        return stack_of(parts_of(content))
    layout = tiff_layout(content) if rules == 2 and content.startswith(TIFF) else None
    if layout and layout.stacked:
        return by_tifffile(content, layout.pages)
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


def stack_of(parts):
    """The values [H, W, C] of bands, which are grey; smaller ones are resized to the largest."""
    bands = [np.asarray(by_python(part)) for part in parts]
    if any((band != band[..., :1]).any() for band in bands):
        raise Unusable("a band in colours, which is one of several channels itself")
    bands = [band[..., 0] for band in bands]
    height, width = (max(band.shape[axis] for band in bands) for axis in (0, 1))
    kind = np.result_type(*bands)
    made = np.empty((height, width, len(bands)), kind)
    for place, band in enumerate(bands):
        if band.shape != (height, width):
            shown = Image.fromarray(band.astype(np.float32))
            band = np.asarray(shown.resize((width, height), Image.BILINEAR))
            band = np.rint(band) if np.issubdtype(kind, np.integer) else band
        made[..., place] = band
    return made


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


def by_tifffile(content, pages=1):
    """Decodes a TIFF to [H, W, C]: of several channels and more than 8 bits, or of several pages.

    The channels of pages follow each other.
    """
    try:
        import tifffile
    except ImportError:
        raise Unusable(
            "a TIFF of several pages, of channels that are not colours, or of several channels and "
            "more than 8 bits needs the tiff extra: pip install 'tfssl[tiff]'"
        ) from None
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        there = [page for page in file.pages if pages == 1 or not page.subfiletype & REDUCED]
        planes = [channels_last(page) for page in there[:pages]]
    if len({(plane.shape, plane.dtype) for plane in planes}) > 1:
        raise Unusable(f"a TIFF of {pages} pages of several sizes or types")
    return planes[0] if pages == 1 else np.concatenate(planes, axis=-1)


def channels_last(page):
    """The values of a page of a TIFF, [H, W, C]."""
    values = page.asarray()
    if values.ndim == 2:
        return values[..., np.newaxis]
    return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values


ALL = (BY_TENSORFLOW, BY_PNG16, BY_PYTHON)  # numbered from 0
READERS = {BY_TENSORFLOW: by_tensorflow, BY_PNG16: by_png16, BY_PYTHON: by_python}


def decode(example, deep, rules=2, channels=3, missing=NONE, wanted=None, readers=ALL):
    """Decodes an example of a folder to an image [H, W, wanted], as graph code.

    Args:
        example: {"image": bytes of the file} and, if the files of a split differ in them,
            "reader", "orientation": int32, "low", "high": float64; see `Found`.
        deep: whether to return float32, with [low, high] mapped to [0, 1]; otherwise uint8 in
            [0, 255].
        rules: as for `by_python`.
        channels: those of the files.
        missing: `values.Missing`.
        wanted: number of channels, as `channels.choose` returns it; None: those of the files.
        readers: those of the files. Without `BY_PYTHON`, other processes can run the graph.
    """
    content, wanted = example["image"], wanted or channels
    if "reader" not in example:
        return converted(shaped(by_tensorflow(content), channels), wanted)
    low, high = example["low"], example["high"]

    def level(values):
        return scaled(values, low, high, missing) if deep else tf.cast(values, tf.uint8)

    def by(reader):
        if reader == BY_PYTHON:
            values = functools.partial(python_values, deep=deep, rules=rules, missing=missing)
            return tf.numpy_function(
                values, [content, low, high], tf.float32 if deep else tf.uint8, stateful=False
            )
        if deep and low.shape.rank and channels != 3:  # such files have another reader
            return tf.zeros([1, 1, channels])
        if reader == BY_PNG16 and wanted == 1 and not low.shape.rank:
            return grey_png16(content, level)
        return level(READERS[reader](content))

    def made(reader):
        image = by(reader)
        stored = image.shape[-1] or channels
        return converted(shaped(image, stored), wanted)

    there = sorted(readers)
    image = tf.switch_case(
        example["reader"],
        [functools.partial(made, reader if reader in there else there[0]) for reader in ALL],
    )
    return upright(shaped(image, wanted), example["orientation"])


def grey_png16(content, level):
    """`level` of the values of a PNG of 16 bits in one channel, without making three of one."""
    values = tf.io.decode_png(content, channels=0, dtype=tf.uint16)  # 1 to 4, the last one alpha
    return tf.cond(
        tf.shape(values)[-1] < 3,
        lambda: level(shaped(values[..., :1], 1)),
        lambda: converted(level(shaped(values[..., :3], 3)), 1),
    )


def python_values(content, low, high, deep, rules, missing):
    """`by_python`, scaled to [0, 1] if `deep`."""
    try:
        values = by_python(content, rules)
    except Exception as error:  # Pillow's plugins raise whatever they like on damaged input
        raise ValueError(reason(error)) from None  # as TensorFlow's own decoders do
    return scaled_array(values, low, high, missing) if deep else values


def shaped(image, channels):
    """Sets the static shape of an image within a graph."""
    return image if tf.executing_eagerly() else tf.ensure_shape(image, [None, None, channels])


def stacked(found, wanted):
    """The `Found`, with a problem if the image has pages that are not asked for as channels."""
    if found.problem or found.pages == 1 or found.channels == wanted:
        return found
    return found._replace(
        problem=f"a TIFF of {found.pages} pages: `channels={found.channels}` takes them as "
        "channels, or save each as a file of its own"
    )


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
