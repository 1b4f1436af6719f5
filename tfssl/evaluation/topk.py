"""Exact counts of correct predictions."""

import numpy as np

TOP = (1, 5)  # the values of k for which accuracies are reported


def telling(num_classes: int | None) -> tuple[int, ...]:
    """The values of k in TOP whose accuracy is informative: 1, and those below `num_classes`.

    Args:
        num_classes: integer; None if unknown, for all of TOP.

    Returns:
        tuple of integers.

    Example:

    ```python
    tfssl.evaluation.telling(10)  # (1, 5)
    tfssl.evaluation.telling(5)  # (1,)
    ```
    """
    return tuple(k for k in TOP if k == 1 or num_classes is None or k < num_classes)


def topk_correct(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """Counts the rows whose label is among the k highest scores.

    Ties count against the prediction: a row is correct only if fewer than `k` other classes score
    at least as high, so a constant predictor is never correct for k < C. A row with a NaN is
    incorrect. Counts, unlike means, add up exactly over batches of unequal size.

    Differs from `tf.math.in_top_k`, which counts ties in favour of the prediction.

    Args:
        scores: float [N, C], logits, probabilities or votes; higher is likelier.
        labels: int [N], in [0, C).
        k: integer >= 1; if k >= C, every row without a NaN is correct.

    Returns:
        int in [0, N].

    Raises:
        ValueError: if `k` < 1, or shapes or labels are out of range.

    Example:

    ```python
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])
    tfssl.evaluation.topk_correct(scores, [1, 0], k=1)  # 1
    tfssl.evaluation.topk_correct(scores, [1, 0], k=2)  # 2
    ```
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if k < 1:
        raise ValueError(f"`k` must be at least 1. Received: k={k}")
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            "`scores` must be [N, C] and `labels` [N]. "
            f"Received: scores.shape={scores.shape}, labels.shape={labels.shape}"
        )
    if np.any((labels < 0) | (labels >= scores.shape[1])):
        raise ValueError(
            f"`labels` must be in [0, {scores.shape[1]}). "
            f"Received: labels in [{labels.min()}, {labels.max()}]"
        )
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    rivals = np.sum(scores >= own, axis=1) - 1
    return int(np.sum((rivals < k) & ~np.isnan(scores).any(axis=1)))


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Exact counts of correct rows, and accuracies in [0, 1], for each k in TOP.

    Args:
        scores: float [N, C], as for `topk_correct`; N at least 1.
        labels: int [N], in [0, C).

    Returns:
        A dict: "examples" N, "classes" C, "correct_top_1", "correct_top_5", and "top_1", "top_5",
        the counts divided by N.

    Example:

    ```python
    found = tfssl.evaluation.accuracies(np.eye(4, 10), np.array([0, 1, 2, 9]))
    found["correct_top_1"], found["top_1"]  # (3, 0.75)
    ```
    """
    counts = {k: topk_correct(scores, labels, k) for k in TOP}
    return {
        "examples": len(labels),
        "classes": scores.shape[1],
        **{f"correct_top_{k}": count for k, count in counts.items()},
        **{f"top_{k}": count / len(labels) for k, count in counts.items()},
    }
