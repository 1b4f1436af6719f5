"""--mode=finetune: any checkpoint, any size, any part; and frozen encoders on other data."""

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
)
from tfssl import Config, UsageError
from tfssl.runner import finetune, pretrain
from tfssl.runner.finetune import build_model
from tfssl.runner.job import plan
from tfssl.storage import pretrained


@pytest.fixture
def simclr(finished):
    return finished[0]


@pytest.fixture
def resnet(finished_resnet):
    return finished_resnet[0]


@pytest.fixture
def byol(finished_byol):
    return finished_byol[0]


@pytest.fixture(scope="module")
def tuned(finished_resnet, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tuned") / "run"
    return directory, finetune_shapes(
        finished_resnet[0], directory, image_size="24x40", zero_init_logits_layer=True
    )


@pytest.mark.slow
def test_another_shape_of_images_and_exact_counts(tuned, resnet):
    directory, result = tuned
    scores = result["finetuned"]["network"]
    assert scores["examples"] == 40 and scores["top_1"] == scores["correct_top_1"] / 40
    assert result["eval/label_top_1_accuracy"] == scores["top_1"]
    assert (result["image_size"], result["labels"], result["global_step"]) == ([24, 40], 64, 3)
    assert result["pretrained_weights"]["path"].startswith(str(resnet))
    assert result["pretrained_weights"]["image_size"] == [16, 16]
    assert json.loads((directory / "result.json").read_text()) == result
    series = read_scalars(directory)
    for name in ("total_loss", "supervised_loss", "supervised_acc", "weight_decay"):
        assert [step for step, _ in series[f"train/{name}"]] == [1, 2, 3], name
    assert series["train/supervised_loss"][0][1] == pytest.approx(np.log(10), rel=1e-4)  # head at 0


def test_the_exports_are_the_network(tuned):
    directory, _ = tuned
    config = Config(**json.loads((directory / "flags.json").read_text()))
    job = plan(config)
    model, _ = finetune.restored(job)
    images = np.random.default_rng(0).random((3, 24, 40, 3), np.float32)
    classifier = keras.models.load_model(directory / "classifier.keras", safe_mode=True)
    np.testing.assert_allclose(classifier(images), model(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        tfssl.load_encoder(directory)(images), model.encoder(images), rtol=1e-4, atol=1e-5
    )


def test_the_same_again_does_nothing_and_eval_says_the_same(tuned, resnet, capsys):
    directory, result = tuned
    assert (
        finetune_shapes(resnet, directory, image_size="24x40", zero_init_logits_layer=True)
        == result
    )
    assert "nothing left to do" in capsys.readouterr().out
    again = tfssl.run(Config(mode="eval", model_dir=str(directory)), given={"mode", "model_dir"})
    assert again["finetuned"] == result["finetuned"]


@pytest.mark.slow
def test_a_killed_one_ends_where_the_straight_one_does_without_the_checkpoint(
    tuned, resnet, tmp_path
):
    moved, directory = tmp_path / "simclr", tmp_path / "run"
    shutil.copytree(resnet, moved)
    changes = dict(image_size="24x40", zero_init_logits_layer=True)
    run_until_killed(lambda: finetune_shapes(moved, directory, **changes), at_step=3)
    shutil.rmtree(moved)
    assert finetune_shapes(moved, directory, **changes)["finetuned"] == tuned[1]["finetuned"]


def loaded(checkpoint, **changes):
    """A finetuning model with its weights just loaded, and its Config."""
    given = {"mode": "finetune", "checkpoint": str(checkpoint), **FINETUNE_SETTINGS, **changes}
    found = pretrained.find(str(checkpoint))
    config = pretrained.adopt(Config(**given), set(given), found.about, checkpoint)
    return build_model(plan(config), found), config


def form(directory, kind):
    return {
        "run": directory,
        "checkpoint": directory / "checkpoints" / "step_00000002",
        "encoder": directory / "encoder.keras",
    }[kind]


@pytest.mark.parametrize(
    "method,kind",
    [
        ("simclr", "run"),
        ("simclr", "checkpoint"),
        ("simclr", "encoder"),
        pytest.param("byol", "run", marks=pytest.mark.slow),
        pytest.param("byol", "checkpoint", marks=pytest.mark.slow),
        pytest.param("byol", "encoder", marks=pytest.mark.slow),
    ],
)
def test_every_form_of_checkpoint_gives_its_own_weights(method, kind, resnet, byol):
    directory = {"simclr": resnet, "byol": byol}[method]
    model, config = loaded(form(directory, kind), image_size=16)
    form_of = ("resnet", 1 / 16) if method == "simclr" else ("tiny", 1.0)
    assert (config.method, config.encoder, config.width_multiplier) == (method, *form_of)
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    newest = tfssl.load_encoder(directory)(images)
    same = np.allclose(model.encoder(images), newest, rtol=1e-4, atol=1e-5)
    assert same == (kind != "checkpoint")  # which is an earlier one


@pytest.mark.parametrize(
    "method,selector",
    [
        ("simclr", 1),
        ("byol", -1),
        pytest.param("simclr", -1, marks=pytest.mark.slow),
        pytest.param("byol", 1, marks=pytest.mark.slow),
    ],
)
def test_the_head_reads_the_projectors_layer(method, selector, simclr, byol):
    directory = {"simclr": simclr, "byol": byol}[method]
    model, config = loaded(directory, ft_proj_selector=selector, image_size=16)
    job = plan(Config(**json.loads((directory / "flags.json").read_text())))
    whole, _, _ = pretrain.restored(job)
    h = np.random.default_rng(0).random((4, 32), np.float32)
    layers = whole.projector.layers
    end = -1 if selector == -1 else [type(layer).__name__ for layer in layers].index("ReLU")
    expected = keras.Model(whole.projector.input, layers[end].output)(h)
    np.testing.assert_allclose(model.projector(h), expected, rtol=1e-5, atol=1e-6)
    assert model.projector.trainable_variables  # it learns with the head


@pytest.mark.parametrize(
    "after_block",
    [-1, 0, 2, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))],
)
def test_what_is_frozen_stays_with_its_batch_statistics(after_block, resnet):
    model, _ = loaded(resnet, fine_tune_after_block=after_block, image_size=16)
    before = {v.path: v.numpy() for v in model.encoder.variables}
    images = np.random.default_rng(0).random((16, 16, 16, 3), np.float32)
    for _ in range(2):
        model.train_step({"views": (images,), "label": np.arange(16) % 10})
    places = [layer.name for layer in model.encoder.layers]
    last = {-1: None, 0: "stem"}.get(after_block, f"group{after_block}")
    end = places.index(last) + 1 if last else 0
    frozen, learning = (
        [not np.array_equal(before[v.path], v.numpy()) for layer in layers for v in layer.variables]
        for layers in (model.encoder.layers[:end], model.encoder.layers[end:])
    )
    assert not any(frozen) and len(frozen) + len(learning) == len(before)
    assert (np.mean(learning) > 0.8) if after_block < 4 else not learning


