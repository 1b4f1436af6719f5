"""--mode=predict: the network's own numbers, of the right files, and nothing overwritten."""

import csv
import json
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from tests.helpers import (
    CLASS_NAMES,
    FOLDER_SETTINGS,
    LINEAR_EVAL_SETTINGS,
    RESNET,
    finetune_folder,
    run_given,
    write_classes,
    write_image,
)
from tfssl import Config, UsageError, augment, data
from tfssl.data.shapes import CLASSES
from tfssl.runner import predict, sources
from tfssl.storage import export


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of three classes, and without classes, by names that CSV has to quote."""
    directory = tmp_path_factory.mktemp("photos")
    write_classes(directory / "sorted", CLASS_NAMES)
    for i, name in enumerate(["a,b", 'line\nbreak "ü"', "return\rhere", "plain", "a b"]):
        write_image(directory / "flat" / f"{name}.png", seed=i, height=16 + 3 * i, width=40 - i)
    return directory


@pytest.fixture(scope="module")
def tuned(photos, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tuned") / "run"
    settings = dict(**RESNET, stem="cifar", eval_crop_proportion=0.7)
    return directory, finetune_folder(photos / "sorted", directory, **settings)


def ask(network, **settings):
    """The rows of the CSV file by --mode=predict with so many flags."""
    path = run_given(
        mode="predict", checkpoint=str(network), **{"precision": "float32", **settings}
    )
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def probabilities(rows, names):
    """float [N, len(names)] from rows that hold all of their classes."""
    columns = [""] + [f"_{k}" for k in range(2, len(names) + 1)]
    found = [{row[f"class{c}"]: float(row[f"probability{c}"]) for c in columns} for row in rows]
    return np.array([[row[name] for name in names] for row in found])


def by_hand(directory, folder, files, size=(16, 24), proportion=0.7):
    """What Keras makes of the files themselves, as probabilities."""
    images = [
        augment.center_crop(
            np.asarray(Image.open(folder / file)) / np.float32(255), size, proportion
        )
        for file in files
    ]
    network = keras.models.load_model(directory / "classifier.keras")
    return softmax(np.asarray(network(np.stack(images)), np.float64), axis=1)


def test_the_numbers_are_the_networks_on_each_file(tuned, photos, tmp_path, capsys):
    directory, _ = tuned
    output = str(tmp_path / "deep" / "out.csv")
    rows = ask(directory, data_dir=str(photos / "flat"), output=output)
    said = capsys.readouterr().out.splitlines()
    source = sources.load(Config(dataset="folder", data_dir=str(photos / "flat")), "train")
    files = [row["file"] for row in rows]
    assert files == source.ids() and set(files) == set(os.listdir(photos / "flat"))
    assert list(rows[0]) == [
        "file",
        "class",
        "probability",
        "class_2",
        "probability_2",
        "class_3",
        "probability_3",
    ]
    expected = by_hand(directory, photos / "flat", files)
    found = probabilities(rows, CLASS_NAMES)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=2e-6)
    assert [row["class"] for row in rows] == [CLASS_NAMES[i] for i in expected.argmax(1)]
    assert all(len(row["probability_3"]) == len("0.123456") for row in rows)
    assert f"{photos / 'flat'} read as images without labels: train 5" == said[0]
    assert f"predictions by {directory}/classifier.keras" in said[1]
    assert "of 3 classes, for folder train: 5 images at 16x24 px" in said[1]
    assert said[-1].startswith(f"{output}: 5 images; ") and "accuracy" not in "".join(said)
    told = dict(part.rsplit(" ", 1) for part in said[-1].split("; ")[1].split(", "))
    taken = np.bincount(expected.argmax(1), minlength=3)
    assert told == {name: str(n) for name, n in zip(CLASS_NAMES, taken) if n}
    assert os.listdir(tmp_path / "deep") == ["out.csv"]


@pytest.mark.slow
def test_flags_say_how_images_are_seen_otherwise(tuned, photos, tmp_path):
    settings = dict(data_dir=str(photos / "flat"), eval_split="train[:3]")
    for i, (changes, seen) in enumerate(
        [
            (dict(image_size="32"), dict(size=(32, 32))),
            (
                dict(eval_image_size="8x40", eval_crop_proportion=1.0),
                dict(size=(8, 40), proportion=1.0),
            ),
        ]
    ):
        rows = ask(
            tuned[0] / "classifier.keras", **settings, **changes, output=str(tmp_path / f"{i}.csv")
        )
        expected = by_hand(tuned[0], photos / "flat", [row["file"] for row in rows], **seen)
        np.testing.assert_allclose(probabilities(rows, CLASS_NAMES), expected, atol=2e-6)
        assert len(rows) == 3
    rows = ask(
        tuned[0], **settings, eval_steps=1, eval_batch_size=2, output=str(tmp_path / "two.csv")
    )
    assert len(rows) == 2


@pytest.mark.slow
def test_with_labels_by_the_same_names_there_is_an_accuracy(tuned, photos, tmp_path, capsys):
    """On the test folder by default; on some of the classes by their names; else there is none."""
    directory, result = tuned
    right = result["finetuned"]["network"]["correct_top_1"]
    ask(directory, data_dir=str(photos / "sorted"), output=str(tmp_path / "a.csv"))
    assert (
        f"accuracy {100 * right / 6:.2f} %: {right} of 6 images"
        in capsys.readouterr().out.splitlines()
    )
    shutil.copytree(photos / "sorted" / "test", tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / "bird")
    rows = ask(directory, data_dir=str(tmp_path / "some"), output=str(tmp_path / "b.csv"))
    right = sum(row["file"].split(os.sep)[0] == row["class"] for row in rows)
    assert len(rows) == 4
    assert f": {right} of 4 images" in capsys.readouterr().out
    (tmp_path / "some" / "cat").rename(tmp_path / "some" / "lion")
    ask(directory, data_dir=str(tmp_path / "some"), output=str(tmp_path / "c.csv"))
    said = capsys.readouterr().out
    assert " %:" not in said and "no accuracy: not all classes of folder train" in said


def test_ten_classes_of_the_embedded_dataset_as_they_were_scored(tmp_path, capsys):
    """By the run's seed, which draws the images, at the larger of its sizes."""
    directory = tmp_path / "run"
    result = run_given(
        **{
            **FOLDER_SETTINGS,
            "mode": "finetune",
            "model_dir": str(directory),
            "seed": 3,
            "dataset": "shapes",
            "train_split": "train[:16]",
            "eval_split": "test[:40]",
            "image_size": "16",
            "eval_image_size": "24",
        }
    )
    rows = ask(directory, eval_split="test[:40]", output=str(tmp_path / "p.csv"))  # the run's own
    scores = result["finetuned"]["network"]
    assert f"{scores['correct_top_1']} of 40 images" in capsys.readouterr().out
    assert [row["file"] for row in rows] == [f"test:{i}" for i in range(40)]
    assert len(rows[0]) == 11
    labels = sources.load(Config(dataset="shapes", image_size="24", seed=3), "test[:40]").arrays[1]
    for row, label in zip(rows, labels):
        shares = [float(row[f"probability{c}"]) for c in ("", "_2", "_3", "_4", "_5")]
        assert shares == sorted(shares, reverse=True) and 0.5 < sum(shares) < 1
    hits = sum(
        CLASSES[label] in [row[f"class{c}"] for c in ("", "_2", "_3", "_4", "_5")]
        for row, label in zip(rows, labels)
    )
    assert hits == scores["correct_top_5"]
    capsys.readouterr()
    ask(directory, eval_split="train[8:40]", output=str(tmp_path / "q.csv"))
    assert "The network may have learned from 8 of them" in capsys.readouterr().out


