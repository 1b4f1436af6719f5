"""What is said of representations: closed forms, and a collapse that cannot be overlooked."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import build_method, random_views
from tfssl.callbacks.tensorboard import InformationScalars
from tfssl.information import representation
from tfssl.runner.build import BUILDERS as METHODS

RNG = np.random.default_rng(0)


def test_alignment_is_2_minus_2_cosines():
    h1, h2 = RNG.normal(size=(2, 50, 8))
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(h1, h2)]
    assert representation.alignment(h1, h2) == pytest.approx(2 - 2 * np.mean(cosines))
    assert representation.alignment(h1, 3 * h1) == pytest.approx(0, abs=1e-12)
    assert representation.alignment(h1, -h1) == pytest.approx(4)


def test_uniformity_by_pairs_and_at_its_ends():
    h = RNG.normal(size=(20, 3))
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    pairs = [np.exp(-2 * np.sum((u[i] - u[j]) ** 2)) for i in range(20) for j in range(i)]
    assert representation.uniformity(h) == pytest.approx(np.log(np.mean(pairs)))
    assert representation.uniformity(np.ones((9, 4))) == pytest.approx(0, abs=1e-9)
    assert representation.uniformity([[1.0, 0.0], [-2.0, 0.0]]) == pytest.approx(-8)
    even = representation.uniformity(RNG.normal(size=(500, 400)))
    assert even == pytest.approx(-4, abs=0.05)  # nearly all pairs are orthogonal


def test_singular_values_are_numpys():
    for shape in ((6, 9), (9, 6)):
        h = RNG.normal(size=shape)
        np.testing.assert_allclose(
            representation.singular_values(h), np.linalg.svd(h, compute_uv=False), rtol=1e-6
        )


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_effective_rank_of_equal_singular_values_is_their_number(rank):
    basis = (
        np.linalg.qr(RNG.normal(size=(20, rank)))[0]
        @ np.linalg.qr(RNG.normal(size=(12, rank)))[0].T
    )
    values = representation.singular_values(5 * basis)
    assert representation.effective_rank(values) == pytest.approx(rank, rel=1e-3)
    assert representation.effective_rank(3 * values) == pytest.approx(rank, rel=1e-3)


def lidar_by_eigenvectors(views, delta=1e-4):
    """Thilak et al. 2023, section 4, term by term, with the symmetric square root of W."""
    count, n, dim = views.shape
    means, centre = views.mean(axis=0), views.mean(axis=(0, 1))
    between = sum(np.outer(m - centre, m - centre) for m in means) / n
    within = delta * np.eye(dim)
    for view in views:
        for row, mean in zip(view, means):
            within += np.outer(row - mean, row - mean) / (n * count)
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    p = np.maximum(np.linalg.eigvalsh(root @ between @ root), 0)
    p = p[p > 1e-12] / p.sum()
    return np.exp(-np.sum(p * np.log(p)))


@pytest.mark.parametrize("count,n,dim", [(2, 30, 6), (4, 12, 20), (3, 2, 5)])
def test_lidar_by_its_definition(count, n, dim):
    views = RNG.normal(size=(1, n, dim)) + 0.3 * RNG.normal(size=(count, n, dim))
    assert representation.lidar(views) == pytest.approx(lidar_by_eigenvectors(views), rel=1e-6)


def test_lidar_counts_the_dimensions_in_which_images_differ_more_than_their_views():
    signal = np.zeros((1, 4000, 10))
    signal[..., :3] = RNG.normal(size=(1, 4000, 3))  # three dimensions tell images apart
    noise = np.zeros((6, 4000, 10))
    noise[..., 3:] = 30 * RNG.normal(size=(6, 4000, 7))  # seven differ between views alone
    noise[..., :3] = 0.01 * RNG.normal(size=(6, 4000, 3))
    assert representation.lidar(signal + noise) == pytest.approx(3, abs=0.05)
    rank = representation.effective_rank(representation.singular_values((signal + noise)[0]))
    assert rank > 6  # RankMe counts those of the views
    turn = np.linalg.qr(RNG.normal(size=(10, 10)))[0]
    assert representation.lidar((signal + noise) @ turn) == pytest.approx(3, abs=0.05)


def test_lidar_of_equal_images_is_one():
    assert representation.lidar(np.ones((2, 8, 4))) == 1.0
    shared = np.broadcast_to(RNG.normal(size=(3, 1, 4)), (3, 8, 4))  # views differ, images do not
    assert representation.lidar(shared) == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_spectrum_decay_of_a_power_law(alpha):
    values = np.arange(1, 61) ** -alpha
    left = RNG.normal(size=(200, 60))
    left = np.linalg.qr(left - left.mean(axis=0))[0]  # orthogonal columns of mean zero
    right = np.linalg.qr(RNG.normal(size=(60, 60)))[0]
    h = left @ np.diag(values**0.5) @ right + 7.0  # a common offset is no variance
    assert representation.spectrum_decay(h) == pytest.approx(alpha, abs=1e-3)
    assert representation.spectrum_decay(100 * h, first=1, last=20) == pytest.approx(
        alpha, abs=1e-3
    )


def test_spectrum_decay_needs_two_ranks_with_variance():
    assert math.isnan(representation.spectrum_decay(RNG.normal(size=(40, 11))))
    assert not math.isnan(representation.spectrum_decay(RNG.normal(size=(40, 12))))
    assert math.isnan(representation.spectrum_decay(np.ones((40, 30))))


def test_view_retrieval_by_a_loop_and_at_its_ends():
    h1 = RNG.normal(size=(40, 3))
    h2 = h1 + RNG.normal(size=(40, 3))
    hits = 0
    for i, row in enumerate(h1):
        cosines = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in h2]
        hits += np.argmax(cosines) == i
    assert representation.view_retrieval(h1, h2) == pytest.approx(hits / 40) and 0 < hits < 40
    assert representation.view_retrieval(h1, 2 * h1) == 1
    assert representation.view_retrieval(np.ones((40, 3)), np.ones((40, 3))) == 0
    assert representation.view_retrieval(h1, np.roll(h1, 1, axis=0)) == 0


def test_view_rank_by_a_loop_and_at_its_ends():
    h1 = RNG.normal(size=(40, 3))
    h2 = h1 + RNG.normal(size=(40, 3))
    ranks = []
    for i, row in enumerate(h1):
        cosines = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in h2]
        ranks.append(sorted(cosines, reverse=True).index(cosines[i]) / 39)
    assert representation.view_rank(h1, h2) == pytest.approx(np.mean(ranks)) and min(ranks) == 0
    assert representation.view_rank(h1, 2 * h1) == 0
    assert representation.view_rank(np.ones((40, 3)), np.ones((40, 3))) == 0.5
    assert representation.view_rank(np.eye(4), -np.eye(4)) == 1
    chance = representation.view_rank(RNG.normal(size=(400, 8)), RNG.normal(size=(400, 8)))
    assert chance == pytest.approx(0.5, abs=0.05)
    # Ten images four times: 3 equal ones before or behind.
    four = np.repeat(RNG.normal(size=(10, 8)), 4, axis=0)
    assert representation.view_rank(four, four) == pytest.approx(1.5 / 39)
    assert representation.view_retrieval(four, four) == 0


def test_neighbours_kept_by_a_loop_and_at_its_ends():
    before, after = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 6))
    after[:, :4] = before + 0.5 * RNG.normal(size=(30, 4))
    shares = []
    for i in range(30):
        sets = []
        for h in (before, after):
            u = h / np.linalg.norm(h, axis=1, keepdims=True)
            others = sorted((j for j in range(30) if j != i), key=lambda j: -(u[i] @ u[j]))
            sets.append(set(others[:5]))
        shares.append(len(sets[0] & sets[1]) / 5)
    assert representation.neighbours_kept(before, after, 5) == pytest.approx(np.mean(shares))
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    assert representation.neighbours_kept(before, 3 * before @ turn, 5) == 1
    unrelated = RNG.normal(size=(2, 500, 8))
    assert representation.neighbours_kept(*unrelated, 10) == pytest.approx(10 / 499, abs=0.01)


@pytest.mark.parametrize(
    "call",
    [
        lambda: representation.lidar(np.ones((1, 5, 3))),
        lambda: representation.lidar(np.ones((5, 3))),
        lambda: representation.lidar(np.ones((2, 5, 3)), delta=0),
        lambda: representation.spectrum_decay(np.ones((5, 3)), first=3, last=3),
        lambda: representation.neighbours_kept(np.ones((5, 3)), np.ones((4, 3)), 2),
        lambda: representation.neighbours_kept(np.ones((5, 3)), np.ones((5, 3)), 5),
    ],
)
def test_what_has_no_such_property_is_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()


def test_label_information_of_a_known_channel():
    """The label goes through a channel that keeps it with 0.8: with its own law as classifier the
    bound is the information of its table; with any other, less; it is never above H(Y)."""
    from tfssl.information import mutual_information

    classes, n, rng = 4, 100_000, np.random.default_rng(1)
    labels = rng.integers(0, classes, n)
    seen = np.where(rng.random(n) < 0.8, labels, rng.integers(0, classes, n))
    law = 0.8 * np.eye(classes) + 0.2 / classes
    truth = mutual_information(law / classes)
    found = representation.label_information(np.log(law)[seen], labels)
    error = 3 * found["information_bound_error"]
    assert found["information_bound"] == pytest.approx(truth, abs=error + 1e-3) and error < 0.02
    wrong = representation.label_information(3 * np.log(law)[seen], labels)
    assert wrong["information_bound"] < truth - error
    assert wrong["information_bound"] == pytest.approx(
        wrong["label_entropy"] - wrong["cross_entropy"]
    )
    sure = representation.label_information(100.0 * np.eye(classes)[labels], labels)
    assert sure["information_bound"] == pytest.approx(math.log(classes), abs=1e-3)
    nothing = representation.label_information(np.zeros((n, classes)), labels)
    assert nothing["information_bound"] == pytest.approx(0, abs=1e-3)


def test_a_label_without_probability_leaves_no_bound():
    logits = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    found = representation.label_information(logits, np.array([0, 1]))
    assert found["information_bound"] is None and found["label_entropy"] == pytest.approx(
        math.log(2)
    )


def measured(method, collapsed):
    model = build_method(method)
    if collapsed:  # every image has the representation of a black one
        for variable in model.encoder.trainable_variables:
            variable.assign(
                tf.zeros_like(variable) if variable.name == "kernel" else tf.ones_like(variable)
            )
        # Heads as training leaves them. With shifts of zero, batch normalisation of equal rows
        # gives nothing but rounding, and a projection of length one made of rounding is anything.
        for variable in model.trainable_variables:
            if variable.name in ("beta", "bias"):
                variable.assign(tf.ones_like(variable))
    model.watch(8, model.projector.output_shape[-1])
    logs = {name: float(value) for name, value in model.train_step(random_views()).items()}
    callback = InformationScalars(0, 9, None, 1, batch_size=8, temperature=0.25)
    callback.set_model(model)
    return callback.measure(logs)


@pytest.mark.parametrize("method", METHODS)
def test_a_collapsed_network_is_unmistakable(method):
    scalars, spectrum = measured(method, collapsed=True)
    assert scalars["infonce_bound"] == pytest.approx(0, abs=0.05)
    assert scalars["alignment"] == pytest.approx(0, abs=1e-6)
    assert scalars["uniformity"] == pytest.approx(0, abs=1e-6)
    assert scalars["effective_rank"] == pytest.approx(1, abs=1e-3)
    assert np.all(spectrum[1:] < -5)
    alive, spectrum = measured(method, collapsed=False)
    assert alive["effective_rank"] > 1.2 and alive["uniformity"] < -1e-3
    assert alive["infonce_bound"] <= alive["infonce_ceiling"]
    assert spectrum[0] == 0 and spectrum[1] > -5
