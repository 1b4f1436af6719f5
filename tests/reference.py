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


def poly_view_loop(views, temperature, normalize=True, negatives=()):
    """Shidani et al. 2024, arXiv:2403.05490, the geometric loss: views[a][i] is view a of image i.

    Of view a of image i, view b is the positive, and all views of the other images are negatives.
    """
    views = np.asarray(views, np.float64)
    negatives = [np.asarray(row, np.float64) for row in negatives]
    if normalize:
        views = [[unit(row) for row in view] for view in views]
        negatives = [unit(row) for row in negatives]
    count, n, losses = len(views), len(views[0]), []
    for a in range(count):
        for b in range(count):
            for i in range(n if a != b else 0):
                others = [views[c][j] for c in range(count) for j in range(n) if j != i]
                scores = [views[a][i] @ z / temperature for z in [views[b][i], *others, *negatives]]
                losses.append(np.logaddexp.reduce(scores) - scores[0])
    return np.mean(losses)


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


def unit(row):
    """A vector divided by its length."""
    row = np.asarray(row, np.float64)
    return row / np.sqrt(sum(x * x for x in row))


def negative_cosine_loop(p, z):
    """SimSiam, Eq. (1)."""
    return -np.mean([unit(a) @ unit(b) for a, b in zip(p, z)])


def barlow_twins_loop(z1, z2, off_diagonal, eps=0.0):
    """Barlow Twins, Eq. (1) and (2): the correlation of each dimension with each other one."""
    z1, z2 = (np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (z1, z2))
    n, dimensions = z1.shape
    total = 0.0
    for i in range(dimensions):
        for j in range(dimensions):
            norms = np.sqrt(sum(z1[:, i] ** 2) + n * eps) * np.sqrt(sum(z2[:, j] ** 2) + n * eps)
            c = sum(z1[b, i] * z2[b, j] for b in range(n)) / norms
            total += (1 - c) ** 2 if i == j else off_diagonal * c**2
    return total


def vicreg_loop(z1, z2, eps=1e-4):
    """VICReg, Algorithm 1: its terms (invariance, variance, covariance)."""
    z1, z2 = (np.asarray(z, np.float64) for z in (z1, z2))
    n, dimensions = z1.shape
    invariance = sum((a - b) ** 2 for a, b in zip(z1.flat, z2.flat)) / (n * dimensions)
    variance = covariance = 0.0
    for z in (z1, z2):
        z = z - z.mean(axis=0)
        for i in range(dimensions):
            deviation = np.sqrt(sum(z[:, i] ** 2) / (n - 1) + eps)
            variance += max(0.0, 1.0 - deviation) / dimensions
            for j in range(dimensions):
                if i != j:
                    covariance += (sum(z[:, i] * z[:, j]) / (n - 1)) ** 2 / dimensions
    return invariance, variance, covariance


def dcl_loop(z1, z2, temperature, sigma=None):
    """DCL, Eq. (6), and with `sigma` DCLW, Eq. (7): the mean over images and views."""
    views = [[unit(row) for row in z] for z in (z1, z2)]
    n = len(z1)
    closeness = [np.exp(views[0][i] @ views[1][i] / sigma) if sigma else 1.0 for i in range(n)]
    total = 0.0
    for k in range(2):
        for i in range(n):
            weight = 2 - closeness[i] / np.mean(closeness)
            negatives = [
                views[k][i] @ views[other][j] / temperature
                for other in range(2)
                for j in range(n)
                if j != i
            ]
            positive = views[k][i] @ views[1 - k][i] / temperature
            total += -weight * positive + np.log(sum(np.exp(negatives)))
    return total / (2 * n)


def moco_loop(q, k, queue, temperature):
    """MoCo, Eq. (1): for each query the logits, the positive first, and the loss."""
    logits = [
        [unit(query) @ unit(key) / temperature for key in (own, *queue)] for query, own in zip(q, k)
    ]
    return np.mean([np.log(sum(np.exp(row))) - row[0] for row in logits]), np.array(logits)


