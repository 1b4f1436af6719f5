"""Sources: slices, holding in memory, tensorflow_datasets, and everything that can be wrong."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.helpers import prepare_dataset, spared
from tfssl import data
from tfssl.config import Config
from tfssl.data import source as module
from tfssl.errors import UsageError
from tfssl.runner import sources

SIZES = {"train": 1000, "test": 200}


@pytest.mark.parametrize(
    "spec,expected",
    [
        ("train", ("train", 0, 1000)),
        ("train[:10%]", ("train", 0, 100)),
        ("train[90%:]", ("train", 900, 1000)),
        ("test[50:70]", ("test", 50, 70)),
        ("test[-20:]", ("test", 180, 200)),
        ("train[:5000]", ("train", 0, 1000)),
    ],
)
def test_slices(spec, expected):
    assert module.parse_slice(spec, SIZES, "train_split", "d") == expected


@pytest.mark.parametrize(
    "spec",
    [
        "valid",
        "train[",
        "train[5:5]",
        "train[a:b]",
        "train[90:10]",
        f"train[:{'9' * 5000}]",
        "train[\N{ARABIC-INDIC DIGIT TWO}:]",
    ],
)
def test_bad_slices_name_the_flag(spec):
    with pytest.raises(UsageError, match="`eval_split`"):
        module.parse_slice(spec, SIZES, "eval_split", "d")


def test_shapes_is_a_source_like_any_other():
    source = sources.load(Config(dataset="shapes", image_size=16), "train[10:40]")
    assert (source.num_examples, source.num_classes, source.image_shape) == (30, 10, (16, 16))
    images, labels = source.arrays
    assert images.dtype == np.uint8 and images.shape == (30, 16, 16, 3) and labels.dtype == np.int64
    decoded = [source.decode(example) for example in source.records()]
    np.testing.assert_array_equal(images, [image for image, _ in decoded])
    np.testing.assert_array_equal(labels, [label for _, label in decoded])


def test_shapes_are_drawn_at_the_largest_size_that_is_seen():
    config = Config(dataset="shapes", image_size=8, eval_image_size=12)
    assert sources.load(config, "test[:1]").arrays[0].shape == (1, 12, 12, 3)


def test_the_evaluation_split_follows_the_dataset():
    assert sources.load(Config(dataset="shapes", image_size=8), None, "eval_split").split == "test"


def streamed(source):
    return dataclasses.replace(source, arrays=None)


def test_holding_keeps_order_and_values():
    source = sources.load(Config(dataset="shapes", image_size=8), "train[:20]")
    again = module.held(streamed(source), limit_bytes=1e9)
    for held, original in zip(again.arrays, source.arrays):
        np.testing.assert_array_equal(held, original)
    assert module.held(streamed(source), limit_bytes=20 * 8 * 8 * 3 - 1).arrays is None


def test_fewer_records_than_promised_are_reported():
    source = sources.load(Config(dataset="shapes", image_size=8), "train[:20]")
    short = dataclasses.replace(streamed(source), examples=("train", 0, 25))
    with pytest.raises(UsageError, match="20 of 25"):
        module.held(short, limit_bytes=1e9)


@pytest.mark.parametrize(
    "one,other,overlap",
    [
        ("train[:20]", "train[10:30]", True),
        ("train[:20]", "train[20:30]", False),
        ("train[:20]", "test[:20]", False),
        ("train", "train[9999:]", True),
        ("train[5:8]", "train[:20]", True),
        ("test[:50%]", "test[50%:]", False),
    ],
)
def test_slices_know_whether_they_overlap(one, other, overlap):
    one, other = (sources.load(Config(dataset="shapes", image_size=8), s) for s in (one, other))
    assert one.shares_examples_with(other) == other.shares_examples_with(one) == overlap


@pytest.fixture(scope="module")
def mixed_sizes(tmp_path_factory):
    return prepare_dataset(tmp_path_factory.mktemp("mixed"), (None, None, 3))


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    return prepare_dataset(tmp_path_factory.mktemp("grey"), (9, 9, 1))


def test_a_prepared_dataset_is_found_by_name(mixed_sizes):
    config = Config(dataset="mixed", data_dir=mixed_sizes)
    source = sources.load(config, "train")
    assert (source.num_examples, source.num_classes, source.image_shape) == (30, 3, (None, None))
    assert source.arrays is None and sources.image_size(config, source) == (224, 224)
    assert sources.load(config, None, "eval_split").split == "validation"
    image, label = source.decode(next(iter(source.records())))
    assert image.dtype == tf.uint8 and image.shape[-1] == 3 and 0 <= int(label) < 3


def test_grey_images_become_rgb_and_are_held(grey):
    source = sources.load(Config(dataset="mixed", data_dir=grey), "train[:5]")
    images, _ = source.arrays
    assert images.shape == (5, 9, 9, 3)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_a_split_whose_labels_are_withheld_has_none(tmp_path):
    """As the test split of ImageNet, whose labels are all -1."""
    config = Config(dataset="mixed", data_dir=prepare_dataset(tmp_path, (9, 9, 3), scored=False))
    assert sources.load(config, "train").num_classes == 3
    withheld = sources.load(config, "validation[3:]")
    assert (withheld.num_classes, withheld.classes) == (0, ())
    assert set(withheld.arrays[1]) == {-1}


@pytest.mark.parametrize("known", [0, 7, spared(29)])
@pytest.mark.parametrize("limit", [True, False])
def test_a_split_has_labels_where_any_of_its_examples_has_one(known, limit, tmp_path, capsys):
    directory = prepare_dataset(
        tmp_path, (9, 9, 3), label=lambda split, number: number - known and -1
    )
    source = sources.load(Config(dataset="mixed", data_dir=directory, cache_dataset=limit), "train")
    assert (source.num_classes, len(source.classes)) == (3, 3)
    labels = data.labels_of(source)
    assert sorted(labels)[-2:] == [-1, 0]
    assert source.num_labelled == (1 if limit else 30)  # of records it is not known beforehand
    told = "mixed train: 29 of 30 images have no label"
    assert (told in capsys.readouterr().out) == limit
    place = int(np.argmax(labels))
    for split, classes in (
        (f"train[{place}:]", 3),
        (f"train[:{place + 1}]", 3),
        (f"train[{place + 1}:]", 0),
        (f"train[:{place}]", 0),
    ):
        if split not in ("train[:0]", "train[30:]"):
            part = sources.load(Config(dataset="mixed", data_dir=directory), split)
            assert (part.num_classes, part.num_labelled) == (classes, classes // 3), split


def test_unknown_names_are_refused(mixed_sizes):
    with pytest.raises(UsageError, match="--dataset must be shapes, folder or"):
        sources.load(Config(dataset="no_such_data", data_dir=mixed_sizes), "train")
    with pytest.raises(UsageError, match="--train_split must be one of train, validation"):
        sources.load(Config(dataset="mixed", data_dir=mixed_sizes), "test")


def test_a_path_in_place_of_a_name_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans" / "new").mkdir(parents=True)
    (tmp_path / "scans" / "table.csv.gz").write_text("")
    for path, said in (
        ("scans/new", "a folder here: --dataset=./scans/new reads its images"),
        ("scans/table.csv.gz", "a file here, of a form that its ending does not say"),
    ):
        with pytest.raises(UsageError, match=f"Received: {path} .{said}.$"):
            sources.load(Config(dataset=path), "train")


def test_a_data_dir_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="--data_dir"):
        sources.load(Config(dataset="mnist", data_dir=str(file)), "train")


@pytest.mark.parametrize("damage,said", [("remove", "missing"), ("truncate", "shorter")])
def test_half_written_directories_are_refused(tmp_path, damage, said):
    directory = prepare_dataset(tmp_path, (9, 9, 3))
    shard = next(tmp_path.rglob("*train*tfrecord*"))
    if damage == "remove":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-3000])
    with pytest.raises(UsageError, match=said):
        sources.load(Config(dataset="mixed", data_dir=directory), "train")


def test_a_flipped_byte_is_found_while_loading(tmp_path):
    directory = prepare_dataset(tmp_path, (9, 9, 3))
    shard = next(tmp_path.rglob("*train*tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(UsageError, match=r"damaged or half-written \(corrupted record at \d+\)"):
        sources.load(Config(dataset="mixed", data_dir=directory), "train")


def test_a_directory_without_its_description_is_half_written(tmp_path):
    directory = tfds.builder("mnist", data_dir=str(tmp_path)).data_path
    directory.mkdir(parents=True)
    (directory / "mnist-train.tfrecord-00000-of-00001").write_bytes(b"begun")
    with pytest.raises(UsageError, match="half-written.*dataset_info.json"):
        sources.load(Config(dataset="mnist", data_dir=str(tmp_path)), "train")


def test_a_configuration_that_cannot_be_had_tells_of_the_one_that_is_there(
    tmp_path, monkeypatch, capsys
):
    def no_network(builder):
        raise ConnectionError("no connection")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", no_network)
    for there in ("160px-v2/1.0.0", "full-size-v2/0.1.0"):  # the second is what is asked, outdated
        description = tmp_path / "imagenette" / there / "dataset_info.json"
        description.parent.mkdir(parents=True)
        description.touch()
    for name, said in [
        ("imagenette", "--dataset=imagenette/160px-v2 or shapes"),
        ("mnist", "--dataset=shapes"),
    ]:
        with pytest.raises(UsageError, match=rf"could not be downloaded \(.*or use {said}, which"):
            sources.load(Config(dataset=name, data_dir=str(tmp_path)), "train")
    printed = capsys.readouterr().out
    assert printed.count("(prepared there: imagenette/160px-v2)") == 1


@pytest.mark.parametrize("limit", [True, False])
def test_a_dataset_without_labels_is_one_of_images(limit, tmp_path):
    directory = prepare_dataset(tmp_path, (9, 9, 3), labelled=False)
    source = sources.load(Config(dataset="mixed", data_dir=directory, cache_dataset=limit), "train")
    assert (source.num_examples, source.num_classes, source.classes) == (30, 0, ())
    assert data.labels_of(source).tolist() == [-1] * 30 and source.num_labelled == 0
    assert len(set(source.ids())) == 30


def test_real_cifar10(real_data_dir):
    source = sources.load(Config(data_dir=real_data_dir), None, "eval_split")
    images, labels = source.arrays
    assert images.shape == (10_000, 32, 32, 3) and source.num_classes == 10
    assert np.bincount(labels).tolist() == [1000] * 10


def test_cifar10_has_6000_images_of_each_class(real_data_dir):
    config = Config(data_dir=real_data_dir)
    counts = [np.bincount(sources.load(config, split).arrays[1]) for split in ("train", "test")]
    assert sum(counts).tolist() == [6000] * 10


def test_a_prepared_dataset_is_what_it_says_of_itself_wherever_it_lies(tmp_path):
    """A copy has the same identity and another origin; other images or classes are another."""
    prepare_dataset(tmp_path / "one", (12, 14, 3))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    prepare_dataset(tmp_path / "other", (13, 14, 3))
    one, copy, other = (
        sources.load(Config(dataset="mixed", data_dir=str(tmp_path / name)), "train")
        for name in ("one", "copy", "other")
    )
    assert (
        one.identity
        == copy.identity
        == sources.identify(Config(dataset="mixed", data_dir=f"{tmp_path}/one/"), "train[:50%]")
    )
    assert one.identity["images"] == 30 and one.identity["version"] == "1.0.0"
    assert other.identity["info"] != one.identity["info"]
    again = sources.load(Config(dataset="mixed", data_dir=f"{tmp_path}/copy/../one"), "train[:5]")
    assert one.shares_examples_with(again) and not copy.shares_examples_with(again)
    assert copy.copies_in(one) == 30


def test_asking_what_it_is_downloads_nothing_where_that_is_not_wanted(tmp_path):
    config = Config(dataset="cifar10", data_dir=str(tmp_path))
    with pytest.raises(UsageError, match="is not in"):
        sources.identify(config, "train", download=False)
