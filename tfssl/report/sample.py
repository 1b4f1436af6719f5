"""Some images of a run with their representations, and what is told of them."""

import dataclasses

import numpy as np

NEIGHBOURS = 20  # of which the typicality of an image, and its predicted class, are made
TEMPERATURE = 0.07  # of votes
ROUNDING = 1e-6  # of the largest representation


@dataclasses.dataclass(frozen=True)
class Sample:
    """Images with their representations.

    Attributes:
        names: list of N texts.
        pictures: uint8 [N, S, S, 3].
        h: float [N, D], finite.
        labels: int [N], below 0 for unlabelled images.
        classes: names of the classes.
    """

    names: list[str]
    pictures: np.ndarray
    h: np.ndarray
    labels: np.ndarray
    classes: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def class_name(self, label: int) -> str:
        """The name of a class; "" for an unlabelled image."""
        if label < 0:
            return ""
        return str(self.classes[label]) if label < len(self.classes) else str(label)

    def cosines(self) -> np.ndarray:
        """Cosines of all pairs, float32 [N, N]; -inf of an image with itself."""
        h = self.h.astype(np.float32)
        h /= np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        found = h @ h.T
        np.fill_diagonal(found, -np.inf)
        return found


def neighbours(cosines: np.ndarray, count: int) -> np.ndarray:
    """The nearest others of each image, int [N, count], the nearest first."""
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def predicted(cosines: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class of each image by its nearest labelled others, and the share of its votes.

    Leaves the image itself out; votes are weighted by exp(cosine / 0.07).

    Returns:
        (int [N], float [N]); -1 and 0 where no image has a label.
    """
    known = np.flatnonzero(labels >= 0)
    if len(known) < 2:
        return np.full(len(labels), -1), np.zeros(len(labels))
    cosines = cosines[:, known]
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(known) - 1)]
    votes = np.zeros((len(labels), labels.max() + 1))
    values = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp((values - values.max(axis=1, keepdims=True)) / TEMPERATURE)
    rows = np.arange(len(labels))[:, None]
    np.add.at(votes, (rows, labels[known][nearest]), weights)
    return votes.argmax(axis=1), votes.max(axis=1) / votes.sum(axis=1)


def confusion(labels: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """How many images of each class were taken for each, int [count, count]."""
    known = labels >= 0
    table = np.zeros((count, count), int)
    np.add.at(table, (labels[known], classes[known]), 1)
    return table


def typicality(cosines: np.ndarray) -> np.ndarray:
    """Mean cosine of each image with its nearest others, float [N]; high is typical."""
    count = min(NEIGHBOURS, len(cosines) - 1)
    return -np.partition(-cosines, count - 1, axis=1)[:, :count].mean(axis=1)


def closest_pairs(cosines: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """The pairs of images with the highest cosines, each image once: (i, j, cosine)."""
    pairs, used = [], set()
    upper = np.triu(np.ones_like(cosines, bool), 1)
    order = np.argsort(np.where(upper, -cosines, np.inf), axis=None, kind="stable")
    for place in order[: 50 * count]:
        i, j = map(int, divmod(place, len(cosines)))
        if i < j and not {i, j} & used:
            pairs.append((i, j, float(cosines[i, j])))
            used |= {i, j}
        if len(pairs) == count:
            break
    return pairs


def places(h: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Places of a map in [0, 1], float [N, 2], and how they were made.

    By t-SNE if scikit-learn is installed, otherwise the first two principal components, of the
    standardized representations. Components that vary by no more than rounding are left out; if
    none is left, as of a collapsed network, all images have the same place.
    """
    h = np.asarray(h, np.float64)
    spread = h.std(axis=0)
    varies = spread > ROUNDING * np.abs(h).max()
    if not varies.any():  # t-SNE divides by the spread of its first principal component
        return np.full((len(h), 2), 0.5), "equal places, as the representations do not differ,"
    h = ((h - h.mean(axis=0)) / np.where(varies, spread, 1))[:, varies]
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        basis = np.linalg.svd(h, full_matrices=False)[2][:2]
        found, how = h @ basis.T, "the first two principal components"
    else:
        perplexity = min(30, (len(h) - 1) / 3)
        init = "pca" if h.shape[1] > 1 else "random"
        made = TSNE(2, perplexity=perplexity, init=init, random_state=seed)
        found, how = made.fit_transform(h), "t-SNE"
    if found.shape[1] < 2:
        found = np.pad(found, ((0, 0), (0, 1)))
    low, high = found.min(axis=0), found.max(axis=0)
    return (found - low) / np.where(high > low, high - low, 1), how
