"""Arrays in files as sources: what is read is what is in the file, split, labelled and scaled."""

import dataclasses

import h5py
import numpy as np
import pytest

from tests.helpers import read_source
from tfssl import augment
from tfssl.data import pipeline, stored, values
from tfssl.data import source as sources
from tfssl.errors import UsageError

RNG = np.random.default_rng(0)
IMAGES = {  # name: (images, the values that become 0 and 1)
    "8 bits, RGB": (RNG.integers(0, 256, (24, 7, 5, 3), np.uint8), (0, 255)),
    "16 bits, grey": (RNG.integers(0, 65536, (24, 7, 5), np.uint16), (0, 65535)),
    "12 bits in 16, grey": (RNG.integers(0, 4096, (24, 7, 5, 1), np.uint16), (0, 4095)),
    "6 channels of floats": (RNG.random((24, 7, 5, 6), np.float32) * 2 - 1, (-1, 1)),
    "2 channels of integers": (RNG.integers(-900, 3001, (24, 7, 5, 2), np.int32), None),
}
LABELS = np.arange(24) % 3


def write(path, arrays):
    """The arrays in a file of the form that its name says."""
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                values = values.astype("S") if values.dtype.kind == "U" else values
                file.create_dataset(name, data=values)
    elif path.suffix == ".npy":
        np.save(path, arrays["images"])
    else:
        np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("limit", [0, 2**30], ids=["streamed", "in memory"])
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".npy"])
@pytest.mark.parametrize("kind", IMAGES)
def test_values_are_those_of_the_file(kind, suffix, limit, tmp_path):
    images, scale = IMAGES[kind]
    path = write(tmp_path / f"file{suffix}", {"images": images, "labels": LABELS})
    lines = []
    source = stored.load(path, "train", limit_bytes=limit, report=lines.append)
    low, high = scale or (images.min(), images.max())
    expected = np.float32((images.astype(np.float64) - low) / (high - low))
    expected = expected[..., np.newaxis] if images.ndim == 3 else expected
    found = read_source(source)
    assert sorted(found) == sorted(f"images:{row}" for row in range(24))
    for row in range(24):
        image, label = found[f"images:{row}"]
        np.testing.assert_allclose(image, expected[row], rtol=0, atol=1e-6)
        assert label == (-1 if suffix == ".npy" else LABELS[row])
    assert source.channels == expected.shape[-1] and source.image_shape == (7, 5)
    assert source.num_classes == (0 if suffix == ".npy" else 3)
    assert (source.arrays is None) == (limit == 0)
    assert sum("values of" in line for line in lines) == (images.dtype != np.uint8)
    assert source.value_ranges == {images.dtype.name: (low, high)}


