"""A folder of one's own images through the whole job."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

import tfssl
from tests.helpers import (
    FINETUNE_SETTINGS,
    read_scalars,
    run_given,
    tiny_config,
    write_image,
)
from tfssl import Config, UsageError, augment
from tfssl.runner import job


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """20 images without labels, and 3 x (10 + 6) with, of mixed sizes; two are unreadable."""
    directory = tmp_path_factory.mktemp("images")
    for i in range(20):
        write_image(directory / "flat" / f"{i}.png", seed=1000 + i, height=16 + i, width=40 - i)
    write_image(directory / "flat" / "broken.png", b"nothing")
    for label in range(3):
        for i in range(16):
            split = "train" if i < 10 else "test"
            write_image(
                directory / "sorted" / split / f"class{label}" / f"{i}.png",
                height=18 + i,
                seed=100 * label + i,
            )
    return directory


def folder(images, name, model_dir, **changes):
    return tiny_config(
        model_dir,
        **{
            "dataset": "folder",
            "data_dir": str(images / name),
            "train_split": "train",
            "eval_split": None,
            "train_steps": 2,
            "train_batch_size": 8,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def unlabelled(images, tmp_path_factory):
    """A pretraining on the images without labels: its directory, result and output."""
    directory, out = tmp_path_factory.mktemp("unlabelled") / "run", io.StringIO()
    with contextlib.redirect_stdout(out):
        result = tfssl.run(folder(images, "flat", directory))
    return directory, result, out.getvalue()


def test_unlabelled_images_are_learned_from_and_the_table_says_why_there_is_none(
    unlabelled,
):
    directory, result, said = unlabelled
    assert result == {"global_step": 2, "model_dir": str(directory)}
    assert said.count("the images have no labels") == 2 and "20 of 21 images" in said
    assert "broken.png" in said
    assert "train/contrast_loss" in read_scalars(directory)
    assert "train/supervised_loss" not in read_scalars(directory)
    assert tfssl.load_encoder(directory)(np.zeros((1, 9, 9, 3))).shape == (1, 32)


@pytest.mark.slow
def test_images_with_labels_need_not_be_evaluated_on(images, tmp_path, capsys):
    result = tfssl.run(folder(images, "sorted", tmp_path / "run", eval_split="none"))
    assert result["global_step"] == 2 and "pretrained" not in result
    said = capsys.readouterr().out
    assert said.count("nothing is evaluated, as --eval_split=none") == 2
    assert "Of held-out" not in said


def test_a_run_on_a_relative_folder_says_so_elsewhere(images, tmp_path, monkeypatch):
    monkeypatch.chdir(images)
    run = str(tmp_path / "run")
    tfssl.run(folder(images, "flat", run, data_dir="flat", eval_split="none"))
    again = Config(mode="embed", model_dir=run)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--data_dir must say where .* relative. Received: flat"):
        tfssl.run(again)
    assert tfssl.run(again.replace(data_dir=str(images / "flat")))
    monkeypatch.chdir(images)
    assert tfssl.run(again)


@pytest.mark.parametrize(
    "names,alike",
    [
        (("Cat", "cat", "dog"), "'Cat' and 'cat' are"),
        (("a_b", "A b ", "ab", "c", "c"), "'A b' and 'a_b' are"),
        (("a", "b", "ab"), None),
    ],
)
def test_classes_that_may_be_one_are_told(names, alike, tmp_path, capsys):
    rows = [f"{number}.png,{name}" for number, name in enumerate(names)]
    for number in range(len(names)):
        write_image(tmp_path / f"{number}.png", seed=number)
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows, ""]))
    table = dict(dataset=str(tmp_path / "labels.csv"), data_dir=None, train_batch_size=2)
    job.plan(folder(tmp_path, "", tmp_path / "run", eval_split="none", **table))
    said = capsys.readouterr().out
    assert (f"WARNING: {alike}" in said) if alike else "WARNING" not in said


def test_a_labelled_folder_beside_them_is_evaluated_on(images, tmp_path, capsys):
    config = folder(
        images,
        "flat",
        tmp_path / "run",
        probe_dataset="folder",
        probe_data_dir=str(images / "sorted"),
        knn_k="3",
    )
    result = tfssl.run(config)
    for which in ("pretrained", "untrained"):
        assert set(result[which]) == {"linear", "knn_3"}
        assert result[which]["linear"]["examples"] == 18
    assert (result["dataset"], result["eval_dataset"]) == ("folder", "folder")
    assert "folder test, 18 images" in capsys.readouterr().out
    for mode, more in (
        ("knn", {"knn_k": "3"}),
        ("embed", {}),
        ("linear_eval", {"linear_epochs": 1.0, "linear_batch_size": 10}),
    ):
        settings = {"mode": mode, "model_dir": str(tmp_path / "run"), **more}
        done = tfssl.run(Config(**settings), given=set(settings))
        if mode == "embed":
            assert np.load(f"{done}/embeddings.npz")["h"].shape == (18, 32)
        else:
            assert next(iter(done["results"].values()))["examples"] == 18
            assert (done["labels"], done["train_split"]) == (30, "train")


def test_images_without_labels_can_be_embedded(unlabelled):
    settings = dict(mode="embed", model_dir=str(unlabelled[0]), eval_split="train[:9]")
    done = np.load(f"{tfssl.run(Config(**settings), given=set(settings))}/embeddings.npz")
    assert done["h"].shape == (9, 32) and set(done["labels"]) == {-1}


def test_photos_of_several_sizes_are_finetuned_at_that_of_the_pretraining(
    images, unlabelled, tmp_path, capsys
):
    settings = {
        **FINETUNE_SETTINGS,
        "mode": "finetune",
        "dataset": "folder",
        "data_dir": str(images / "sorted"),
        "train_split": "train",
        "eval_split": "test",
        "checkpoint": str(unlabelled[0]),
        "model_dir": str(tmp_path / "run"),
        "train_batch_size": 8,
        "train_steps": 1,
    }
    run_given(**settings)
    said = capsys.readouterr().out
    assert "--image_size=16x16, that of --checkpoint, as the images have several" in said
    recorded = json.loads((tmp_path / "run" / "flags.json").read_text())
    assert recorded["image_size"] == "16x16"
    run_given(**settings)  # has nothing left to do, and is not refused
    assert "--image_size=16x16, that" not in capsys.readouterr().out


@pytest.mark.slow  # test_classes.py finetunes and scores on a folder
def test_a_labelled_folder_is_a_dataset_like_any_other(images, tmp_path):
    result = tfssl.run(
        folder(
            images,
            "sorted",
            tmp_path / "run",
            knn_k="3",
            method="byol",
            proj_hidden_dim=16,
            eval_baseline=False,
        )
    )
    assert set(result["pretrained"]) == {"online", "linear", "knn_3"}
    assert result["pretrained"]["online"]["examples"] == 18
    settings = dict(
        mode="finetune",
        checkpoint=str(tmp_path / "run"),
        dataset="folder",
        data_dir=str(images / "sorted"),
        image_size="24x16",
        train_batch_size=10,
        train_steps=2,
        model_dir=str(tmp_path / "tuned"),
    )
    tuned = tfssl.run(Config(**settings), given=set(settings))
    assert tuned["labels"] == 30 and tuned["finetuned"]["network"]["examples"] == 18


def test_every_row_of_embeddings_says_which_file_it_is_of(unlabelled, tmp_path):
    strange = tmp_path / "strange"
    names = ["tab\there.png", "line\nbreak.png", "plain.png", "größe 4,5.png", '"quoted".png']
    for i, name in enumerate(names):
        write_image(strange / name, seed=50 + i, height=20 + i, width=31 - i)
    settings = dict(
        mode="embed",
        checkpoint=str(unlabelled[0]),
        dataset="folder",
        data_dir=str(strange),
        eval_split="train",
        image_size="16",
        precision="float32",
        model_dir=str(tmp_path / "out"),
        eval_batch_size=2,
    )
    done = tfssl.run(Config(**settings), given=set(settings))
    made = np.load(f"{done}/embeddings.npz", allow_pickle=False)
    assert sorted(made["files"]) == sorted(names)
    encoder = tfssl.load_encoder(unlabelled[0])
    for name, h in zip(made["files"], made["h"], strict=True):
        pixels = np.asarray(Image.open(strange / name)) / np.float32(255)
        crop = augment.center_crop(pixels, (16, 16), 1.0)
        np.testing.assert_allclose(h, encoder(crop[None])[0], rtol=1e-4, atol=1e-5)
    with open(f"{done}/metadata.tsv", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    escaped = [name.replace("\t", "\\t").replace("\n", "\\n") for name in made["files"]]
    assert rows == [["file", "label"], *([name, "-1"] for name in escaped)]
    settings |= dict(eval_steps=2, model_dir=str(tmp_path / "first"))
    first = np.load(f"{tfssl.run(Config(**settings), given=set(settings))}/embeddings.npz")
    np.testing.assert_array_equal(first["files"], made["files"][:4])
    assert len(first["h"]) == 4


@pytest.mark.parametrize(
    "name,changes,said",
    [
        ("flat", dict(max_bad_fraction=0.0), "1 of 21 files"),
        ("flat", dict(probe_dataset="folder"), "--probe_train_split must have labels"),
        ("flat", dict(mode="finetune", checkpoint="none"), "--train_split must have labels"),
        ("sorted", dict(eval_split="valid"), "--eval_split must be one of test, train"),
        (
            "sorted",
            dict(mode="finetune", checkpoint="none", probe_dataset="shapes"),
            "--probe_dataset concerns pretraining",
        ),
        (
            "sorted",
            dict(mode="knn", checkpoint="none", probe_dataset="shapes"),
            "--probe_dataset concerns pretraining",
        ),
        (
            "sorted",
            dict(probe_dataset="folder", probe_train_split="train[:10]", eval_split="train[10:]"),
            "must not share images with --train_split",
        ),
    ],
)
def test_refusals_come_before_anything_is_written(images, tmp_path, name, changes, said):
    with pytest.raises(UsageError, match=said):
        tfssl.run(folder(images, name, tmp_path / "run").replace(**changes))
    assert not (tmp_path / "run").exists()
