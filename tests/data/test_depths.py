"""Images of more than 8 bits of tensorflow_datasets: every value is where it should be."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.helpers import spared, store_dataset
from tfssl import augment, data
from tfssl.data.tfds import load
from tfssl.errors import UsageError
from tfssl.runner import sources

F = tfds.features
SIZES = {"one": [(12, 10)] * 6, "mixed": [(12, 10), (9, 14), (20, 8), (12, 12), (8, 8), (16, 10)]}
WHOLE = augment.supervised_view((12, 10), crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip_p=0)


def images_of(dtype, channels, sizes, low, high):
    """Images whose values go from low to high in a pattern of their own, both in each of them."""
    made = []
    for number, size in enumerate(SIZES[sizes]):
        share = np.random.default_rng(number).random((*size, channels))
        share[0, 0], share[0, 1] = 0, 1
        values = low + share * (high - low)
        made.append(values.astype(dtype) if dtype == np.float32 else np.round(values).astype(dtype))
    return made


def stored(directory, dtype, images, sizes="one"):
    """A dataset of these images, the label of each its number."""
    side = (12, 10) if sizes == "one" else (None, None)
    features = {
        "image": F.Image(shape=(*side, images[0].shape[-1]), dtype=dtype),
        "label": F.ClassLabel(num_classes=len(images)),
    }
    return store_dataset(
        directory,
        features,
        [{"image": image, "label": number} for number, image in enumerate(images)],
    )


def truth(image, low, high):
    """RGB in [0, 1], alpha dropped."""
    colours = image[..., :1] if image.shape[-1] in (1, 2) else image[..., :3]
    scaled = np.clip((colours.astype(np.float64) - low) / (high - low), 0, 1)
    return np.broadcast_to(scaled, (*image.shape[:2], 3))


def agree(made, expected):
    np.testing.assert_allclose(made, expected, atol=1e-3)
    assert np.corrcoef(np.ravel(made), np.ravel(expected))[0, 1] > 0.999999


@pytest.mark.parametrize(
    "sizes,cache_dataset",
    [
        ("one", True),
        ("mixed", False),
        pytest.param("one", False, marks=pytest.mark.slow),
        pytest.param("mixed", True, marks=pytest.mark.slow),  # streamed nevertheless
    ],
)
@pytest.mark.parametrize(
    "dtype,channels,low,high,asked,scale",
    [
        (np.uint16, 3, 12, 4011, "auto", (0, 4095)),
        spared(np.uint16, 3, 0, 60_000, "auto", (0, 65535)),
        spared(np.uint16, 3, 12, 4011, "dtype", (0, 65535)),
        (np.uint16, 3, 12, 4011, "500,3000", (500, 3000)),
        spared(np.uint16, 1, 100, 900, "auto", (0, 1023)),
        spared(np.uint16, 2, 100, 900, "auto", (0, 1023)),
        (np.uint16, 4, 100, 16_000, "auto", (0, 16383)),
        spared(np.uint8, 3, 20, 220, "20,220", (20, 220)),
        (np.uint8, 1, 20, 220, "0,100", (0, 100)),
        spared(np.float32, 1, 0.0, 0.9, "auto", (0, 1)),
        (np.float32, 1, -0.9, 1.0, "auto", (-1, 1)),
        spared(np.float32, 1, -1000.0, 2000.0, "auto", (-1000, 2000)),
        spared(np.float32, 1, -0.5, 1.5, "dtype", (0, 1)),
    ],
)
def test_every_value_comes_through_the_pipeline(
    dtype, channels, low, high, asked, scale, sizes, cache_dataset, tmp_path, capsys
):
    images = images_of(dtype, channels, sizes, low, high)
    config = stored(tmp_path, dtype, images, sizes).replace(
        value_range=asked, cache_dataset=cache_dataset
    )
    source = sources.load(config, "train")
    (low_high,) = source.value_ranges.values()
    assert low_high == pytest.approx(scale, rel=1e-6) and source.dtype == np.float32
    assert bool(source.arrays) == (cache_dataset and sizes == "one")
    assert f"taken as {scale[0]:.6g} to {scale[1]:.6g}" in capsys.readouterr().out
    expected = [truth(image, *scale) for image in images]
    for example in source.records():
        image, label = source.decode(example)
        assert image.dtype == tf.float32
        agree(image, expected[int(label)])

    def central(image):
        return augment.center_crop(image, (12, 10), 1.0)

    for batch in data.labelled(source, central, batch_size=4):
        for image, label in zip(batch["image"], batch["label"]):
            agree(image, central(tf.constant(expected[int(label)], tf.float32)))
    if sizes == "one":  # whose whole is the view; of other shapes a window of it is
        (batch,) = data.views(source, [WHOLE], batch_size=6, seed=0, stop_step=1)
        for image, label in zip(batch["views"][0], batch["label"]):
            agree(image, expected[int(label)])


@pytest.mark.parametrize("cache_dataset", [spared(True), False])
def test_views_of_windows_are_those_of_the_scaled_images(cache_dataset, tmp_path):
    images = images_of(np.uint16, 3, "mixed", 12, 4011)
    config = stored(tmp_path, np.uint16, images, "mixed").replace(cache_dataset=cache_dataset)
    source = sources.load(config, "train")

    def exact(label):
        return truth(images[label], 0, 4095).astype(np.float32)

    scaled = dataclasses.replace(
        source,
        decode=lambda example: (
            tf.numpy_function(exact, [example["label"]], tf.float32),
            example["label"],
        ),
    )
    view = augment.simclr_view((8, 8))
    made, expected = (
        list(data.views(s, [view, view], batch_size=6, seed=1, stop_step=2, shuffle="blocks"))
        for s in (source, scaled)  # whose examples in order have a label
    )
    for one, other in zip(made, expected, strict=True):
        for mine, theirs in zip(one["views"], other["views"], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_bytes_stay_bytes(tmp_path, capsys):
    config = stored(tmp_path, np.uint8, images_of(np.uint8, 3, "one", 0, 100))
    for asked in ("auto", "dtype", (0, 255)):
        source = data.held(
            load(
                "stored",
                "train",
                data_dir=config.data_dir,
                value_range=asked,
                ranges={"uint8": [0, 255], "uint16": [0, 1023]},
            ),
            1e9,
        )
        assert (source.value_ranges, source.arrays[0].dtype) == ({"uint8": (0, 255)}, np.uint8)
        assert source.content is not None
    assert capsys.readouterr().out.count("taken as") == 1  # the numbers that were asked for


def test_the_range_is_that_of_the_split_or_one_that_is_given(tmp_path, capsys):
    """A dim split would else be brighter than the one that was learned from."""
    images = images_of(np.uint16, 3, "one", 12, 4011)
    images[0] = np.minimum(images[0], 700)
    config = stored(tmp_path, np.uint16, images)
    dim = data.labels_of(sources.load(config, "test")).tolist().index(0)
    split = f"test[{dim}:{dim + 1}]"
    assert sources.load(config, split).value_ranges == {"uint16": (0, 1023)}
    assert (
        f"stored {split}: values of uint16 found from 12 to 700: taken as 0 to 1023"
        in capsys.readouterr().out
    )
    source = load("stored", split, data_dir=config.data_dir, ranges={"uint16": [0, 4095]})
    assert source.value_ranges == {"uint16": (0, 4095)}
    assert "taken as" not in capsys.readouterr().out
    image, _ = source.decode(next(iter(source.records())))
    np.testing.assert_allclose(image, truth(images[0], 0, 4095), atol=1e-6)
    source = load(
        "stored",
        split,
        data_dir=config.data_dir,
        ranges={"uint16": (0, 4095)},
        value_range=(0, 9000),
    )
    assert source.value_ranges == {"uint16": (0, 9000)}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("asked", ["auto", "dtype", "0,9"])
def test_values_that_are_no_numbers_are_refused(value, asked, tmp_path):
    images = images_of(np.float32, 1, "one", 0, 1)
    images[3][2, 2] = value
    config = stored(tmp_path, np.float32, images).replace(value_range=asked)
    with pytest.raises(
        UsageError, match="--dataset must hold images of finite numbers; --no_data=nan .* Received"
    ):
        sources.load(config, "train")


def test_damaged_values_are_told_in_a_sentence(tmp_path):
    config = stored(tmp_path, np.uint16, images_of(np.uint16, 3, "mixed", 0, 999), "mixed")
    shard = next(tmp_path.rglob("*test*tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(UsageError, match=r"split test.* damaged .*\(corrupted record at \d+\)"):
        sources.load(config, "test")
    assert sources.load(config, "train").num_examples == 6
