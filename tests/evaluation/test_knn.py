"""Votes of neighbours against a brute-force loop; exact top-k counts."""

import numpy as np
import pytest

from tests.reference import knn_votes_loop
from tfssl.evaluation import knn, knn_scores, topk_correct


def random_split(m=60, n=11, d=5, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(m, d)), rng.normal(size=(n, d))
    return train, rng.integers(0, classes, m), test


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_equals_brute_force(k, temperature):
    train, labels, test = random_split()
    scores = knn_scores(train, labels, test, k=k, num_classes=4, temperature=temperature)
    loop = np.stack([knn_votes_loop(train, labels, h, k, 4, temperature) for h in test])
    shares = [s / s.sum(axis=1, keepdims=True) for s in (scores, loop)]
    np.testing.assert_allclose(*shares, rtol=1e-4, atol=1e-7)


def test_nearest_neighbour_weighs_one():
    train, labels, test = random_split()
    scores = knn_scores(train, labels, test, k=1, num_classes=4, temperature=0.001)
    np.testing.assert_array_equal(np.sort(scores, axis=1), [[0, 0, 0, 1]] * len(test))


@pytest.mark.parametrize("block", [1, 4, 11, 100])
def test_blocks_change_nothing(block):
    train, labels, test = random_split()
    whole = knn_scores(train, labels, test, k=9, num_classes=4)
    blocked = knn_scores(train, labels, test, k=9, num_classes=4, block=block)
    np.testing.assert_allclose(blocked, whole, rtol=1e-4, atol=1e-7)


def on_disk(tmp_path, h, dtype=np.float32):
    """A file of representations, as a `np.memmap`."""
    np.save(tmp_path / "h.npy", h.astype(dtype))
    return np.load(tmp_path / "h.npy", mmap_mode="r")


@pytest.mark.parametrize("rows", [1, 7, 59, 60, 100])
@pytest.mark.parametrize("block", [4, 100])
def test_a_file_read_in_blocks_has_the_same_neighbours(rows, block, tmp_path, monkeypatch):
    train, labels, test = random_split()
    train[40:] = train[:20]  # equally near ones, of which the first count
    monkeypatch.setattr(knn, "ROWS", rows)
    whole = knn_scores(train, labels, test, k=(9, 3), num_classes=4)
    file = on_disk(tmp_path, train)
    read = knn_scores(file, labels, test, k=(9, 3), num_classes=4, block=block)
    for k in (9, 3):
        np.testing.assert_allclose(read[k], whole[k], rtol=1e-4, atol=1e-7)


def test_of_a_file_only_blocks_are_in_memory(tmp_path, monkeypatch):
    train, labels, test = random_split(m=4000)
    monkeypatch.setattr(knn, "ROWS", 100)
    file, read = on_disk(tmp_path, train, np.float16), []
    inner = knn._nearest
    monkeypatch.setattr(knn, "_nearest", lambda *args: read.append(len(args[1])) or inner(*args))
    knn_scores(file, labels, test, k=5, num_classes=4)
    assert read == [100] * 40


def test_what_is_not_finite_in_a_file_is_counted(tmp_path, monkeypatch):
    train, labels, test = random_split()
    train[[3, 50], 1] = np.nan
    monkeypatch.setattr(knn, "ROWS", 10)
    with pytest.raises(ValueError, match="`train_h` must be finite. Received: 2 values"):
        knn_scores(on_disk(tmp_path, train), labels, test, k=1, num_classes=4)


def test_several_k_at_once():
    train, labels, test = random_split()
    several = knn_scores(train, labels, test, k=(20, 3), num_classes=4)
    assert set(several) == {20, 3}
    for k, scores in several.items():
        alone = knn_scores(train, labels, test, k=k, num_classes=4)
        np.testing.assert_allclose(scores, alone, rtol=1e-6)