def test_other_splits_are_scaled_as_the_one_that_was_learned_from(tmp_path):
    images = RNG.integers(0, 1000, (10, 4, 4), np.uint16)
    path = write(tmp_path / "file.npz", {"train_images": images, "test_images": images // 4})
    ranges = stored.load(path, "train", report=lambda line: None).value_ranges
    assert ranges == {"uint16": (0, 1023)}
    for split, part in (("train", images), ("test", images // 4)):
        for image, row in zip(*by_row(stored.load(path, split, ranges=ranges))):
            np.testing.assert_allclose(image[..., 0], part[row] / 1023, atol=1e-6)


def by_row(source):
    found = read_source(source)
    return [image for image, _ in found.values()], [int(name.split(":")[1]) for name in found]


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("form", ["prefix", "keras", "column"])
def test_splits(form, suffix, tmp_path):
    images = np.arange(20 * 16, dtype=np.uint16).reshape(20, 4, 4)
    labels = np.arange(20) // 4
    if form == "column":
        words = np.array(["training"] * 12 + ["val"] * 3 + ["test"] * 5)
        arrays = {"images": images, "labels": labels, "split": words}
    else:
        arrays = {}
        for name, part in (
            ("train", slice(0, 12)),
            ("val", slice(12, 15)),
            ("test", slice(15, 20)),
        ):
            names = f"{name}_images", f"{name}_labels"
            names = (f"x_{name}", f"y_{name}") if form == "keras" else names
            arrays |= {names[0]: images[part], names[1]: labels[part][:, np.newaxis]}
    path = write(tmp_path / f"file{suffix}", arrays)
    for split, first, last in (("train", 0, 12), ("val", 12, 15), ("test", 15, 20), (None, 15, 20)):
        source = stored.load(path, split, value_range=(0, 65535), report=lambda line: None)
        values = sorted(
            (round(float(image[0, 0, 0] * 65535)) // 16, int(label))
            for image, label in read_source(source).values()
        )
        assert values == [(row, row // 4) for row in range(first, last)]
        assert source.num_classes == 5  # those of the whole file
    with pytest.raises(UsageError, match="must be one of test, train, val, or a slice"):
        stored.load(path, "validation")


def test_slices_are_random_disjoint_and_together_the_whole(tmp_path):
    path = write(
        tmp_path / "file.npz",
        {"images": np.zeros((100, 2, 2, 3), np.uint8), "labels": np.arange(100) // 10},
    )
    parts = [stored.load(path, f"train[{part}]") for part in (":60%", "60%:80%", "80%:")]
    rows = [part.ids() for part in parts]
    assert sorted(sum(rows, [])) == sorted(f"images:{row}" for row in range(100))
    assert [len(part) for part in rows] == [60, 20, 20]
    assert len(set(parts[1].arrays[1])) > 5  # sorted by class in the file
    assert not parts[0].shares_examples_with(parts[1])


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_groups_are_not_cut(suffix, tmp_path):
    patients = np.array([f"patient {number // 7}" for number in range(100)])
    arrays = {"images": np.zeros((100, 2, 2, 3), np.uint8), "labels": np.arange(100) % 2}
    path = write(tmp_path / f"file{suffix}", {**arrays, "patient": patients})
    names = stored.Names(group="patient")
    parts = [stored.load(path, f"train[{part}]", names=names) for part in (":50", "50:60", "60:")]
    rows = [[int(name.split(":")[1]) for name in part.ids()] for part in parts]
    assert sorted(sum(rows, [])) == list(range(100))
    found = [{patients[row] for row in of} for of in rows]
    assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    assert 44 < len(rows[0]) < 57
    for part, of in zip(parts, rows):
        assert part.groups() == [patients[row] for row in of]


def test_texts_are_classes_and_some_have_none(tmp_path):
    words = np.array(["wolf", " None", "bear", "wolf", "NA", "nan"])
    for suffix in (".npz", ".h5"):
        path = write(
            tmp_path / f"file{suffix}", {"images": np.zeros((6, 2, 2), np.uint8), "labels": words}
        )
        source = stored.load(path, "train")
        assert source.classes == ("bear", "wolf") and source.num_classes == 2
        labels = {name: label for name, (_, label) in read_source(source).items()}
        assert [labels[f"images:{row}"] for row in range(6)] == [1, -1, 0, 1, -1, -1]


def test_channels_in_front_are_taken_where_they_are_asked_for(tmp_path):
    images = RNG.integers(0, 256, (6, 3, 40, 41), np.uint8)
    path = write(tmp_path / "file.npy", {"images": images})
    with pytest.raises(
        UsageError, match="channels=3 may be meant; or channels=41, where they are not"
    ):
        stored.load(path, "train")
    for limit in (0, 2**20):
        source = stored.load(path, "train", wanted_channels=3, limit_bytes=limit)
        assert source.image_shape == (40, 41) and source.channels == 3
        for image, row in zip(*by_row(source)):
            np.testing.assert_array_equal(image, np.moveaxis(images[row], 0, -1) / np.float32(255))


@pytest.mark.parametrize("share", [pipeline.WHOLE, pipeline.Share(1, 1, 2)], ids=["all", "half"])
def test_images_that_are_read_together_are_those_that_are_read_one_by_one(share, tmp_path):
    images = RNG.integers(0, 65536, (90, 9, 8, 2), np.uint16)
    path = write(tmp_path / "file.npz", {"images": images, "labels": np.arange(90) % 3})
    together = stored.load(path, "train", limit_bytes=0)
    one_by_one = dataclasses.replace(together, fetch=None)
    recipes = [augment.supervised(6)] * 2
    options = dict(batch_size=20, seed=1, start_step=2, stop_step=9, share=share)
    batches = [
        [batch for batch in pipeline.views(source, recipes, **options)]
        for source in (together, one_by_one)
    ]
    assert len(batches[0]) == 7
    for many, single in zip(*batches, strict=True):
        np.testing.assert_array_equal(many["label"], single["label"])
        np.testing.assert_array_equal(many["views"], single["views"])
    places = [
        [
            label
            for batch in pipeline.labelled(s, lambda i: i, batch_size=32)
            for label in batch["label"]
        ]
        for s in map(sources.numbered, (together, one_by_one))
    ]
    assert places[0] == places[1] == list(range(90))


def test_colours_become_grey_and_grey_becomes_three_channels(tmp_path):
    grey = RNG.integers(0, 256, (6, 4, 4, 1), np.uint8)
    for images, wanted in ((grey, 3), (grey.repeat(3, axis=-1), 1)):
        path = write(tmp_path / f"{wanted}.npy", {"images": images})
        source = stored.load(path, "train", wanted_channels=wanted)
        for image, row in zip(*by_row(source)):
            np.testing.assert_array_equal(image, (grey[row] / np.float32(255)).repeat(wanted, -1))
    colours = write(tmp_path / "c.npy", {"images": np.uint8([[[[255, 0, 0], [10, 200, 30]]]])})
    (image,) = by_row(stored.load(colours, "train", wanted_channels=1))[0]
    np.testing.assert_array_equal(image[0, :, 0] * 255, [76, 124])  # 76.2, 123.8
    with pytest.raises(UsageError, match="`channels` must be 1 or 3 for grey or RGB images"):
        stored.load(colours, "train", wanted_channels=6)


def test_copies_elsewhere_have_one_identity_and_other_images_have_another(tmp_path):
    arrays = {"images": RNG.integers(0, 256, (50, 4, 4), np.uint8), "labels": np.arange(50) % 5}
    (tmp_path / "there").mkdir()
    first = stored.load(write(tmp_path / "a.npz", arrays), "train[:30]").identity
    copy = stored.load(write(tmp_path / "there" / "b.h5", arrays), "train[30:]").identity
    assert first == copy == stored.identify(str(tmp_path / "a.npz"), "train")
    assert first["classes"] == {str(label): 10 for label in range(5)}
    for change in (
        {"labels": (np.arange(50) + 1) % 5},
        {"images": 255 - arrays["images"]},
    ):
        other = write(tmp_path / "c.npz", arrays | change)
        stored.of_file.cache_clear()
        assert stored.identify(other, "train") != first


def test_mistakes(tmp_path):
    def said(arrays, split="train", suffix=".npz", **options):
        stored.of_file.cache_clear()
        with pytest.raises(UsageError) as caught:
            stored.load(write(tmp_path / f"file{suffix}", arrays), split, **options)
        return str(caught.value)

    images = np.zeros((4, 5, 6, 3), np.uint8)
    pictures = {"pictures": images, "labels": np.zeros(4, int)}
    assert "It has labels, pictures, of which none is called images. Received: none" in said(
        pictures
    )
    assert "It has labels, pictures. Received: image" in said(pictures, names=stored.Names("image"))
    assert "`label_key` must say which is meant of LABELS and Labels, which differ" in said(
        {"images": images, "Labels": np.zeros(4, int), "LABELS": np.zeros(4, int)}
    )
    assert "the split train of " in said({"x_train": images, "train_images": images})
    assert "images must be images of one size" in said({"images": np.zeros((4, 5))})
    assert "a value for each of 4 images. Received: [3]" in said(
        {"images": images, "labels": np.zeros(3, int)}
    )
    assert "must have an array patient. It has images" in said(
        {"images": images}, names=stored.Names(group="patient")
    )
    assert "labels must be integers, or texts. Received: 0.5, at index 2" in said(
        {"images": images, "labels": np.array([1.0, np.nan, 0.5, 0.25])}
    )
    assert "labels must be integers, or texts. Received: complex128" in said(
        {"images": images, "labels": np.zeros(4, complex)}
    )
    broken = np.zeros((4, 5, 6), np.float32)
    broken[2:, 1] = np.nan
    assert "finite numbers; `no_data=nan` takes NaN for no data. Received: float32 from nan to" in (
        said({"images": broken})
    )
    assert said({"images": broken}).endswith(", first in images:2")
    assert "has no test or validation split" in said({"images": images}, split=None)
    with pytest.raises(UsageError, match="must be a file of arrays. Received: None"):
        stored.load(None, "train")
    with pytest.raises(UsageError, match="No such file"):
        stored.load(str(tmp_path / "nothing.npz"), "train")
    with pytest.raises(UsageError, match="is a folder"):
        stored.load(str(tmp_path), "train")
    for suffix in (".npz", ".npy", ".h5"):
        (tmp_path / f"damaged{suffix}").write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(UsageError, match="damaged, or not of the form"):
            stored.load(str(tmp_path / f"damaged{suffix}"), "train")
    np.savez(tmp_path / "objects.npz", images=images, labels=np.array(["a", 1, 2, 3], object))
    with pytest.raises(UsageError, match="labels must be of numbers or texts"):
        stored.load(str(tmp_path / "objects.npz"), "train")


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    return str(tmp_path / "x.npz")


def loaded(path, split="train", **options):
    return stored.load(path, split, report=lambda line: None, **options)


@pytest.mark.parametrize("shape", [(12, 3, 20, 20), (12, 1, 28, 28), (12, 13, 64, 64)])
def test_channels_that_seem_to_be_in_front_are_asked_for(shape, tmp_path):
    path = saved(tmp_path, images=np.zeros(shape, np.uint8))
    said = rf"so channels={shape[1]} may be meant; or channels={shape[3]}, where they are not"
    with pytest.raises(UsageError, match=said):
        loaded(path)
    assert loaded(path, wanted_channels=shape[1]).image_shape == shape[2:]
    assert loaded(path, wanted_channels=shape[3]).image_shape == shape[1:3]


def test_whole_labels_in_floats_are_classes_and_nan_is_none(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    path = saved(tmp_path, images=images, labels=np.array([2.0, np.nan, 0.0, -1.0]))
    source = loaded(path)
    assert source.num_classes == 3 and sorted(source.arrays[1]) == [-1, -1, 0, 2]
    with pytest.raises(UsageError, match="labels must be integers, or texts. Received: 0.5, at"):
        loaded(saved(tmp_path, images=images, labels=np.array([0.5, 1, 2, 3])))


def test_a_slice_without_a_whole_group_is_refused(tmp_path):
    groups = np.array(["a"] * 6 + ["b"] * 6)
    path = saved(tmp_path, images=np.zeros((12, 8, 8), np.uint8), patient=groups)
    names = stored.Names(group="patient")
    with pytest.raises(
        UsageError, match="`eval_split` must hold a whole group of `group_by`, of w"
    ):
        loaded(path, "train[80%:]", names=names, flag="eval_split")


def test_images_of_nothing_but_missing_values_are_refused(tmp_path):
    path = saved(tmp_path, images=np.full((4, 8, 8), 7, np.uint16))
    with pytest.raises(UsageError, match="`no_data` must leave values of `dataset`. Received: 7"):
        loaded(path, missing=values.Missing((7.0,)))


def test_infinite_values_are_not_told_to_be_nan(tmp_path):
    images = np.zeros((4, 8, 8), np.float32)
    images[1, 2, 3] = np.inf
    with pytest.raises(UsageError, match="of finite numbers. Received: float32 from 0.0 to inf"):
        loaded(saved(tmp_path, images=images))


@pytest.mark.parametrize(
    "labels,said",
    [
        (np.array(["b", "", "a", "b"]), "4 images, 1 of them without a label; 2 classes: a, b"),
        (np.arange(4), "4 images; 4 classes: 0, 1, 2, 3"),
        (np.full(4, -1), "4 images, without labels"),
    ],
)
def test_what_a_split_holds_is_told(labels, said, tmp_path):
    lines = []
    path = saved(tmp_path, images=np.zeros((4, 8, 8), np.uint8), labels=labels)
    stored.load(path, "train", report=lines.append)
    assert f"x.npz train: {said}" in lines


@pytest.mark.parametrize(
    "arrays",
    [
        ("Images", "LABELS", "Split"),
        ("Train_Images", "Train_Labels", "Test_images", "test_labels"),
        ("X_train", "y_train", "X_test", "Y_TEST"),
    ],
)
def test_usual_names_of_arrays_may_be_in_any_case(arrays, tmp_path):
    images, split = np.zeros((6, 8, 8), np.uint8), np.array(["train"] * 4 + ["test"] * 2)
    if len(arrays) == 3:
        made = dict(zip(arrays, (images, np.arange(6), split)))
    else:
        parts = (images[:4], np.arange(4), images[:2], np.arange(4, 6))
        made = dict(zip(arrays, parts))
    path = saved(tmp_path, **made)
    train, test = loaded(path), loaded(path, None)
    assert (train.num_examples, test.num_examples, test.split) == (4, 2, "test")
    assert sorted(train.arrays[1]) == [0, 1, 2, 3] and sorted(test.arrays[1]) == [4, 5]


def test_a_file_without_labels_says_what_it_has(tmp_path):
    lines, images = [], np.zeros((2, 8, 8), np.uint8)
    path = saved(tmp_path, images=images, kind=np.arange(2))
    stored.load(path, "train", report=lines.append)
    assert "x.npz: no array of labels among images, kind: `label_key` names one" in lines
    stored.load(saved(tmp_path, images=images), "train", report=(lines := []).append)
    assert lines == ["x.npz train: 2 images, without labels"]
