"""Images that look alike are found in every form of storage, and others are not."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfssl
from tests.helpers import tiny_config
from tfssl import Config, UsageError
from tfssl.data import alike, arrays, near
from tfssl.runner import sources

rng = np.random.default_rng(0)


def scenes(count, size=48, channels=3, seed=0):
    """Smooth images, as photographs are."""
    draws = np.random.default_rng(seed)
    noise = draws.normal(size=(count, 9, 9, 1)) + 0.3 * draws.normal(size=(count, 9, 9, channels))
    made = tf.image.resize(np.float32(noise), (size, size), "bicubic").numpy()
    low, high = made.min(axis=(1, 2), keepdims=True), made.max(axis=(1, 2), keepdims=True)
    return np.rint(20 + 200 * (made - low) / (high - low)).astype(np.uint8)


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


def smaller(image):
    return np.asarray(Image.fromarray(image).resize((31, 29), Image.BICUBIC))


COPIES = {
    "recompressed": lambda image: jpeg(image, 40),
    "resized": smaller,
    "brightened": lambda image: np.uint8(np.minimum(image.astype(int) + 25, 255)),
    "darker": lambda image: np.uint8(image * 0.6),
    "noisy": lambda image: np.uint8(np.clip(image + rng.normal(0, 4, image.shape), 0, 255)),
}


@pytest.mark.parametrize("change", COPIES)
def test_copies_are_found_and_other_images_are_not(change):
    images = scenes(40)
    copies = np.stack([COPIES[change](image) for image in images[10:20]])
    pairs, compared = alike(arrays.source_of(copies), arrays.source_of(images))
    assert pairs == [(i, 10 + i) for i in range(10)] and compared == 10
    others = arrays.source_of(scenes(200, seed=1))
    assert alike(others, arrays.source_of(images)) == ([], 200)


def test_flat_and_cropped_images_are_like_none():
    images = scenes(30)
    flat = np.full((5, 48, 48, 3), 7, np.uint8)
    assert alike(arrays.source_of(flat), arrays.source_of(flat)) == ([], 5)
    cropped = images[:, 16:, 16:]
    assert alike(arrays.source_of(cropped), arrays.source_of(images)) == ([], 30)


@pytest.mark.parametrize("shape", [(5, 7), (8, 8), (16, 16), (17, 40), (64, 48)])
def test_a_thumbnail_is_of_means_of_parts(shape):
    image = rng.random((*shape, 2))
    made = near.thumbnail(image)
    assert made.shape == (16, 16) and made.min() == 0 and made.max() == 255
    fine = image.mean(-1).repeat(16, axis=0).repeat(16, axis=1)  # each part is of whole pixels
    expected = fine.reshape(16, shape[0], 16, shape[1]).mean(axis=(1, 3))
    expected = 255 * (expected - expected.min()) / np.ptp(expected)
    np.testing.assert_allclose(made, expected, atol=0.51)


@pytest.fixture
def images_and_copies(monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)  # nothing is kept in memory
    images = scenes(30)
    copies = np.stack([COPIES["recompressed"](image) for image in images[:12]])
    return np.concatenate([images, copies]), np.array(["train"] * 30 + ["test"] * 12)


def folder(path, images, split):
    for place, (image, name) in enumerate(zip(images, split)):
        directory = path / name / f"c{place % 2}"
        directory.mkdir(parents=True, exist_ok=True)
        turned = place % 3 == 0  # as a camera does
        exif = Image.Exif()
        exif[274] = 6 if turned else 1
        stored = Image.fromarray(np.rot90(image) if turned else image)
        stored.save(directory / f"{place:02}.png", exif=exif)
    return dict(dataset="folder", data_dir=str(path))


def tfrecord(path, images, split):
    (path / "records").mkdir()
    for name in ("train", "test"):
        with tf.io.TFRecordWriter(str(path / "records" / f"{name}.tfrecord")) as file:
            for place, image in enumerate(images[split == name]):
                content = tf.io.encode_png(image).numpy()
                feature = {
                    "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[place % 2])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                file.write(example.SerializeToString())
    return dict(dataset="tfrecord", data_dir=str(path / "records"))


@pytest.mark.parametrize("form", [folder, tfrecord])
def test_streamed_images_are_compared_by_the_thumbnails_of_their_files(
    form, images_and_copies, tmp_path
):
    config = Config(cache_dataset=False, **form(tmp_path, *images_and_copies))
    train, test = (sources.load(config, split) for split in ("train", "test"))
    assert train.arrays is None
    pairs, compared = alike(test, train)
    assert len(pairs) == compared == 12
    part = tfssl.data.subset(test, np.array([2, 5]))
    assert alike(part, train)[0] == [(0, dict(pairs)[2]), (1, dict(pairs)[5])]


def test_what_is_streamed_without_files_is_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    np.save(tmp_path / "a.npy", scenes(20))
    source = sources.load(Config(dataset=str(tmp_path / "a.npy")), "train")
    assert source.arrays is None and alike(source, source) is None


def test_a_run_says_what_looks_alike_and_refuses_too_much(tmp_path, capsys):
    images = scenes(80, size=16)
    test = scenes(40, size=16, seed=1)
    test[3] = COPIES["darker"](images[7])
    np.savez(
        tmp_path / "a.npz",
        train_images=images,
        train_labels=np.arange(80) % 2,
        test_images=test,
        test_labels=np.arange(40) % 2,
    )
    settings = dict(dataset=str(tmp_path / "a.npz"), data_dir=None, train_split="train")
    settings |= dict(eval_split=None, train_steps=2, knn_k="3")
    tfssl.run(tiny_config(tmp_path / "run", **settings))
    said = capsys.readouterr().out
    line = "1 of 40 images of a.npz test look like one of a.npz train: test_images:3 like train_im"
    assert said.count(line) == 1 and "train_images:7: 2.50%" in said
    with pytest.raises(UsageError, match="--max_similar_fraction=0.02: 1 of 40 images of a.npz te"):
        tfssl.run(tiny_config(tmp_path / "other", max_similar_fraction=0.02, **settings))
    assert not (tmp_path / "other").exists()
