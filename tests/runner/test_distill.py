"""--mode=distill: any finetuned run teaches, with and without labels, at any size."""

import json
import os
import shutil

import keras
import numpy as np
import pytest

import tfssl
from tests.helpers import (
    FINETUNE_SETTINGS,
    finetune_shapes,
    read_scalars,
    run_until_killed,
    write_image,
)
from tfssl import Config, UsageError, augment
from tfssl.runner import device, sources
from tfssl.storage import export

STUDENT = dict(stem="cifar", width_multiplier=1 / 64, image_size="16")


def distill(teacher, model_dir, **changes):
    settings = {
        "mode": "distill",
        "teacher": str(teacher),
        "model_dir": str(model_dir),
        **FINETUNE_SETTINGS,
        **STUDENT,
        **changes,
    }
    return tfssl.run(Config(**settings), given=set(settings))


@pytest.fixture(scope="module")
def teacher(finished, tmp_path_factory):
    """A network that was finetuned from within its projector, on images of another size."""
    directory = tmp_path_factory.mktemp("teacher") / "finetuned"
    finetune_shapes(finished[0], directory, image_size="24", ft_proj_selector=1)
    return directory


@pytest.fixture(scope="module")
def distilled(teacher, tmp_path_factory):
    directory = tmp_path_factory.mktemp("student") / "run"
    return directory, distill(teacher, directory)


@pytest.mark.slow
def test_the_answers_are_the_teachers_on_the_images_as_it_was_evaluated(distilled, teacher):
    directory, _ = distilled
    answers = np.load(directory / "teacher_logits.npy")
    network = keras.models.load_model(teacher / "classifier.keras")
    source = sources.load(Config(dataset="shapes", image_size="16"), "train[:64]")
    images = np.stack(
        [augment.center_crop(image / np.float32(255), (24, 24), 1.0) for image in source.arrays[0]]
    )
    np.testing.assert_allclose(answers, network(images), rtol=1e-3, atol=1e-4)
    record = json.loads((directory / "teacher.json").read_text())
    assert record["answered"]["image_size"] == [24, 24] and record["classes"] == 10


def test_what_it_reports(distilled, teacher):
    directory, result = distilled
    scores = result["distilled"]["network"]
    assert scores["examples"] == 40 and scores["top_1"] == scores["correct_top_1"] / 40
    assert (result["labels"], result["images"], result["global_step"]) == (0, 64, 3)
    assert result["teacher"]["path"] == str(teacher)
    assert json.loads((directory / "result.json").read_text()) == result
    series = read_scalars(directory)
    for name in ("distill_loss", "teacher_agreement", "supervised_loss", "total_loss"):
        assert [step for step, _ in series[f"train/{name}"]] == [1, 2, 3], name
    assert {value for _, value in series["train/supervised_loss"]} == {0.0}


@pytest.mark.slow
def test_its_exports_are_a_student_of_the_form_of_the_flags_and_a_teacher(distilled, tmp_path):
    directory, _ = distilled
    about = export.read_about(directory / "classifier.keras")
    assert about["width_multiplier"] == 1 / 64 and about["eval_size"] == [16, 16]
    assert about["teacher"]["sha256"]
    assert tfssl.load_encoder(directory).output_shape[-1] == 8
    again = tfssl.run(
        Config(
            **{
                **FINETUNE_SETTINGS,
                **STUDENT,
                "train_steps": 1,
                "mode": "distill",
                "teacher": str(directory),
                "model_dir": str(tmp_path / "again"),
            }
        )
    )
    assert again["teacher"]["answered"]["image_size"] == [16, 16]


def test_the_same_again_does_nothing_and_eval_says_the_same(distilled, teacher, capsys):
    directory, result = distilled
    assert distill(teacher, directory) == result
    assert "nothing left to do" in capsys.readouterr().out
    again = tfssl.run(Config(mode="eval", model_dir=str(directory)), given={"mode", "model_dir"})
    assert again["distilled"] == result["distilled"]


def test_its_frozen_encoder_can_be_asked(distilled):
    directory, _ = distilled
    result = tfssl.run(
        Config(mode="knn", model_dir=str(directory), knn_k="5"),
        given={"mode", "model_dir", "knn_k"},
    )
    assert result["results"]["knn_5"]["examples"] == 40


@pytest.mark.slow
@pytest.mark.ci
def test_a_classifier_of_listed_labels_is_another_than_that_of_all(distilled, tmp_path):
    directory, _ = distilled
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, range(32))))
    settings = dict(
        mode="linear_eval", model_dir=str(directory), linear_epochs=1.0, linear_batch_size=16
    )
    for more, labels in (({"label_list": str(listed)}, 32), ({}, 64)):
        result = tfssl.run(Config(**settings, **more), given={*settings, *more})
        assert result["labels"] == labels


@pytest.mark.slow
def test_a_killed_one_ends_where_the_straight_one_does_without_the_teacher(
    distilled, teacher, tmp_path
):
    moved, directory = tmp_path / "teacher", tmp_path / "run"
    shutil.copytree(teacher, moved)
    run_until_killed(lambda: distill(moved, directory), at_step=3)
    answers = (directory / "teacher_logits.npy").read_bytes()
    (directory / "teacher_logits.npy").write_bytes(b"no array")
    with pytest.raises(UsageError, match="teacher_logits.npy is damaged. Without it"):
        distill(moved, directory)
    (directory / "teacher_logits.npy").write_bytes(answers)
    shutil.rmtree(moved)
    assert distill(moved, directory)["distilled"] == distilled[1]["distilled"]
    np.testing.assert_array_equal(weights(directory), weights(distilled[0]))


