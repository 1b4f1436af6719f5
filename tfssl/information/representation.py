"""Properties of representations: with labels, label information; all others without labels.

Computed with NumPy, without gradients.
"""

import numpy as np
from scipy.special import log_softmax

from tfssl.information.discrete import entropy

TIE = 1e-9  # difference of cosines that is rounding


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


def lidar(views, delta=1e-4):
    """LiDAR: the effective rank of what distinguishes images, relative to how their views differ.

    Thilak et al. 2023, "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
    Architectures", arXiv:2312.04000, section 4: images are the classes of a linear discriminant
    analysis, their views the examples. S = W^-1/2 B W^-1/2 with the covariance B of the means of
    the images, and the mean covariance W of the views about their mean, plus delta I. Unlike
    RankMe, it does not count dimensions in which the views of an image differ as much as images do.

    Differs from the paper, which takes 50 views of 1,000 images: with few views W is noisier, and
    with fewer images than dimensions the rank is at most their number less one.

    Args:
        views: float [V, N, D], V >= 2 views of the same N >= 2 images in the same order.
        delta: float > 0, added to the diagonal of W; it matters where features are small.

    Returns:
        float in [1, min(N - 1, D)]; 1 if all images have the same mean.
    """
    views = np.asarray(views, np.float64)
    if views.ndim != 3 or views.shape[0] < 2 or views.shape[1] < 2:
        raise ValueError(
            "`views` must be [V, N, D] of 2 views or more of 2 images or more. "
            f"Received: shape {views.shape}"
        )
    if not delta > 0:
        raise ValueError(f"`delta` must be positive. Received: delta={delta}")
    means = views.mean(axis=0)
    apart = (views - means).reshape(-1, views.shape[2])
    within = apart.T @ apart / len(apart) + delta * np.eye(views.shape[2])
    # W^-1/2 by its Cholesky factor, another square root: S has the same eigenvalues.
    centred = np.linalg.solve(np.linalg.cholesky(within), (means - means.mean(axis=0)).T)
    return effective_rank(singular_values(centred) ** 2)


def spectrum_decay(h, first=11, last=100):
    """alpha-ReQ: the exponent of the power law that the spectrum of representations follows.

    Agrawal et al. 2022, "alpha-ReQ: Assessing Representation Quality in Self-Supervised Learning by
    Measuring Eigenspectrum Decay": the eigenvalues of the covariance are about proportional to
    rank^-alpha; near 1 is said to be good, large is near collapse, small is noise. The fit is by
    least squares of the logarithms over a range of ranks, as the first ones follow no power law
    (Stringer et al. 2019, who take ranks 11 to 500).

    Args:
        h: float [N, D].
        first, last: the ranks of the fit, counted from 1; ranks without variance are left out.

    Returns:
        float, alpha; NaN if fewer than two of these ranks have variance.
    """
    if not 1 <= first < last:
        raise ValueError(f"`first` and `last` must be 1 <= first < last. Received: {first}, {last}")
    h = np.asarray(h, np.float64)
    values = singular_values(h - h.mean(axis=0)) ** 2
    values = values[: np.count_nonzero(values > 1e-12 * values[0])]
    values = values[first - 1 : last]
    if len(values) < 2:
        return float("nan")
    ranks = np.log(first + np.arange(len(values)))
    return float(-np.polyfit(ranks, np.log(values), 1)[0])


def view_retrieval(h1, h2):
    """How often view 1 of an image retrieves view 2 of it among the views 2 of all images.

    The accuracy, without labels, of the nearest neighbour by cosine, when each image is a class of
    its own. A tie counts as a failure.

    Args:
        h1, h2: float [N, D]; row i of both belongs to the same image.

    Returns:
        float in [0, 1]; chance is 1 / N, and 0 if all are equal.
    """
    return views_found(h1, h2)[0]


def view_rank(h1, h2):
    """At which rank view 1 of an image retrieves view 2 of it among the views 2 of all images.

    Where `view_retrieval` counts first places alone, this tells how far down the others are: of
    images that come several times the views are found among the first, but not as the first.

    Args:
        h1, h2: float [N, D], N at least 2; row i of both belongs to the same image.

    Returns:
        float in [0, 1], the mean over images of (rank - 1) / (N - 1); of ties the middle rank. 0 if
        each view is found first, 1/2 by chance or if all are equal.
    """
    return views_found(h1, h2)[1]


def views_found(h1, h2):
    """`view_retrieval` and `view_rank`, a pair."""
    ranks = ranks_of_views(h1, h2)
    return float(np.mean(ranks < 0.5)), float(np.mean(ranks) / max(len(ranks) - 1, 1))


def ranks_of_views(h1, h2):
    """How many other images' views 2 are closer to view 1 of an image than its own, float [N].

    Those that are as close count half.
    """
    cosines = unit(h1) @ unit(h2).T
    own = np.diagonal(cosines).copy()[:, None]
    np.fill_diagonal(cosines, -np.inf)
    ahead, level = cosines > own + TIE, np.abs(cosines - own) <= TIE
    return ahead.sum(axis=1) + level.sum(axis=1) / 2


def neighbours_kept(before, after, k=10):
    """Mean share of the k nearest neighbours of an image that it keeps from one time to another.

    Args:
        before, after: float [N, D] and [N, E], representations of the same images in the same
            order, such as those of two checkpoints; the neighbours are among these images.
        k: integer in [1, N - 1].

    Returns:
        float in [0, 1]; about k / (N - 1) if they are unrelated, 1 if nothing changed.
    """
    if len(before) != len(after) or not 1 <= k < len(before):
        raise ValueError(
            "`before` and `after` must be of the same N images, and `k` in [1, N - 1]. "
            f"Received: {len(before)} and {len(after)} images, k={k}"
        )
    return shared(nearest(before, k), nearest(after, k))


def nearest(h, k):
    """The k nearest neighbours of each row by cosine, int [N, k], the nearest first."""
    cosines = unit(h) @ unit(h).T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def shared(one, other):
    """Mean share of the elements of each row of int [N, k] that are in the other's row, too."""
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(one, other)]))


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
