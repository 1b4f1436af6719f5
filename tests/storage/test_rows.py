"""Rows on disk: the same as in memory, also after an interruption."""

import os
import shutil
import types

import numpy as np
import pytest

from tfssl import UsageError
from tfssl.storage import rows

ABOUT = {"data": "of these images"}


def blocks(count=200, size=8, dim=5, scale=1.0):
    rng = np.random.default_rng(0)
    h = scale * rng.normal(size=(count, size, dim)).astype(np.float32)
    return [(of, np.arange(size) + size * number) for number, of in enumerate(h)]


def begun(parent, of, about=ABOUT, most=None):
    return rows.Rows(str(parent), most or sum(len(h) for h, _ in of), of[0][0], about)


def test_rows_are_those_that_were_added(tmp_path):
    of = blocks()
    made = begun(tmp_path, of, most=10**4)
    for h, labels in of:
        made.add(h[:3], labels[:3])
    made.note()
    h, labels = made.read()
    assert isinstance(h, np.memmap) and h.dtype == np.float16 and h.shape == (600, 5)
    np.testing.assert_allclose(h, np.concatenate([h[:3] for h, _ in of]), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(labels, np.concatenate([labels[:3] for _, labels in of]))
    rows.remove(h)
    assert not tmp_path.exists()


@pytest.mark.parametrize("stop", [0, 1, 63, 64, 65, 199])
def test_what_was_interrupted_goes_on_from_what_is_on_disk(stop, tmp_path):
    of = blocks()
    first = begun(tmp_path, of)
    for h, labels in of[:stop]:
        first.add(h, labels)
    second = begun(tmp_path, of)
    assert second.blocks == stop // rows.EVERY * rows.EVERY and second.count == 8 * second.blocks
    for h, labels in of[second.blocks :]:
        second.add(h, labels)
    h, labels = second.read()
    np.testing.assert_array_equal(h, np.concatenate([h for h, _ in of]).astype(np.float16))
    np.testing.assert_array_equal(labels, np.arange(1600))


def test_rows_of_something_else_are_not_gone_on_with(tmp_path):
    of = blocks()
    made = begun(tmp_path, of)
    made.add(*of[0])
    made.note()
    assert begun(tmp_path, of).blocks == 1
    assert begun(tmp_path, of, about={"data": "of others"}).blocks == 0
    assert begun(tmp_path, of, most=1601).blocks == 0
    assert begun(tmp_path, of[1:], most=1600).blocks == 0


@pytest.mark.parametrize("name", ["h.npy", "labels.npy", "progress.json"])
def test_rows_that_cannot_be_read_begin_anew(name, tmp_path):
    of = blocks()
    made = begun(tmp_path, of)
    made.add(*of[0])
    made.note()
    with open(os.path.join(made.directory, name), "wb") as file:
        file.write(b"nothing")
    assert begun(tmp_path, of).blocks == 0


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_large_values_are_kept_as_float32(scale, tmp_path):
    of = blocks(scale=scale)
    made = begun(tmp_path, of)
    large = [(h * 1e5 if number == 100 else h, labels) for number, (h, labels) in enumerate(of)]
    for h, labels in large:
        made.add(h, labels)
    h, _ = made.read()
    assert h.dtype == np.float32
    np.testing.assert_allclose(h, np.concatenate([h for h, _ in large]), rtol=1e-3, atol=1e-6)


def test_a_full_disk_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2**20))
    with pytest.raises(UsageError, match="--model_dir must be on a disk with 16.8 GiB free"):
        begun(tmp_path, blocks(), most=10**9)


def test_nothing_is_removed_for_an_array_in_memory():
    rows.remove(np.zeros((3, 2)))