def test_cosine_ignores_length():
    train, labels, test = random_split()
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(len(train), 1))
    np.testing.assert_allclose(
        knn_scores(lengths * train, labels, 7 * test, k=9, num_classes=4),
        knn_scores(train, labels, test, k=9, num_classes=4),
        rtol=1e-3,
        atol=1e-6,
    )


def test_near_votes_outweigh_many_far_ones():
    train = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    scores = knn_scores(train, [0, 1, 1], [[1.0, 0.1]], k=3, num_classes=2)
    assert scores[0, 0] > scores[0, 1] > 0


def test_low_temperature_does_not_overflow():
    train, labels, test = random_split()
    scores = knn_scores(train, labels, test, k=60, num_classes=4, temperature=1e-4)
    assert np.all(np.isfinite(scores))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 0}, r"`k` must be in \[1, 60\].* Received: k=0"),
        ({"k": 61}, r"`k` must be in \[1, 60\].* Received: k=61"),
        ({"k": (1, 61)}, r"`k` must be in \[1, 60\]"),
        ({"k": ()}, r"`k` must be in \[1, 60\]"),
        ({"temperature": 0.0}, "`temperature` must be positive. Received: temperature=0.0"),
        ({"num_classes": 3}, r"`train_labels` must be in \[0, 3\)"),
        ({"train_labels": [0]}, r"Received: train_h.shape=\(60, 5\), train_labels.shape=\(1,\)"),
        ({"test_h": np.ones([3, 4])}, r"test_h.shape=\(3, 4\)"),
        ({"test_h": np.full([3, 5], np.nan)}, "`test_h` must be finite. Received: 15 values"),
    ],
)
def test_bad_arguments(change, message):
    train, labels, test = random_split()
    arguments = {"train_h": train, "train_labels": labels, "test_h": test, "k": 3, "num_classes": 4}
    with pytest.raises(ValueError, match=message):
        knn_scores(**{**arguments, **change})


def test_topk_counts():
    scores = [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    assert [topk_correct(scores, [1, 1, 0], k) for k in (1, 2, 3)] == [1, 2, 3]
    assert isinstance(topk_correct(scores, [1, 1, 0], 1), int)


def test_topk_adds_up_over_unequal_batches():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(103, 10)), rng.integers(0, 10, 103)
    order = np.argsort(-scores, axis=1)
    for k in (1, 5):
        expected = sum(label in row[:k] for label, row in zip(labels, order))
        parts = [topk_correct(scores[i : i + 16], labels[i : i + 16], k) for i in range(0, 103, 16)]
        assert topk_correct(scores, labels, k) == sum(parts) == expected


def test_topk_ties_count_against_the_prediction():
    labels = np.arange(10)
    for constant in (np.zeros([10, 10]), np.full([10, 10], -np.inf)):
        assert [topk_correct(constant, labels, k) for k in (1, 5, 9, 10)] == [0, 0, 0, 10]
    assert topk_correct([[1.0, 1.0, 0.0]], [0], 1) == 0
    assert topk_correct([[1.0, 1.0, 0.0]], [0], 2) == 1


def test_topk_nan_is_wrong():
    scores = [[np.nan, 0.0], [np.nan, np.nan], [1.0, 0.0]]
    for labels in ([0, 0, 0], [1, 1, 0]):
        assert [topk_correct(scores, labels, k) for k in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([[1.0, 2.0]], [0], 0), "`k` must be at least 1. Received: k=0"),
        (([[1.0, 2.0]], [-1], 1), r"`labels` must be in \[0, 2\). Received: labels in \[-1, -1\]"),
        (([[1.0, 2.0]], [2], 1), r"`labels` must be in \[0, 2\)"),
        (([1.0, 2.0], [0, 1], 1), r"`scores` must be \[N, C\]"),
        (([[1.0, 2.0]], [0, 1], 1), r"labels.shape=\(2,\)"),
    ],
)
def test_topk_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        topk_correct(*arguments)
