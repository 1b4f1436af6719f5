"""Weighted nearest-neighbour classification of frozen representations."""

import time

import numpy as np
import tensorflow as tf

BLOCK = 512  # test rows per matmul
ROWS = 16384  # rows of a file that are in memory at once
SAMPLE = 8192  # training rows on which an estimate is timed


def knn_scores(
    train_h: np.ndarray,
    train_labels: np.ndarray,
    test_h: np.ndarray,
    *,
    k: int | tuple[int, ...],
    num_classes: int,
    temperature: float = 0.07,
    block: int = BLOCK,
) -> np.ndarray | dict[int, np.ndarray]:
    """Class scores by weighted votes of the nearest training representations.

    Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
    section 3.4: each of the k neighbours nearest by cosine similarity s votes for its class with
    weight exp(s / temperature); k = 200 and temperature = 0.07 are the paper's.

    Differs from the paper: weights are divided by that of the nearest neighbour, which changes no
    ranking of classes and cannot overflow.

    Args:
        train_h: float [M, D], training representations; converted to float32. A `np.memmap` is read
            in blocks, so that it may be larger than the memory; the neighbours are the same.
        train_labels: int [M], in [0, num_classes).
        test_h: float [N, D], representations to classify.
        k: integer in [1, M], number of neighbours; or a tuple of these, for one pass over the
            similarities.
        num_classes: integer, number of classes C.
        temperature: float > 0.
        block: integer, test rows per matmul; memory is about 4 * block * M bytes, with a file
            4 * (block + D) * 16,384 and 8 * N * k.

    Returns:
        float64 [N, C], the votes for each class; a dict {k: votes} if `k` is a tuple.

    Raises:
        ValueError: if an argument is out of its range, shapes disagree, or a representation is not
            finite.

    Example:

    ```python
    h, labels = np.eye(2).repeat(5, axis=0), np.arange(2).repeat(5)
    scores = tfssl.evaluation.knn_scores(h, labels, h, k=5, num_classes=2)
    scores.argmax(axis=1).tolist()  # [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    ```
    """
    ks = k if isinstance(k, tuple) else (k,)
    train_h, train_labels, test_h = check_split(train_h, train_labels, test_h, num_classes)
    check_k(ks, len(train_h))
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    votes = {n: [] for n in ks}
    for near, index in _neighbours(tf.math.l2_normalize(test_h, 1), train_h, max(ks), block):
        weights = np.exp((near - near[:, :1]) / temperature)
        for n in ks:
            votes[n].append(_votes(weights[:, :n], train_labels[index[:, :n]], num_classes))
    scores = {n: np.concatenate(blocks) for n, blocks in votes.items()}
    return scores if isinstance(k, tuple) else scores[k]


def check_k(ks, count):
    """Raises ValueError unless all of a tuple of k are from 1 to the number of images."""
    if not ks or min(ks) < 1 or max(ks) > count:
        raise ValueError(
            f"`k` must be in [1, {count}], the number of training images with a label; it is an "
            "argument of tfssl.evaluation.KNN and tfssl.callbacks.KNN. "
            f"Received: k={ks[0] if len(ks) == 1 else ks}"
        )


def check_split(train_h, train_labels, test_h, num_classes):
    """Checks representations and labels, and returns the representations as float32.

    A `np.memmap` of training representations stays one.

    Raises:
        ValueError: if shapes disagree, a label is outside [0, num_classes), or a representation is
            not finite.
    """
    if not isinstance(train_h, np.memmap):
        train_h = np.asarray(train_h, np.float32)
    test_h = np.asarray(test_h, np.float32)
    train_labels = np.asarray(train_labels)
    if (
        train_h.ndim != 2
        or test_h.ndim != 2
        or train_h.shape[1] != test_h.shape[1]
        or train_labels.shape != train_h.shape[:1]
    ):
        raise ValueError(
            "`train_h` must be [M, D], `train_labels` [M] and `test_h` [N, D]. Received: "
            f"train_h.shape={train_h.shape}, train_labels.shape={train_labels.shape}, "
            f"test_h.shape={test_h.shape}"
        )
    if np.any((train_labels < 0) | (train_labels >= num_classes)):
        raise ValueError(
            f"`train_labels` must be in [0, {num_classes}). Received: labels in "
            f"[{train_labels.min()}, {train_labels.max()}]"
        )
    for name, h in (("train_h", train_h), ("test_h", test_h)):
        wrong = sum(int((~np.isfinite(rows)).sum()) for _, rows in of_rows(h))
        if wrong:
            raise ValueError(f"`{name}` must be finite. Received: {wrong} values that are not")
    return train_h, train_labels, test_h


def of_rows(h, rows=None):
    """Yields (index of the first row, rows as float32): in blocks of a file, otherwise all at once.

    Args:
        h: float [N, D].
        rows: integer, rows of a block; None: ROWS.
    """
    rows = (rows or ROWS) if isinstance(h, np.memmap) else max(1, len(h))
    for start in range(0, len(h), rows):
        yield start, np.asarray(h[start : start + rows], np.float32)


def _neighbours(test_h, train_h, k, block):
    """Yields `_nearest` of each block of test rows, in order.

    Of a file the training rows are read once, and the nearest ones so far are kept for all test
    rows. Of equally near ones the first is taken, either way.
    """
    blocks = [test_h[start : start + block] for start in range(0, len(test_h), block)]
    best = [None] * len(blocks)
    for first, rows in of_rows(train_h):
        rows, last = tf.math.l2_normalize(rows, 1), first + len(rows) == len(train_h)
        for number, of in enumerate(blocks):
            near, index = _nearest(of, rows, min(k, len(rows)))
            found = near, index + first
            if best[number]:
                found = _merged(best[number], found, k)
            if last:
                best[number] = None
                yield found
            else:
                best[number] = found


def _merged(first, second, k):
    """The k nearest rows of two sorted selections, of which the first has the lower indices."""
    near, index = (np.concatenate(pair, axis=1) for pair in zip(first, second))
    order = np.argsort(-near, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, order, 1), np.take_along_axis(index, order, 1)


@tf.function(reduce_retracing=True, autograph=False)
def _top(test_h, train_h, k):
    return tf.math.top_k(tf.matmul(test_h, train_h, transpose_b=True), k)


def _nearest(test_h, train_h, k):
    """Similarities of the k nearest rows in descending order, float64, and their indices."""
    near, index = _top(test_h, train_h, k)
    return near.numpy().astype(np.float64), index.numpy()


def _votes(weights, labels, num_classes):
    """Sums the weights [N, k] by class: [N, num_classes]."""
    rows = np.arange(len(weights))[:, None]
    cells = (rows * num_classes + labels).ravel()
    total = np.bincount(cells, weights.ravel(), minlength=len(weights) * num_classes)
    return total.reshape(-1, num_classes)


def knn_seconds(m: int, n: int, dim: int, k: int) -> float:
    """Estimates the run time of `knn_scores` by timing a part of the work.

    Args:
        m, n: integers, numbers of training and test representations.
        dim: integer, their dimension.
        k: integer, the largest number of neighbours.

    Returns:
        float, seconds.

    Example:

    ```python
    tfssl.evaluation.knn_seconds(m=1000, n=100, dim=8, k=20) > 0  # True
    ```
    """
    near, rows = min(m, SAMPLE), min(n, BLOCK)
    h = np.random.default_rng(0).standard_normal((max(near, rows), dim), np.float32)
    for _ in range(2):  # the first one traces
        start = time.monotonic()
        _nearest(h[:rows], h[:near], min(k, near))
        seconds = time.monotonic() - start
    return seconds * m / near * n / rows
