"""The linear probe: optimality, invariances, and classes it cannot know."""

import numpy as np
import pytest

from tfssl.evaluation import knn, linear_probe, topk_correct


def blobs(n, spread, d=8, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return 3 * np.eye(classes, d)[labels] + spread * rng.normal(size=(n, d)), labels


def test_separable_classes_are_all_right():
    train, labels = blobs(200, spread=0.2)
    test, test_labels = blobs(100, spread=0.2, seed=1)
    scores = linear_probe(train, labels, test, num_classes=5)
    assert scores.shape == (100, 5)
    assert topk_correct(scores, test_labels, 1) == 100


def test_shuffled_labels_are_guessed():
    train, labels = blobs(500, spread=0.2)
    test, test_labels = blobs(500, spread=0.2, seed=1)
    labels = np.random.default_rng(2).permutation(labels)
    hits = topk_correct(linear_probe(train, labels, test, num_classes=5), test_labels, 1)
    assert hits < 250


def test_is_the_minimum_of_its_objective():
    train, labels = blobs(300, spread=3.0)
    l2 = 0.05
    logits = linear_probe(train, labels, train, num_classes=5, l2=l2)
    x = (train - train.mean(0)) / train.std(0)
    weights, bias = np.split(
        np.linalg.lstsq(np.hstack([x, np.ones([300, 1])]), logits, rcond=None)[0], [8]
    )
    np.testing.assert_allclose(x @ weights + bias, logits, atol=1e-4)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (p - np.eye(5)[labels]) / 300
    np.testing.assert_allclose(x.T @ error + l2 * weights, 0, atol=3e-4)
    np.testing.assert_allclose(error.sum(0), 0, atol=3e-4)


def test_rescaled_and_shifted_features_give_the_same_scores():
    train, labels = blobs(200, spread=2.0)
    test, _ = blobs(50, spread=2.0, seed=1)
    scale, shift = np.logspace(-4, 4, 8), np.logspace(-4, 4, 8)[::-1] / 100
    shift = shift * scale
    plain = linear_probe(train, labels, test, num_classes=5)
    moved = linear_probe(train * scale + shift, labels, test * scale + shift, num_classes=5)
    np.testing.assert_allclose(moved, plain, atol=0.02)
    np.testing.assert_array_equal(moved.argmax(1), plain.argmax(1))


@pytest.mark.parametrize("rows", [1, 64, 1000])
@pytest.mark.parametrize("dtype,atol", [(np.float32, 0.01), (np.float16, 0.05)])
def test_a_file_read_in_blocks_has_the_same_optimum(rows, dtype, atol, tmp_path, monkeypatch):
    train, labels = blobs(200, spread=2.0)
    train[:, 6] = 5.0  # constant, without a say
    test, _ = blobs(50, spread=2.0, seed=1)
    np.save(tmp_path / "h.npy", train.astype(dtype))
    monkeypatch.setattr(knn, "ROWS", rows)
    file = np.load(tmp_path / "h.npy", mmap_mode="r")
    whole = linear_probe(train, labels, test, num_classes=6)
    read = linear_probe(file, labels, test, num_classes=6)
    np.testing.assert_allclose(read[:, :5], whole[:, :5], atol=atol)
    assert np.isneginf(read[:, 5]).all()


def test_statistics_come_from_the_training_split_alone():
    train, labels = blobs(200, spread=2.0)
    test, _ = blobs(50, spread=2.0, seed=1)
    whole = linear_probe(train, labels, test, num_classes=5)
    alone = linear_probe(train, labels, test[:1], num_classes=5)
    np.testing.assert_allclose(alone, whole[:1], rtol=1e-5, atol=1e-6)


def test_dead_features_have_no_say():
    train, labels = blobs(200, spread=2.0)
    test, _ = blobs(50, spread=2.0, seed=1)
    padded = [
        np.hstack([h, np.full([len(h), 1], value)]) for h, value in ((train, 0.1), (test, 9.0))
    ]
    np.testing.assert_allclose(
        linear_probe(padded[0], labels, padded[1], num_classes=5),
        linear_probe(train, labels, test, num_classes=5),
        atol=0.02,
    )


def test_same_arrays_same_scores():
    train, labels = blobs(200, spread=2.0)
    first, second = (linear_probe(train, labels, train, num_classes=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_classes_without_examples_never_win():
    train, labels = blobs(60, spread=0.2, classes=3)
    scores = linear_probe(train, labels + 1, train, num_classes=6)
    assert np.all(np.isneginf(scores[:, [0, 4, 5]]))
    assert topk_correct(scores, labels + 1, 1) == 60


@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes(classes):
    train, labels = blobs(60, spread=0.2, classes=classes)
    scores = linear_probe(train, labels, train, num_classes=2)
    assert scores.shape == (60, 2)
    assert topk_correct(scores, labels, 1) == 60


def test_more_features_than_examples():
    train, labels = blobs(20, spread=0.2, d=50)
    assert topk_correct(linear_probe(train, labels, train, num_classes=5), labels, 1) == 20


@pytest.mark.parametrize(
    "change, message",
    [
        ({"l2": 0.0}, "`l2` must be positive. Received: l2=0.0"),
        ({"train_labels": np.arange(19) % 5}, r"train_labels.shape=\(19,\)"),
        ({"num_classes": 4}, r"`train_labels` must be in \[0, 4\)"),
        ({"train_h": np.full([20, 8], np.inf)}, "`train_h` must be finite. Received: 160 values"),
    ],
)
def test_bad_arguments(change, message):
    train, labels = blobs(20, spread=0.2)
    arguments = {"train_h": train, "train_labels": labels, "test_h": train, "num_classes": 5}
    with pytest.raises(ValueError, match=message):
        linear_probe(**{**arguments, **change})
