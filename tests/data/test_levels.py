"""Ranges by percentiles and of each channel, and values that stand for no data."""

import json

import h5py
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tfssl import Config, UsageError
from tfssl.data import arrays, values
from tfssl.runner import sources

rng = np.random.default_rng(0)


def bands(count=12, channels=3, dtype=np.uint16):
    """Channels of different levels, with a few extreme pixels, and rows without data."""
    made = rng.normal(1000.0, 100.0, (count, 16, 12, channels)) * np.arange(1, channels + 1)
    made[:, 0, 0] = 60000
    return made.astype(dtype)


def expected_of(images, low, high, fill=0.0, missing=None):
    scaled = np.clip((images.astype(np.float64) - low) / (np.array(high) - low), 0, 1)
    return scaled if missing is None else np.where(missing, fill, scaled)


def stored(tmp_path, form, images):
    """A file of images in a form of storage, and the flags for it."""
    labels = np.arange(len(images)) % 2
    if form == "npz":
        np.savez(tmp_path / "x.npz", images=images, labels=labels)
        return dict(dataset=str(tmp_path / "x.npz"))
    if form == "h5":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["images"], file["labels"] = images, labels
        return dict(dataset=str(tmp_path / "x.h5"))
    if form == "tiff":
        tifffile = pytest.importorskip("tifffile")
        for place, image in enumerate(images):
            directory = tmp_path / "train" / f"class{labels[place]}"
            directory.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                directory / f"{place:02}.tiff",
                image,
                photometric="minisblack",
                planarconfig="contig",
            )
        return dict(dataset="folder", data_dir=str(tmp_path), train_split="train")
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as file:
        for image, label in zip(images, labels):
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            } | {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=[size]))
                for name, size in zip(("height", "width", "depth"), image.shape)
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            file.write(example.SerializeToString())
    return dict(dataset=str(tmp_path / "x.tfrecord"))


def pixels_of(source):
    """The images of a source in the order of those that were stored, by their names."""
    images = [image for image, _ in source.records().map(source.decode).as_numpy_iterator()]
    places = [
        int("".join(filter(str.isdigit, name.split("/")[-1].split(":")[-1])))
        for name in source.ids()
    ]
    return np.stack(images)[np.argsort(places)]


