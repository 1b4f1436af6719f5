"""Few labels: equal numbers of every class, the same for the same seed."""

import dataclasses

import numpy as np
import pytest

from tfssl import data
from tfssl.config import Config


@pytest.mark.parametrize("fraction,each", [(0.1, 5), (0.5, 25), (0.001, 1), (1.0, 50)])
def test_every_class_has_as_many(fraction, each):
    source = data.load(Config(dataset="shapes", image_size=8), "train[:500]")
    subset = data.balanced_subset(source, fraction, seed=3)
    assert subset.num_examples == 10 * each == len(subset.arrays[0])
    assert np.bincount(subset.arrays[1]).tolist() == [each] * 10


def test_the_seed_decides_and_streams_agree_with_arrays():
    source = data.load(Config(dataset="shapes", image_size=8), "train[:200]")
    streamed = dataclasses.replace(source, arrays=None)
    one, same, other = (data.balanced_subset(source, 0.2, seed=s).arrays[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    subset = data.balanced_subset(streamed, 0.2, seed=0)
    images = [image.numpy() for image, _ in subset.records().map(subset.decode)]
    np.testing.assert_array_equal(images, one)
