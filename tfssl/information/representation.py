"""Properties of representations: alignment, uniformity, effective rank, label information.

Computed with NumPy, without gradients.
"""

import numpy as np
from scipy.special import log_softmax

from tfssl.information.discrete import entropy


def alignment(h1, h2):
    """Mean squared distance between the normalized representations of two views of an image.

    Wang and Isola 2020, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", section 4.1, alpha = 2.

    Args:
        h1, h2: float [N, D]; row i of both belongs to the same image.

    Returns:
        float in [0, 4]; 0 if the views of each image have the same direction.
    """
    return float(np.mean(np.sum((unit(h1) - unit(h2)) ** 2, axis=1)))


def uniformity(h):
    """log E exp(-2 d^2), where d is the distance between normalized representations of two images.

    Wang and Isola 2020, section 4.1, t = 2.

    Args:
        h: float [N, D], N at least 2.

    Returns:
        float in [-8, 0]; 0 if all have the same direction, about -4 if they are uniform on a sphere
        of many dimensions.
    """
    h = unit(h)
    cosines = (h @ h.T)[np.triu_indices(len(h), 1)]
    return float(np.log(np.mean(np.exp(-2 * np.maximum(2 - 2 * cosines, 0)))))


def singular_values(h):
    """Singular values of a matrix of representations in descending order.

    Computed from the eigenvalues of the smaller Gram matrix in a tenth of the time of an SVD;
    values below 1e-7 of the largest are rounding errors.

    Args:
        h: float [N, D].

    Returns:
        float64 [min(N, D)].
    """
    h = np.asarray(h, np.float64)
    gram = h @ h.T if h.shape[0] <= h.shape[1] else h.T @ h
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))[::-1]


def effective_rank(values):
    """RankMe: the exponential of the entropy of the normalized singular values.

    Garrido et al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
    Representations by Their Rank", equation 1.

    Args:
        values: the result of `singular_values`.

    Returns:
        float in [1, len(values)]; 1 if all representations are multiples of one vector.
    """
    total = np.sum(values)
    return float(np.exp(entropy(np.asarray(values) / total))) if total > 0 else 1.0


def label_information(logits, labels):
    """A lower bound on I(h; label) from a classifier of h: H(Y) - cross-entropy, in nats.

    The cross-entropy of any q(y | h) is at least H(Y | h), so this is the variational bound of
    Barber and Agakov (Proposition 5) with the classifier as q. On images that the classifier was
    not fitted to, it is a bound up to the sampling error, which is returned too. An overconfident
    classifier gives a low, even negative, bound despite a high accuracy.

    Args:
        logits: float [N, C].
        labels: int [N], in [0, C); H(Y) is computed from their frequencies.

    Returns:
        dict: `label_entropy`, `cross_entropy`, `information_bound` (their difference), and
        `information_bound_error`, the standard error of the cross-entropy. The last three are None
        if a label has probability 0.
    """
    log_p = np.take_along_axis(
        log_softmax(np.asarray(logits, np.float64), axis=1), np.asarray(labels)[:, None], axis=1
    )[:, 0]
    of_labels = entropy(np.bincount(labels) / len(labels))
    if not np.isfinite(log_p).all():
        return {
            "label_entropy": of_labels,
            "cross_entropy": None,
            "information_bound": None,
            "information_bound_error": None,
        }
    return {
        "label_entropy": of_labels,
        "cross_entropy": float(-log_p.mean()),
        "information_bound": of_labels + float(log_p.mean()),
        "information_bound_error": float(log_p.std() / np.sqrt(len(labels))),
    }


def unit(h):
    """Normalizes rows to length 1, in float64; rows of zeros are unchanged."""
    h = np.asarray(h, np.float64)
    lengths = np.linalg.norm(h, axis=1, keepdims=True)
    return h / np.where(lengths > 0, lengths, 1.0)
