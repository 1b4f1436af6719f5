"""Images that do not fit in memory come in any order, whatever they are stored in."""

import dataclasses
import sqlite3

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfssl
from tests.helpers import batch_service, encode_array, load_folder, old, write_image
from tests.helpers import write_records as write
from tfssl import augment, data
from tfssl.config import Config
from tfssl.data import framing, opening, pipeline, stored, tfrecord
from tfssl.data import tfds as prepared
from tfssl.errors import TrainingError, UsageError
from tfssl.runner import sources

CROPS = augment.supervised_view((4, 4))
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 6, 5, 3), dtype=np.uint8)
QUIET = {"report": lambda line: None}
ROWS = [{"image": encode_array(one), "label": number % 5} for number, one in enumerate(PIXELS)]


class Many(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Three hundred images in seven files, which tensorflow_datasets reads in turns."""

    name = "many"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(6, 5, 3))
        label = tfds.features.ClassLabel(num_classes=5)
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, one in enumerate(PIXELS):
            yield number, {"image": one, "label": number % 5}


def folder_of(directory):
    for number in range(40):
        write_image(directory / "abc"[number % 3] / f"{number}.png", seed=number)
    return load_folder(directory, "train")[0]


def array_file(directory):
    np.savez(directory / "a.npz", images=PIXELS, labels=np.arange(300) % 5)
    return stored.load(str(directory / "a.npz"), "train[:100]", limit_bytes=0, **QUIET)


def record_files(directory):
    for shard in range(3):
        write(directory / f"mine-train.tfrecord-0000{shard}-of-00003", ROWS[shard * 30 :][:30])
    return tfrecord.load(str(directory), "train[:70]", **QUIET)


def prepared_files(directory):
    builder = Many(data_dir=directory)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=7))
    return prepared.load("many", "train[5:290]", data_dir=str(directory))


STORES = [folder_of, array_file, record_files, prepared_files]


@pytest.fixture(scope="module", params=STORES, ids=[make.__name__ for make in STORES])
def source(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("images"))


def decoded(source, examples):
    """[(image, label)] of a dataset of examples."""
    return [(image.numpy(), int(label)) for image, label in examples.map(source.decode)]


def assert_same(made, expected):
    assert len(made) == len(expected)
    for (image, label), (other, of_other) in zip(made, expected):
        np.testing.assert_array_equal(image, other)
        assert label == of_other


def test_an_example_at_a_place_is_the_one_there_in_order(source):
    in_order = decoded(source, source.records())
    assert len({image.tobytes() for image, _ in in_order}) == source.num_examples
    places = np.random.default_rng(1).permutation(source.num_examples)[:25]
    read = tf.data.Dataset.from_tensor_slices(places).map(lambda place: (source.at(place),))
    made = decoded(source, source.fetched(read).map(lambda example: example))
    assert_same(made, [in_order[place] for place in places])


def test_parts_of_it_and_its_numbers_are_too(source):
    chosen = np.array([3, 4, 9, 17, 30])
    part = data.subset(data.numbered(source), chosen)
    made = decoded(part, part.ordered().map(lambda example: example))
    in_order = decoded(source, source.records())
    assert_same(made, [(in_order[place][0], place) for place in chosen])


def test_it_is_read_from_a_place_on(source):
    made = decoded(source, source.ordered(start=20).map(lambda example: example))
    assert_same(made, decoded(source, source.records())[20:])


def test_the_workers_of_a_service_make_the_same_batches(source):
    def make(start, stop):
        options = dict(batch_size=8, seed=3, start_step=start, stop_step=stop)
        return data.views(source, [CROPS] * 2, **options)

    with batch_service(workers=1) as address:
        if "npz" in str(source.origin):
            with pytest.raises(UsageError, match="`data_service` needs images that TensorFlow"):
                data.served(make, 2, 8, address)
            return
        served = list(data.served(make, 2, 8, address))
    for batch, other in zip(served, make(2, 8), strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, batch, other)


def order_of(source, steps=12, **options):
    """The numbers of the examples of some batches of eight, in order."""
    batches = data.views(
        data.numbered(source), [CROPS], batch_size=8, seed=3, stop_step=steps, **options
    )
    return np.concatenate([batch["label"] for batch in batches])


def test_they_come_in_the_order_of_images_in_memory(source):
    count = source.num_examples
    held = dataclasses.replace(
        source, arrays=(np.zeros((count, 8, 8, 3), np.uint8), np.zeros(count, np.int64))
    )
    made = order_of(source)
    np.testing.assert_array_equal(made, order_of(held))
    assert not np.array_equal(made, order_of(source, shuffle="blocks"))


def counted(count):
    """A source of so many examples, and the list of those that were read."""
    read = []

    def at(place):
        tf.py_function(lambda place: read.append(int(place)), [place], [])
        return {"place": place}

    source = data.Source(
        name="counted",
        split="all",
        examples=("all", 0, count),
        num_classes=count,
        image_shape=(4, 4),
        records=lambda: tf.data.Dataset.range(count).map(at),
        decode=lambda example: (tf.zeros([4, 4, 3], tf.uint8), example["place"]),
        at=at,
    )
    return source, read


def test_a_process_reads_no_more_than_its_part():
    source, read = counted(64)
    share = pipeline.Share(first=1, count=1, parts=4)
    batches = data.views(source, [CROPS], batch_size=16, seed=0, stop_step=4, share=share)
    labels = np.concatenate([batch["label"] for batch in batches])
    whole = data.views(counted(64)[0], [CROPS], batch_size=16, seed=0, stop_step=4)
    own = np.concatenate([batch["label"][4:8] for batch in whole])
    np.testing.assert_array_equal(labels, own)
    # Ahead of what is asked for, parts of later batches may be read: of this part's alone.
    later = data.views(counted(64)[0], [CROPS], batch_size=16, seed=0, stop_step=400)
    others = {label for batch in later for label in batch["label"][4:8].numpy()}
    assert set(labels.tolist()) <= set(read) <= others


def test_a_resumed_training_reads_nothing_of_what_was_before():
    source, read = counted(4096)
    batches = data.views(source, [CROPS], batch_size=8, seed=0, start_step=500, stop_step=502)
    seen = [int(label) for batch in batches for label in batch["label"]]
    assert set(seen) <= set(read) and len(read) < 1024


def test_each_batch_of_files_in_the_order_of_classes_has_all_classes():
    """Blocks of 8,192 mix two of ten classes of 5,000 images; the whole order mixes all."""
    source, _ = counted(50_000)
    classes = dataclasses.replace(
        source,
        num_classes=10,
        at=lambda place: {"place": place},
        records=lambda: tf.data.Dataset.range(50_000).map(lambda place: {"place": place}),
        decode=lambda example: (tf.zeros([4, 4, 3], tf.uint8), example["place"] // 5000),
    )

    def most_classes(**options):
        made = data.views(classes, [CROPS], batch_size=250, seed=0, stop_step=20, **options)
        return [len(np.unique(batch["label"])) for batch in made]

    assert set(most_classes()) == {10}
    assert max(most_classes(shuffle="blocks")) <= 3


def test_what_is_compressed_comes_in_blocks(tmp_path, capsys):
    path = write(tmp_path / "a.tfrecord.gz", ROWS[:40], "GZIP")
    write(tmp_path / "b.tfrecord", ROWS[40:60])
    assert Config(dataset=path).dataset == "tfrecord" and opening.is_file(path)
    for place, count in ((path, 40), (str(tmp_path), 60)):
        source = tfrecord.load(place, "train", **QUIET)
        assert source.at is None and source.num_examples == count
        assert sorted(order_of(source, steps=count // 4)[:count]) == list(range(count))
        with pytest.raises(
            UsageError, match="--shuffle=whole needs images that can be read in any"
        ):
            sources.with_order(Config(shuffle="whole"), source)
        assert sources.with_order(Config(), source).shuffle == "blocks"
        assert "can only be read in their order" in capsys.readouterr().out
    source = tfrecord.load(str(tmp_path / "b.tfrecord"), "train", **QUIET)
    assert sources.with_order(Config(), source).shuffle == "whole"
    assert sources.with_order(Config(shuffle="blocks"), source).shuffle == "blocks"


# Files of records ---------------------------------------------------------------------------------


def damaged(path, place, offset=20):
    """Changes a byte of the content of a record."""
    start = framing.places_of(path)[place][0]
    with open(path, "r+b") as file:
        file.seek(start + offset)
        byte = file.read(1)[0]
        file.seek(start + offset)
        file.write(bytes([byte ^ 255]))
    return path


def test_places_are_those_of_the_records(tmp_path):
    path = write(tmp_path / "a.tfrecord", ROWS[:9])
    content = (tmp_path / "a.tfrecord").read_bytes()
    read = tf.data.TFRecordDataset(path).as_numpy_iterator()
    places = framing.places_of(path)
    assert [content[start : start + length] for start, length in places] == list(read)
    assert [start for start, _ in framing.records_of(path)] == [start for start, _ in places]


@pytest.mark.parametrize("places", [(0,), (3, 4), (19,)])
def test_a_record_whose_checksum_is_wrong_counts_as_an_unreadable_image(places, tmp_path):
    path, lines = write(tmp_path / "a.tfrecord", ROWS[:20]), []
    for place in places:
        damaged(path, place)
    source = tfrecord.load(path, "train", report=lines.append)
    left_out = [f"a.tfrecord:{place} (its checksum is wrong)" for place in places]
    assert all(any(text in line for line in lines) for text in left_out)
    there = [place for place in range(20) if place not in places]
    assert source.ids() == [f"a.tfrecord:{place}" for place in there]
    assert_same(decoded(source, source.records()), [(PIXELS[place], place % 5) for place in there])
    with pytest.raises(UsageError, match=f"{len(places)} of 20 files in .* cannot be read"):
        tfrecord.load(path, "train", max_bad_fraction=0.01, **QUIET)


def test_a_file_that_is_cut_off_or_whose_lengths_are_wrong_is_refused(tmp_path):
    path = write(tmp_path / "a.tfrecord", ROWS[:9])
    damaged(path, 4, offset=-12)  # the length
    with pytest.raises(UsageError, match="a.tfrecord is no whole TFRecord file"):
        tfrecord.load(path, "train", **QUIET)
    content = open(write(tmp_path / "b.tfrecord", ROWS[:9]), "rb").read()
    (tmp_path / "b.tfrecord").write_bytes(content[:-3])
    with pytest.raises(UsageError, match="b.tfrecord is no whole TFRecord .*is cut off"):
        framing.places_of(str(tmp_path / "b.tfrecord"))


def test_records_on_another_file_system_are_read_as_those_here(tmp_path, capsys):
    for shard in range(2):
        name = f"mine-train.tfrecord-0000{shard}-of-00002"
        write(tmp_path / name, ROWS[shard * 20 :][:20])
        tf.io.gfile.copy(tmp_path / name, f"ram://bucket/{tmp_path.name}/{name}", overwrite=True)
    place = f"ram://bucket/{tmp_path.name}"
    here = sources.load(
        Config(dataset="tfrecord", data_dir=str(tmp_path), cache_dataset=False), "train[:30]"
    )
    there = sources.load(Config(dataset=place, cache_dataset=False), "train[:30]")
    assert there.identity == here.identity and there.ids() == here.ids() and there.at
    assert_same(decoded(there, there.records()), decoded(here, here.records()))
    np.testing.assert_array_equal(order_of(there, shuffle="whole"), order_of(here))
    assert sources.with_order(Config(), there).shuffle == "blocks"  # an access costs a request
    assert "as each access costs" in capsys.readouterr().out
    assert sources.with_order(Config(shuffle="whole"), there).shuffle == "whole"
    views = tfssl.views(f"{place}/{name}", CROPS, batch_size=8)
    assert next(iter(views))["views"][0].shape == (8, 4, 4, 3)
    assert opening.splits_of(place) == ("train",)


@pytest.mark.parametrize("place", ["ram://no/such", "nothing://a/b.tfrecord"])
def test_an_address_without_records_is_refused(place):
    with pytest.raises(UsageError, match=f"must be a file, or .* TFRecord. Received: {place} "):
        sources.load(Config(dataset=place), "train")


def test_a_missing_file_of_several_is_named(tmp_path):
    for shard in (0, 2):
        write(tmp_path / f"mine-train.tfrecord-0000{shard}-of-00003", ROWS[:5])
    missing = "must have all 3 files .* 2 of them, without mine-train.tfrecord-00001-of-00003"
    with pytest.raises(UsageError, match=missing):
        tfrecord.load(str(tmp_path), "train", **QUIET)
    write(tmp_path / "mine-train.tfrecord-00001-of-00003", ROWS[:5])
    assert tfrecord.load(str(tmp_path), "train", **QUIET).num_examples == 15
    one = str(tmp_path / "mine-train.tfrecord-00001-of-00003")  # asked for by itself
    assert tfrecord.load(one, "train", **QUIET).num_examples == 5


def test_what_was_found_in_files_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TFSSL_CACHE_DIR", str(tmp_path / "cache"))
    rows = [*ROWS[:15], {"image": b"nothing", "label": 7}]
    path = write(tmp_path / "a.tfrecord", rows)
    old(path)
    examined, examine = [], tfrecord.examined
    monkeypatch.setattr(tfrecord, "examined", lambda *a: examined.append(a) or examine(*a))

    def load(**options):
        tfrecord.scan.cache_clear()
        tfrecord.coded_of.cache_clear()
        return tfrecord.load(path, "train", **QUIET, **options)

    first, second = load(), load()
    assert len(examined) == 16
    assert first.digests() == second.digests() and first.classes == second.classes
    assert_same(decoded(first, first.records()), decoded(second, second.records()))
    load(max_pixels=100)  # another question
    assert len(examined) == 32
    write(tmp_path / "a.tfrecord", ROWS[:5])
    assert load().num_examples == 5


def test_places_in_prepared_files_are_kept(tmp_path, monkeypatch):
    """And looked up again where the index has something else."""
    monkeypatch.setenv("TFSSL_CACHE_DIR", str(tmp_path / "cache"))
    first = prepared_files(tmp_path)
    for shard in (tmp_path / "many").rglob("*.tfrecord*"):
        old(shard)
    expected, looked_up, places_of = order_of(first), [], prepared.places_of
    monkeypatch.setattr(
        prepared, "places_of", lambda path: looked_up.append(path) or places_of(path)
    )

    def again():
        looked_up.clear()
        return order_of(prepared.load("many", "train[5:290]", data_dir=str(tmp_path)))

    np.testing.assert_array_equal(again(), expected)
    assert looked_up == []
    (index,) = (tmp_path / "cache").glob("*.sqlite")
    with sqlite3.connect(index) as connection:
        for wrong in ("nonsense", "[[1, 2, 3]]", '[["a", 2]]', '{"a": 1}'):
            connection.execute("UPDATE files SET found = ?", (wrong,))
            connection.commit()
            np.testing.assert_array_equal(again(), expected)
            assert len(looked_up) == 7
    connection.close()


def test_a_file_that_becomes_shorter_ends_a_training_with_a_sentence(tmp_path):
    path = write(tmp_path / "a.tfrecord", ROWS[:40])
    source = tfrecord.load(path, "train", **QUIET)
    with open(path, "r+b") as file:
        file.truncate(200)
    with pytest.raises(TrainingError, match="could not be read to the end .*shorter than it was"):
        with data.reading("mine"):
            order_of(source)


def test_a_prepared_file_with_other_records_is_refused(tmp_path):
    source = prepared_files(tmp_path)
    shard = sorted((tmp_path / "many").rglob("*.tfrecord*"))[2]
    content = shard.read_bytes()
    start, length = framing.places_of(str(shard))[-1]
    shard.write_bytes(content[: start - framing.BEFORE])
    with pytest.raises(UsageError, match="records are there"):
        order_of(source)