def test_the_groups_of_the_run_are_those_of_its_slices(tmp_path, capsys):
    patients = np.repeat(np.arange(12), 4)
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), np.uint8)
    path = str(tmp_path / "scans.npz")
    np.savez(path, images=images, labels=np.arange(48) % 3, patient=patients)
    directory, halves = tmp_path / "run", ("train[:70%]", "train[70%:]")
    slices = dict(zip(("train_split", "eval_split"), halves))
    run_given(
        **FOLDER_SETTINGS
        | slices
        | dict(mode="finetune", model_dir=str(directory), dataset=path, group_by="patient")
    )
    capsys.readouterr()
    found = {}
    for half in halves:
        rows = ask(directory, dataset=path, eval_split=half, output=str(tmp_path / f"{half}.csv"))
        found[half] = {patients[int(row["file"].rpartition(":")[2])] for row in rows}
        warned = "may have learned from" in capsys.readouterr().out
        assert warned == (half == halves[0])
    assert not set.intersection(*found.values()) and set.union(*found.values()) == set(range(12))


@pytest.mark.slow
def test_in_bfloat16_too(tuned, photos, tmp_path):
    rows = ask(
        tuned[0],
        data_dir=str(photos / "flat"),
        precision="mixed_bfloat16",
        output=str(tmp_path / "p.csv"),
    )
    expected = by_hand(tuned[0], photos / "flat", [row["file"] for row in rows])
    np.testing.assert_allclose(probabilities(rows, CLASS_NAMES), expected, atol=0.02)


