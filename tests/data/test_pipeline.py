"""Batches are a function of (seed, step); every example comes once per epoch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import costly, spared
from tfssl import augment, data
from tfssl.config import Config
from tfssl.data import pipeline
from tfssl.runner import sources


@pytest.fixture(scope="module")
def held():
    return sources.load(Config(dataset="shapes", image_size=8), "train[:30]")


@pytest.fixture(params=["held", "streamed"])
def source(request, held):
    """Thirty images whose label is their number, held in memory or streamed."""
    images, _ = held.arrays
    numbers = np.arange(30)
    if request.param == "held":
        return dataclasses.replace(held, arrays=(images, numbers))
    return dataclasses.replace(
        held,
        arrays=None,
        decode=lambda e: (e["image"], e["label"]),
        records=lambda: tf.data.Dataset.from_tensor_slices({"image": images, "label": numbers}),
    )


CROPS = augment.supervised_view((8, 8))  # random enough, and small graphs


def views(source, start=0, stop=6, seed=0, recipe=CROPS):
    return list(
        data.views(
            source, (recipe, recipe), batch_size=7, seed=seed, start_step=start, stop_step=stop
        )
    )


def labels(batches):
    return np.concatenate([batch["label"] for batch in batches])


@pytest.mark.parametrize("source", [costly("held"), "streamed"], indirect=True)
def test_a_run_that_starts_at_step_k_sees_what_it_would_have_seen(source):
    recipe = augment.simclr_view((8, 8))
    straight = views(source, recipe=recipe)
    for start in (1, 4, 5):  # 4 starts within an epoch's last batch, 5 in the second epoch
        for one, other in zip(straight[start:], views(source, start, recipe=recipe)):
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])


IN_PARTS = [[(0, 3)], [(0, 1), (1, 2)]]  # [(first, count) of each process], of three parts


@pytest.mark.parametrize("source", ["held", spared("streamed")], indirect=True)
@pytest.mark.parametrize("compiled", [False, spared(True)])
def test_a_batch_made_in_parts_is_the_batch(source, compiled):
    recipe = augment.simclr_view((8, 8), blur_p=0.5)
    options = dict(batch_size=9, seed=0, start_step=2, stop_step=5, compiled=compiled)
    whole = list(data.views(source, (recipe, recipe), **options))
    for shares in IN_PARTS:
        made = [
            list(data.views(source, (recipe, recipe), **options, share=pipeline.Share(*share, 3)))
            for share in shares
        ]
        for step, batch in enumerate(whole):
            parts = [
                part
                for (_, count), own in zip(shares, made)
                for part in own[step * count : (step + 1) * count]
            ]
            assert len(parts) == 3 and all(len(part["label"]) == 3 for part in parts)
            joined = tf.nest.map_structure(lambda *values: np.concatenate(values), *parts)
            tf.nest.map_structure(
                lambda ours, of_all: np.testing.assert_allclose(ours, of_all, atol=2e-6),
                joined,
                batch,
            )


def test_every_example_comes_once_per_epoch_in_an_order_of_its_own(source):
    order = labels(views(source, stop=13))
    first, second, third = order[:30], order[30:60], order[60:90]
    for epoch in (first, second, third):
        assert sorted(epoch) == list(range(30))
    assert list(first) != list(range(30)) and list(first) != list(second) != list(third)


@pytest.mark.parametrize("source", ["held", costly("streamed")], indirect=True)
def test_the_seed_decides_order_and_views(source):
    one, same, other = (views(source, stop=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[1]["views"][1], same[1]["views"][1])
    assert list(labels(one)) != list(labels(other))
    assert not np.array_equal(one[0]["views"][0], other[0]["views"][0])


def test_views_differ_from_each_other_and_from_step_to_step(source):
    batches = views(source, stop=10)
    assert not np.array_equal(batches[0]["views"][0], batches[0]["views"][1])
    by_number = {}
    for batch in batches:
        for number, view in zip(batch["label"].numpy(), batch["views"][0].numpy()):
            by_number.setdefault(number, []).append(view)
    again = [v for v in by_number.values() if len(v) > 1]
    assert again and all(not np.array_equal(v[0], v[1]) for v in again)


def test_batches_are_what_the_methods_expect(source):
    batches = data.views(source, [CROPS] * 2, batch_size=7, seed=0, stop_step=3)
    assert int(batches.cardinality()) == 3
    batch = next(iter(batches))
    assert len(batch["views"]) == 2
    for view in batch["views"]:
        assert view.shape == (7, 8, 8, 3) and view.dtype == tf.float32
        assert 0 <= np.min(view) and np.max(view) <= 1
    assert batch["label"].shape == (7,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    ["held", "streamed"],
    indirect=True,
)
def test_compiled_views_are_the_same_up_to_rounding(source):
    recipe = augment.simclr_view((9, 8), blur_p=0.5, solarize_p=0.5)
    recipes = (recipe, augment.simclr_view((8, 9)))
    common = dict(batch_size=7, seed=0, stop_step=3)
    plain, compiled = (
        list(data.views(source, recipes, compiled=compiled, **common)) for compiled in (False, True)
    )
    for one, other in zip(plain, compiled):
        np.testing.assert_array_equal(one["label"], other["label"])
        for mine, theirs in zip(one["views"], other["views"], strict=True):
            # A value within rounding of the threshold may be inverted in one and not the other.
            far = np.abs(mine - theirs) > 1e-4
            assert far.mean() < 1e-3


@pytest.mark.slow
@pytest.mark.ci
def test_batches_can_be_finished_elsewhere(source):
    recipes = (augment.simclr_view((9, 8)), augment.simclr_view((8, 9)))
    common = dict(batch_size=7, seed=0, stop_step=3)
    finish = data.finisher(source, recipes)
    unfinished = data.views(source, recipes, finished=False, **common)
    for one, other in zip(data.views(source, recipes, **common), map(finish, unfinished)):
        assert one.keys() == other.keys()
        tf.nest.map_structure(
            lambda here, there: np.testing.assert_allclose(here, there, atol=1e-6), one, other
        )


def test_images_held_on_a_device_are_taken_by_index(held):
    """The batches are those of the host, also from within an epoch, and carry no images."""
    recipes, options = (CROPS, CROPS), dict(batch_size=7, seed=0, start_step=3, stop_step=9)
    finish = data.finisher(held, recipes, in_blocks=False, device="CPU:0")
    by_index = data.views(held, recipes, **options, finished=False, by_index=True)
    assert set(by_index.element_spec) == {"indices", "seeds", "part"}
    for one, other in zip(data.views(held, recipes, **options), by_index, strict=True):
        made = finish(other)
        np.testing.assert_array_equal(made["label"], one["label"])
        for view, same in zip(made["views"], one["views"], strict=True):
            np.testing.assert_allclose(view, same, atol=1e-6)  # the host's are made in blocks


def test_identical_recipes_without_randomness_return_the_image(source):
    still = augment.View(augment.ops.identity(), augment.ops.identity())
    batch = views(source, stop=1, recipe=still)[0]
    images = source.arrays[0] if source.arrays else np.stack([e["image"] for e in source.records()])
    expected = images[batch["label"].numpy()] / np.float32(255)
    np.testing.assert_allclose(batch["views"][0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "encode",
    [tf.io.encode_png, lambda image: tf.io.encode_jpeg(image, quality=95)],
    ids=["png", "jpeg"],
)
def test_what_is_decoded_of_a_file_is_what_the_whole_image_shows(encode):
    random = np.random.default_rng(0)
    files = [
        encode(random.integers(0, 256, (h, w, 3), np.uint8)).numpy()
        for h, w in ((40, 31), (17, 64), (33, 33))
    ]
    source = data.Source(
        "files",
        "train",
        ("train", 0, 3),
        3,
        (None, None),
        records=None,
        decode=lambda e: (tf.io.decode_image(e["image"], expand_animations=False), e["label"]),
    )
    with_content = dataclasses.replace(source, content=lambda e: e["image"])
    views = [augment.simclr_view((12, 10)).crop, augment.simclr_view((10, 12)).crop]
    for place in range(12):
        example = {"image": tf.constant(files[place % 3]), "label": tf.constant(place)}
        seeds = tf.unstack(pipeline.view_seeds(0, place, 2))
        image = tf.cast(source.decode(example)[0], tf.float32)[tf.newaxis] / 255.0
        for one in (source, with_content):
            crops, label = pipeline.crops(one, example, views, seeds)
            assert label == place
            for crop, view, seed in zip(crops, views, seeds):
                np.testing.assert_allclose(crop, view(image, seed)[0], atol=2e-3)
    pixels = tf.data.Dataset.from_tensors(example).map(
        lambda e: pipeline.crops(with_content, e, views, seeds)[0]
    )
    tf.nest.map_structure(np.testing.assert_array_equal, next(iter(pixels)), crops)


def test_evaluation_takes_the_whole_split_once_in_its_order(source):
    batches = list(data.labelled(source, lambda image: image, batch_size=7))
    assert [len(b["label"]) for b in batches] == [7, 7, 7, 7, 2]
    assert list(labels(batches)) == list(range(30))


def test_a_batch_of_more_images_than_there_are_is_one_of_all():
    source = sources.load(Config(dataset="shapes", image_size="8"), "train[:5]")
    (batch,) = data.labelled(source, lambda image: image, batch_size=2**31 - 1)
    assert batch["image"].shape == (5, 8, 8, 3)


def test_images_of_mixed_sizes_become_one_batch():
    shapes = [(9, 30), (40, 11), (16, 16), (25, 8)]
    files = [
        tf.io.encode_png(np.full((h, w, 3), 50 * i, np.uint8)).numpy()
        for i, (h, w) in enumerate(shapes)
    ]
    source = data.Source(
        "mixed",
        "train",
        ("train", 0, 4),
        4,
        (None, None),
        lambda: tf.data.Dataset.from_tensor_slices({"image": files, "label": np.arange(4)}),
        lambda e: (tf.io.decode_png(e["image"], channels=3), e["label"]),
    )
    (batch,) = data.views(
        source, (augment.supervised_view((12, 10)),), batch_size=4, seed=0, stop_step=1
    )
    assert batch["views"][0].shape == (4, 12, 10, 3)
    for view, label in zip(batch["views"][0], batch["label"]):
        np.testing.assert_allclose(view, 50 * int(label) / 255, atol=1e-4)
    crops = data.labelled(source, lambda i: augment.center_crop(i, (12, 10), 0.875), batch_size=3)
    assert [b["image"].shape[1:] for b in crops] == [(12, 10, 3)] * 2


@pytest.mark.parametrize("limit", [0, 1e9], ids=["streamed", "held"])
def test_fractions_make_the_views_of_the_same_bytes(limit):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 9, 3), np.uint8)

    def batches(images):
        source = data.held(
            data.Source(
                "values",
                "train",
                ("train", 0, 10),
                10,
                (12, 9),
                lambda: tf.data.Dataset.from_tensor_slices(
                    {"image": images, "label": np.arange(10)}
                ),
                lambda e: (e["image"], e["label"]),
                dtype=images.dtype.type,
            ),
            limit,
        )
        assert source.decoded_bytes == images.nbytes
        assert not limit or source.arrays[0].dtype == images.dtype
        return [
            *views(source, stop=3),
            *data.labelled(
                source, lambda image: augment.center_crop(image, (8, 8), 0.9), batch_size=4
            ),
        ]

    for one, other in zip(batches(pixels), batches(pixels / np.float32(255)), strict=True):
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), one, other)


def test_folding_depends_on_every_number():
    seeds = {
        tuple(pipeline.fold(*n).numpy())
        for n in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2**40)]
    }
    assert len(seeds) == 5


CHANNELS = [(1, np.uint8), (2, np.float32), (4, np.uint16), (6, np.uint8), (13, np.uint16)]


def of_channels(channels, dtype=np.uint8, streamed=True):
    """Ten images of so many channels, whose label is their number."""
    values = np.random.default_rng(channels).random((10, 12, 9, channels))
    images = (values * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    source = data.Source(
        "channels",
        "train",
        ("train", 0, 10),
        10,
        (12, 9),
        lambda: tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(10)}),
        lambda e: (e["image"], e["label"]),
        dtype=dtype,
        channels=channels,
    )
    return source if streamed else data.held(source, 1e9)


def first_view(batch):
    return batch["views"][0]


def test_a_source_is_of_rgb_unless_it_says_otherwise(held):
    assert held.channels == 3


@pytest.mark.parametrize("channels, dtype", CHANNELS)
def test_a_source_of_any_channels_is_held_as_it_is_decoded(channels, dtype):
    source = of_channels(channels, dtype)
    kept = data.held(source, source.decoded_bytes)
    images = np.stack([e["image"] for e in source.records()])
    assert source.decoded_bytes == images.nbytes and kept.arrays[0].dtype == dtype
    np.testing.assert_array_equal(kept.arrays[0], images)
    assert data.held(source, source.decoded_bytes - 1) is source


@pytest.mark.parametrize("streamed", [spared(False), True])
@pytest.mark.parametrize("channels, dtype", CHANNELS)
def test_views_and_evaluation_keep_every_channel(channels, dtype, streamed):
    source = of_channels(channels, dtype, streamed)
    whole = dict(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip_p=0.0)
    (batch,) = views(source, stop=1, recipe=augment.supervised_view((12, 9), **whole))
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    images = np.stack([e["image"] for e in of_channels(channels, dtype).records()]) / full
    np.testing.assert_allclose(first_view(batch), images[batch["label"]], atol=1e-5)
    seen = np.concatenate(
        [b["image"] for b in data.labelled(source, lambda image: image, batch_size=4)]
    )
    np.testing.assert_allclose(seen, images, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, costly(True)])
def test_views_of_six_channels_are_the_same_in_parts(compiled):
    source = of_channels(6, streamed=False)
    recipe = augment.simclr_view((8, 8), saturation=0.0, hue=0.0, grayscale_p=0.0, blur_p=0.5)
    options = dict(batch_size=6, seed=0, stop_step=2, compiled=compiled)
    whole = list(data.views(source, (recipe,), **options))
    parts = list(data.views(source, (recipe,), **options, share=pipeline.Share(0, 2, 2)))
    for step, batch in enumerate(whole):
        joined = np.concatenate([first_view(part) for part in parts[2 * step : 2 * step + 2]])
        assert joined.shape == (6, 8, 8, 6)
        np.testing.assert_allclose(joined, first_view(batch), atol=2e-6)


@pytest.mark.parametrize("channels, encode", [(1, tf.io.encode_jpeg), (4, tf.io.encode_png)])
def test_of_a_grey_jpeg_only_what_is_seen_is_decoded(channels, encode):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 31, channels), np.uint8)
    source = data.Source(
        "files",
        "train",
        ("train", 0, 1),
        1,
        (None, None),
        records=None,
        decode=lambda e: (tf.io.decode_image(e, channels, expand_animations=False), 0),
        channels=channels,
    )
    content = encode(pixels)
    crop, seeds = augment.supervised_view((12, 10)).crop, tf.unstack(pipeline.view_seeds(0, 1, 1))
    image = augment.as_float(source.decode(content)[0])[tf.newaxis]
    for one in (source, dataclasses.replace(source, content=lambda e: e)):
        (made,), _ = pipeline.crops(one, content, [crop], seeds)
        assert made.shape == (12, 10, channels)
        np.testing.assert_allclose(made, crop(image, seeds[0])[0], atol=2e-3)


def test_a_source_that_decodes_other_channels_than_it_says_is_refused():
    source = dataclasses.replace(of_channels(4), channels=3)
    with pytest.raises(ValueError, match="4"):
        views(source, stop=1)
