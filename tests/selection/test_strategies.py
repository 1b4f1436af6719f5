"""Which images are selected: by loops, by what each strategy promises, and by groups."""

import sys

import numpy as np
import pytest

from tfssl.selection import coverage, strategies, typical, uncertain, uniform

RNG = np.random.default_rng(0)


def blobs(sizes, spread=0.05, dim=8, seed=0):
    """Points around orthogonal directions, and which each is of."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(dim)[of] + spread * rng.normal(size=(len(of), dim)), of


ALL = {
    "typical": lambda h, *args, **options: typical(h, *args, **options),
    "coverage": lambda h, *args, **options: coverage(h, *args, **options),
    "uncertain": lambda h, *args, **options: uncertain(np.abs(h), *args, **options),
    "uniform": lambda h, *args, **options: uniform(len(h), *args, **options),
}


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
def test_what_is_selected_is_new_and_has_no_label(strategy):
    h, _ = blobs([20, 10, 30])
    labelled = [3, 25, 59]
    found = strategy(h, 12, labelled)
    assert len(set(found)) == 12 and not set(found) & set(labelled)
    assert list(found) == list(strategy(h, 12, labelled))
    assert sorted(strategy(h, 57, labelled)) == sorted(set(range(60)) - set(labelled))


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
def test_each_group_gives_one_image_before_any_gives_two(strategy):
    h, _ = blobs([40, 20])
    groups = np.arange(60) // 4  # 15 groups of 4
    labelled = [0, 1, 5]  # two of the first group, one of the second
    found = strategy(h, 30, labelled, groups=groups)
    order = [groups[index] for index in found]
    assert len(set(order[:13])) == 13 and not {0, 1} & set(order[:13])
    counts = np.bincount([*groups[labelled], *order], minlength=15)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "count,options,message",
    [
        (0, {}, "`count` must be from 1 to 9, the images without a label. Received: 0"),
        (10, {}, "`count` must be from 1 to 9, the images without a label. Received: 10"),
        (2.5, {}, "`count` must be from 1 to 9, the images without a label. Received: 2.5"),
        (2, {"labelled": [10]}, "`labelled` must be indices from 0 to 9. Received: 10 to 10"),
        (2, {"groups": [1, 2]}, "`groups` must give a group for each of the 10 images."),
    ],
)
def test_mistakes(strategy, count, options, message):
    with pytest.raises(ValueError, match=message):
        strategy(blobs([10])[0], count, **{"labelled": [4], **options})


@pytest.mark.parametrize("strategy", [typical, coverage])
def test_representations_must_be_finite_rows(strategy):
    with pytest.raises(ValueError, match=r"`h` must be finite numbers of shape \[N, D\]"):
        strategy(np.full((4, 3), np.nan), 2)
    with pytest.raises(ValueError, match="Received: shape .4, 3, 2."):
        strategy(np.ones((4, 3, 2)), 2)


def test_typical_images_are_one_of_each_cluster_the_largest_first():
    h, of = blobs([10, 40, 20, 30])
    assert list(of[typical(h, 4)]) == [1, 3, 2, 0]
    labelled = [0, 12, 13]  # of the first and the second cluster
    found = typical(h, 1, labelled, seed=3)
    assert of[found[0]] in (2, 3)


def test_a_typical_image_is_the_one_in_the_densest_place():
    h, of = blobs([30, 30], spread=0.2)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    for index in typical(h, 2):
        members = np.flatnonzero(of == of[index])
        distances = np.linalg.norm(unit[members][:, None] - unit[members], axis=2)
        means = np.sort(distances, axis=1)[:, 1:21].mean(axis=1)
        assert members[np.argmin(means)] == index


def test_outliers_are_not_typical():
    h, of = blobs([30, 30, 2])  # the last two are a cluster of their own
    assert 2 not in of[typical(h, 3)]


def test_many_clusters_by_minibatches():
    h, of = blobs([8] * 64, dim=64)
    found = typical(h, 64)
    assert len(set(of[found])) > 48  # k-means of minibatches is not exact


def test_distances_to_neighbours_by_a_loop(monkeypatch):
    monkeypatch.setattr(strategies, "ROWS", 7)
    h = strategies.normalized(RNG.normal(size=(30, 5)))
    distances = np.linalg.norm(h[:, None] - h, axis=2)
    expected = np.sort(distances, axis=1)[:, 1:5].mean(axis=1)
    np.testing.assert_allclose(strategies.mean_distance(h, 4), expected, rtol=1e-3)
    assert strategies.mean_distance(h[:1], 4) == 0
    np.testing.assert_allclose(  # fewer than asked for
        strategies.mean_distance(h[:3], 4),
        np.sort(distances[:3, :3])[:, 1:].mean(axis=1),
        rtol=1e-3,
    )


def test_coverage_by_a_loop():
    h = RNG.normal(size=(40, 6))
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    chosen = [7, 11]
    for _ in range(5):
        nearest = [min(np.linalg.norm(row - unit[one]) for one in chosen) for row in unit]
        chosen.append(int(np.argmax(nearest)))
    assert list(coverage(h, 5, labelled=[7, 11])) == chosen[2:]


def test_coverage_begins_in_the_middle():
    h, of = blobs([50, 5])
    first = coverage(h, 1)[0]
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    assert first == np.argmin(np.linalg.norm(unit - unit.mean(axis=0), axis=1)) and of[first] == 0


def test_uncertain_images_have_the_smallest_margin():
    logits = RNG.normal(size=(30, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    margins = [np.diff(np.sort(row)[-2:])[0] for row in probabilities]
    assert list(uncertain(probabilities, 30)) == list(np.argsort(margins))
    with pytest.raises(ValueError, match="must be of 2 classes or more. Received: 1"):
        uncertain(np.ones((4, 1)), 2)


def test_random_images_are_uniform_and_more_of_them_begin_alike():
    assert list(uniform(50, 20, seed=4))[:7] == list(uniform(50, 7, seed=4))
    counts = np.bincount(
        np.concatenate([uniform(10, 3, seed=seed) for seed in range(1000)]), minlength=10
    )
    assert counts.min() > 230 and counts.max() < 370  # 300 expected, 5 deviations


def test_without_scikit_learn_typical_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match="pip install 'tfssl.pictures.'"):
        typical(blobs([20])[0], 2)
