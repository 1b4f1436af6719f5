"""Linear evaluation: a linear classifier on frozen representations."""

import time
import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from tfssl.evaluation.knn import check_split, of_rows

MAX_ITERATIONS = 500
EVALUATIONS = 80  # of the objective in a typical fit: 20 to 130 with this preconditioner
SAMPLE = 4096  # rows on which an estimate is timed


def linear_probe(
    train_h: np.ndarray,
    train_labels: np.ndarray,
    test_h: np.ndarray,
    *,
    num_classes: int,
    l2: float = 1e-3,
) -> np.ndarray:
    """Class scores of a multinomial logistic regression on standardised representations.

    The protocol of Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?", which
    SimCLR's transfer results follow: L-BFGS over the whole training split, no augmentation. It
    minimises mean cross-entropy + l2 / 2 * ||W||^2 (the bias is not penalised) from W = 0, so the
    result is deterministic.

    Differs from the protocol: features are standardised to mean 0 and variance 1 over the training
    split, so that `l2` is independent of the scale of the encoder, and `l2` is fixed instead of
    searched, so that no labels of other splits are used. Its default was chosen on 5,000 held-out
    *training* images of CIFAR-10, with 10,000 to fit and 512 features of a small convolutional
    network: from 3e-4 to 3e-3, held-out accuracy changes by 0.7 points for a random network and 0.3
    for a trained one. With only 1,000 images to fit, 1e-2 and above was better by 2 to 6 points.

    Args:
        train_h: float [M, D], training representations; converted to float32. A `np.memmap` is read
            in blocks for every evaluation of the objective, so that it may be larger than the
            memory; the optimum is the same, up to rounding.
        train_labels: int [M], in [0, num_classes).
        test_h: float [N, D], representations to classify.
        num_classes: integer, number of classes C.
        l2: float > 0, the weight penalty; relative to the mean cross-entropy, hence independent of
            M.

    Returns:
        float32 [N, C], logits; -inf for classes that have no training example.

    Raises:
        ValueError: if an argument is out of its range, shapes disagree, or a representation is not
            finite.

    Example:

    ```python
    h, labels = np.eye(2).repeat(5, axis=0), np.arange(2).repeat(5)
    logits = tfssl.evaluation.linear_probe(h, labels, h, num_classes=2)
    logits.argmax(axis=1).tolist()  # [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    ```
    """
    train_h, train_labels, test_h = check_split(train_h, train_labels, test_h, num_classes)
    if not l2 > 0:
        raise ValueError(f"`l2` must be positive. Received: l2={l2}")
    center, scale = _moments(train_h)
    classes, targets = np.unique(train_labels, return_inverse=True)
    stored = isinstance(train_h, np.memmap)
    blocks = Stored(train_h, center, scale) if stored else [(0, (train_h - center) / scale)]
    basis, penalties = _preconditioner(blocks, len(train_h), l2, len(classes))
    blocks = blocks if stored else [(0, blocks[0][1] @ basis)]
    weights = _fit(blocks, targets, penalties, len(classes), basis if stored else None)
    scores = np.full([len(test_h), num_classes], -np.inf, np.float32)
    scores[:, classes] = (test_h - center) / scale @ basis @ weights[:-1] + weights[-1]
    return scores


class Stored:
    """Standardised rows of a file, which are computed whenever they are iterated over.

    Args:
        h: `np.memmap` [M, D].
        center, scale: float32 [D].
    """

    def __init__(self, h, center, scale):
        self.h, self.center, self.scale = h, center, scale

    def __iter__(self):
        for first, rows in of_rows(self.h):
            yield first, (rows - self.center) / self.scale


def _moments(h):
    """Mean and standard deviation of each feature; infinite (weight 0) for constant features."""
    if isinstance(h, np.memmap):
        mean = sum(rows.sum(0, dtype=np.float64) for _, rows in of_rows(h)) / len(h)
        squares = sum(((rows - mean) ** 2).sum(0) for _, rows in of_rows(h))
        deviation = np.sqrt(squares / len(h))
    else:
        mean, deviation = h.mean(0, dtype=np.float64), h.std(0, dtype=np.float64)
    alive = deviation > 1e-6 * np.abs(mean)
    return mean.astype(np.float32), np.where(alive, deviation, np.inf).astype(np.float32)


