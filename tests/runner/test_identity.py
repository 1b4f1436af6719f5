"""A run is of its images, wherever they lie: no other ones continue it or get its results."""

import json
import os
import shutil

import numpy as np
import pytest

import tfssl
from tests.helpers import tiny_config, write_image
from tfssl import Config, UsageError
from tfssl.runner import sources


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two folders with a train and a test split, A of cat and dog, B of fox and owl; a run on A."""
    directory = tmp_path_factory.mktemp("originals")
    for name, classes, seed in (("A", ("cat", "dog"), 0), ("B", ("fox", "owl"), 1000)):
        for split, count in (("train", 10), ("test", 5)):
            for number, label in enumerate(classes):
                for i in range(count):
                    write_image(
                        directory / name / split / label / f"{i}.png",
                        height=16,
                        width=16,
                        seed=seed + 100 * number + 10 * len(split) + i,
                    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        tfssl.run(settings("A", model_dir="run"))
    return directory


@pytest.fixture
def photos(originals, tmp_path, monkeypatch):
    """Copies of A and B in the working directory."""
    for name in "AB":
        shutil.copytree(originals / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(originals, photos):
    """A copy of the run on A too."""
    return shutil.copytree(originals / "run", photos / "run")


def settings(data_dir, **changes):
    given = dict(
        dataset="folder",
        data_dir=str(data_dir),
        train_split="train",
        eval_split=None,
        train_steps=2,
        train_batch_size=8,
        knn_k="3",
        linear_probe=False,
        eval_baseline=False,
        **changes,
    )
    return tiny_config(given.pop("model_dir", None), **given).replace(
        model_dir=changes.get("model_dir")
    )


def result_in(directory):
    with open(os.path.join(directory, "result.json")) as file:
        return json.load(file)


@pytest.mark.slow
def test_a_second_folder_gets_a_run_of_its_own_and_a_copy_continues_the_first(photos, capsys):
    first = tfssl.run(settings("A"))
    tfssl.run(settings("B"))
    one, other = (os.path.join("runs", name) for name in sorted(os.listdir("runs")))
    weights = [tfssl.load_encoder(run).get_weights() for run in (one, other)]
    assert any((a != b).any() for a, b in zip(*weights))
    shutil.copytree("A", "copies/of/A")
    capsys.readouterr()
    for spelled in ("copies/of/A", "./A/", os.path.abspath("A")):
        assert tfssl.run(settings(spelled))["pretrained"] == first["pretrained"]
        assert "finished; nothing left to do" in capsys.readouterr().out
    assert len(os.listdir("runs")) == 2


def flip(path):
    """Changes the last byte of an image file, which no decoder minds."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "change,said",
    [
        (lambda d: shutil.rmtree(d / "train" / "dog"), "images 10 (there 20)"),
        (
            lambda d: os.rename(d / "train" / "dog", d / "train" / "fox"),
            "classes cat fox (there cat dog)",
        ),
        (
            lambda d: os.rename(d / "train" / "dog" / "1.png", d / "train" / "cat" / "11.png"),
            "images of cat, dog 11+9 (there 10+10)",
        ),
        (
            lambda d: os.rename(d / "train" / "dog" / "1.png", d / "train" / "dog" / "11.png"),
            "names or sizes of files",
        ),
        (lambda d: flip(d / "train" / "dog" / "1.png"), "other images: contents of files"),
    ],
    ids=["fewer", "renamed class", "moved", "renamed", "edited"],
)
def test_other_images_are_refused_by_name(photos, trained, change, said):
    shutil.copytree("A", "C")
    change(photos / "C")
    for mode in ("pretrain", "eval", "knn"):
        config = settings("C", model_dir="run")
        given = None if mode == "pretrain" else {"data_dir"}
        with pytest.raises(UsageError, match="holds a run on other images") as refusal:
            tfssl.run(config.replace(mode=mode), given=given)
        assert said in str(refusal.value)


