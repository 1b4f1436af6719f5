"""Folders of images: layouts, formats, and files that are not what they seem."""

import os
import random
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers import decode_all, encode_image, load_folder, random_picture, write_image
from tfssl import augment, data
from tfssl.config import Config
from tfssl.data import folder, images
from tfssl.errors import UsageError
from tfssl.runner import sources

FORMATS = {  # name -> (bytes, what they show, largest difference)
    "plain.png": lambda p: (encode_image(p, "PNG"), p, 0),
    "palette.png": lambda p: (
        encode_image(p.quantize(16), "PNG"),
        p.quantize(16).convert("RGB"),
        0,
    ),
    "grey.png": lambda p: (encode_image(p.convert("L"), "PNG"), p.convert("L").convert("RGB"), 0),
    "rgba.png": lambda p: (encode_image(p.convert("RGBA"), "PNG"), p, 0),
    "bit.png": lambda p: (encode_image(p.convert("1"), "PNG"), p.convert("1").convert("RGB"), 0),
    "plain.jpg": lambda p: (encode_image(p, "JPEG"), p, 40),
    "grey.jpeg": lambda p: (
        encode_image(p.convert("L"), "JPEG"),
        p.convert("L").convert("RGB"),
        20,
    ),
    "cmyk.jpg": lambda p: (encode_image(p.convert("CMYK"), "JPEG"), p, 40),
    "progressive.jpe": lambda p: (encode_image(p, "JPEG", progressive=True), p, 40),
    "plain.bmp": lambda p: (encode_image(p, "BMP"), p, 0),
    "palette.bmp": lambda p: (
        encode_image(p.quantize(16), "BMP"),
        p.quantize(16).convert("RGB"),
        0,
    ),
    "bit.bmp": lambda p: (encode_image(p.convert("1"), "BMP"), p.convert("1").convert("RGB"), 0),
    "plain.gif": lambda p: (encode_image(p.quantize(16), "GIF"), p.quantize(16).convert("RGB"), 0),
    "moving.gif": lambda p: (
        encode_image(
            p.quantize(16), "GIF", save_all=True, append_images=[random_picture(9).quantize(16)]
        ),
        p.quantize(16).convert("RGB"),
        0,
    ),
    "plain.webp": lambda p: (encode_image(p, "WEBP", lossless=True), p, 0),
    "UPPER.JPG": lambda p: (encode_image(p, "PNG"), p, 0),  # which it is not
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_rgb(name, tmp_path):
    content, expected, most = FORMATS[name](random_picture())
    write_image(tmp_path / name, content)
    source, said = load_folder(tmp_path, "train")
    ((image, label),) = decode_all(source)
    assert image.dtype == np.uint8 and label == -1 and not said
    assert np.abs(image.astype(int) - np.asarray(expected)).max() <= most


def test_splits_and_classes_are_the_folders(tmp_path):
    for split, count in (("train", 4), ("validation", 2)):
        for label, name in enumerate(("bird", "cat", "dog")):
            for i in range(count):
                write_image(tmp_path / split / name / f"{i}.png", seed=10 * label + i)
    write_image(tmp_path / "train" / "cat" / "more" / "deeper" / "5.png", seed=50)
    write_image(tmp_path / "train" / "cat" / "notes.txt", b"not an image")
    write_image(tmp_path / "train" / "cat" / "model.bin", b"\0neither\xff")
    write_image(tmp_path / "train" / "cat" / ".hidden.png", b"not an image")
    source, said = load_folder(tmp_path, "train")
    assert (source.num_examples, source.num_classes) == (13, 3)
    assert source.image_shape == (20, 30)
    assert said == [
        "left out: 1 texts",
        f"unreadable, left out: {tmp_path}/train/cat/model.bin (not an image)",
        f"{tmp_path} train: 13 of 14 images can be read, 1 are left out",
    ]
    assert np.bincount([label for _, label in decode_all(source)]).tolist() == [4, 5, 4]
    assert load_folder(tmp_path, None)[0].split == "validation"
    for image, label in decode_all(load_folder(tmp_path, "validation")[0]):
        assert any(np.array_equal(image, random_picture(10 * label + i)) for i in range(2))


def test_slices_are_random_parts_that_do_not_overlap(tmp_path):
    for label in range(2):
        for i in range(20):
            write_image(tmp_path / f"class{label}" / f"{i}.png", seed=100 * label + i)
    parts = [
        decode_all(load_folder(tmp_path, split)[0]) for split in ("train[:50%]", "train[50%:]")
    ]
    assert [len(part) for part in parts] == [20, 20]
    seen = [image.tobytes() for part in parts for image, _ in part]
    assert len(set(seen)) == 40
    assert all(4 <= sum(label for _, label in part) <= 16 for part in parts)  # not sorted by class


def test_without_classes_there_are_no_labels(tmp_path):
    for i in range(3):
        write_image(tmp_path / "flat" / f"{i}.png", seed=i)
        write_image(tmp_path / "stl" / "train" / "cat" / f"{i}.png", seed=i)
        write_image(tmp_path / "stl" / "unlabelled" / f"{i}.png", seed=i, height=10 + i)
    flat, _ = load_folder(tmp_path / "flat", "train")
    assert flat.num_classes == 0 and [label for _, label in decode_all(flat)] == [-1] * 3
    alone, said = load_folder(tmp_path / "stl", "train")
    assert alone.num_classes == 0 and [label for _, label in decode_all(alone)] == [-1] * 3
    assert said == ["train: taken as images without labels, as cat is the only class"]
    unlabelled, _ = load_folder(tmp_path / "stl", "unlabelled")
    assert (unlabelled.num_classes, unlabelled.image_shape) == (0, (None, None))


def test_equal_sizes_are_held_in_memory(tmp_path):
    for i in range(3):
        write_image(tmp_path / "a" / f"{i}.png", seed=i)
    config = Config(dataset="folder", data_dir=str(tmp_path))
    source = sources.load(config, "train")
    assert source.arrays[0].shape == (3, 20, 30, 3)
    assert sources.image_size(config, source) == (20, 20)
    assert sources.load(config.replace(cache_dataset=False), "train").arrays is None


@pytest.mark.parametrize(
    "make,said",
    [
        (lambda d: None, "holds no images"),
        (lambda d: write_image(d / "text.txt", b""), "holds no images"),
        (
            lambda d: (write_image(d / "a.png"), write_image(d / "cat" / "a.png")),
            "images beside the folder cat. `folder_layout=flat`",
        ),
        (
            lambda d: (
                write_image(d / "cat" / "a.png"),
                write_image(d / "train" / "dog" / "a.png"),
            ),
            "train is a usual name of a split and cat is not. `folder_layout=classes`",
        ),
    ],
)
def test_folders_that_are_no_datasets(make, said, tmp_path):
    make(tmp_path)
    with pytest.raises(UsageError, match=said):
        load_folder(tmp_path, "train")


def test_splits_that_are_not_there(tmp_path):
    write_image(tmp_path / "cat" / "a.png")
    with pytest.raises(UsageError, match="`eval_split` must name what to evaluate on"):
        load_folder(tmp_path, None)
    with pytest.raises(UsageError, match="`train_split` must be one of train"):
        load_folder(tmp_path, "test")
    for missing in (None, str(tmp_path / "nowhere"), str(tmp_path / "cat" / "a.png")):
        with pytest.raises(UsageError, match="`data_dir` must be the folder"):
            folder.load(missing, "train")


def test_one_unreadable_file_is_named_and_left_out(tmp_path):
    for i in range(20):
        write_image(tmp_path / "cat" / f"{i}.png", seed=i)
    write_image(tmp_path / "cat" / "7.png", b"")
    source, said = load_folder(tmp_path, "train")
    assert source.num_examples == 19 == len(decode_all(source))
    assert "7.png" in said[0] and said[1].endswith("19 of 20 images can be read, 1 are left out")
    with pytest.raises(UsageError, match=r"1 of 20 files .* more than `max_bad_fraction=0.01`"):
        load_folder(tmp_path, "train", max_bad_fraction=0.01)
    lines = []
    with pytest.raises(UsageError, match="The first: .*7.png"):
        folder.load(str(tmp_path), "train", max_bad_fraction=0.01, report=lines.append)
    assert not [line for line in lines if "7.png" in line]  # the error names it


def test_dimensions_that_no_memory_holds_are_refused_before_decoding(tmp_path):
    huge = bytearray(encode_image(random_picture(), "PNG"))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(bytes(huge[12:29])).to_bytes(4, "big")
    write_image(tmp_path / "huge.png", bytes(huge))
    found = images.examine(tmp_path / "huge.png", max_pixels=10**9)
    assert found.problem == "more pixels than `max_image_megapixels` allows"


def test_one_flag_lets_large_images_in(tmp_path):
    for name, side in (("large", 30), ("small", 10)):
        write_image(tmp_path / f"{name}.png", height=side, width=side)
    source, said = load_folder(tmp_path, "train", max_pixels=899, max_bad_fraction=0.5)
    assert source.num_examples == 1
    assert "(30 x 30 px are 0.0009 megapixels, more than `max_image_megapixels=0.000899" in said[0]
    assert load_folder(tmp_path, "train", max_pixels=900)[0].num_examples == 2
    again, _ = load_folder(tmp_path, "train", max_pixels=899, max_bad_fraction=0.5)
    assert again.num_examples == 1  # also where it is known by then


@pytest.mark.slow
def test_more_than_pillow_reads_of_itself(tmp_path):
    """200 megapixels, of which Pillow says that they are an attack."""
    image = Image.new("L", (20_000, 10_000), 7)
    image.putpixel((19_999, 9_999), 200)
    write_image(tmp_path / "large.png", encode_image(image, "PNG"))
    ((shown, _),) = decode_all(load_folder(tmp_path, "train", max_pixels=250_000_000)[0])
    assert shown.shape == (10_000, 20_000, 3) and shown[-1, -1].tolist() == [200] * 3


def damage(content, rng):
    """What happens to files: cut, emptied, zeroed, flipped, appended to, replaced."""
    content = bytearray(content)
    kind = rng.randrange(7)
    if kind == 0:
        return bytes(content[: rng.randrange(len(content))])
    if kind == 1:
        return b""
    if kind == 2:
        at = rng.randrange(len(content))
        content[at : at + 50] = bytes(len(content[at : at + 50]))
    if kind == 3:
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    if kind == 4:
        content += bytes(rng.randrange(256) for _ in range(40))
    if kind == 5:
        return bytes(rng.randrange(256) for _ in range(300))
    if kind == 6:  # the fields that hold dimensions
        at = rng.randrange(min(40, len(content) - 4))
        content[at : at + 4] = bytes(rng.randrange(256) for _ in range(4))
    return bytes(content)


def test_a_thousand_damaged_files_lose_nothing_silently(tmp_path):
    rng = random.Random(0)
    makers = list(FORMATS.items())
    for i in range(1000):
        name, make = makers[i % len(makers)]
        content = make(random_picture(i))[0]
        write_image(
            tmp_path / f"c{i % 2}" / f"{i}-{name}", damage(content, rng) if i % 4 else content
        )
    source, said = load_folder(tmp_path, "train", max_bad_fraction=1.0)
    left_out = int(said[-1].split()[-4].replace(",", ""))
    assert source.num_examples + left_out == 1000
    assert source.num_examples >= 250 and left_out > 250  # a quarter is whole, some damage is not
    read = decode_all(source)
    assert len(read) == source.num_examples
    assert all(image.ndim == 3 and image.shape[2] == 3 for image, _ in read)
    sound = {i for i in range(0, 1000, 4)}
    kept = {int(os.path.basename(path).split("-")[0]) for path in source.paths()}
    assert sound <= kept


def test_the_pipeline_takes_folders_of_mixed_sizes(tmp_path):
    for i in range(12):
        write_image(tmp_path / f"c{i % 3}" / f"{i}.png", seed=i, height=15 + i, width=40 - i)
    source, _ = load_folder(tmp_path, "train")
    view = augment.supervised_view((12, 16))
    (batch,) = data.views(source, [view, view], batch_size=6, seed=0, stop_step=1)
    assert batch["views"][0].shape == (6, 12, 16, 3) and set(batch["label"].numpy()) <= {0, 1, 2}
    config = Config(mode="finetune", checkpoint="run", label_fraction=0.5)
    subset = data.subset(source, sources.label_indices(config, source))
    assert subset.num_examples == 6
    labels = [int(label) for _, label in subset.records().map(subset.decode)]
    assert np.bincount(labels).tolist() == [2, 2, 2]
    assert tf.data.experimental.cardinality(source.records()).numpy() == 12
