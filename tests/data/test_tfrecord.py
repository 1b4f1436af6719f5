"""TFRecord files of one's own: encoded images and raw pixels, labels of every kind, splits."""

import numpy as np
import pytest

import tfssl
from tests.helpers import encode_array as encoded
from tests.helpers import read_source
from tests.helpers import write_records as write
from tfssl.data import tfrecord
from tfssl.data.stored import Names
from tfssl.errors import UsageError

NONE = Names(None, None, None, None)
RNG = np.random.default_rng(0)
QUIET = {"report": lambda line: None}


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("names", [("image", "label"), ("image/encoded", "image/class/label")])
def test_images_in_files_and_their_labels(names, compression, tmp_path):
    pixels = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    labels = np.arange(20) % 4 - 1
    rows = [dict(zip(names, (encoded(one), label))) for one, label in zip(pixels, labels)]
    path = write(tmp_path / "mine.tfrecord", rows, compression)
    source = tfrecord.load(path, "train", **QUIET)
    assert source.num_examples == 20 and source.num_classes == 3 and source.image_shape == (6, 5)
    for name, (image, label) in read_source(source).items():
        row = int(name.removeprefix("mine.tfrecord:"))
        np.testing.assert_array_equal(image, pixels[row] / np.float32(255))
        assert label == labels[row]
    views = tfssl.views(path, tfssl.augment.supervised(4), 8, compiled=False)
    assert len(views) == 2 and views.element_spec["views"][0].shape == (8, 4, 4, 3)


@pytest.mark.parametrize("dtype,channels", [(np.uint8, 3), (np.uint16, 1), (np.float32, 6)])
def test_raw_pixels_of_every_type(dtype, channels, tmp_path):
    most = 4095 if dtype == np.uint16 else 255
    pixels = RNG.integers(0, most + 1, (12, 4, 7, channels))
    pixels = (pixels / 255 if dtype == np.float32 else pixels).astype(dtype)
    rows = [
        {
            "image_raw": one.tobytes(),
            "height": 4,
            "width": 7,
            "depth": None if channels == 1 else channels,
            "label": ("oak", "fir", "")[number % 3],
        }
        for number, one in enumerate(pixels)
    ]
    source = tfrecord.load(write(tmp_path / "a.tfrecord", rows), "train", **QUIET)
    assert source.channels == channels and source.classes == ("fir", "oak")
    scale = {np.uint8: 255, np.uint16: 4095, np.float32: 1}[dtype]
    for name, (image, label) in read_source(source).items():
        row = int(name.split(":")[1])
        np.testing.assert_allclose(image, pixels[row] / scale, atol=1e-6)
        assert label == (1, 0, -1)[row % 3]


def test_splits_of_a_directory_slices_and_groups(tmp_path):
    pixels = RNG.integers(0, 256, (60, 3, 3), dtype=np.uint8)
    rows = [
        {"image": encoded(one), "label": number % 5, "field": f"f{number // 4}"}
        for number, one in enumerate(pixels)
    ]
    for shard in range(3):
        write(tmp_path / f"mine-train.tfrecord-0000{shard}-of-00003", rows[shard * 16 :][:16])
    write(tmp_path / "mine-test.tfrecord-00000-of-00001", rows[48:])
    (tmp_path / "notes.txt").write_text("nothing")
    path, names = str(tmp_path), NONE._replace(group="field")
    train, test = (tfrecord.load(path, split, **QUIET) for split in ("train", None))
    assert (train.num_examples, test.num_examples, test.split) == (48, 12, "test")
    assert train.num_classes == test.num_classes == 5
    parts = [
        tfrecord.load(path, f"train[{part}]", names=names, **QUIET) for part in (":50%", "50%:")
    ]
    assert not set(parts[0].groups()) & set(parts[1].groups())
    assert sorted(parts[0].ids() + parts[1].ids()) == sorted(train.ids())
    assert not parts[0].shares_examples_with(parts[1]) and parts[0].shares_examples_with(train)
    whole = read_source(train)
    for part in parts:
        for name, (image, label) in read_source(part).items():
            np.testing.assert_array_equal(image, whole[name][0])
            assert label == whole[name][1]


