"""What classes are called, in all that a run leaves; and data that calls them otherwise."""

import json
import shutil

import keras
import numpy as np
import pytest

import tfssl
from tests.data.test_folder import write
from tests.runner.test_pretrain import run_until_killed
from tfssl import Config, UsageError
from tfssl.storage import export

NAMES = ["bird", "cat", "dog"]
NETWORK = dict(
    checkpoint="none",
    width_multiplier=1 / 16,
    stem="cifar",
    image_size="16x24",
    train_batch_size=6,
    train_steps=2,
    checkpoint_steps=1,
    train_summary_steps=0,
    precision="float32",
    compile_augmentation=False,
    learning_rate=0.01,
)
LINEAR = dict(mode="linear_eval", linear_epochs=1.0, linear_batch_size=6)


def run(**settings):
    return tfssl.run(Config(**settings), given=set(settings))


def tune(photos, model_dir, **changes):
    return run(
        **{
            "mode": "finetune",
            "dataset": "folder",
            "data_dir": str(photos),
            **NETWORK,
            "model_dir": str(model_dir),
            **changes,
        }
    )


def sort(directory, names):
    """4 + 2 images of mixed sizes of every class."""
    for label, name in enumerate(names):
        for i in range(6):
            split = "train" if i < 4 else "test"
            write(
                directory / split / name / f"{i}.png",
                height=18 + i,
                width=40 - i,
                seed=100 * label + i,
            )
    return directory


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of three classes, the same by other names, with a class more, and without classes."""
    directory = tmp_path_factory.mktemp("photos")
    sort(directory / "sorted", NAMES)
    sort(directory / "renamed", ["bird", "cow", "dog"])
    sort(directory / "more", [*NAMES, "eel"])
    for i in range(7):
        write(directory / "flat" / f"{i}.png", seed=i, height=16 + 3 * i, width=40 - i)
    return directory


@pytest.fixture(scope="module")
def tuned(photos, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tuned") / "run"
    return directory, tune(photos / "sorted", directory)


def about_of(directory):
    return export.read_about(directory / "classifier.keras")


def test_a_finetuned_run_says_what_its_classes_are_called(tuned):
    directory, result = tuned
    assert (about_of(directory)["classes"], about_of(directory)["class_names"]) == (3, NAMES)
    assert "class_names" not in export.read_about(directory / "encoder.keras")
    assert result["class_names"] == NAMES
    labels = json.loads((directory / "labels.json").read_text())
    assert (labels["labels"], labels["classes"], labels["class_names"]) == (12, 3, NAMES)
    again = run(mode="eval", model_dir=str(directory))
    assert (again["class_names"], again["finetuned"]) == (NAMES, result["finetuned"])


def test_a_student_without_labels_takes_its_teachers_names(tuned, photos, tmp_path):
    teach = dict(mode="distill", teacher=str(tuned[0]))
    assert tune(photos / "flat", tmp_path / "flat", **teach) is None
    assert about_of(tmp_path / "flat")["class_names"] == NAMES
    result = tune(photos / "sorted", tmp_path / "sorted", **teach)
    assert result["class_names"] == about_of(tmp_path / "sorted")["class_names"] == NAMES


OTHERWISE = [
    ("renamed", r"classes bird cow dog \(there bird cat dog\)"),
    ("more", r"images 16 \(there 12\), .*, classes bird cat dog eel"),
]


@pytest.mark.parametrize("other,said", OTHERWISE)
def test_a_run_is_not_scored_on_other_classes(other, said, tuned, photos):
    directory, result = tuned
    with pytest.raises(UsageError, match=said):
        run(mode="eval", model_dir=str(directory), data_dir=str(photos / other))
    assert json.loads((directory / "result.json").read_text()) == result


@pytest.mark.parametrize("other,said", OTHERWISE)
def test_a_run_does_not_go_on_with_other_classes(other, said, tuned, photos, tmp_path):
    run_until_killed(lambda: tune(photos / "sorted", tmp_path / "run"), at_step=2)
    for directory in (tmp_path / "run", tuned[0]):
        with pytest.raises(UsageError, match=said):
            tune(photos / other, directory)
    assert tune(photos / "sorted", tmp_path / "run")["finetuned"] == tuned[1]["finetuned"]


def test_a_run_does_not_go_on_with_other_images(tuned, photos, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(photos / "sorted", fewer)
    (fewer / "train" / "cat" / "0.png").unlink()
    with pytest.raises(UsageError, match=r"images 11 \(there 12\).*images of cat 3 \(there 4\)"):
        tune(fewer, tuned[0])


def test_a_teacher_is_not_asked_about_other_classes(tuned, photos, tmp_path):
    teach = dict(mode="distill", teacher=str(tuned[0]))
    for changes, split in (({}, "test"), ({"distill_alpha": 0.5}, "train")):
        with pytest.raises(UsageError, match=f"split {split}, must call class 1 cat, as --teacher"):
            tune(photos / "renamed", tmp_path / "run", **teach, **changes)
    assert not (tmp_path / "run").exists()
    unscored = dict(teach, mode="train", train_mode="distill")  # to which labels are nothing
    tune(photos / "renamed", tmp_path / "unscored", **unscored)
    assert about_of(tmp_path / "unscored")["class_names"] == NAMES


def test_a_class_that_only_the_evaluation_has_is_one_too_many(tuned, photos, tmp_path):
    """The training images are the same, but a label of their evaluation is no class of theirs."""
    shutil.copytree(photos / "sorted", tmp_path / "more")
    shutil.copytree(photos / "more" / "test" / "eel", tmp_path / "more" / "test" / "eel")
    with pytest.raises(UsageError, match="split test, must have 3 classes, as .* has. Received: 4"):
        run(mode="eval", model_dir=str(tuned[0]), data_dir=str(tmp_path / "more"))


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
    scores = run(mode="eval", model_dir=str(directory))
    assert scores["finetuned"]["network"]["examples"] == 6
    assert scores["class_names"] == NAMES
    done = run(
        mode="embed", model_dir=str(directory), data_dir=str(photos / "flat"), eval_split="train"
    )
    assert np.load(f"{done}/embeddings.npz")["h"].shape == (7, 32)


def test_the_encoder_of_a_run_sees_images_of_any_classes(tuned, photos):
    for other, split, count in (("flat", "train", 7), ("more", "test", 8)):
        done = run(
            mode="embed", model_dir=str(tuned[0]), data_dir=str(photos / other), eval_split=split
        )
        assert np.load(f"{done}/embeddings.npz")["h"].shape == (count, 32)


def test_a_linear_classifier_has_names_too(tuned, photos):
    result = run(**LINEAR, model_dir=str(tuned[0]))
    assert result["class_names"] == NAMES
    with pytest.raises(UsageError, match=r"classes bird cow dog \(there bird cat dog\)"):
        run(**LINEAR, model_dir=str(tuned[0]), data_dir=str(photos / "renamed"))