def test_an_older_classifier_has_numbers_for_names(tuned, photos, tmp_path, capsys):
    old = str(tmp_path / "old.keras")
    with zipfile.ZipFile(tuned[0] / "classifier.keras") as there, zipfile.ZipFile(old, "w") as made:
        for name in there.namelist():
            content = there.read(name)
            if name == export.ABOUT:
                about = json.loads(content)
                content = json.dumps(
                    {
                        key: value
                        for key, value in about.items()
                        if key not in ("class_names", "eval_size", "eval_crop_proportion")
                    }
                )
            made.writestr(name, content)
    rows = ask(old, data_dir=str(photos / "sorted"), output=str(tmp_path / "p.csv"))
    said = capsys.readouterr().out
    assert "no accuracy: not all classes of folder test are known" in said and " %:" not in said
    expected = by_hand(tuned[0], photos / "sorted", [row["file"] for row in rows], proportion=1.0)
    np.testing.assert_allclose(probabilities(rows, ["0", "1", "2"]), expected, atol=2e-6)


@pytest.mark.slow
def test_where_it_is_written_and_that_nothing_is_overwritten(tuned, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = dict(data_dir=str(photos / "flat"), eval_split="train[:1]")
    assert run_given(mode="predict", checkpoint=str(tuned[0]), **common) == "predictions.csv"
    before = (tmp_path / "predictions.csv").read_bytes()
    with pytest.raises(UsageError, match="must not exist yet. .*none, which means predictions.csv"):
        run_given(mode="predict", checkpoint=str(tuned[0]), **common)
    assert (tmp_path / "predictions.csv").read_bytes() == before
    shutil.copytree(tuned[0], "copy")
    for _ in range(2):  # without --checkpoint it is the network there
        path = run_given(mode="predict", model_dir="copy", **common)
        assert path == os.path.join("copy", "predictions.csv")
        os.remove(path)
    run_given(mode="predict", model_dir="fresh", checkpoint=str(tuned[0]), **common)
    assert os.listdir("fresh") == ["predictions.csv"]


@pytest.fixture(scope="module")
def networks(finished, tuned, tmp_path_factory):
    """What is no network with classes, by name."""
    base = tmp_path_factory.mktemp("networks")
    run_given(**LINEAR_EVAL_SETTINGS, model_dir=str(tuned[0]))
    (linear,) = (tuned[0] / "linear_eval").iterdir()
    (base / "empty").mkdir()
    (base / "text.keras").write_text("no archive")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(base / "other.keras")
    return {
        "pretrained": finished[0],
        "encoder": finished[0] / "encoder.keras",
        "checkpoint": finished[0] / "checkpoints" / "step_00000004",
        "linear": linear,
        "tuned encoder": tuned[0] / "encoder.keras",
        "none": "none",
        "empty": base / "empty",
        "text": base / "text.keras",
        "other": base / "other.keras",
        "tuned": tuned[0],
        "tuned checkpoint": tuned[0] / "checkpoints" / "step_00000002",
    }


NO_CLASSES = "is an encoder, which has no classes: --mode=finetune --checkpoint=.* makes a"
EXPECTED = (
    "--checkpoint must be the directory of a finetuned or distilled run, or its "
    "classifier.keras, for --mode=predict. Received: .*"
)


@pytest.mark.parametrize(
    "name,changes,said",
    [
        ("pretrained", {}, NO_CLASSES),
        ("encoder", {}, NO_CLASSES),
        ("checkpoint", {}, NO_CLASSES),
        ("linear", {}, EXPECTED),
        ("tuned encoder", {}, EXPECTED),
        ("tuned checkpoint", {}, EXPECTED),
        ("none", {}, EXPECTED + "does not exist"),
        ("empty", {}, EXPECTED),
        ("other", {}, EXPECTED),
        ("text", {}, "is not a .keras file"),
        ("tuned", dict(data_dir="nowhere"), "--data_dir must be the folder of the images"),
        ("tuned", dict(eval_split="test"), "--eval_split must be one of train"),
        ("tuned", dict(resnet_depth=50), "--resnet_depth=50 contradicts .* --resnet_depth=18"),
        ("tuned", dict(stem="imagenet"), "--stem=imagenet contradicts .* --stem=cifar"),
        ("tuned", dict(image_size="4"), "--image_size must be at least 8 for --stem=cifar"),
        ("tuned", dict(probe_dataset="shapes"), "--mode=predict evaluates on --dataset"),
        ("tuned", dict(output="."), "--output must not exist yet. Received: ."),
        ("tuned", dict(output="file/p.csv"), "--output must be a path that can be written"),
    ],
)
def test_refusals_write_nothing(name, changes, said, networks, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=said) as refusal:
        run_given(
            **{
                "mode": "predict",
                "checkpoint": str(networks[name]),
                "data_dir": str(photos / "flat"),
                **changes,
            }
        )
    assert "\n" not in str(refusal.value) and os.listdir(tmp_path) == ["file"]


def test_a_network_is_needed():
    with pytest.raises(UsageError, match="--mode=predict needs --model_dir or --checkpoint"):
        run_given(mode="predict", data_dir="photos")


def test_names_decide_which_class_is_which():
    def places(classes, names, num_classes=None):
        source = data.Source(
            "d",
            "s",
            ("s", 0, 1),
            len(classes) if num_classes is None else 0,
            (1, 1),
            None,
            None,
            classes=classes,
        )
        found = predict.places_of(source, names)
        return None if found is None else found.tolist()

    assert places(("dog", "bird"), CLASS_NAMES) == [2, 0]
    assert places(("crane", "crane"), ["crane", "crane"]) == [0, 1]
    assert places(("crane",), ["crane", "crane"]) is None
    assert places(("dog", "eel"), CLASS_NAMES) is None and places(("dog",), None) is None
    assert (
        places((), CLASS_NAMES) is None
        and places(tuple(CLASS_NAMES), CLASS_NAMES, num_classes=0) is None
    )


def test_of_many_classes_the_most_frequent_are_told():
    logits = np.eye(14)[[3, 3, 3, *range(14)]]
    told = predict.counts(logits, [f"c{i}" for i in range(14)])
    assert told.startswith("c3 4, c0 1, ") and told.endswith("c9 1 and 4 more classes")