@pytest.mark.slow
def test_another_stem_starts_anew_alone(resnet, capsys, tmp_path):
    kept, _ = loaded(resnet, image_size=32)
    changed, config = loaded(resnet, image_size=32, stem="imagenet")
    assert config.stem == "imagenet"
    ours, theirs = (
        [
            w
            for layer in model.encoder.layers[
                [la.name for la in model.encoder.layers].index("stem") + 1 :
            ]
            for w in layer.get_weights()
        ]
        for model in (kept, changed)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert changed.encoder.layers[2].get_weights()[0].shape[:2] == (7, 7)
    finetune_shapes(resnet, tmp_path / "run", image_size=32, stem="imagenet", train_steps=1)
    assert "new weights in the stem only: imagenet in place of cifar" in capsys.readouterr().out


def test_before_its_first_checkpoint_it_starts_from_what_there_is_now(simclr, tmp_path):
    """And says so: the pretraining may have gone on since the first try."""
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finetune_shapes(form(simclr, "checkpoint").parent.parent, run, image_size=16)
    started = json.loads((run / "pretrained.json").read_text())
    (run / "pretrained.json").write_text(json.dumps({**started, "step": 1}))
    result = finetune_shapes(simclr, run, image_size=16)
    assert result["pretrained_weights"]["step"] == started["step"] == 4


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_other_labels_in_the_list_are_another_run(simclr, tmp_path):
    listed, run = tmp_path / "list.txt", tmp_path / "run"
    listed.write_text("\n".join(map(str, range(32))))
    finetune_shapes(simclr, run, image_size=16, label_list=str(listed))
    listed.write_text("\n".join(map(str, range(1, 33))))
    with pytest.raises(UsageError, match="--label_list=.* selects other images than when the run"):
        finetune_shapes(simclr, run, image_size=16, label_list=str(listed))


def test_few_labels_are_counted(simclr, tmp_path):
    result = finetune_shapes(
        simclr,
        tmp_path / "run",
        label_fraction=0.3,
        train_batch_size=8,
        image_size=16,
        train_split="train[:100]",
    )
    assert result["labels"] == 30


@pytest.mark.slow
def test_from_scratch_is_the_network_of_the_flags(tmp_path):
    result = finetune_shapes("none", tmp_path / "run", width_multiplier=1 / 16, image_size=16)
    assert result["pretrained_weights"] is None
    assert result["finetuned"]["network"]["examples"] == 40


def test_a_training_without_evaluation_needs_no_other_images(tmp_path, capsys):
    settings = dict(encoder="tiny", image_size=16, train_split="test")
    run = tmp_path / "run"
    assert finetune_shapes("none", run, **settings, eval_split="none", report=True) is None
    assert "no table: nothing is evaluated, as --eval_split=none" in capsys.readouterr().out
    assert (run / "classifier.keras").exists() and (run / "report.html").exists()
    with pytest.raises(UsageError, match="--eval_split must be .* Received: none"):
        tfssl.run(Config(mode="eval", model_dir=str(run)))


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(resnet_depth=34), "--resnet_depth=34 contradicts --checkpoint=.* --resnet_depth=18"),
        (dict(method="byol"), "--method=byol contradicts --checkpoint=.* --method=simclr"),
        (dict(train_batch_size=65), "--train_batch_size must be at most 64"),
        (dict(label_fraction=0.1), "at most 10, the number of examples in .* by --label_fraction"),
        (
            dict(image_size="7x16"),
            "--image_size must be at least 8 for --stem=cifar. Received: 7x16",
        ),
        (
            dict(stem="imagenet", image_size=16),
            "--image_size must be at least 32 for --stem=imagenet",
        ),
        (dict(ft_proj_selector=4), "--ft_proj_selector must be at most 3"),
        (dict(eval_split="train[:3]"), "must not share images"),
        (dict(stem="imagenet", image_size=32, fine_tune_after_block=0), "nothing would train it"),
    ],
)
def test_refusals_come_before_anything_is_written(changes, said, resnet, tmp_path):
    with pytest.raises(UsageError, match=said):
        finetune_shapes(resnet, tmp_path / "run", **{"image_size": 16, **changes})
    assert not (tmp_path / "run").exists()


