"""What classes are called, in all that a run leaves; and data that calls them otherwise."""

import json
import shutil

import keras
import numpy as np
import pytest

from tests.helpers import (
    CLASS_NAMES,
    LINEAR_EVAL_SETTINGS,
    finetune_folder,
    run_given,
    run_until_killed,
    write_classes,
    write_image,
)
from tfssl import UsageError
from tfssl.storage import export


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of three classes, the same by other names, with a class more, and without classes."""
    directory = tmp_path_factory.mktemp("photos")
    write_classes(directory / "sorted", CLASS_NAMES)
    write_classes(directory / "renamed", ["bird", "cow", "dog"])
    write_classes(directory / "more", [*CLASS_NAMES, "eel"])
    for i in range(7):
        write_image(directory / "flat" / f"{i}.png", seed=i, height=16 + 3 * i, width=40 - i)
    return directory


@pytest.fixture(scope="module")
def tuned(photos, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tuned") / "run"
    return directory, finetune_folder(photos / "sorted", directory)


def about_of(directory):
    return export.read_about(directory / "classifier.keras")


def test_a_finetuned_run_says_what_its_classes_are_called(tuned):
    directory, result = tuned
    assert (about_of(directory)["classes"], about_of(directory)["class_names"]) == (3, CLASS_NAMES)
    assert "class_names" not in export.read_about(directory / "encoder.keras")
    assert result["class_names"] == CLASS_NAMES
    labels = json.loads((directory / "labels.json").read_text())
    assert (labels["labels"], labels["classes"], labels["class_names"]) == (12, 3, CLASS_NAMES)
    again = run_given(mode="eval", model_dir=str(directory))
    assert (again["class_names"], again["finetuned"]) == (CLASS_NAMES, result["finetuned"])


@pytest.mark.slow
def test_a_student_without_labels_takes_its_teachers_names(tuned, photos, tmp_path):
    teach = dict(mode="distill", teacher=str(tuned[0]))
    assert finetune_folder(photos / "flat", tmp_path / "flat", **teach) is None
    assert about_of(tmp_path / "flat")["class_names"] == CLASS_NAMES
    result = finetune_folder(photos / "sorted", tmp_path / "sorted", **teach)
    assert result["class_names"] == about_of(tmp_path / "sorted")["class_names"] == CLASS_NAMES


OTHERWISE = [
    ("renamed", r"classes bird cow dog \(there bird cat dog\)"),
    ("more", r"images 16 \(there 12\), .*, classes bird cat dog eel"),
]


@pytest.mark.parametrize("other,said", OTHERWISE)
def test_a_run_is_not_scored_on_other_classes(other, said, tuned, photos):
    directory, result = tuned
    with pytest.raises(UsageError, match=said):
        run_given(mode="eval", model_dir=str(directory), data_dir=str(photos / other))
    assert json.loads((directory / "result.json").read_text()) == result


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_classes(tuned, photos, tmp_path):
    run_until_killed(lambda: finetune_folder(photos / "sorted", tmp_path / "run"), at_step=2)
    for directory in (tmp_path / "run", tuned[0]):
        for other, said in OTHERWISE:
            with pytest.raises(UsageError, match=said):
                finetune_folder(photos / other, directory)
    again = finetune_folder(photos / "sorted", tmp_path / "run")
    assert again["finetuned"] == tuned[1]["finetuned"]


def test_a_run_does_not_go_on_with_other_images(tuned, photos, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(photos / "sorted", fewer)
    (fewer / "train" / "cat" / "0.png").unlink()
    with pytest.raises(UsageError, match=r"images 11 \(there 12\).*images of cat 3 \(there 4\)"):
        finetune_folder(fewer, tuned[0])


@pytest.mark.slow
def test_a_teacher_is_not_asked_about_other_classes(tuned, photos, tmp_path):
    teach = dict(mode="distill", teacher=str(tuned[0]))
    for changes, split in (({}, "test"), ({"distill_alpha": 0.5}, "train")):
        with pytest.raises(UsageError, match=f"split {split}, must call class 1 cat, as --teacher"):
            finetune_folder(photos / "renamed", tmp_path / "run", **teach, **changes)
    assert not (tmp_path / "run").exists()
    unscored = dict(teach, mode="train", train_mode="distill")  # to which labels are nothing
    finetune_folder(photos / "renamed", tmp_path / "unscored", **unscored)
    assert about_of(tmp_path / "unscored")["class_names"] == CLASS_NAMES


def test_a_class_that_only_the_evaluation_has_is_one_too_many(tuned, photos, tmp_path):
    """The training images are the same, but a label of their evaluation is no class of theirs."""
    shutil.copytree(photos / "sorted", tmp_path / "more")
    shutil.copytree(photos / "more" / "test" / "eel", tmp_path / "more" / "test" / "eel")
    with pytest.raises(UsageError, match="split test, must have 3 classes, as .* has. Received: 4"):
        run_given(mode="eval", model_dir=str(tuned[0]), data_dir=str(tmp_path / "more"))


@pytest.mark.slow
def test_older_runs_do_without_names(tuned, photos, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(tuned[0], directory)
    labels = json.loads((directory / "labels.json").read_text())
    (directory / "labels.json").write_text(
        json.dumps({name: labels[name] for name in ("labels", "sha256")})
    )
    about = {name: value for name, value in about_of(directory).items() if name != "class_names"}
    export.write(
        keras.models.load_model(directory / "classifier.keras"),
        str(directory / "classifier.keras"),
        about,
    )
    (directory / "data.json").unlink()
    scores = run_given(mode="eval", model_dir=str(directory))
    assert scores["finetuned"]["network"]["examples"] == 6
    assert scores["class_names"] == CLASS_NAMES
    done = run_given(
        mode="embed", model_dir=str(directory), data_dir=str(photos / "flat"), eval_split="train"
    )
    assert np.load(f"{done}/embeddings.npz")["h"].shape == (7, 32)


def test_the_encoder_of_a_run_sees_images_of_any_classes(tuned, photos):
    for other, split, count in (("flat", "train", 7), ("more", "test", 8)):
        done = run_given(
            mode="embed", model_dir=str(tuned[0]), data_dir=str(photos / other), eval_split=split
        )
        assert np.load(f"{done}/embeddings.npz")["h"].shape == (count, 32)


@pytest.mark.slow
def test_a_linear_classifier_has_names_too(tuned, photos):
    result = run_given(**LINEAR_EVAL_SETTINGS, model_dir=str(tuned[0]))
    assert result["class_names"] == CLASS_NAMES
    with pytest.raises(UsageError, match=r"classes bird cow dog \(there bird cat dog\)"):
        run_given(**LINEAR_EVAL_SETTINGS, model_dir=str(tuned[0]), data_dir=str(photos / "renamed"))