def weights(directory):
    network = keras.models.load_model(directory / "classifier.keras")
    return np.concatenate([w.ravel() for w in network.get_weights()])


@pytest.mark.slow
def test_labels_beside_the_teacher(teacher, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, range(0, 64, 2))))
    result = distill(teacher, tmp_path / "run", distill_alpha=0.5, label_list=str(listed))
    assert (result["labels"], result["images"]) == (32, 64)
    assert min(value for _, value in read_scalars(tmp_path / "run")["train/supervised_loss"]) > 0
    listed.write_text("\n".join(map(str, range(1, 64, 2))))
    with pytest.raises(UsageError, match="--label_list=.* selects other images than when the run"):
        distill(teacher, tmp_path / "run", distill_alpha=0.5, label_list=str(listed))


@pytest.mark.slow
def test_the_teacher_answers_on_its_own_crops(distilled, teacher, tmp_path):
    """Whatever share of the side the student's own evaluation keeps."""
    distill(teacher, tmp_path / "run", eval_crop_proportion=0.5, train_steps=1)
    answers = (np.load(d / "teacher_logits.npy") for d in (distilled[0], tmp_path / "run"))
    np.testing.assert_array_equal(*answers)


@pytest.mark.slow
def test_each_computes_in_the_precision_of_its_own_width(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(  # a border between the student's width and its teacher's
        device,
        "resolve_precision",
        lambda precision, width: (
            "mixed_bfloat16" if width > STUDENT["width_multiplier"] else "float32"
        ),
    )
    result = distill(teacher, tmp_path / "run", precision="auto", train_steps=1)
    assert result["precision"] == "float32"
    assert result["teacher"]["answered"]["precision"] == "mixed_bfloat16"


def test_the_student_may_start_from_weights(teacher, tmp_path):
    result = distill(
        teacher,
        tmp_path / "run",
        checkpoint=str(teacher),
        train_steps=1,
        encoder="tiny",
        width_multiplier=1.0,
        learning_rate=0.0,
        weight_decay=0.0,
    )
    assert result["pretrained_weights"]["path"].startswith(str(teacher))
    np.testing.assert_array_equal(
        tfssl.load_encoder(tmp_path / "run").get_weights()[0],
        tfssl.load_encoder(teacher).get_weights()[0],
    )


@pytest.mark.slow
def test_images_without_labels(teacher, tmp_path):
    unsorted = tmp_path / "unsorted"
    for i in range(20):
        write_image(unsorted / f"{i}.png", seed=i, height=16 + i, width=40 - i)
    result = distill(
        teacher,
        tmp_path / "run",
        dataset="folder",
        data_dir=str(unsorted),
        train_split="train",
        eval_split=None,
    )
    assert result is None and os.path.exists(tmp_path / "run" / "classifier.keras")
    scored = distill(
        teacher,
        tmp_path / "scored",
        dataset="folder",
        data_dir=str(unsorted),
        train_split="train",
        probe_dataset="shapes",
        eval_split="test[:40]",
    )
    assert scored["distilled"]["network"]["examples"] == 40
    for probe, said in (
        ({}, "--train_split must have labels"),
        ({"probe_dataset": "shapes"}, "--distill_alpha below 1 needs labels"),
    ):
        with pytest.raises(UsageError, match=said):
            distill(
                teacher,
                tmp_path / "no",
                dataset="folder",
                data_dir=str(unsorted),
                train_split="train",
                distill_alpha=0.5,
                eval_split=None,
                **probe,
            )


@pytest.mark.parametrize(
    "what,said",
    [
        ("missing", "--teacher must be the directory of a finetuned run.* does not exist"),
        ("encoder", "does not describe its classes"),
        ("text", "is not a .keras file"),
    ],
)
def test_what_is_no_teacher_is_refused_before_anything_is_written(what, said, teacher, tmp_path):
    (tmp_path / "text").write_text("no model")
    path = {
        "missing": tmp_path / "nowhere",
        "encoder": teacher / "encoder.keras",
        "text": tmp_path / "text",
    }[what]
    with pytest.raises(UsageError, match=said):
        distill(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_teacher_than_the_runs_is_refused(distilled, teacher, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(distilled[0], directory)
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    flags = json.loads((directory / "flags.json").read_text())
    (directory / "flags.json").write_text(json.dumps({**flags, "teacher": str(other)}))
    shutil.copy(distilled[0] / "classifier.keras", other / "classifier.keras")
    with pytest.raises(UsageError, match="is not the one that the run .* was begun with"):
        distill(other, directory)


@pytest.mark.slow  # the sentence is asserted above
def test_damaged_answers_are_told_and_made_again(distilled, teacher, tmp_path):
    directory = tmp_path / "run"
    run_until_killed(lambda: distill(teacher, directory), at_step=2)
    (directory / "teacher_logits.npy").write_bytes(b"no array")
    with pytest.raises(UsageError, match="teacher_logits.npy is damaged. Without it"):
        distill(teacher, directory)
    (directory / "teacher_logits.npy").unlink()
    assert distill(teacher, directory)["distilled"] == distilled[1]["distilled"]


@pytest.mark.slow  # the strategy is tested in tests/distribute, where two workers distill too
def test_two_replicas_learn_what_one_does(distilled, teacher, tmp_path):
    distill(teacher, tmp_path / "run", replicas=2)
    one, two = read_scalars(distilled[0]), read_scalars(tmp_path / "run")
    for name in ("train/total_loss", "train/distill_loss", "train/teacher_agreement"):
        np.testing.assert_allclose(
            [value for _, value in two[name]], [value for _, value in one[name]], rtol=1e-4
        )