def test_checkpoints_that_are_none_or_damaged(simclr, tuned, tmp_path):
    def refused(path, said, **changes):
        with pytest.raises(UsageError, match=said) as refusal:
            finetune_shapes(path, tmp_path / "run", image_size=16, **changes)
        assert "\n" not in str(refusal.value) and not (tmp_path / "run").exists()

    refused(tmp_path / "nowhere", "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no weights")
    refused(simclr / "encoder.keras", "--ft_proj_selector needs the projector", ft_proj_selector=1)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    refused(tmp_path / "other.keras", "does not say what its network is")
    (tmp_path / "text.keras").write_text("no archive")
    refused(tmp_path / "text.keras", "not a .keras file")
    refused(tuned[0] / "classifier.keras", "is a classifier, not an encoder")
    broken = tmp_path / "broken"
    shutil.copytree(simclr / "checkpoints" / "step_00000004", broken)
    (data,) = (name for name in os.listdir(broken) if "data" in name)
    (broken / data).write_bytes((broken / data).read_bytes()[:-100])
    refused(broken, "is damaged")


@pytest.mark.slow
def test_linear_eval_and_knn_take_a_checkpoint_and_other_data(simclr, byol, tmp_path):
    for number, checkpoint in enumerate((simclr, byol / "encoder.keras")):
        common = dict(
            checkpoint=str(checkpoint),
            dataset="shapes",
            train_split="train[64:164]",
            eval_split="test[40:80]",
            image_size="24x32",
            knn_k="3",
            linear_epochs=1.0,
            linear_batch_size=20,
            label_fraction=0.5,
            precision="float32",
            model_dir=str(tmp_path / f"out{number}"),
        )
        for mode in ("knn", "linear_eval")[: 2 - number]:
            config = Config(mode=mode, **common)
            result = tfssl.run(config, given={"mode", *common})
            (scores,) = result["results"].values()
            assert scores["examples"] == 40 and result["labels"] == 50
            assert result["image_size"] == [24, 32] and result["encoder"]["image_size"] == [16, 16]
        assert (tmp_path / f"out{number}" / "knn.json").exists()
        assert not (tmp_path / f"out{number}" / "flags.json").exists()


@pytest.mark.parametrize("mode", ["linear_eval", "knn"])
def test_frozen_encoders_are_kept_whole(mode, resnet, tmp_path):
    for changes, said in (
        (dict(checkpoint="none"), "needs the weights of a --checkpoint"),
        (
            dict(checkpoint=str(resnet), stem="imagenet", image_size=32),
            "a frozen encoder keeps its stem",
        ),
        (dict(), "needs --model_dir or --checkpoint"),
    ):
        settings = dict(mode=mode, dataset="shapes", **changes)
        if changes:
            settings["model_dir"] = str(tmp_path / "run")
        with pytest.raises(UsageError, match=said):
            tfssl.run(Config(**settings), given=set(settings))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_finetuned_run_is_a_checkpoint_too(tuned, tmp_path):
    directory, _ = tuned
    result = finetune_shapes(directory, tmp_path / "again", image_size=16, train_steps=1)
    assert result["pretrained_weights"]["task"] == "finetune"
    settings = dict(mode="knn", model_dir=str(directory), knn_k="3")
    assert tfssl.run(Config(**settings), given=set(settings))["results"]["knn_3"]["examples"] == 40