FORMS = ["npz", "h5", "tiff", "tfrecord"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [2, 3])
def test_percentiles_of_each_channel_become_0_and_1(channels, form, tmp_path, capsys):
    images = bands(channels=channels)
    config = Config(value_range="percentiles:2,98", **stored(tmp_path, form, images))
    source = sources.load(config, "train")
    low, high = np.percentile(images.reshape(-1, channels), (2, 98), axis=0)
    np.testing.assert_allclose(pixels_of(source), expected_of(images, low, high), atol=1e-5)
    found = source.value_ranges["uint16"]
    np.testing.assert_allclose(found, [low, high], rtol=1e-5)
    said = capsys.readouterr().out
    assert f"taken as {low[0]:.6g} to {high[0]:.6g}, {low[1]:.6g} to" in said
    # Another split is scaled as the first one, from what JSON keeps of it.
    ranges = json.loads(json.dumps({"uint16": values.as_lists(found)}))
    (tmp_path / "other").mkdir()
    other = bands(6, channels) * 2
    config = Config(value_range="percentiles:2,98", **stored(tmp_path / "other", form, other))
    again = sources.load(config, "train", ranges=ranges)
    assert again.value_ranges["uint16"] == found
    np.testing.assert_allclose(pixels_of(again), expected_of(other, low, high), atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("no_data,fill", [("-9999", 0.0), ("nan,-9999", 0.25)])
def test_values_that_stand_for_no_data_are_filled_and_do_not_count(form, no_data, fill, tmp_path):
    if form == "tfrecord":
        pytest.skip("records of raw pixels are of unsigned integers")
    images = bands(dtype=np.float32)
    images[:, 3], images[2, 4, 5, 1] = -9999, -9999
    if "nan" in no_data:
        images[1, 6:8, :, 2] = np.nan
    missing = np.isnan(images) | (images == -9999)
    config = Config(no_data=no_data, no_data_fill=fill, **stored(tmp_path, form, images))
    source = sources.load(config, "train")
    low, high = images[~missing].min(), images[~missing].max()
    assert source.value_ranges["float32"] == (low, high)
    made = expected_of(images, low, high, fill, missing)
    np.testing.assert_allclose(pixels_of(source), made, atol=1e-5)
    config = config.replace(value_range="percentiles")
    source = sources.load(config, "train")
    kept = np.where(missing, np.nan, images.astype(np.float64)).reshape(-1, 3)
    low, high = np.nanpercentile(kept, (1, 99), axis=0)
    made = expected_of(images, low, high, fill, missing)
    np.testing.assert_allclose(pixels_of(source), made, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_no_data_in_eight_bits(form, tmp_path):
    images = rng.integers(1, 256, (6, 8, 8, 3), dtype=np.uint8)
    images[:, :2, 3] = 0
    config = Config(no_data="0", no_data_fill=0.5, **stored(tmp_path, form, images))
    source = sources.load(config, "train")
    made = expected_of(images, 0, 255, 0.5, images == 0)
    np.testing.assert_allclose(pixels_of(source), made, atol=1e-6)


def test_nan_is_refused_with_the_flag_that_takes_it(tmp_path):
    images = bands(dtype=np.float32)
    images[0, 0, 0, 0] = np.nan
    config = Config(**stored(tmp_path, "npz", images))
    with pytest.raises(UsageError, match="must hold images of finite numbers; --no_data=nan takes"):
        sources.load(config, "train")


def test_the_range_of_python_may_be_one_for_each_channel():
    images = bands()
    low, high = [900.0, 1800.0, 2700.0], [70000.0, 80000.0, 90000.0]
    with pytest.raises(ValueError, match="`value_range` must hold all values of `x`"):
        arrays.source_of(images, (low, high))
    low = [0.0, 1.0, 2.0]
    for form in (images, tf.data.Dataset.from_tensor_slices(images)):
        whole = tfssl.augment.supervised_view((16, 12), crop_area=(1.0, 1.0), flip_p=0.0)
        views = tfssl.views(form, whole, 12, num_views=1, value_range=(low, high))
        (view,) = next(iter(views))["views"]
        made = expected_of(images, low, high)
        order = np.argsort(view.numpy().sum(axis=(1, 2, 3)))
        np.testing.assert_allclose(
            view.numpy()[order], made[np.argsort(made.sum(axis=(1, 2, 3)))], atol=2e-3
        )
    for wrong in ((1, [2, 3]), ([1, 2, 3], [2, 3, 3]), "percentiles", ([1, 2], [3, 4])):
        with pytest.raises(ValueError, match="`value_range` must be .low, high., low below high"):
            arrays.source_of(images, wrong)


@pytest.mark.parametrize(
    "found,asked,told",
    [
        (
            (3, 9),
            ("percentiles", 1, 99),
            "taken as 1 to 2, 3 to 4, 5 to 6, 7 to 8 ... (5 channels)",
        ),
    ],
)
def test_many_channels_are_told_in_short(found, asked, told):
    ranges = ((1, 3, 5, 7, 9), (2, 4, 6, 8, 10))
    assert told in values.range_summary(np.uint16, ranges, found)


@pytest.mark.parametrize(
    "flags,said",
    [
        (dict(value_range="percentiles:5"), "--value_range must be auto, dtype, percentiles"),
        (dict(value_range="percentiles:99,1"), "--value_range must be auto"),
        (dict(value_range="percentiles:1,101"), "--value_range must be auto"),
        (dict(value_range="quantiles:1,99"), "--value_range must be auto"),
        (dict(no_data="none"), "--no_data must be numbers separated by commas, or nan"),
        (dict(no_data="0,0"), "--no_data must be numbers"),
        (dict(no_data="inf"), "--no_data must be numbers"),
        (dict(no_data_fill=2.0), "--no_data_fill must be"),
        (dict(input_range="percentiles"), "--input_range must be auto"),
    ],
)
def test_mistakes(flags, said):
    with pytest.raises(UsageError, match=said):
        Config(**flags)
