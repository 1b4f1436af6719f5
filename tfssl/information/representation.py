"""What a batch of representations, or a classifier on them, says of the information they hold.

NumPy throughout: these are looked at now and then, not differentiated.
"""

import numpy as np
from scipy.special import log_softmax

from tfssl.information.discrete import entropy


def alignment(h1, h2):
    """Mean squared distance between the normalized representations of two views of an image.

    Wang and Isola 2020, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", section 4.1, alpha = 2.

    Args:
        h1, h2: float [N, D], row by row two views of one image.

    Returns:
        float in [0, 4]; 0 where both views always have one direction.
    """
    return float(np.mean(np.sum((unit(h1) - unit(h2)) ** 2, axis=1)))


def uniformity(h):
    """log E exp(-2 d^2), d the distance between normalized representations of two images.

    Wang and Isola 2020, section 4.1, t = 2.

    Args:
        h: float [N, D], N at least 2.

    Returns:
        float in [-8, 0]; 0 where all have one direction. Spread evenly over a sphere of many
        dimensions they come near -4.
    """
    h = unit(h)
    cosines = (h @ h.T)[np.triu_indices(len(h), 1)]
    return float(np.log(np.mean(np.exp(-2 * np.maximum(2 - 2 * cosines, 0)))))


def singular_values(h):
    """Singular values of the matrix of representations, float64 [min(N, D)], the largest first.

    By the eigenvalues of the smaller Gram matrix, which takes a tenth of the time; values below
    1e-7 of the largest are rounding.

    Args:
        h: float [N, D].
    """
    h = np.asarray(h, np.float64)
    gram = h @ h.T if h.shape[0] <= h.shape[1] else h.T @ h
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))[::-1]


def effective_rank(values):
    """RankMe: exp of the entropy of the singular values, as a distribution.

    Garrido et al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
    Representations by Their Rank", equation 1.

    Args:
        values: what `singular_values` returned.

    Returns:
        float in [1, len(values)]; 1 where all representations are multiples of one, or 0.
    """
    total = np.sum(values)
    return float(np.exp(entropy(np.asarray(values) / total))) if total > 0 else 1.0


def label_information(logits, labels):
    """A lower bound on I(h; label) by a classifier of h: H(Y) - cross-entropy, in nats.

    The cross-entropy of any q(y | h) is at least H(Y | h), so this is the variational bound of
    Barber and Agakov (Proposition 5) with the classifier as q. On images that the classifier did
    not learn from it is below the truth up to the sampling error, which is given with it. An
    overconfident classifier makes it low, even negative, though its accuracy be high.

    Args:
        logits: float [N, C].
        labels: int [N], in [0, C); their frequencies give H(Y).

    Returns:
        dict: `label_entropy`, `cross_entropy`, `information_bound` = the first minus the second,
        and `information_bound_error`, the standard error of the mean that the cross-entropy is;
        the last three None where a label has no probability.
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
    """Rows of length 1, in float64; a row of zeros stays as it is."""
    h = np.asarray(h, np.float64)
    lengths = np.linalg.norm(h, axis=1, keepdims=True)
    return h / np.where(lengths > 0, lengths, 1.0)