def _preconditioner(blocks, count, l2, num_classes):
    """A basis [D, D] that whitens the Hessian at W = 0, and the penalty of each direction.

    Features of an encoder are strongly correlated, which slows L-BFGS down. In this basis it takes
    a third to a fifth of the steps to the same optimum.
    """
    variances, axes = np.linalg.eigh(sum(rows.T @ rows for _, rows in blocks) / count)
    lengths = 1 / np.sqrt(np.maximum(variances, 0) / num_classes + l2)
    return axes * lengths, l2 * lengths[:, None] ** 2


def _fit(blocks, targets, penalties, num_classes, basis=None):
    """Weights [D + 1, C], the bias last, that minimise the penalised mean cross-entropy."""
    result = _descend(blocks, targets, penalties, num_classes, MAX_ITERATIONS, basis)
    if result.nit >= MAX_ITERATIONS:
        warnings.warn(f"The linear probe did not converge in {MAX_ITERATIONS} iterations.")
    return result.x.reshape(len(penalties) + 1, num_classes).astype(np.float32)


def _descend(blocks, targets, penalties, num_classes, iterations, basis=None):
    """Runs SciPy's L-BFGS from 0 for at most `iterations`."""
    shape = (len(penalties) + 1, num_classes)
    return minimize(
        _objective(blocks, targets, penalties, shape, basis),
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "gtol": 1e-5, "ftol": 1e-9},
    )


def _objective(blocks, targets, penalties, shape, basis=None):
    """The function from flat weights to (penalised mean cross-entropy, gradient).

    Args:
        blocks: iterable of (index of the first row, rows float32 [N, D]), passed through once for
            each call.
        targets: int [M], in [0, C).
        penalties: float [D, 1], of the weights in each direction.
        shape: (D + 1, C) of the weights, the bias last.
        basis: float32 [D, D] in which the weights are; None: the rows are in it already.
    """
    count = len(targets)

    def of_block(inner, bias, x, labels):
        rows = np.arange(len(x))
        log_p = log_softmax(x @ inner + bias, axis=1)
        loss = -log_p[rows, labels].sum(dtype=np.float64) / count
        error = np.exp(log_p)
        error[rows, labels] -= 1
        error /= count
        return loss, np.vstack([x.T @ error, error.sum(0)])

    def objective(flat):
        weights = flat.reshape(shape).astype(np.float32)
        inner = weights[:-1] if basis is None else basis @ weights[:-1]
        decay = penalties * weights[:-1]
        loss, gradient = 0.5 * np.sum(decay * weights[:-1]), 0.0
        for first, x in blocks:
            part, change = of_block(inner, weights[-1], x, targets[first : first + len(x)])
            loss, gradient = loss + part, gradient + change
        if basis is not None:
            gradient[:-1] = basis.T @ gradient[:-1]
        gradient[:-1] += decay
        return float(loss), gradient.ravel().astype(np.float64)

    return objective


def linear_seconds(n: int, dim: int, num_classes: int) -> float:
    """Estimates the run time of `linear_probe` by timing a part of the work.

    Args:
        n: integer, number of representations to fit.
        dim: integer, their dimension D.
        num_classes: integer, number of classes C.

    Returns:
        float, seconds. A fit that converges slowly takes up to 6 times as long.

    Example:

    ```python
    tfssl.evaluation.linear_seconds(n=100, dim=8, num_classes=2) > 0  # True
    ```
    """
    rows, side = min(n, SAMPLE), min(dim, 512)
    h = np.random.default_rng(0).standard_normal((rows, dim), np.float32)
    square = np.resize(h, (dim, dim))

    def prepare():
        center, scale = _moments(h)
        return h.T @ h, ((h - center) / scale) @ square

    def decompose():
        np.linalg.eigh(h[:, :side].T @ h[:, :side])

    def descend():
        return _descend(
            [(0, h)],
            np.arange(rows) % num_classes,
            np.full((dim, 1), 1e-3, np.float32),
            num_classes,
            iterations=10,
        ).nfev

    descend()  # warm-up: the first access to memory is slow
    (once, _), (steps, count), (decomposing, _) = map(_timed, (prepare, descend, decompose))
    return n / rows * (once + EVALUATIONS * steps / count) + (dim / side) ** 3 * decomposing


def _timed(work):
    """Calls `work` and returns its run time in seconds and its result."""
    start = time.monotonic()
    result = work()
    return time.monotonic() - start, result
