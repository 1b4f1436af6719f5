"""Image files: orientations, more than 8 bits, TIFF, and what is no image."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.helpers import decode_all, encode_image, load_folder, random_picture, spared, write_image
from tfssl import augment, data
from tfssl.config import Config
from tfssl.data import folder, images
from tfssl.errors import UsageError
from tfssl.runner import sources


def exif(orientation):
    tags = Image.Exif()
    tags[images.ORIENTATION] = orientation
    return tags


@pytest.mark.parametrize(
    "kind,options",
    [
        ("JPEG", dict(quality=100, subsampling=0)),
        ("PNG", {}),
        ("WEBP", dict(lossless=True)),
        ("TIFF", {}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(kind, options, orientation, tmp_path):
    content = encode_image(random_picture(), kind, exif=exif(orientation), **options)
    write_image(tmp_path / "a", content)
    source, _ = load_folder(tmp_path, "train")
    ((image, _),) = decode_all(source)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert image.shape == expected.shape and source.image_shape == image.shape[:2]
    difference = np.abs(image.astype(int) - expected)  # decoders of JPEG round in their own ways
    assert difference.max() <= (15 if kind == "JPEG" else 0) and difference.mean() < 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_none(value, tmp_path):
    write_image(tmp_path / "a.png", encode_image(random_picture(), "PNG", exif=exif(value)))
    ((image, _),) = decode_all(load_folder(tmp_path, "train")[0])
    np.testing.assert_array_equal(image, random_picture())


@pytest.mark.parametrize(
    "orientation",  # as it is, turned, mirrored, and both; each is turned upright in a test above
    [n if n in (1, 6) else spared(n) for n in range(1, 9)],
)
def test_parts_of_a_jpeg_are_parts_of_the_upright_image(orientation, tmp_path):
    """Crops of streamed JPEGs, of which a rectangle is decoded, are those of the whole image."""
    photo = random_picture(height=90, width=140)
    upright = ImageOps.exif_transpose(photo)
    stored = encode_image(upright, "JPEG", quality=95, exif=exif(orientation))
    for name in ("0.jpg", "1.jpg"):
        write_image(tmp_path / "parts" / name, stored)
        whole = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
        write_image(tmp_path / "whole" / name, encode_image(whole, "PNG"))
    view = augment.supervised_view((24, 20), crop_area=(0.05, 0.3))
    made = []
    for kind in ("parts", "whole"):
        source, _ = load_folder(tmp_path / kind, "train")
        batches = data.views(source, [view, view], batch_size=2, seed=3, stop_step=4)
        made.append(np.stack([[b["views"][0], b["views"][1]] for b in batches.as_numpy_iterator()]))
    assert np.abs(made[0] - made[1]).mean() < 0.006 and np.abs(made[0] - made[1]).max() < 0.1


def deep_image(most=65535, height=20, width=30, channels=3):
    rng = np.random.default_rng(0)
    values = rng.integers(0, most + 1, (height, width, channels), dtype=np.uint16)
    values[0, 0], values[0, 1] = 0, most
    return values


def tiff(values, **options):
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


DEEP = {  # name -> (bytes of these uint16 values, number of channels that they have)
    "rgb.png": (lambda v: tf.io.encode_png(v).numpy(), 3),
    "grey.png": (lambda v: encode_image(Image.fromarray(v[..., 0]), "PNG"), 1),
    "rgba.png": (lambda v: tf.io.encode_png(np.dstack([v, v[..., :1]])).numpy(), 3),
    "grey.tif": (lambda v: encode_image(Image.fromarray(v[..., 0]), "TIFF"), 1),
    "packed.tif": (
        lambda v: encode_image(Image.fromarray(v[..., 0]), "TIFF", compression="tiff_lzw"),
        1,
    ),
    "rgb.tiff": (lambda v: tiff(v, photometric="rgb"), 3),
    "planes.tiff": (
        lambda v: tiff(v.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        3,
    ),
    "inverted.tif": (lambda v: tiff(65535 - v[..., 0], photometric="miniswhite"), 1),
    "tiff-by-another-name.jpg": (lambda v: encode_image(Image.fromarray(v[..., 0]), "TIFF"), 1),
}
BY_EACH_READER = ["rgb.png", "grey.tif", "planes.tiff", "inverted.tif"]


@pytest.mark.parametrize("held", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize(
    "name", [name if name in BY_EACH_READER else spared(name) for name in DEEP]
)
def test_all_16_bits_are_kept(name, held, tmp_path):
    make, channels = DEEP[name]
    values = deep_image()
    for number in "ab":
        write_image(tmp_path / f"{number}-{name}", make(values))
    said = []
    source = folder.load(str(tmp_path), "train", report=said.append)
    assert said[1] == "values of uint16 found from 0 to 65,535: taken as 0 to 65535"
    source = data.held(source, 1e9 if held else 0)
    expected = values[..., :channels] / 65535
    crops = data.labelled(source, lambda image: image, batch_size=2)
    shown = next(iter(crops))["image"]
    np.testing.assert_allclose(shown, np.broadcast_to(expected, (2, 20, 30, 3)), atol=1e-6)
    whole = augment.View(augment.identity(), augment.identity())
    (batch,) = data.views(source, [whole], batch_size=2, seed=0, stop_step=1)
    np.testing.assert_allclose(batch["views"][0], shown, atol=1e-6)


@pytest.mark.parametrize("value_range", ["dtype", "percentiles"])
def test_files_of_16_bits_in_one_channel(value_range, tmp_path):
    values = deep_image()
    files = DEEP | {
        "alpha.png": (lambda v: tf.io.encode_png(np.dstack([v[..., 0], v[..., 1]])).numpy(), 1)
    }
    for name, (make, _) in files.items():
        write_image(tmp_path / name, make(values))
    source, _ = load_folder(tmp_path, "train", channels=1, value_range=value_range)
    shown = dict(zip(source.ids(), (image for image, _ in decode_all(source))))
    (low, high) = np.reshape(source.value_ranges["uint16"], (2, -1))
    for name, (_, channels) in files.items():
        unit = np.clip((values[..., :channels] - low) / (high - low), 0, 1)
        expected = unit @ [0.299, 0.587, 0.114] if channels == 3 else unit[..., 0]
        assert shown[name].shape == (20, 30, 1)
        np.testing.assert_allclose(shown[name][..., 0], expected, atol=1e-5, err_msg=name)


def test_twelve_bits_in_sixteen_fill_the_range(tmp_path):
    values = deep_image(most=4095)
    write_image(tmp_path / "a.png", tf.io.encode_png(values).numpy())
    for given, most in (("auto", 4095), ("dtype", 65535), ((0.0, 2000.0), 2000)):
        source, said = load_folder(tmp_path, "train", value_range=given)
        np.testing.assert_allclose(
            decode_all(source)[0][0], np.minimum(values / most, 1), atol=1e-6
        )
        beyond = ", what is beyond is clipped" if most < 4095 else ""
        assert said == [f"values of uint16 found from 0 to 4,095: taken as 0 to {most}{beyond}"]


def test_what_training_images_were_taken_as_holds_for_others(tmp_path):
    for split, most in (("train", 4095), ("test", 900)):
        write_image(tmp_path / split / "a.png", tf.io.encode_png(deep_image(most)).numpy())
    train, _ = load_folder(tmp_path, "train")
    assert train.value_ranges == {"uint16": (0, 4095)}
    test, _ = load_folder(tmp_path, "test", ranges=train.value_ranges)
    assert decode_all(test)[0][0].max() == pytest.approx(900 / 4095)


@pytest.mark.parametrize(
    "low,high,expected",
    [
        (0.0, 1.0, (0, 1)),
        (-1.0, 1.0, (-1, 1)),
        (0.0, 200.0, (0, 255)),
        (-1000.0, 3000.0, (-1000, 3000)),
    ],
)
def test_floats_are_scaled_by_what_they_span(low, high, expected, tmp_path):
    values = np.linspace(low, high, 600, dtype=np.float32).reshape(20, 30)
    write_image(tmp_path / "a.tif", encode_image(Image.fromarray(values), "TIFF"))
    source, _ = load_folder(tmp_path, "train")
    assert source.value_ranges == {"float32": expected}
    scaled = (values - expected[0]) / (expected[1] - expected[0])
    np.testing.assert_allclose(decode_all(source)[0][0][..., 1], scaled, atol=1e-6)


def test_signed_and_wide_integers_keep_their_values(tmp_path):
    values = np.arange(600, dtype=np.int32).reshape(20, 30) * 100_000 - 2**24
    write_image(tmp_path / "a.tif", encode_image(Image.fromarray(values), "TIFF"))
    scaled = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(
        decode_all(load_folder(tmp_path, "train")[0])[0][0][..., 0], scaled, atol=1e-6
    )


@pytest.mark.parametrize(
    "dtype,lowest,highest,expected",
    [
        (np.uint32, 0, 4_000_000_000, (0, 4_000_000_000)),
        (np.int8, -128, 127, (-128, 127)),
        (np.int32, -1000, 3000, (-1000, 3000)),
    ],
)
def test_integers_of_tiff_keep_their_sign(dtype, lowest, highest, expected, tmp_path):
    values = np.linspace(lowest, highest, 600).astype(dtype).reshape(20, 30)
    write_image(tmp_path / "a.tif", tiff(values, photometric="minisblack"))
    source, _ = load_folder(tmp_path, "train")
    assert source.value_ranges == {np.dtype(dtype).name: expected}
    scaled = (values.astype(float) - lowest) / (highest - lowest)
    np.testing.assert_allclose(decode_all(source)[0][0][..., 2], scaled, atol=1e-6)


def test_8_and_16_bits_in_one_folder_are_each_scaled_by_their_own(tmp_path):
    write_image(tmp_path / "eight.png", encode_image(random_picture(), "PNG"))
    write_image(
        tmp_path / "eight.jpg", encode_image(random_picture(), "JPEG", exif=exif(3), quality=95)
    )
    write_image(tmp_path / "deep.png", tf.io.encode_png(deep_image()).numpy())
    source, _ = load_folder(tmp_path, "train")
    shown = dict(zip(source.ids(), (image for image, _ in decode_all(source))))
    np.testing.assert_allclose(shown["eight.png"], np.asarray(random_picture()) / 255, atol=1e-6)
    np.testing.assert_allclose(shown["deep.png"], deep_image() / 65535, atol=1e-6)
    turned = np.asarray(random_picture())[::-1, ::-1] / 255
    assert np.abs(shown["eight.jpg"] - turned).mean() < 0.02


def test_a_range_can_be_given_for_8_bits_too(tmp_path):
    write_image(tmp_path / "a.png", encode_image(random_picture(), "PNG"))
    source, _ = load_folder(tmp_path, "train", value_range=(50.0, 100.0))
    np.testing.assert_allclose(
        decode_all(source)[0][0],
        np.clip((np.asarray(random_picture(), float) - 50) / 50, 0, 1),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "name,content,said",
    [
        (
            "pages.tif",
            lambda: encode_image(
                random_picture(),
                "TIFF",
                save_all=True,
                append_images=[random_picture(1), random_picture(2)],
            ),
            "a TIFF of 3 pages: `channels=9` takes them as channels",
        ),
        (
            "nan.tif",
            lambda: encode_image(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
            "not finite",
        ),
        ("text.png", lambda: b"<html>not found</html>", "not an image of a kind that can be read"),
        ("empty.jpg", lambda: b"", "(empty)"),
        (
            "half.tif",
            lambda: tiff(np.zeros((9, 9), np.float16)),
            "a TIFF of float16, which cannot be read: save it in 32 bits",
        ),
        (
            "double.tif",
            lambda: tiff(np.zeros((9, 9), np.float64)),
            "a TIFF of float64, which cannot be read: save it in 32 bits",
        ),
    ],
)
def test_what_cannot_be_used_says_why(name, content, said, tmp_path):
    write_image(tmp_path / name, content())
    with pytest.raises(UsageError, match=re.escape(said)) as refusal:
        load_folder(tmp_path, "train")
    assert "BytesIO" not in str(refusal.value)


STACKS = {  # name: (type, channels, how tifffile writes them)
    "16 bits, 13 channels": (np.uint16, 13, dict(planarconfig="contig")),
    "16 bits, planes": (np.uint16, 6, dict(planarconfig="separate")),
    "8 bits, 7 channels": (np.uint8, 7, dict(planarconfig="contig")),
    "4 channels, no alpha": (
        np.uint16,
        4,
        dict(planarconfig="contig", extrasamples=["unspecified"] * 3),
    ),
    "floats, 5 channels": (np.float32, 5, dict(planarconfig="contig")),
}


@pytest.mark.parametrize("name", STACKS)
def test_channels_that_are_not_colours_are_all_kept(name, tmp_path):
    dtype, channels, how = STACKS[name]
    rng, stored = np.random.default_rng(0), {}
    for number in range(3):
        values = rng.integers(0, 256 if dtype == np.uint8 else 4096, (9 + number, 8, channels))
        values = (values / 4095 if dtype == np.float32 else values).astype(dtype)
        stored[f"{number}.tif"] = values
        planes = np.moveaxis(values, -1, 0) if how["planarconfig"] == "separate" else values
        write_image(tmp_path / f"{number}.tif", tiff(planes, photometric="minisblack", **how))
    source, _ = load_folder(tmp_path, "train")
    assert source.channels == channels
    most = {np.uint8: 255, np.uint16: 4095, np.float32: 1}[dtype]
    for file, (image, _) in zip(source.ids(), decode_all(source), strict=True):
        image = image / 255 if dtype == np.uint8 else image
        np.testing.assert_allclose(image, stored[file] / most, atol=1e-6)
    with pytest.raises(UsageError, match=f"`channels` must be {channels} for images of {channels}"):
        load_folder(tmp_path, "train", channels=3)


def test_pages_are_channels_where_that_is_asked_for(tmp_path):
    import tifffile

    values = np.random.default_rng(0).integers(0, 65536, (5, 9, 8), dtype=np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in values:
            file.write(plane, photometric="minisblack")
        file.write(values[0, ::2, ::2], photometric="minisblack", subfiletype=1)
    source, _ = load_folder(tmp_path, "train", channels=5)
    ((image, _),) = decode_all(source)
    np.testing.assert_allclose(image, np.moveaxis(values, 0, -1) / 65535, atol=1e-6)
    with pytest.raises(UsageError, match="5 pages: `channels=5` takes them as channels"):
        load_folder(tmp_path, "train", channels=4)


def test_images_of_several_numbers_of_channels_are_refused(tmp_path):
    write_image(tmp_path / "a.png")
    deep = tiff(deep_image(channels=6), photometric="minisblack", planarconfig="contig")
    write_image(tmp_path / "b.tif", deep)
    with pytest.raises(UsageError, match="as many channels. Received: 3 in .*a.png, and 6 in .*b"):
        load_folder(tmp_path, "train")


def test_colours_become_grey(tmp_path):
    write_image(tmp_path / "a.png")
    ((colours, _),) = decode_all(load_folder(tmp_path, "train")[0])
    source, _ = load_folder(tmp_path, "train", channels=1)
    ((grey, _),) = decode_all(source)
    assert source.channels == 1
    luma = colours.astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[..., 0], luma, atol=0.5 + 1e-3)


def test_a_tiff_may_hold_itself_at_a_lower_resolution(tmp_path):
    import tifffile

    values = np.asarray(random_picture())
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values, photometric="rgb")
        file.write(values[::2, ::2], photometric="rgb", subfiletype=1)
    ((image, _),) = decode_all(load_folder(tmp_path, "train")[0])
    np.testing.assert_array_equal(image, values)


def test_eight_bit_tiff_is_a_format_like_any_other(tmp_path):
    for number, mode in enumerate(("RGB", "L", "RGBA", "P", "CMYK", "1")):
        shown = random_picture().convert(mode)
        write_image(tmp_path / mode / "a.tif", encode_image(shown, "TIFF"))
        ((image, _),) = decode_all(load_folder(tmp_path / mode, "train")[0])
        np.testing.assert_array_equal(image, shown.convert("RGB"))


def test_0_1_read_8_bits_and_no_orientation(tmp_path):
    values = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    write_image(tmp_path / "deep.png", encode_image(Image.fromarray(values), "PNG"))
    write_image(
        tmp_path / "turned.jpg", encode_image(random_picture(), "JPEG", quality=100, exif=exif(6))
    )
    write_image(tmp_path / "other.jfif", encode_image(random_picture(), "JPEG"))
    write_image(tmp_path / "other.tif", encode_image(random_picture(), "TIFF"))
    source, _ = load_folder(tmp_path, "train", rules=1)
    shown = dict(zip(source.ids(), (image for image, _ in decode_all(source))))
    assert set(shown) == {"deep.png", "turned.jpg"} and source.dtype == np.uint8
    np.testing.assert_array_equal(shown["deep.png"][..., 0], values >> 8)
    assert shown["turned.jpg"].shape == (20, 30, 3)


def test_the_flag_reaches_the_images(tmp_path):
    write_image(tmp_path / "a.png", tf.io.encode_png(deep_image(most=4095)).numpy())
    config = Config(dataset="folder", data_dir=str(tmp_path), value_range="0,8190")
    assert sources.load(config, "train").arrays[0].max() == 0.5


@pytest.mark.parametrize("form", ["{split}/{label}/{scene}", "{label}/{scene}", "{scene}"])
def test_a_folder_of_bands_is_an_image(form, tmp_path):
    rng, stored = np.random.default_rng(0), {}
    for number in range(8):
        label, split = f"class{number % 2}", "train" if number < 6 else "test"
        scene = tmp_path / form.format(split=split, label=label, scene=f"scene{number}")
        bands = [rng.integers(0, 4096, (8, 10), dtype=np.uint16) for _ in range(4)]
        for name, band in zip(("B02", "B03", "B04", "B08"), bands):
            write_image(scene / f"{name}.tif", tiff(band))
        write_image(scene / ".hidden.tif", b"nothing")
        (scene / "metadata.txt").write_text("a text")
        stored[str(scene.relative_to(tmp_path))] = np.stack(bands, axis=-1), number % 2
    source, messages = load_folder(tmp_path, "train", layout="bands")
    assert source.channels == 4 and source.image_shape == (8, 10)
    assert source.num_classes == (0 if form == "{scene}" else 2)
    assert source.num_examples == (6 if "split" in form else 8)
    for name, (image, label) in zip(source.ids(), decode_all(source), strict=True):
        np.testing.assert_allclose(image, stored[name][0] / 4095, atol=1e-6)
        assert label == (-1 if form == "{scene}" else stored[name][1])


def test_smaller_bands_are_resized_to_the_largest_and_missing_ones_refused(tmp_path):
    rows, columns = np.mgrid[:8, :8]
    fine = (100 * rows + columns).astype(np.uint16)
    for scene in "ab":
        write_image(tmp_path / scene / "B1.tif", tiff(fine))
        write_image(tmp_path / scene / "B2.tif", tiff(fine[::2, ::2] + 50))
    source, _ = load_folder(tmp_path, "train", layout="bands", value_range=(0, 1000))
    (image, _), _ = decode_all(source)
    np.testing.assert_allclose(image[..., 0], fine / 1000, atol=1e-6)
    inner = np.abs(1000 * image[..., 1] - fine)[1:-1, 1:-1]  # the pixel centres are the same
    assert inner.max() < 2
    (tmp_path / "b" / "B2.tif").unlink()
    with pytest.raises(UsageError, match="as many channels. Received: 3 in|Received: 1 in"):
        load_folder(tmp_path, "train", layout="bands")
    write_image(tmp_path / "b" / "B2.tif", tiff(np.zeros((8, 8, 3), np.uint8)))
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 1] = 9
    write_image(tmp_path / "b" / "B2.png", encode_image(Image.fromarray(colour), "PNG"))
    source, messages = load_folder(tmp_path, "train", layout="bands", max_bad_fraction=0.6)
    assert source.num_examples == 1 and "a band in colours" in "".join(messages)
    write_image(tmp_path / "c.png")
    with pytest.raises(UsageError, match="holds images beside its folders"):
        load_folder(tmp_path, "train", layout="bands")


def write_bands(directory, scenes):
    """Folders of bands, {name: names of files}."""
    for scene, names in scenes.items():
        for number, name in enumerate(names):
            write_image(directory / scene / name, tiff(np.full((4, 4), number, np.uint16)))


@pytest.mark.parametrize(
    "scene,names,expected",
    [
        ("a", ["B02.tif", "B10.tif", "B8A.tif"], ("B02", "B10", "B8A")),
        ("a", ["B02_10m.jp2.tif", "B03_10m.jp2.tif"], ("B02", "B03")),
        ("tile7", ["tile7_B02.tif", "tile7_B03.tif"], ("B02", "B03")),
        ("tile7", ["tile7B02.tif", "tile7B03.tif"], ("B02", "B03")),
        ("a", ["T32UNU_2020-01-01_B02_10m.tif", "T32UNU_2020-01-01_B05_20m.tif"], None),
        ("a", ["1.tif", "2.tif"], ("1", "2")),
        ("a", ["a.tif", "a_nir.tif"], ("", "nir")),
        ("B", ["B02.tif", "B03.tif"], ("B02", "B03")),
        ("a", ["B02.tif"], ()),
    ],
)
def test_bands_are_what_tells_files_apart(scene, names, expected, tmp_path):
    write_bands(tmp_path, {scene: names})
    expected = ("B02_10m", "B05_20m") if expected is None else expected
    assert images.names_of_bands(str(tmp_path / scene)) == expected


@pytest.mark.parametrize(
    "other,said",
    [
        ("B02 B03 B04 B08", "of the same bands. Received: B01 B02 B03 B04 in "),
        ("B05 B06 B07 B08", ", and B05 B06 B07 B08 in DIR/c"),
        ("B03 B02", "as many channels. Received: 2 in DIR/c (B02 B03), and 4 in DIR/"),
        ("b01 B02 B03 B04", ", and B02 B03 B04 b01 in DIR/c"),  # the order is another one
        ("b01 b02 b03 b04", ""),
    ],
)
def test_images_of_other_bands_are_refused(other, said, tmp_path):
    scenes = {"a": "B01 B02 B03 B04", "b": "B01 B02 B03 B04", "c": other}
    write_bands(tmp_path, {s: [f"{s}_{name}.tif" for name in scenes[s].split()] for s in scenes})
    if not said:
        source, _ = load_folder(tmp_path, "train", layout="bands")
        assert source.bands == ("B01", "B02", "B03", "B04")
        return
    with pytest.raises(UsageError) as refusal:
        load_folder(tmp_path, "train", layout="bands")
    assert said in str(refusal.value).replace(str(tmp_path), "DIR")


def test_images_to_evaluate_have_the_bands_of_the_others(tmp_path):
    write_bands(tmp_path / "train", {"a": ["B1.tif", "B2.tif"], "b": ["B1.tif", "B2.tif"]})
    write_bands(tmp_path / "test", {"c": ["B2.tif", "B3.tif"]})
    write_bands(tmp_path / "val", {"c": ["red.tif", "nir.tif"]})
    train, test, val = (
        load_folder(tmp_path, split, layout="bands")[0] for split in ("train", "test", "val")
    )
    with pytest.raises(UsageError, match="bands of --train_split, B1 B2. Received: B2 B3"):
        sources.refuse_other_bands(test, train, "train_split")
    sources.refuse_other_bands(val, train, "train_split")
    sources.refuse_other_bands(train, train, "train_split")


def test_names_that_no_two_images_have_are_not_compared(tmp_path):
    write_bands(tmp_path, {"a": ["10.tif", "11.tif"], "b": ["12.tif", "13.tif"]})
    source, _ = load_folder(tmp_path, "train", layout="bands")
    assert source.channels == 2 and source.bands == ()