def supcon_loop(z1, z2, labels, temperature):
    """SupCon, Eq. (2), L_out: the mean over the anchors."""
    z = [unit(row) for row in (*z1, *z2)]
    images = [*range(len(z1))] * 2
    labels = [-1 - i if label < 0 else label for i, label in enumerate(labels)]
    total = 0.0
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[images[p]] == labels[images[i]]]
        denominator = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        total += -sum(
            np.log(np.exp(z[i] @ z[p] / temperature) / denominator) for p in positives
        ) / len(positives)
    return total / len(z)


def sinkhorn_loop(scores, epsilon, iterations):
    """SwAV, the listing of Appendix A.1: codes [N, K]."""
    q = np.exp(np.asarray(scores, np.float64) / epsilon).T
    q /= q.sum()
    prototypes, n = q.shape
    for _ in range(iterations):
        for row in q:
            row *= 1 / prototypes / row.sum()
        for column in q.T:
            column *= 1 / n / column.sum()
    return (q / q.sum(axis=0)).T


def softmax(row):
    exponentials = np.exp(np.asarray(row, np.float64) - np.max(row))
    return exponentials / exponentials.sum()


def cross_entropy(p, q):
    """The mean cross-entropy of the rows."""
    return np.mean([-sum(a * np.log(b)) for a, b in zip(p, q)])


def swav_loop(large, small, temperature, epsilon, iterations, queued=None):
    """SwAV, Eq. (6), averaged over the pairs of views as in the official code."""
    views = [*large, *small]
    losses = []
    for i, scores in enumerate(large):
        older = () if queued is None else queued[i]
        codes = sinkhorn_loop([*older, *scores], epsilon, iterations)[-len(scores) :]
        for v, view in enumerate(views):
            if v != i:
                predictions = [softmax(np.float64(row) / temperature) for row in view]
                losses.append(cross_entropy(codes, predictions))
    return np.mean(losses)


def dino_loop(students, teachers, center, student_temperature, teacher_temperature, momentum):
    """DINO, Algorithm 1 with multi-crop: the loss and the next center [K]."""
    center = np.asarray(center, np.float64).reshape(-1)
    losses = []
    for i, teacher in enumerate(teachers):
        targets = [softmax((row - center) / teacher_temperature) for row in np.float64(teacher)]
        for j, student in enumerate(students):
            if i != j:
                predictions = [softmax(row / student_temperature) for row in np.float64(student)]
                losses.append(cross_entropy(targets, predictions))
    outputs = np.concatenate([np.float64(teacher) for teacher in teachers])
    return np.mean(losses), momentum * center + (1 - momentum) * outputs.mean(axis=0)


def coding_rate_loop(z, eps):
    """Total coding rate by the eigenvalues of Z^T Z."""
    z = np.asarray(z, np.float64)
    n, dimensions = z.shape
    eigenvalues = np.linalg.eigvalsh(z.T @ z)
    return sum(0.5 * np.log(1 + dimensions / (n * eps) * x) for x in eigenvalues)


def emp_ssl_loop(views, eps, invariance):
    """EMP-SSL, as in the official code: the loss of views that are normalized first."""
    views = [[unit(row) for row in view] for view in views]
    mean = [sum(rows) / len(views) for rows in zip(*views)]
    total = 0.0
    for view in views:
        cosines = [row @ unit(m) for row, m in zip(view, mean)]
        total += -coding_rate_loop(view, eps) - invariance * np.mean(cosines)
    return total / len(views)


def epps_pulley_loop(samples, t):
    """LeJEPA, Algorithm 1, for one variable and the points t."""
    samples = np.asarray(samples, np.float64)
    values = []
    for point in t:
        phi = np.mean(np.exp(1j * point * samples))
        values.append(np.abs(phi - np.exp(-(point**2) / 2)) ** 2 * np.exp(-(point**2) / 2))
    steps = [(t[i + 1] - t[i]) * (values[i] + values[i + 1]) / 2 for i in range(len(t) - 1)]
    return len(samples) * sum(steps)
