"""Exact counts of correct predictions."""

import numpy as np

TOP = (1, 5)  # the k of the accuracies that are reported


def telling(num_classes: int | None) -> tuple[int, ...]:
    """The k of TOP whose accuracy says something: of 5 classes, the top 5 are all there are.

    Args:
        num_classes: integer; None where it is not known, for all of TOP.
    """
    return tuple(k for k in TOP if k == 1 or num_classes is None or k < num_classes)


def topk_correct(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """Number of rows whose label is among the k highest scores.

    Ties count against the prediction: a label is right only if fewer than `k` other classes score
    at least as high, so a constant predictor is never right for k < C. A row that holds a NaN is
    wrong. Counts, unlike means, add up exactly over batches of unequal size.

    Differs from `tf.math.in_top_k`, which counts ties in favour of the prediction.

    Args:
        scores: float [N, C], logits, probabilities or votes; higher is likelier.
        labels: int [N], in [0, C).
        k: integer >= 1; if k >= C, every row free of NaN is right.

    Returns:
        int in [0, N].

    Raises:
        ValueError: if `k` < 1, or shapes or labels are out of range.
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
    """Exact counts, and accuracies in [0, 1], for every k of TOP.

    Args:
        scores: float [N, C], as for `topk_correct`; N at least 1.
        labels: int [N], in [0, C).

    Returns:
        A dict: "examples" N, "classes" C, "correct_top_1", "correct_top_5", and "top_1", "top_5",
        the counts divided by N.
    """
    counts = {k: topk_correct(scores, labels, k) for k in TOP}
    return {
        "examples": len(labels),
        "classes": scores.shape[1],
        **{f"correct_top_{k}": count for k, count in counts.items()},
        **{f"top_{k}": count / len(labels) for k, count in counts.items()},
    }
