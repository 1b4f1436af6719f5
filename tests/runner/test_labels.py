"""Sets of which only some images have a label: they are learned from, and not scored."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfssl
from tests.helpers import prepare_dataset, read_scalars, spared, store_dataset, tiny_config
from tfssl import Config, UsageError, data, encoders, layers
from tfssl.errors import TrainingError
from tfssl.runner import evaluate, sources


def some(split, number):
    """Labels of 18 of 30 training images and of 7 of 12 others; the first image has none."""
    return -1 if number % 5 in (0, 3) else number % 3


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    return prepare_dataset(tmp_path_factory.mktemp("partly"), (16, 16, 3), label=some)


def settings(directory, **changes):
    return dict(
        dataset="mixed",
        data_dir=str(directory),
        train_split="train",
        eval_split=None,
        train_batch_size=10,
        train_steps=3,
        **changes,
    )


def again(**flags):
    return tfssl.run(Config(**flags), given=set(flags))


@pytest.mark.parametrize("in_memory", [True, False])
def test_scores_are_those_of_the_images_with_a_label(in_memory):
    opened, removed = {}, {}
    for split, name in (("train[:60]", "train"), ("test[:40]", "test")):
        source = sources.load(Config(dataset="shapes", image_size=16), split)
        labels = np.where(np.arange(len(source.arrays[1])) % 4 == 0, -1, source.arrays[1])
        partly = dataclasses.replace(source, arrays=(source.arrays[0], labels))
        removed[name] = data.subset(partly, np.flatnonzero(labels >= 0))
        if not in_memory:
            rows = partly.arrays
            partly = dataclasses.replace(
                partly,
                arrays=None,
                records=lambda rows=rows: tf.data.Dataset.from_tensor_slices(
                    {"image": rows[0], "label": rows[1]}
                ),
            )
        opened[name] = partly
    encoder = encoders.resnet(18, stem="cifar", width_multiplier=1 / 16)
    probe = layers.classifier(32, 10, seed=1)
    made, expected = (
        evaluate.evaluate(
            Config(knn_k="1,7", eval_batch_size=8),
            encoder,
            these["train"],
            these["test"],
            (16, 16),
            "test",
            probe,
        )
        for these in (opened, removed)
    )
    assert set(made) == {"online", "linear", "knn_1", "knn_7"}
    for protocol, scores in made.items():
        assert scores["examples"] == 30
        for name, value in scores.items():
            assert value == pytest.approx(expected[protocol][name], rel=1e-4), (protocol, name)


def test_labels_that_no_training_image_has_count_as_wrong_and_are_told(capsys):
    source = sources.load(Config(dataset="shapes", image_size=16), "train[:60]")
    labels = np.arange(60) % 3
    seen = dataclasses.replace(source, arrays=(source.arrays[0], labels))
    scored = dataclasses.replace(
        source, arrays=(source.arrays[0], np.where(np.arange(60) < 5, 9, labels))
    )
    encoder = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    without, with_new = (
        evaluate.evaluate(Config(knn_k="1"), encoder, seen, other, (16, 16), "test")
        for other in (seen, scored)
    )
    assert "5 of 60 images of shapes train[:60] have labels that no image of train[:60] has, " in (
        out := capsys.readouterr().out
    )
    assert out.count("count as wrong") == 1 and f"such as {source.classes[9]}:" in out
    assert without["knn_1"]["correct_top_1"] == 60 and with_new["knn_1"]["correct_top_1"] == 55
    assert with_new["linear"]["correct_top_1"] == without["linear"]["correct_top_1"] - 5
    assert with_new["linear"]["information_bound"] is None


def test_neighbours_that_are_not_there_are_left_out_and_told(capsys):
    source = sources.load(Config(dataset="shapes", image_size=16), "train[:40]")
    labels = np.where(np.arange(40) < 9, source.arrays[1], -1)
    source = dataclasses.replace(source, arrays=(source.arrays[0], labels))
    encoder = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    made = evaluate.evaluate(
        Config(knn_k="9,10", linear_probe=False), encoder, source, source, (16, 16), "test"
    )
    assert set(made) == {"knn_9"} and made["knn_9"]["examples"] == 9
    assert "kNN with k above 9 is left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cache_dataset",
    [
        spared(True),
        pytest.param(False, marks=pytest.mark.slow),
    ],
)  # streamed images are scored below
def test_pretraining_learns_from_all_and_scores_those_with_a_label(
    partly, cache_dataset, tmp_path, capsys
):
    config = tiny_config(tmp_path / "run", **settings(partly, cache_dataset=cache_dataset))
    result = tfssl.run(config)
    for which in ("pretrained", "untrained"):
        assert {name: scores["examples"] for name, scores in result[which].items()} == {
            "online": 7,
            "linear": 7,
            "knn_5": 7,
        }
    assert np.isfinite(
        [v for _, v in read_scalars(tmp_path / "run")["train/supervised_loss"]]
    ).all()
    said = capsys.readouterr().out
    assert "mixed train: 30 images as views" in said and "on 18 frozen representations" in said
    if cache_dataset:
        assert "mixed train: 12 of 30 images have no label" in said
        assert "mixed validation: 5 of 12 images have no label" in said


@pytest.mark.slow
def test_held_and_streamed_are_scored_alike(partly, tmp_path):
    tfssl.run(
        tiny_config(tmp_path / "run", **settings(partly), mode="train", train_mode="pretrain")
    )
    flags = dict(model_dir=str(tmp_path / "run"))
    one, other = (
        again(mode="eval", cache_dataset=cache, **flags)["pretrained"] for cache in (True, False)
    )
    for protocol, scores in one.items():
        for name, value in scores.items():
            assert value == pytest.approx(other[protocol][name], rel=1e-4), (protocol, name)
    knn = again(mode="knn", knn_k="3", **flags)
    assert (knn["labels"], knn["results"]["knn_3"]["examples"]) == (18, 7)
    linear = again(
        mode="linear_eval",
        linear_epochs=1.0,
        linear_batch_size=10,
        compile_augmentation=False,
        **flags,
    )
    assert (linear["labels"], linear["results"]["linear_sgd"]["examples"]) == (18, 7)
    with pytest.raises(UsageError, match="--knn_k must be at most 18, the number of training lab"):
        again(mode="knn", knn_k="19", **flags)
    embedded = np.load(f"{again(mode='embed', eval_split='train', **flags)}/embeddings.npz")
    assert np.sum(embedded["labels"] == -1) == 12 and len(embedded["h"]) == 30


@pytest.mark.parametrize(
    "changes,labels",
    [
        pytest.param({}, 18, marks=pytest.mark.slow),
        ({"label_fraction": 0.5}, 9),
        ({"label_list": "1\n4\n7\n"}, 3),
    ],
)
def test_finetuning_counts_the_labels_and_draws_from_them(partly, changes, labels, tmp_path):
    if "label_list" in changes:
        numbered = data.labels_of(sources.load(Config(**settings(partly)), "train"))
        places = np.flatnonzero(numbered >= 0)[:labels]
        (tmp_path / "list.txt").write_text("".join(f"{place}\n" for place in places))
        changes = {"label_list": str(tmp_path / "list.txt")}
    config = {**settings(partly), "train_batch_size": 3, **changes}
    result = tfssl.run(tiny_config(tmp_path / "run", **config, mode="finetune", checkpoint="none"))
    assert (result["labels"], result["finetuned"]["network"]["examples"]) == (labels, 7)
    assert json.loads((tmp_path / "run" / "labels.json").read_text())["labels"] == labels
    assert np.isfinite(result["eval/label_top_1_accuracy"])


@pytest.mark.parametrize("cache_dataset", [True, False])
def test_a_list_with_an_image_that_has_no_label_is_refused(partly, cache_dataset, tmp_path):
    config = settings(partly, cache_dataset=cache_dataset)
    numbered = data.labels_of(sources.load(Config(**config), "train"))
    places = [np.flatnonzero(numbered >= 0)[0], np.flatnonzero(numbered < 0)[0]]
    (tmp_path / "list.txt").write_text("".join(f"{place}\n" for place in places))
    with pytest.raises(
        UsageError,
        match=f"--label_list must name images that have a label. "
        f".*with {places[1]}, which has none, as have 1 of 2",
    ):
        tfssl.run(
            tiny_config(
                tmp_path / "run",
                **config,
                mode="finetune",
                checkpoint="none",
                label_list=str(tmp_path / "list.txt"),
            )
        )
    assert not (tmp_path / "run").exists()


def test_few_labels_are_a_fraction_of_the_labels():
    labels = np.array([-1] * 60 + [0, 1] * 20)
    places = data.balanced(labels, 2, 0.5, seed=0)
    assert np.bincount(labels[places]).tolist() == [10, 10]


@pytest.mark.slow
def test_when_none_of_the_scored_images_has_a_label_a_sentence_says_so(tmp_path):
    late = prepare_dataset(
        tmp_path,
        (16, 16, 3),
        label=lambda split, number: number % 3 if split == "train" else -1 if number < 11 else 0,
    )
    config = settings(late, mode="finetune", checkpoint="none", eval_batch_size=1, eval_steps=1)
    numbered = data.labels_of(sources.load(Config(**config), "validation"))
    config["eval_steps"] = int(np.argmax(numbered >= 0))
    if config["eval_steps"] == 0:  # the order of the records is theirs: here it is the first
        config |= {"eval_split": "validation[1:]", "eval_steps": 1}
    with pytest.raises(UsageError, match="--eval_split must have labels"):
        tfssl.run(tiny_config(tmp_path / "run", **config))


def outside(directory):
    """The directory of a prepared dataset whose labels are 0, 1 and 2, now said to be of two."""
    path = next(directory.rglob("features.json"))
    path.write_text(path.read_text().replace('"numClasses": "3"', '"numClasses": "2"'))
    assert tfds.builder("mixed", data_dir=directory).info.features["label"].num_classes == 2
    return str(directory)


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [True, False])
def test_labels_outside_of_the_classes_end_it_in_a_sentence(baseline, tmp_path):
    prepare_dataset(tmp_path / "data", (16, 16, 3))
    damaged = settings(outside(tmp_path / "data"), eval_baseline=baseline)
    with pytest.raises(UsageError, match=r"split train is damaged .*label out of range:\] \[2\]"):
        tfssl.run(tiny_config(tmp_path / "run", **damaged))
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        TrainingError,
        match=r"--dataset=mixed could not be read to the end \(assertion "
        r"failed: \[label out of range:\] \[2\]",
    ):
        tfssl.run(tiny_config(tmp_path / "run", **damaged, cache_dataset=False))
    with pytest.raises(UsageError, match="label out of range"):
        tfssl.run(
            tiny_config(
                tmp_path / "tuned",
                **damaged,
                cache_dataset=False,
                mode="finetune",
                checkpoint="none",
                label_fraction=0.5,
            )
        )
    with pytest.raises(TrainingError, match="label out of range"):
        tfssl.run(
            tiny_config(
                tmp_path / "tuned",
                **damaged | {"train_steps": 10},
                cache_dataset=False,
                mode="finetune",
                checkpoint="none",
            )
        )


@pytest.mark.slow  # the strategy is tested in tests/distribute
def test_two_replicas_learn_what_one_device_does(partly, tmp_path):
    losses = []
    for replicas in (None, 2):
        directory = tmp_path / str(replicas)
        tfssl.run(
            tiny_config(
                directory,
                **settings(
                    partly,
                    learning_rate=0.005,
                    mode="finetune",
                    checkpoint="none",
                    replicas=replicas,
                ),
            )
        )
        losses.append([value for _, value in read_scalars(directory)["train/supervised_loss"]])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.slow
def test_a_dataset_without_labels_is_pretrained_on_and_no_classifier_is_made(tmp_path, capsys):
    directory = prepare_dataset(tmp_path / "data", (16, 16, 3), labelled=False)
    result = tfssl.run(tiny_config(tmp_path / "run", **settings(directory)))
    assert set(result) == {"global_step", "verdict", "model_dir"}
    assert f"verdict: {result['verdict']['kind'].replace('_', ' ')}" in capsys.readouterr().out
    assert "the images have no labels" in capsys.readouterr().out
    assert tfssl.load_encoder(tmp_path / "run")(np.zeros((1, 9, 9, 3))).shape == (1, 32)
    flags = dict(model_dir=str(tmp_path / "run"), mode="embed", eval_split="validation")
    assert set(np.load(f"{again(**flags)}/embeddings.npz")["labels"]) == {-1}
    for mode, refused in (
        ("finetune", "--train_split"),
        ("linear_eval", "--train_split"),
        ("knn", "--train_split"),
    ):
        with pytest.raises(UsageError, match=f"{refused} must have labels"):
            tfssl.run(
                tiny_config(
                    tmp_path / mode,
                    **settings(directory, mode=mode, checkpoint=str(tmp_path / "run")),
                )
            )


@pytest.mark.slow
def test_one_class_is_a_class(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(16, 16, 3)),
        "label": tfds.features.ClassLabel(num_classes=1),
    }
    config = store_dataset(
        tmp_path / "data",
        features,
        [{"image": np.full((16, 16, 3), 9 * i, np.uint8), "label": 0} for i in range(12)],
    )
    result = tfssl.run(
        tiny_config(
            tmp_path / "run",
            dataset="stored",
            data_dir=config.data_dir,
            train_split="train",
            eval_split=None,
            train_batch_size=6,
            max_shared_fraction=1.0,
        )
    )  # both splits show the same
    for scores in result["pretrained"].values():
        assert (scores["examples"], scores["top_1"]) == (12, 1.0)
    assert result["pretrained"]["linear"]["information_bound"] == 0