def test_damaged_images_are_left_out_and_damaged_files_refused(tmp_path):
    rows = [{"image": encoded(one), "label": 1} for one in np.zeros((9, 4, 4, 3), np.uint8)]
    path, lines = write(tmp_path / "a.tfrecord", [*rows, {"image": b"nothing", "label": 0}]), []
    source = tfrecord.load(path, "train", report=lines.append)
    assert source.num_examples == 9 and len(read_source(source)) == 9
    assert any("a.tfrecord:9 (not an image of a kind" in line for line in lines)
    with pytest.raises(UsageError, match="1 of 10 files in .* cannot be read"):
        tfrecord.load(path, "train", max_bad_fraction=0.0, **QUIET)
    content = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "b.tfrecord").write_bytes(content[:-20])
    with pytest.raises(UsageError, match="b.tfrecord is no whole TFRecord file"):
        tfrecord.load(str(tmp_path / "b.tfrecord"), "train", **QUIET)
    for name, wrong in (("c", b""), ("d", b"no TFRecord at all, but long enough to be one")):
        (tmp_path / f"{name}.tfrecord").write_bytes(wrong)
        with pytest.raises(UsageError, match=f"{name}.tfrecord is no whole TFRecord file"):
            tfrecord.load(str(tmp_path / f"{name}.tfrecord"), "train", **QUIET)


def test_mistakes(tmp_path):
    path = write(tmp_path / "a.tfrecord", [{"picture": encoded(np.zeros((4, 4, 3), np.uint8))}])
    with pytest.raises(
        UsageError, match="`image_key` must name a feature .* have picture, and none"
    ):
        tfrecord.load(path, "train", **QUIET)
    found = tfrecord.load(path, "train", names=NONE._replace(image="picture"), **QUIET)
    assert found.num_classes == 0
    for key, flag in (("label", "label_key"), ("group", "group_by")):
        names = NONE._replace(image="picture", **{key: "other"})
        with pytest.raises(UsageError, match=f"`{flag}` must name a feature"):
            tfrecord.load(path, "train", names=names, **QUIET)
    with pytest.raises(UsageError, match="`data_dir` must be a file, or a directory"):
        tfrecord.load(str(tmp_path / "nothing.tfrecord"), "train", **QUIET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="a directory without any"):
        tfrecord.load(str(tmp_path / "empty"), "train", **QUIET)
    with pytest.raises(UsageError, match="no test or validation files"):
        tfrecord.load(path, None, names=NONE._replace(image="picture"), **QUIET)
    with pytest.raises(UsageError, match="must be one of train"):
        tfrecord.load(path, "test", names=NONE._replace(image="picture"), **QUIET)


def test_usual_names_of_features_may_be_in_any_case(tmp_path):
    image, lines = encoded(np.zeros((6, 5, 3), np.uint8)), []
    rows = [{"Image": image, "Label": label} for label in ("a", "NA", "b")]
    source = tfrecord.load(write(tmp_path / "a.tfrecord", rows), "train", report=lines.append)
    assert source.classes == ("a", "b") and not lines
    assert [label for _, label in read_source(source).values()] == [0, -1, 1]
    path = write(tmp_path / "b.tfrecord", [{"image": image, "kind": 1}])
    tfrecord.load(path, "train", report=lines.append)
    assert lines == ["b.tfrecord: no feature of labels among image, kind: `label_key` names one"]
    path = write(tmp_path / "c.tfrecord", [{"picture": image}])
    with pytest.raises(
        UsageError, match="have picture, and none called image or .* Received: none"
    ):
        tfrecord.load(path, "train", **QUIET)
