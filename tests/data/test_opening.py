"""`tfssl.open_images`: what the command line reads, with the same settings, in Python."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfssl
from tests.helpers import read_source
from tfssl import augment

RNG = np.random.default_rng(0)
SCANS = RNG.integers(0, 4096, (40, 10, 12), np.uint16)
PATIENTS = np.arange(40) // 4


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 40 grey PNG of 12 bits, of 10 patients and 3 classes."""
    directory = tmp_path_factory.mktemp("scans")
    rows = ["path,finding,patient"]
    for number, image in enumerate(SCANS):
        Image.fromarray(image).save(directory / f"{number}.png")
        rows.append(f"{number}.png,{number % 3},p{PATIENTS[number]}")
    (directory / "scans.csv").write_text("\n".join(rows))
    return directory / "scans.csv"


def test_grey_scans_of_patients(table):
    settings = dict(group_by="patient", label_key="finding")
    train = tfssl.open_images(table, "train[:75%]", channels=1, **settings)
    test = tfssl.open_images(table, "train[75%:]", like=train, **settings)
    assert (train.num_examples, test.num_examples) == (32, 8)
    assert not set(train.groups()) & set(test.groups())
    assert train.channels == test.channels == 1 and train.num_classes == 3
    assert train.value_ranges == test.value_ranges == {"uint16": (0, 4095)}
    for name, (image, label) in {**read_source(train), **read_source(test)}.items():
        number = int(name.removesuffix(".png"))
        expected = np.float32(SCANS[number] / np.float64(4095))
        np.testing.assert_allclose(image[..., 0], expected, rtol=0, atol=1e-6)
        assert label == number % 3
    views = tfssl.views(train, augment.simclr_view(8, 1, jitter_p=0.0, grayscale_p=0.0), 8)
    assert views.element_spec["views"][0].shape == (8, 8, 8, 1)


def test_views_read_the_channels_that_their_recipe_is_for(table):
    grey = augment.domain("grey_medical", 8, channels=1)
    views = tfssl.views(table, grey, 8)
    assert views.element_spec["views"][0].shape == (8, 8, 8, 1)
    assert tfssl.views(table, augment.supervised(8), 8).element_spec["views"][0].shape[-1] == 3


def test_percentiles_and_no_data(tmp_path):
    bands = RNG.integers(1, 1000, (12, 6, 6, 4), np.uint16) * np.arange(1, 5, dtype=np.uint16)
    bands[:, 0] = 0
    np.save(tmp_path / "tiles.npy", bands)
    path = tmp_path / "tiles.npy"
    source = tfssl.open_images(path, value_range="percentiles", no_data=0, no_data_fill=0.25)
    there = np.where(bands == 0, np.nan, bands.astype(np.float64)).reshape(-1, 4)
    low, high = np.nanpercentile(there, (1, 99), axis=0)
    expected = np.where(bands == 0, 0.25, np.clip((bands - low) / (high - low), 0, 1))
    found = read_source(source)
    for row in range(12):
        np.testing.assert_allclose(found[f"images:{row}"][0], expected[row], rtol=0, atol=1e-5)
    tighter = tfssl.open_images(path, value_range=("percentiles", 10, 90), no_data=0)
    assert tighter.value_ranges["uint16"][0] > source.value_ranges["uint16"][0]


@pytest.mark.parametrize(
    "settings,message",
    [
        (dict(value_range="all"), "`value_range` must be 'auto', 'dtype'.*Received: .*'all'"),
        (dict(value_range=(5, 1)), r"`value_range` must be .*Received: value_range=\(5, 1\)"),
        (dict(value_range=("percentiles", 1, 101)), "`value_range` must be"),
        (dict(channels=5), "`channels` must be 1 or 3 for grey or RGB images. Received: 5"),
        (dict(label_key="x"), "`label_key` must name a column of `x=.*scans.csv`.*Received: x"),
        (dict(group_by="x"), "`group_by` must name a column of `x="),
        (dict(no_data="a"), "`no_data` must be numbers, or NaN. Received: no_data='a'"),
        (dict(no_data=0, no_data_fill=2), r"`no_data_fill` must be in \[0, 1\]. Received"),
        (dict(folder_layout="flach"), "`folder_layout` must be one of auto, splits"),
        (dict(like=3), "`like` must be a tfssl.data.Source.*Received: like=int"),
        (dict(split="test"), "`split` must be one of train"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message, table):
    with pytest.raises(ValueError, match=message):
        tfssl.open_images(table, **settings)


def test_a_range_beside_that_of_another_split_is_refused(table):
    like = tfssl.open_images(table)
    with pytest.raises(ValueError, match="`value_range` cannot be set beside `like`"):
        tfssl.open_images(table, like=like, value_range="dtype")
    with pytest.raises(ValueError, match="`group_by` is for files and directories. .* for shapes"):
        tfssl.open_images("shapes", group_by="patient")
    assert tfssl.open_images("shapes", "test[:10]", channels=1).arrays[0].shape == (10, 32, 32, 1)
    assert repr(like) == "<Source scans.csv train: 40 of 10x12x3, no labels>"


@pytest.mark.parametrize("stream", [False, True], ids=["array", "dataset"])
def test_channels_in_front_are_no_channels_of_the_recipe(stream):
    images = np.zeros((9, 6, 12, 12), np.uint8)
    images = tf.data.Dataset.from_tensor_slices(images) if stream else images
    with pytest.raises(ValueError, match=r"images \[..., 6\].* 6 channels. Received: \[..., 12\]"):
        tfssl.views(images, augment.domain("satellite", 8, channels=6), 4)
    two = [augment.domain("satellite", 8, channels=count) for count in (4, 6)]
    with pytest.raises(ValueError, match="for the same number of channels. Received: 4 and 6"):
        tfssl.views(images, two, 4)