def test_a_finished_run_is_evaluated_again_on_other_images(photos, trained, capsys):
    """The same training images; the test split alone differs."""
    first = result_in("run")
    shutil.copytree("A", "C")
    for label in ("cat", "dog"):
        write_image(photos / "C" / "test" / label / "more.png", height=16, width=16, seed=77)
    again = tfssl.run(settings("C", model_dir="run"))
    assert first["pretrained"]["knn_3"]["examples"] == 10
    assert (
        again["pretrained"]["knn_3"]["examples"]
        == 12
        == result_in("run")["pretrained"]["knn_3"]["examples"]
    )
    asked = settings("C", model_dir="run").replace(knn_k="5")
    assert set(tfssl.run(asked)["pretrained"]) == {"online", "knn_5"}
    capsys.readouterr()
    tfssl.run(asked)
    assert "nothing left to do" in capsys.readouterr().out


def finetuning(data_dir, **changes):
    given = dict(
        mode="finetune",
        checkpoint="none",
        dataset="folder",
        data_dir=str(data_dir),
        train_steps=2,
        train_batch_size=8,
        image_size="16",
        encoder="tiny",
        precision="float32",
        compile_augmentation=False,
        **changes,
    )
    return Config(**given)


@pytest.mark.slow
def test_finetuning_on_a_second_folder_is_another_run(photos):
    one = tfssl.run(finetuning("A"))
    (tuned,) = os.listdir("runs")
    two = tfssl.run(finetuning("B"))
    assert len(os.listdir("runs")) == 2
    assert one["finetuned"]["network"]["examples"] == two["finetuned"]["network"]["examples"] == 10
    os.rename(os.path.join("runs", tuned), "tuned")
    with pytest.raises(UsageError, match=r"classes fox owl \(there cat dog\)"):
        tfssl.run(finetuning("B", model_dir="tuned"))
    with pytest.raises(UsageError, match="holds a run on other images"):
        tfssl.run(
            Config(mode="eval", model_dir="tuned", data_dir="B"),
            given={"mode", "model_dir", "data_dir"},
        )


@pytest.mark.slow
def test_frozen_encoders_on_a_second_folder_too(photos, trained):
    for mode, folders in (("knn", "AB"), ("linear_eval", "A")):
        for data_dir in folders:
            given = dict(
                mode=mode,
                checkpoint="run",
                dataset="folder",
                data_dir=data_dir,
                image_size="16",
                knn_k="3",
                linear_epochs=1.0,
                linear_batch_size=8,
                precision="float32",
                compile_augmentation=False,
            )
            tfssl.run(Config(**given), given=set(given))
    assert len(os.listdir("runs")) == 3
    given |= dict(data_dir="A", model_dir="same")
    for given["data_dir"] in "AB":  # one directory, and a place of its own for each
        tfssl.run(Config(**given), given=set(given))
    assert len(os.listdir("same/linear_eval")) == 2


def test_what_is_run_is_a_config():
    with pytest.raises(UsageError, match="`config` must be a tfssl.Config. Received: dict"):
        tfssl.run({"dataset": "shapes"})


def test_the_record_says_what_the_images_are(trained):
    with open("run/data.json") as file:
        record = json.load(file)
    assert record["train"] | {"names": "", "content": "", "bytes": 0} == {
        "kind": "folder",
        "images": 20,
        "readable": 20,
        "classes": {"cat": 10, "dog": 10},
        "names": "",
        "content": "",
        "bytes": 0,
    }
    assert record["value_ranges"] == {"uint8": [0.0, 255.0]}


def test_shapes_of_two_seeds_are_two_datasets():

    identities = [
        sources.identify(Config(dataset="shapes", seed=seed, image_size=16), "train")
        for seed in (0, 1)
    ]
    assert identities[0] == {"kind": "shapes", "seed": 0, "size": [16, 16]} != identities[1]


