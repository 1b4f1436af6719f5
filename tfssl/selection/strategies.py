"""Strategies that select the images to label: each returns indices, the first to label first."""

from collections.abc import Sequence

import numpy as np

from tfssl.selection.pool import Pool

NEIGHBOURS = 20  # of which the typicality of an image is made
MOST_CLUSTERS = 500
LEAST_IMAGES = 5  # of a cluster
EXACT_CLUSTERS = 50  # up to so many by k-means of all images, more of minibatches
ROWS = 2048  # of a block of distances


def typical(
    h: np.ndarray,
    count: int,
    labelled: Sequence[int] = (),
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """TypiClust: the most typical image of each cluster that has no label yet.

    Hacohen, Dekel and Weinshall 2022, "Active Learning on a Budget: Opposite Strategies Suit High
    and Low Budgets", ICML, section 3.2, with the constants of its code: as many clusters as there
    will be labels, at most 500, by k-means; those with fewest labels first, of these the largest,
    at least 5 images; in a cluster the image with the smallest mean distance to its 20 nearest
    neighbours. For few labels, up to some tens per class.

    Args:
        h: float [N, D], representations; they are normalized.
        count: integer, how many images to select.
        labelled: indices of images that have a label already.
        groups: int [N], see `tfssl.selection.pool.Pool`; None: no groups.
        seed: integer, of k-means.

    Returns:
        int [count], indices.

    Raises:
        ValueError: an argument has another form or value than described here.
        ImportError: scikit-learn is not installed.

    Example:

    ```python
    h = np.repeat(np.eye(3), 10, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(30, 3))
    sorted(tfssl.selection.typical(h, 3) // 10)  # [0, 1, 2]
    ```
    """
    h = normalized(h)
    pool = Pool(len(h), count, labelled, groups)
    clusters = cluster(h, min(len(pool.labelled) + count, MOST_CLUSTERS), seed)
    sizes = np.bincount(clusters)
    labels = np.bincount(clusters[pool.labelled], minlength=len(sizes))
    typicality = np.full(len(h), -np.inf)
    for number in np.flatnonzero(sizes):
        members = np.flatnonzero(clusters == number)
        typicality[members] = -mean_distance(h[members], NEIGHBOURS)
    chosen = []
    for _ in range(count):
        open_ones = pool.open()
        there = np.bincount(clusters[open_ones], minlength=len(sizes)) > 0
        large = there & (sizes >= LEAST_IMAGES)
        candidates = np.flatnonzero(large if large.any() else there)
        number = min(candidates, key=lambda one: (labels[one], -sizes[one]))
        scores = np.where(open_ones & (clusters == number), typicality, -np.inf)
        chosen.append(pool.take(np.argmax(scores)))
        labels[number] += 1
    return np.array(chosen)


def coverage(
    h: np.ndarray,
    count: int,
    labelled: Sequence[int] = (),
    groups: Sequence[int] | None = None,
) -> np.ndarray:
    """The greedy k-center: each image is the one farthest from all that were selected before.

    Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach", algorithm 1, on normalized representations. Without labels it begins with the image
    nearest to the mean. It covers what is rare, and outliers.

    Args:
        h, count, labelled, groups: see `typical`.

    Returns:
        int [count], indices.

    Raises:
        ValueError: an argument has another form or value than described here.

    Example:

    ```python
    h = np.array([[1, 0.1], [1, 0.0], [0, 1], [-1, 0]])
    tfssl.selection.coverage(h, 2, labelled=[0])  # array([3, 2])
    ```
    """
    h = normalized(h)
    pool = Pool(len(h), count, labelled, groups)
    nearest = np.full(len(h), np.inf)
    for index in pool.labelled:
        nearest = np.minimum(nearest, squared_distances(h, h[index][None])[:, 0])
    chosen = []
    for _ in range(count):
        scores = nearest
        if not np.isfinite(nearest).all():  # nothing is labelled
            scores = -squared_distances(h, h.mean(axis=0, keepdims=True))[:, 0]
        chosen.append(pool.take(np.argmax(np.where(pool.open(), scores, -np.inf))))
        nearest = np.minimum(nearest, squared_distances(h, h[chosen[-1]][None])[:, 0])
    return np.array(chosen)


def uncertain(
    probabilities: np.ndarray,
    count: int,
    labelled: Sequence[int] = (),
    groups: Sequence[int] | None = None,
) -> np.ndarray:
    """The images whose two likeliest classes are nearest to each other.

    Scheffer, Decomain and Wrobel 2001, "Active Hidden Markov Models for Information Extraction":
    the smallest margin. For when there are labels enough for a classifier; with few, typical images
    serve better.

    Args:
        probabilities: float [N, C], C at least 2, of a classifier.
        count, labelled, groups: see `typical`.

    Returns:
        int [count], indices.

    Raises:
        ValueError: an argument has another form or value than described here.

    Example:

    ```python
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]])
    tfssl.selection.uncertain(probabilities, 2)  # array([1, 2])
    ```
    """
    probabilities = matrix("probabilities", probabilities)
    if probabilities.shape[1] < 2:
        raise ValueError(
            f"`probabilities` must be of 2 classes or more. Received: {probabilities.shape[1]}"
        )
    top = np.sort(probabilities, axis=1)[:, -2:]
    return in_order(top[:, 0] - top[:, 1], Pool(len(top), count, labelled, groups), count)


def uniform(
    size: int,
    count: int,
    labelled: Sequence[int] = (),
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Images at random.

    Args:
        size: integer, number of images, N.
        count, labelled, groups: see `typical`.
        seed: integer; more images with the same seed begin with the same ones.

    Returns:
        int [count], indices.

    Raises:
        ValueError: an argument has another form or value than described here.

    Example:

    ```python
    len(set(tfssl.selection.uniform(10, 4, labelled=[0, 1])) & set(range(2, 10)))  # 4
    ```
    """
    pool = Pool(size, count, labelled, groups)
    return in_order(-np.random.default_rng(seed).permutation(size), pool, count)


def in_order(scores, pool, count):
    """The images of a pool with the highest scores, as far as groups allow."""
    chosen = [pool.take(np.argmax(np.where(pool.open(), scores, -np.inf))) for _ in range(count)]
    return np.array(chosen)


def matrix(name, values):
    """Values as float [N, D].

    Raises:
        ValueError: they are not finite, or of another shape.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must be finite numbers of shape [N, D]. Received: shape {values.shape}"
            + ("" if values.ndim != 2 else ", with NaN or infinity")
        )
    return values


def normalized(h):
    """Representations with length 1, float32 [N, D]; rows of zeros stay."""
    h = matrix("h", h).astype(np.float32)
    lengths = np.linalg.norm(h, axis=1, keepdims=True)
    return h / np.where(lengths > 0, lengths, 1)


def cluster(h, count, seed):
    """The number of the cluster of each row, int [N], by k-means."""
    try:
        from sklearn.cluster import KMeans, MiniBatchKMeans
    except ImportError:
        raise ImportError(
            "Typical images need scikit-learn: pip install 'tfssl[pictures]'"
        ) from None
    if count <= EXACT_CLUSTERS:
        return KMeans(count, n_init=1, random_state=seed).fit_predict(h)
    return MiniBatchKMeans(count, n_init=1, batch_size=5000, random_state=seed).fit_predict(h)


def mean_distance(h, count):
    """Mean distance of each row to its `count` nearest others, float [N]; 0 for a single row."""
    count = min(count, len(h) - 1)
    if not count:
        return np.zeros(len(h))
    found = []
    for start in range(0, len(h), ROWS):
        rows = h[start : start + ROWS]
        distances = squared_distances(rows, h)
        distances[np.arange(len(rows)), start + np.arange(len(rows))] = 0  # without rounding
        nearest = np.partition(distances, count, axis=1)[:, : count + 1]  # itself among them
        found.append(np.sqrt(nearest).sum(axis=1) / count)
    return np.concatenate(found)


def squared_distances(one, other):
    """Squared distances of rows of length 1 or 0, and others, [N, M]."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.maximum(squares, 0)
