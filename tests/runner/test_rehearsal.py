"""`--dry_run`: what it prints of a training, and that it leaves nothing behind."""

import re

import pytest

import tfssl
from tests.helpers import finetune_shapes, run_given, tiny_config
from tfssl import Config, UsageError
from tfssl.config import default_model_dir
from tfssl.runner import timing


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, "ENOUGH", 0.05)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained") / "run"
    tfssl.run(tiny_config(directory, train_steps=2, knn_k="", linear_probe=False))
    return directory


def everything(directory):
    """{path: time of its last change} of all files and folders."""
    return {path: path.stat().st_mtime_ns for path in [directory, *directory.rglob("*")]}


def line(said, name):
    return re.search(rf"^  {name} +(.*)$", said, re.M)[1]


def test_a_pretraining_is_told_and_nothing_written(tmp_path, capsys):
    found = tfssl.run(tiny_config(tmp_path / "run", train_steps=50, dry_run=True))
    assert found["steps"] == 50 and found["step_seconds"] > 0 < found["graph_seconds"]
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    assert "50 steps of 16 images" in said and "dry run: nothing has been written" in said
    assert line(said, "images") == "64 of 3 channels to learn from, 40 to evaluate with"
    expected = r"50 steps, [\d.]+ ms each: about \d+ s, with \d+ s for its graph"
    assert re.fullmatch(expected, line(said, "training"))
    assert "and the untrained network, if it is quick" in line(said, "evaluation")
    assert re.fullmatch(r"[\d.]+ GiB of [\d.]+ GiB", line(said, "memory"))
    assert line(said, "directory") == f"{tmp_path}/run, which is new"


def test_a_directory_of_other_files_is_told(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    tfssl.run(tiny_config(tmp_path, train_steps=1, dry_run=True))
    said = line(capsys.readouterr().out, "directory")
    assert said == f"{tmp_path}, which exists and holds no run"


def test_a_single_step_is_not_timed_with_its_graph(tmp_path, capsys):
    tfssl.run(tiny_config(tmp_path / "run", train_steps=1, dry_run=True))
    steps = re.match(r"1 step, ([\d.]+) ms each", line(capsys.readouterr().out, "training"))
    assert float(steps[1]) < 500


def test_what_is_left_of_an_interrupted_run_is_told(trained, capsys):
    before = everything(trained)
    settings = dict(train_steps=2, knn_k="", linear_probe=False, dry_run=True)
    tfssl.run(tiny_config(trained, **settings))
    said = capsys.readouterr().out
    assert "finished: nothing left to train" in said and "  training " not in said
    assert line(said, "directory") == str(trained)
    assert everything(trained) == before


@pytest.mark.parametrize("task", ["finetune", "distill"])
def test_a_training_with_labels_or_a_teacher_is_told(task, trained, tmp_path, capsys):
    if task == "finetune":
        finetune_shapes(trained, tmp_path / "run", dry_run=True)
        assert list(tmp_path.iterdir()) == []
    else:
        finetune_shapes(trained, tmp_path / "teacher", train_steps=1)
        before = everything(tmp_path)
        run_given(
            mode="distill",
            dataset="shapes",
            teacher=str(tmp_path / "teacher"),
            model_dir=str(tmp_path / "student"),
            train_split="train[:64]",
            eval_split="test[:40]",
            encoder="tiny",
            train_batch_size=16,
            train_steps=9,
            precision="float32",
            compile_augmentation=False,
            dry_run=True,
        )
        assert everything(tmp_path) == before
    said = capsys.readouterr().out.partition("dry run")[2]
    assert re.match(r"(3|9) steps, [\d.]+ ms each", line(said, "training"))
    assert line(said, "evaluation").startswith("about ")


def test_a_training_that_is_refused_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--train_batch_size must be at most 64"):
        tfssl.run(tiny_config(tmp_path / "run", train_batch_size=65, dry_run=True))


def test_what_does_not_train_has_no_dry_run():
    with pytest.raises(UsageError, match="--dry_run is for trainings. Received: --mode=knn"):
        Config(mode="knn", checkpoint="x", dry_run=True)


def test_a_run_has_the_same_name_without_it():
    names = {default_model_dir(Config(dry_run=dry), {"kind": "shapes"}) for dry in (False, True)}
    assert len(names) == 1