@pytest.mark.parametrize("spelled", ["A/", "./A", "B/../A", "link"])
def test_shared_images_are_found_however_a_folder_is_spelled(photos, spelled):
    os.symlink("A", "link")
    config = settings("A", model_dir="run", probe_dataset="folder").replace(
        probe_data_dir=spelled, probe_train_split="test", eval_split="train"
    )
    with pytest.raises(UsageError, match="--eval_split must not share images with --train_split"):
        tfssl.run(config)
    assert not os.path.exists("run")


@pytest.mark.slow
def test_copies_of_training_images_are_counted_and_too_many_refused(photos, capsys):
    shutil.copy("A/train/cat/0.png", "A/test/cat/copy.png")
    with pytest.raises(
        UsageError,
        match=r"1 of 11 images of folder test are, byte for byte, in "
        r"folder train too",
    ):
        tfssl.run(settings("A", model_dir="run"))
    assert not os.path.exists("run")
    tfssl.run(settings("A", model_dir="run", max_shared_fraction=0.1))
    assert "1 of 11 images of folder test are, byte for byte, in folder train too: 9.09%" in (
        capsys.readouterr().out
    )


def test_copies_are_found_by_their_pixels_where_there_are_no_files():

    one = sources.load(Config(dataset="shapes", image_size=16), "train[:20]")
    other = sources.load(Config(dataset="shapes", image_size=16), "train[15:40]")
    assert other.copies_in(one) == 5 and one.shares_examples_with(other)
    elsewhere = sources.load(Config(dataset="shapes", image_size=16, seed=1), "train[:20]")
    assert elsewhere.copies_in(one) == 0 and not elsewhere.shares_examples_with(one)


@pytest.mark.slow
def test_the_values_that_are_white_stay_those_of_the_training(photos):
    """Embedding a darker split of 12 bits takes the scale of the run."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for split, most in (("train", 4095), ("test", 500)):
        for label in ("cat", "dog"):
            for i in range(8):
                values = rng.integers(0, most, (16, 16, 3), dtype=np.uint16)
                values[0, 0] = most
                path = photos / "D" / split / label / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tf.io.encode_png(values).numpy())
    tfssl.run(settings("D", model_dir="run"))
    given = dict(mode="embed", model_dir="run", data_dir="D", eval_split="test")
    done = np.load(f"{tfssl.run(Config(**given), given=set(given))}/embeddings.npz")

    source = sources.load(
        Config(dataset="folder", data_dir="D"), "test", ranges={"uint16": (0, 4095)}
    )
    assert source.arrays[0].max() == pytest.approx(500 / 4095)
    expected = tfssl.load_encoder("run")(source.arrays[0])
    np.testing.assert_allclose(done["h"], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_other_weights_under_the_same_path_are_another_start(photos, trained):
    """The pretraining was made anew, with another seed, where it was before."""
    tuning = finetuning("A", model_dir="tuned").replace(checkpoint="run", train_steps=4)
    first = tfssl.run(tuning)
    assert tfssl.run(tuning)["finetuned"] == first["finetuned"]
    linear = dict(
        mode="linear_eval",
        checkpoint="run",
        dataset="folder",
        data_dir="A",
        image_size="16",
        linear_epochs=1.0,
        linear_batch_size=8,
        precision="float32",
        compile_augmentation=False,
        model_dir="linear",
    )
    tfssl.run(Config(**linear), given=set(linear))
    shutil.rmtree("run")
    tfssl.run(settings("A", model_dir="run").replace(seed=1))
    with pytest.raises(UsageError, match="--checkpoint=run holds other weights than when the run"):
        tfssl.run(tuning)
    tfssl.run(Config(**linear), given=set(linear))
    assert len(os.listdir("linear/linear_eval")) == 2
    shutil.rmtree("run")  # without it the run is what it is
    assert tfssl.run(tuning)["finetuned"] == first["finetuned"]
