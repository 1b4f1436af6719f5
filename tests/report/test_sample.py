"""What is told of images: by loops, and where something is missing."""

import sys

import numpy as np
import pytest

from tests.pages import made
from tfssl.report import Sample, sample

RNG = np.random.default_rng(0)


def test_cosines_and_neighbours_by_loops():
    images = made()
    unit = images.h / np.linalg.norm(images.h, axis=1, keepdims=True)
    found = images.cosines()
    for i in range(len(images)):
        others = [j for j in range(len(images)) if j != i]
        np.testing.assert_allclose(found[i, others], unit[others] @ unit[i], rtol=1e-4, atol=1e-6)
        order = sorted(others, key=lambda j: -found[i, j])
        assert list(sample.neighbours(found, 5)[i]) == order[:5]
    assert np.isneginf(np.diagonal(found)).all()


def test_classes_by_votes_of_labelled_others(monkeypatch):
    monkeypatch.setattr(sample, "NEIGHBOURS", 4)
    images = made(labels=np.where(np.arange(40) < 30, np.arange(40) % 3, -1))
    cosines = images.cosines()
    classes, shares = sample.predicted(cosines, images.labels)
    for i in range(40):
        others = [j for j in range(30) if j != i]
        nearest = sorted(others, key=lambda j: -cosines[i, j])[:4]
        votes = np.zeros(3)
        for j in nearest:
            votes[images.labels[j]] += np.exp(cosines[i, j] / 0.07)
        assert classes[i] == votes.argmax()
        assert shares[i] == pytest.approx(votes.max() / votes.sum(), rel=1e-4)


def test_without_labels_there_is_no_class():
    images = made(labels=np.full(40, -1))
    classes, shares = sample.predicted(images.cosines(), images.labels)
    assert set(classes) == {-1} and set(shares) == {0}


def test_confusion_counts_labelled_images():
    labels, classes = np.array([0, 0, 1, 2, -1]), np.array([0, 1, 1, 0, 2])
    assert sample.confusion(labels, classes, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_typical_images_have_close_neighbours():
    h = np.concatenate([np.eye(4)[[0] * 30] + 0.05 * RNG.normal(size=(30, 4)), -np.eye(4)[:1]])
    images = Sample(["x"] * 31, np.zeros((31, 2, 2, 3), np.uint8), h, np.full(31, -1), [])
    assert np.argmin(sample.typicality(images.cosines())) == 30


def test_closest_pairs_are_those_of_a_loop_each_image_once():
    images = made(30)
    images.h[7] = 2 * images.h[3]
    images.h[11] = images.h[3] + 1e-3
    cosines = images.cosines()
    pairs = sorted(((i, j) for i in range(30) for j in range(i + 1, 30)), key=lambda p: -cosines[p])
    expected, used = [], set()
    for pair in pairs:
        if not used & set(pair):
            expected.append(pair)
            used |= set(pair)
    found = sample.closest_pairs(cosines, 5)
    assert [pair[:2] for pair in found] == expected[:5] and found[0][:2] == (3, 7)
    assert found[0][2] == pytest.approx(1)


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_a_map_lies_in_the_unit_square(dim, monkeypatch):
    found, how = sample.places(made(dim=dim).h, 0)
    assert found.shape == (40, 2) and found.min() >= 0 and found.max() <= 1 and how == "t-SNE"
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    found, how = sample.places(made(dim=dim).h, 0)
    assert found.shape == (40, 2) and found.min() >= 0 and found.max() <= 1
    assert how == "the first two principal components"


def test_names_of_classes():
    images = made()
    assert [images.class_name(label) for label in (-1, 1, 7)] == ["", "b", "7"]


@pytest.mark.parametrize(
    "h",
    [
        np.ones((40, 16), np.float32),
        np.zeros((40, 16), np.float32),
        (1e6 + RNG.normal(size=(40, 16)) * 1e-3).astype(np.float32),
        np.float32(1 / 3) * (1 + np.finfo(np.float32).eps * RNG.integers(-1, 2, (40, 16))),
    ],
    ids=["equal", "zero", "rounding", "last digit"],
)
def test_a_collapsed_network_has_a_map_of_one_place(h):
    found, how = sample.places(h, 0)
    assert (found == 0.5).all() and how.startswith("equal places")


def test_components_of_no_spread_do_not_count():
    h = made(dim=4).h
    wide = np.concatenate([h, np.full((40, 3), 7.0)], axis=1)
    np.testing.assert_array_equal(sample.places(wide, 0)[0], sample.places(h, 0)[0])
