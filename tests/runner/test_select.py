"""`--mode=select`: its files, from a run and from a checkpoint, and what it refuses."""

import csv
import importlib.util
import pathlib

import numpy as np
import pytest

import tfssl
from tests.helpers import run_given, tiny_config, write_image
from tfssl import UsageError, data, selection


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained") / "run"
    tfssl.run(tiny_config(directory, train_steps=1, knn_k="", linear_probe=False))
    return directory


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """48 images of 12 patients, the first 8 with a label."""
    path = tmp_path_factory.mktemp("scans") / "scans.npz"
    np.savez(
        path,
        images=np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), np.uint8),
        labels=np.where(np.arange(48) < 8, np.arange(48) % 2, -1),
        patient=np.repeat(np.arange(12), 4),
    )
    return str(path)


def rows(directory):
    with open(pathlib.Path(directory) / "selected.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("by", ["typical", "coverage", "random"])
def test_images_of_a_run_are_selected(trained, by, capsys):
    directory = run_given(mode="select", model_dir=str(trained), by=by, count=6)
    assert pathlib.Path(directory).name == f"{by}-6-shapes-train__64_"
    numbers = [int(row["number"]) for row in rows(directory)]
    assert len(set(numbers)) == 6 and [row["file"] for row in rows(directory)]
    listed = data.read_list(f"{directory}/label_list.txt", 64)
    assert list(listed) == sorted(numbers)
    page = (pathlib.Path(directory) / "selected.html").read_text()
    assert page.count("<img") == 6 and "http" not in page.replace("http-equiv", "")
    assert "64 images, 0 of them with a label" in capsys.readouterr().out


def test_they_are_those_of_the_strategy_on_the_representations(trained):
    directory = run_given(mode="select", model_dir=str(trained), by="coverage", count=5)
    images, _ = data.shapes.generate("train", 64, 16, seed=0)
    h = tfssl.represent(tfssl.load_encoder(trained), images)
    expected = selection.coverage(h, 5).tolist()
    assert [int(row["number"]) for row in rows(directory)] == expected


def test_those_with_a_label_are_kept_and_groups_are_shared_out(trained, scans, tmp_path):
    settings = dict(
        mode="select", checkpoint=str(trained), model_dir=str(tmp_path), dataset=scans, count=10
    )
    directory = run_given(**settings, by="uncertain", group_by="patient")
    chosen = rows(directory)
    # Patients 0 and 1 have labels: each of the ten others gives an image.
    assert sorted(int(row["group"]) for row in chosen) == list(range(2, 12))
    lines = (pathlib.Path(directory) / "label_list.txt").read_text().splitlines()[1:]
    listed = {line.partition("  # ")[2] for line in lines}
    assert listed == {f"images:{row}" for row in range(8)} | {row["file"] for row in chosen}
    assert len(listed) == len(data.read_list(f"{directory}/label_list.txt", 48)) == 18


def test_what_is_selected_of_files_is_a_table_to_be_filled_in(trained, tmp_path, capsys):
    """It then is a dataset, from which the next images are selected beside those with a label."""
    for number in range(12):
        write_image(tmp_path / "photos" / f"{number}, of 12.png", seed=number)
    settings = dict(mode="select", checkpoint=str(trained), by="coverage", count=3)
    first = run_given(**settings, dataset=str(tmp_path / "photos"), model_dir=str(tmp_path / "a"))
    assert "to_label.csv to be filled in: 3 images" in capsys.readouterr().out
    table = pathlib.Path(first) / "to_label.csv"
    names = [row["file"] for row in rows(first)]
    text = table.read_text().splitlines()
    assert text == ["path,label", *(f'"{tmp_path}/photos/{name}",' for name in names)]
    filled = table.read_text().replace('png",\n', 'png",chât\n', 1)
    table.write_text(filled, encoding="latin-1")  # as a spreadsheet may save it
    again = dict(dataset=str(tmp_path / "photos"), model_dir=str(tmp_path / "a"))
    for _ in range(2):  # the second finds what it writes itself
        assert run_given(**settings, **again) == first
    said = capsys.readouterr().out
    assert said.count("to_label.1.csv: the to_label.csv that was there, which differs") == 1
    assert table.read_text().splitlines() == text
    assert (table.parent / "to_label.1.csv").read_text(encoding="latin-1") == filled
    assert not (table.parent / "to_label.2.csv").exists()
    every = [f'"{tmp_path}/photos/{number}, of 12.png"' for number in range(12)]
    labelled = dict(zip(text[1:], ("cat", "dog", "cat")))
    filled = [f"{path},{labelled.get(f'{path},', '')}" for path in every]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label", *filled]))
    second = run_given(
        **settings, dataset=str(tmp_path / "photos.csv"), model_dir=str(tmp_path / "b")
    )
    assert not {row["file"] for row in rows(second)} & {f"{tmp_path}/photos/{n}" for n in names}
    source = tfssl.open_images(f"{second}/to_label.csv")
    assert source.num_examples == 6 and source.classes == ("cat", "dog")
    assert sorted(data.labels_of(source)) == [-1, -1, -1, 0, 0, 1]


def test_labels_of_a_table_count_where_its_images_are_not_in_memory(trained, tmp_path, capsys):
    """As they have several sizes."""
    for number in range(12):
        write_image(tmp_path / f"{number}.png", seed=number, height=16 + number)
    labels = ["cat", "dog", "cat", *("", "nan", "-1") * 3]
    lines = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label", *lines]).replace("-1", ""))
    source = tfssl.open_images(str(tmp_path / "photos.csv"))
    assert source.arrays is None and (source.num_examples, source.num_labelled) == (12, 3)
    directory = run_given(
        mode="select",
        checkpoint=str(trained),
        model_dir=str(tmp_path / "run"),
        dataset=str(tmp_path / "photos.csv"),
        by="uncertain",
        count=2,
    )
    assert "12 images, 3 of them with a label" in capsys.readouterr().out
    left = {f"{number}.png" for number in range(3, 12)}
    assert {pathlib.Path(row["file"]).name for row in rows(directory)} <= left


def test_images_without_files_have_no_table(trained):
    directory = run_given(mode="select", model_dir=str(trained), by="random", count=4)
    assert not (pathlib.Path(directory) / "to_label.csv").exists()


def test_a_list_says_which_have_a_label(trained, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(30))))
    settings = dict(mode="select", model_dir=str(trained), label_list=str(tmp_path / "list.txt"))
    for by in ("typical", "uncertain"):
        directory = run_given(**settings, by=by, count=34)
        assert {int(row["number"]) for row in rows(directory)} == set(range(30, 64))
    with pytest.raises(UsageError, match="--count must be at most 34, the images of --train_split"):
        run_given(**settings, count=35)


def test_the_same_command_selects_the_same_images(trained, tmp_path):
    settings = dict(mode="select", checkpoint=str(trained), dataset="shapes", image_size=16)
    settings |= dict(train_split="train[:50]", count=7)
    one, other = (run_given(**settings, model_dir=str(tmp_path / name)) for name in "ab")
    assert rows(one) == rows(other) and len(rows(one)) == 7


def test_uncertain_images_need_labels(trained):
    with pytest.raises(UsageError, match="--by=uncertain needs images with labels .* Received: 0"):
        run_given(mode="select", model_dir=str(trained), by="uncertain", count=3)


def test_typical_images_need_scikit_learn(trained, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--by=typical needs scikit-learn: pip install"):
        run_given(mode="select", model_dir=str(trained), count=3)
