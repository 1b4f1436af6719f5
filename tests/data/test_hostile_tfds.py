"""Prepared datasets that are damaged, of another form, or where they are not said to be."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.helpers import write_image
from tfssl import data
from tfssl.data import tfds as ours
from tfssl.errors import UsageError

FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
)
INFO, RECORDS = "dataset_info.json", "small-train.tfrecord-00000-of-00001"


class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Twenty images; it is not registered, so that only its files say what it is."""

    name = "small"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=FEATURES, supervised_keys=("image", "label")
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples(20)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(0)
        for number in range(count):
            yield number, {"image": rng.integers(0, 256, (8, 8, 3), np.uint8), "label": number % 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("prepared")
    Small(data_dir=directory).download_and_prepare()
    return directory


def refusal(directory, function=ours.load, name="small"):
    with pytest.raises(UsageError) as refused:
        source = function(name, "train", data_dir=str(directory))
        data.source.held(source, 2**30)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def with_shards(*lengths):
    """The description with other numbers of examples."""

    def changed(text):
        info = json.loads(text)
        return json.dumps(
            {
                **info,
                "splits": [{**split, "shardLengths": list(lengths)} for split in info["splits"]],
            }
        )

    return changed


def test_it_is_read_where_nothing_is_wrong(prepared):
    source = data.source.held(ours.load("small", "train", data_dir=str(prepared)), 2**30)
    assert source.arrays[0].shape == (20, 8, 8, 3)
    assert np.bincount(source.arrays[1]).tolist() == [10, 10]


@pytest.mark.parametrize(
    "file,change,said",
    [
        (INFO, lambda text: "", "is damaged in"),
        (INFO, lambda text: "{", "is damaged in"),
        (INFO, lambda text: "[]", "is damaged in"),
        (INFO, lambda text: "null", "is damaged in"),
        (INFO, lambda text: "\xff\0", "is damaged in"),
        (INFO, None, "is damaged in"),
        (INFO, with_shards("x"), "is damaged in"),
        (INFO, with_shards("-5"), "at least one example"),
        (INFO, with_shards("99999999999"), "its files are shorter"),
        (INFO, lambda text: json.dumps({**json.loads(text), "splits": []}), "there are no splits"),
        (INFO, lambda text: json.dumps({**json.loads(text), "fileFormat": "x"}), "is damaged in"),
        ("features.json", lambda text: "{", "is damaged in"),
        (
            "features.json",
            lambda text: text.replace(
                "tensorflow_datasets.core.features.image_feature.Image", "os.system"
            ),
            "is damaged in",
        ),
        (RECORDS, None, "1 of 1 files are missing"),
        (RECORDS, lambda text: "", "its files are shorter"),
        (RECORDS, lambda text: text[: len(text) // 2], "its files are shorter"),
        (
            RECORDS,
            lambda text: text[:300] + chr(ord(text[300]) ^ 1) + text[301:],
            "corrupted record",
        ),
        (RECORDS, lambda text: 8 * "\xff" + text[8:], "corrupted record"),
    ],
)
def test_a_damaged_dataset_is_said_to_be_damaged(file, change, said, prepared, tmp_path):
    directory = shutil.copytree(prepared, tmp_path / "data")
    path = directory / "small" / "1.0.0" / file
    text = path.read_bytes().decode("latin-1")
    path.unlink()
    if change:
        path.write_bytes(change(text).encode("latin-1"))
    assert said in refusal(directory)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_file_of_records_that_is_none_hangs_nothing(make, prepared, tmp_path):
    directory = shutil.copytree(prepared, tmp_path / "data")
    path = directory / "small" / "1.0.0" / RECORDS
    path.unlink()
    make(path)
    assert "is no regular file" in refusal(directory)


def test_array_record_says_how_it_is_converted(tmp_path):
    pytest.importorskip("array_record")
    Small(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    assert "ArrayRecord files, which are not read: prepare it as TFRecord" in refusal(tmp_path)


@pytest.mark.parametrize(
    "place,said",
    [("s3://bucket/x", "not implemented"), (__file__, "Not a directory"), ("a\0b", "null byte")],
)
def test_a_place_that_cannot_be_looked_at_is_the_fault_of_data_dir(place, said):
    told = refusal(place, name="mnist")
    assert told.startswith("`data_dir` must be a directory") and said in told


def test_looking_for_a_dataset_makes_no_directory(tmp_path):
    with pytest.raises(UsageError, match="`dataset=mnist` is not in"):
        ours.identify("mnist", "train", data_dir=str(tmp_path / "no/where"), download=False)
    assert not os.listdir(tmp_path)


def test_a_download_that_fails_leaves_no_directory(tmp_path, monkeypatch):
    def fail(self, **options):
        os.makedirs(os.path.join(self.data_path, "downloads", "empty"))
        raise OSError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    assert "could not be downloaded (no network)" in refusal(tmp_path / "no/where", name="mnist")
    assert not os.listdir(tmp_path)
    (tmp_path / "data").mkdir()
    refusal(tmp_path / "data", name="mnist")
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize("where", ["1.JPG", "cats/1.png"])
def test_nothing_is_downloaded_into_a_folder_of_images(where, tmp_path):
    write_image(tmp_path / where)
    message = f"`dataset=cifar10`. Received: {tmp_path}, which has images: `dataset={tmp_path}/`"
    for function in (ours.load, ours.identify):
        with pytest.raises(UsageError) as refusal:
            function("cifar10", "train", data_dir=str(tmp_path))
        assert message in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} == {where.partition("/")[0]}


def test_a_folder_that_cannot_be_listed_has_no_images(tmp_path, monkeypatch):
    """As lost+found beside prepared datasets on a disk of its own."""
    write_image(tmp_path / "lost+found" / "1.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    ours.refuse_images(str(tmp_path), "cifar10")
    ours.refuse_images(str(tmp_path / "none"), "cifar10")
    ours.refuse_images(None, "cifar10")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="which has images"):
        ours.refuse_images(str(tmp_path), "cifar10")
