"""Evaluation of representations that do not fit in memory: nothing is left out, nothing changes."""

import os

import numpy as np
import pytest

import tfssl
from tests.helpers import tiny_config
from tfssl.runner import evaluate, sources
from tfssl.storage import rows

CLASSIFIED = {"linear_probe": True, "knn_k": "5,20", "eval_baseline": True}


@pytest.fixture
def little_memory(monkeypatch):
    """No representations fit in memory."""
    monkeypatch.setattr(evaluate, "COPIES", 1e15)


def encoder(batch):
    """Means of parts of images, [B, 12]."""
    size = batch.shape[1] // 2
    return batch.numpy().reshape(-1, 2, size, 2, size, 3).mean(axis=(2, 4)).reshape(-1, 12)


class Counted:
    """An encoder that counts its batches, and fails after some of them."""

    def __init__(self, most=1000):
        self.most, self.batches = most, 0

    def __call__(self, batch):
        if self.batches == self.most:
            raise KeyboardInterrupt
        self.batches += 1
        return np.ascontiguousarray(encoder(batch)).view(Outputs)


class Outputs(np.ndarray):
    """As TensorFlow's tensors have it."""

    def numpy(self):
        return np.asarray(self)


def represented(config, encode, place=None, **options):
    source = sources.load(config, "train[:64]")
    return evaluate.represent(config, encode, source, (16, 16), "test", place=place, **options)


def test_accuracies_are_those_of_representations_in_memory(tmp_path, monkeypatch, capsys):
    small = tfssl.run(tiny_config(tmp_path / "small", **CLASSIFIED))
    monkeypatch.setattr(evaluate, "COPIES", 1e15)
    large = tfssl.run(tiny_config(tmp_path / "large", **CLASSIFIED))
    said = capsys.readouterr().out
    assert (
        said.count("are too many for the memory") == 2
    )  # of the trained and the untrained network
    for which in ("pretrained", "untrained"):
        assert set(large[which]) == set(small[which]) >= {"linear", "knn_5", "knn_20"}
        for name, scores in large[which].items():
            assert scores["top_1"] == pytest.approx(small[which][name]["top_1"], abs=1.01 / 40)
    assert not (tmp_path / "large" / evaluate.REPRESENTATIONS).exists()


def test_an_interrupted_one_goes_on_where_it_was(tmp_path, monkeypatch, little_memory, capsys):
    monkeypatch.setattr(rows, "EVERY", 2)
    config = tiny_config(tmp_path, eval_batch_size=10)
    with pytest.raises(KeyboardInterrupt):
        represented(config, Counted(most=5), str(tmp_path / "here"))
    again = Counted()
    h, labels = represented(config, again, str(tmp_path / "here"))
    assert "where 40 are already" in capsys.readouterr().out
    assert again.batches == 1 + 3  # the first one to know them by, and the rest of seven
    expected, of = represented(config, Counted())
    np.testing.assert_allclose(h, expected, rtol=1e-3)
    np.testing.assert_array_equal(labels, of)


def test_only_images_with_a_label_are_stored_unless_all_are_wanted(tmp_path, little_memory):
    config = tiny_config(tmp_path)
    source = sources.load(config, "train[:64]")
    images, labels = source.arrays
    some = np.where(np.arange(64) % 3, labels, -1)
    source = tfssl.data.held(tfssl.data.arrays.source_of((images, some)), limit_bytes=float("inf"))
    known, known_labels = evaluate.represent(
        config, Counted(), source, (16, 16), "test", place=str(tmp_path / "known")
    )
    everything, all_labels = evaluate.represent(
        config, Counted(), source, (16, 16), "test", place=str(tmp_path / "all"), unlabelled=True
    )
    np.testing.assert_array_equal(all_labels, some)
    np.testing.assert_array_equal(known_labels, some[some >= 0])
    np.testing.assert_array_equal(known, everything[some >= 0])


def test_embeddings_of_many_images_are_written_whole(tmp_path, monkeypatch):
    run = tmp_path / "run"
    tfssl.run(tiny_config(run))
    asked = tfssl.Config(mode="embed", model_dir=str(run), embed_points=10)
    small = np.load(os.path.join(tfssl.run(asked), "embeddings.npz"))
    small = {name: small[name] for name in small.files}
    monkeypatch.setattr(evaluate, "COPIES", 1e15)
    directory = tfssl.run(asked)
    large = np.load(os.path.join(directory, "embeddings.npz"))
    np.testing.assert_allclose(large["h"], small["h"], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(large["labels"], small["labels"])
    assert not os.path.exists(os.path.join(directory, evaluate.REPRESENTATIONS))


@pytest.mark.parametrize("start", [0, 1, 10, 63])
def test_images_at_the_beginning_can_be_passed_over(start, tmp_path):
    source = sources.load(tiny_config(tmp_path), "train[:64]")
    batches = tfssl.data.labelled(source, lambda image: image, batch_size=10, start=start)
    labels = np.concatenate([batch["label"].numpy() for batch in batches])
    np.testing.assert_array_equal(labels, source.arrays[1][start:])
