"""Loop transcriptions of the papers' formulas: slow, float64, and written to be compared by eye."""

import numpy as np


def nt_xent_loop(z1, z2, temperature, normalize=True):
    """SimCLR, Algorithm 1: rows 2k and 2k + 1 of z are the two views of image k."""
    n = len(z1)
    z = [np.asarray(v, np.float64) for pair in zip(z1, z2) for v in pair]

    def similarity(i, j):
        product = sum(a * b for a, b in zip(z[i], z[j]))
        if not normalize:
            return product
        return product / np.sqrt(sum(a * a for a in z[i]) * sum(b * b for b in z[j]))

    def ell(i, j):
        others = [similarity(i, k) / temperature for k in range(2 * n) if k != i]
        return np.logaddexp.reduce(others) - similarity(i, j) / temperature

    total = 0.0
    for k in range(n):
        total += ell(2 * k, 2 * k + 1) + ell(2 * k + 1, 2 * k)
    return total / (2 * n)


def knn_votes_loop(train_h, train_labels, h, k, num_classes, temperature):
    """Wu et al. 2018, section 3.4, for one representation: votes [num_classes]."""
    h = np.asarray(h, np.float64)
    cosines = []
    for row in np.asarray(train_h, np.float64):
        cosines.append(row @ h / (np.linalg.norm(row) * np.linalg.norm(h)))
    votes = np.zeros(num_classes)
    for i in sorted(range(len(cosines)), key=lambda i: -cosines[i])[:k]:
        votes[train_labels[i]] += np.exp(cosines[i] / temperature)
    return votes


def lars_step_loop(w, g, v, learning_rate, momentum, weight_decay, eeta, form, nesterov=False):
    """One LARS step of one adapted variable in plain float64: new weights, new buffer."""
    w, g, v = (np.asarray(x, np.float64) for x in (w, g, v))
    g = g + weight_decay * w
    u = g * eeta * np.sqrt((w**2).sum()) / np.sqrt((g**2).sum())
    if form == "classic":
        v = momentum * v + learning_rate * u
        return w - (momentum * v + learning_rate * u if nesterov else v), v
    v = momentum * v + u
    return w - learning_rate * (momentum * v + u if nesterov else v), v
