"""Few labels: equal numbers of every class, the same for the same seed; lists of them."""

import dataclasses

import numpy as np
import pytest

from tfssl import augment, data
from tfssl.config import Config
from tfssl.errors import UsageError
from tfssl.runner import sources


def source_of(split):
    return sources.load(Config(dataset="shapes", image_size=8), split)


def few(source, **settings):
    settings = {"mode": "finetune", "checkpoint": "run", **settings}
    return data.subset(source, sources.label_indices(Config(**settings), source))


def images_of(source):
    return [image.numpy() for image, _ in source.records().map(source.decode)]


@pytest.mark.parametrize("fraction,each", [(0.1, 5), (0.5, 25), (0.001, 1), (1.0, 50)])
def test_every_class_has_as_many(fraction, each):
    source = source_of("train[:500]")
    places = sources.label_indices(
        Config(label_fraction=fraction, seed=3, mode="finetune", checkpoint="run"), source
    )
    assert (places is None) == (fraction == 1)
    subset = source if places is None else data.subset(source, places)
    assert subset.num_examples == 10 * each == len(subset.arrays[0])
    assert np.bincount(subset.arrays[1]).tolist() == [each] * 10


def test_the_seed_decides_and_streams_agree_with_arrays():
    source = source_of("train[:200]")
    streamed = dataclasses.replace(source, arrays=None)
    one, same, other = (few(source, label_fraction=0.2, seed=s).arrays[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(images_of(few(streamed, label_fraction=0.2)), one)
    np.testing.assert_array_equal(images_of(few(source, label_fraction=0.2)), one)  # records too


def test_a_list_names_the_images(tmp_path):
    source = source_of("train[:50]")
    path = tmp_path / "list.txt"
    path.write_text("# two of them\n 41\n\n7  # the first\n")
    listed = few(source, label_list=str(path))
    np.testing.assert_array_equal(listed.arrays[0], source.arrays[0][[7, 41]])
    np.testing.assert_array_equal(listed.arrays[1], source.arrays[1][[7, 41]])
    streamed = few(dataclasses.replace(source, arrays=None), label_list=str(path))
    np.testing.assert_array_equal(images_of(streamed), listed.arrays[0])


@pytest.mark.parametrize(
    "text,said",
    [
        ("", "with no number"),
        ("3\nx\n", "with the line x"),
        ("-1\n", "with the line -1"),
        ("50\n", "with the line 50"),
        ("3\n4\n3\n", "1 of 3 are repeated"),
        (None, "No such file"),
    ],
)
def test_other_lists_are_refused(text, said, tmp_path):
    path = tmp_path / "list.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        UsageError,
        match=f"--label_list must be a file of different numbers from "
        f"0 to 49, one a line. Received: .*{said}",
    ):
        few(source_of("train[:50]"), label_list=str(path))


@pytest.mark.parametrize("in_memory", [True, False])
def test_numbered_images_carry_their_place(in_memory):
    source = source_of("train[5:25]")
    source = source if in_memory else dataclasses.replace(source, arrays=None)
    seen = {}
    whole = augment.supervised_view((8, 8), crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip_p=0)
    for batch in data.views(data.numbered(source), [whole], batch_size=5, seed=0, stop_step=4):
        for image, place in zip(batch["views"][0].numpy(), batch["label"].numpy()):
            seen[int(place)] = image
    assert sorted(seen) == list(range(20))
    np.testing.assert_array_equal(data.labels_of(source), source_of("train[5:25]").arrays[1])
    for place, image in enumerate(images_of(source)):
        np.testing.assert_allclose(seen[place], image / 255, atol=0.02)


def test_examples_keep_their_names():
    source = sources.load(Config(dataset="shapes", image_size=8), "train[10:20]")
    assert source.ids()[0] == "train:10" and len(source.ids()) == 10
    assert data.subset(source, np.array([1, 4])).ids() == ["train:11", "train:14"]
