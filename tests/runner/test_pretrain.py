"""The whole job, tiny: train, stop, resume, evaluate, export; every refusal before it starts."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfssl
from tests.helpers import (
    COLOURS,
    RESNET,
    read_scalars,
    run_until_killed,
    spared,
    tiny_config,
)
from tfssl import Config, UsageError
from tfssl.runner import device, job, sources
from tfssl.runner.evaluate import crop_proportion
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model, checkpoints_of
from tfssl.storage import runs

TRAIN = dict(mode="train", train_mode="pretrain")  # and no evaluation


def test_a_run_leaves_what_the_documentation_names(finished):
    directory, _ = finished
    names = set(os.listdir(directory))
    assert {
        "flags.flags",
        "flags.json",
        "result.json",
        "result_4.json",
        "untrained.json",
        "time.json",
        "encoder.keras",
        "views.png",
        "checkpoints",
        "eval",
    } <= names
    assert sorted(os.listdir(directory / "checkpoints")) == ["step_00000002", "step_00000004"]


def test_result_json_has_googles_keys_and_exact_counts(finished):
    directory, returned = finished
    result = json.loads((directory / "result.json").read_text())
    assert result == returned == json.loads((directory / "result_4.json").read_text())
    assert result["global_step"] == 4
    for protocols in (result["pretrained"], result["untrained"]):
        assert set(protocols) == {"online", "linear", "knn_5"}
        for scores in protocols.values():
            assert scores["examples"] == 40
            assert scores["correct_top_1"] <= scores["correct_top_5"] <= 40
            assert scores["top_1"] == scores["correct_top_1"] / 40
    assert result["eval/label_top_1_accuracy"] == result["pretrained"]["online"]["top_1"]
    assert result["eval/label_top_5_accuracy"] == result["pretrained"]["online"]["top_5"]
    assert result["eval/regularization_loss"] > 0
    assert result["versions"]["keras"] == keras.__version__
    assert result["precision"] == "float32" and result["device"] and result["train_seconds"] > 0


def test_tensorboard_has_googles_tags_at_every_step(finished):
    directory, result = finished
    train = read_scalars(directory)
    for name in (
        "total_loss",
        "weight_decay",
        "contrast_loss",
        "contrast_acc",
        "contrast_entropy",
        "supervised_loss",
        "supervised_acc",
        "z_std",
        "images_per_second",
    ):
        assert [step for step, _ in train[f"train/{name}"]] == [1, 2, 3, 4], name
    rates = [value for _, value in train["learning_rate"]]
    assert len(rates) == 4 and rates == sorted(rates) and rates[0] > 0  # within the warm-up
    evaluation = read_scalars(directory / "eval")
    assert evaluation["eval/label_top_1_accuracy"] == [
        (4, pytest.approx(result["eval/label_top_1_accuracy"]))
    ]
    assert "eval/linear_top_1_accuracy" in evaluation
    events = EventAccumulator(str(directory)).Reload()
    assert {"image", "flags"} <= set(events.Tags()["tensors"])


def test_information_is_logged_at_every_step_and_bounded(finished):
    directory, result = finished
    points = {name: dict(values) for name, values in read_scalars(directory).items()}
    for name in ("infonce_bound", "infonce_ceiling", "alignment", "uniformity", "effective_rank"):
        assert set(points[f"information/{name}"]) == {1, 2, 3, 4}, name
    for step, loss in points["train/contrast_loss"].items():
        ceiling = points["information/infonce_ceiling"][step]
        assert ceiling == pytest.approx(np.log(2 * 16 - 1), rel=1e-5)
        assert points["information/infonce_bound"][step] == pytest.approx(
            ceiling - loss / 2, rel=1e-4
        )
        assert 1 <= points["information/effective_rank"][step] <= 16
    for name in ("lidar", "view_retrieval", "loss_of_views"):
        assert set(points[f"information/{name}"]) == {1, 2, 3, 4}, name
    assert set(points["information/neighbours_kept"]) == {1, 2, 3, 4}
    events = EventAccumulator(str(directory)).Reload()
    assert "information/singular_values" in events.Tags()["tensors"]
    for protocols in (result["pretrained"], result["untrained"]):
        for protocol in ("online", "linear"):
            scores = protocols[protocol]
            assert scores["information_bound"] == pytest.approx(
                scores["label_entropy"] - scores["cross_entropy"]
            )
    assert dict(read_scalars(directory / "eval")["eval/linear_information_bound"])[
        4
    ] == pytest.approx(result["pretrained"]["linear"]["information_bound"], rel=1e-5)


@pytest.mark.slow
def test_one_flag_turns_the_information_off_and_training_stays_the_same(finished, tmp_path):
    result = tfssl.run(tiny_config(tmp_path, information_scalars=False, eval_baseline=False))
    there = read_scalars(tmp_path)
    assert not any(name.startswith("information/") for name in there)
    assert there["train/contrast_loss"] == read_scalars(finished[0])["train/contrast_loss"]
    for protocol, scores in result["pretrained"].items():  # as equal commands are equal runs
        expected = finished[1]["pretrained"][protocol]
        assert scores.items() <= expected.items() and "correct_top_1" in scores
    assert "information_bound" not in result["pretrained"]["linear"]


@pytest.mark.slow
def test_points_are_means_since_the_last_point(finished, tmp_path):
    """Points every 2 steps are the means of the points at every step."""
    tfssl.run(tiny_config(tmp_path, **TRAIN, train_summary_steps=2))
    one, two = (dict(read_scalars(d)["train/contrast_loss"]) for d in (finished[0], tmp_path))
    assert two == pytest.approx({2: (one[1] + one[2]) / 2, 4: (one[3] + one[4]) / 2}, rel=1e-5)


# What makes it faster, one by one; and all of it in two runs, which is quicker.
FASTER = [
    dict(augment_on="device"),
    dict(augment_on="device", compile_augmentation=True),
    dict(compile_augmentation=True),
    dict(blockwise_loss_from=16),
    dict(fused_batch_norm=False),
    dict(product_gradients=False),
    dict(remat=True),
]


@pytest.mark.parametrize(
    "changes",
    [
        spared(dict(augment_on="device", compile_augmentation=True, product_gradients=False)),
        spared(
            dict(
                compile_augmentation=True,
                blockwise_loss_from=16,
                fused_batch_norm=False,
                remat=True,
            )
        ),
        *(pytest.param(changes, marks=pytest.mark.slow) for changes in FASTER),
    ],
    ids=str,
)
def test_what_makes_it_faster_changes_no_number(finished_resnet, tmp_path, changes):
    tfssl.run(tiny_config(tmp_path, **TRAIN, **RESNET, **changes))
    plain, fast = read_scalars(finished_resnet[0]), read_scalars(tmp_path)
    for name in ("train/contrast_loss", "train/contrast_entropy", "train/z_std"):
        assert fast[name] == [(step, pytest.approx(value, rel=2e-3)) for step, value in plain[name]]


@pytest.mark.slow
@pytest.mark.parametrize("most", [3, 0])  # 0: by time, as on a GPU
def test_several_steps_per_execution_change_nothing(finished, tmp_path, monkeypatch, most):
    """Four steps: points at 2 and 4, each a mean, and checkpoints at 3 and 4, as one at a time."""
    monkeypatch.setattr(device, "choose", lambda config, *_: config)
    settings = dict(TRAIN, train_summary_steps=2, checkpoint_steps=3, augment_on="host")
    tfssl.run(tiny_config(tmp_path, **settings, steps_per_execution=most))
    values = [value for _, value in read_scalars(finished[0])["train/contrast_loss"]]
    two = dict(read_scalars(tmp_path)["train/contrast_loss"])
    assert two == pytest.approx({2: np.mean(values[:2]), 4: np.mean(values[2:])}, rel=1e-6)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step_00000003", "step_00000004"]
    first, second = (tfssl.load_encoder(directory) for directory in (finished[0], tmp_path))
    for one, other in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_run_ends_where_the_straight_one_does(finished, tmp_path):
    """Points every 3 steps, checkpoints every 2, killed at 3: point 3 is of steps 1, 2 and 3.

    Its time is that of both processes, of the first until its last checkpoint.
    """
    directory = tmp_path / "resumed"
    config = dict(train_summary_steps=3, information_scalars=True)
    run_until_killed(lambda: tfssl.run(tiny_config(directory, **config)), at_step=3)
    assert sorted(os.listdir(directory / "checkpoints")) == ["step_00000002"]
    first = json.loads((directory / "time.json").read_text())["train_seconds"]
    result = tfssl.run(tiny_config(directory, **config))
    assert result["pretrained"] == finished[1]["pretrained"]
    assert result["train_seconds"] > first > 0
    for a, b in zip(
        tfssl.load_encoder(finished[0]).get_weights(), tfssl.load_encoder(directory).get_weights()
    ):
        np.testing.assert_array_equal(a, b)
    straight, resumed = (
        dict(read_scalars(d)["train/contrast_loss"]) for d in (finished[0], directory)
    )
    mean = np.mean([straight[step] for step in (1, 2, 3)])
    assert resumed == pytest.approx({3: mean, 4: straight[4]}, rel=1e-5)


def test_the_same_command_again_says_finished_and_writes_nothing(finished, capsys):
    directory, result = finished
    before = {name: os.stat(directory / name).st_mtime_ns for name in os.listdir(directory)}
    assert tfssl.run(tiny_config(directory)) == result
    assert "finished" in capsys.readouterr().out
    assert before == {name: os.stat(directory / name).st_mtime_ns for name in os.listdir(directory)}


def test_eval_mode_needs_only_the_directory(finished, copied, capsys):
    config = Config(mode="eval", model_dir=str(copied), knn_k="3")
    again = tfssl.run(config, given={"mode", "model_dir", "knn_k"})
    assert again["pretrained"]["online"] == finished[1]["pretrained"]["online"]
    assert set(again["pretrained"]) == {"online", "linear", "knn_3"}
    assert "linear" in capsys.readouterr().out


def test_eval_mode_makes_the_baseline_that_the_run_left_out(finished, trained):
    config = tiny_config(trained, mode="eval", eval_baseline=True, information_scalars=True)
    result = tfssl.run(config)
    assert result["untrained"] == finished[1]["untrained"]
    assert result["pretrained"] == finished[1]["pretrained"]


def test_a_baseline_by_other_settings_is_made_again(finished, copied):
    again = tfssl.run(tiny_config(copied, mode="eval", eval_image_size=24, knn_k="7"))
    assert set(again["untrained"]) == {"online", "linear", "knn_7"}
    assert again["untrained"]["linear"] != finished[1]["untrained"]["linear"]
    kept = tfssl.run(tiny_config(copied, mode="eval", eval_baseline=False))
    assert kept["untrained"] is None  # rather than one that does not compare


def test_eval_mode_refuses_flags_that_contradict_the_run(finished):
    directory, _ = finished
    config = Config(mode="eval", model_dir=str(directory), resnet_depth=50)
    with pytest.raises(UsageError, match=r"--resnet_depth=50 \(there 18\)"):
        tfssl.run(config, given={"resnet_depth"})


def test_a_directory_of_another_configuration_is_refused(finished):
    directory, _ = finished
    with pytest.raises(UsageError, match=r"--temperature=0.5 \(there 0.25\)"):
        tfssl.run(tiny_config(directory, temperature=0.5))


def test_the_exported_encoder_is_the_trained_one_at_any_size(finished_resnet):
    directory, _ = finished_resnet
    config = tiny_config(directory, **RESNET)
    job = plan(config)
    model = build_model(job)
    assert checkpoints_of(job, model).restore_newest() == 4
    encoder = tfssl.load_encoder(directory)
    images = job.eval_source.arrays[0][:8] / np.float32(255)
    np.testing.assert_allclose(encoder(images), model(images), rtol=1e-4, atol=1e-5)
    assert type(encoder.layers[2]) is keras.layers.BatchNormalization
    assert encoder(np.zeros((1, 40, 56, 3), np.float32)).shape == (1, 32)


def test_a_file_that_is_no_encoder_is_refused_in_one_sentence(finished, tmp_path):
    whole = (finished[0] / "encoder.keras").read_bytes()
    broken = bytearray(whole)
    broken[1000:2000] = bytes(1000)
    for content, said in (
        (b"", "not a .keras file"),
        (whole[:-500], "not a .keras file"),
        (bytes(broken), "not a Keras model"),
    ):
        (tmp_path / "encoder.keras").write_bytes(content)
        with pytest.raises(UsageError, match=said) as refusal:
            tfssl.load_encoder(tmp_path)
        assert "\n" not in str(refusal.value)
    with pytest.raises(UsageError, match="There is no encoder"):
        tfssl.load_encoder(tmp_path / "nowhere")


@pytest.mark.slow
def test_another_seed_is_another_run(finished, tmp_path):
    tfssl.run(tiny_config(tmp_path, **TRAIN, seed=1))
    losses = [read_scalars(d)["train/contrast_loss"] for d in (finished[0], tmp_path)]
    assert losses[0] != losses[1]


# Together they hold every value of every choice, and each switch in both positions.
CHOICES = {
    "sgd": dict(
        optimizer="momentum",
        proj_head_mode="none",
        use_blur=True,
        blur_padding="constant",
        lineareval_while_pretraining=False,
        train_summary_steps=0,
    ),
    "adam": dict(
        **RESNET,
        **COLOURS | dict(brightness_mode="additive", solarize_p=0.5),
        optimizer="adam",
        learning_rate=0.001,
        learning_rate_scaling="sqrt",
        proj_head_mode="linear",
        hidden_norm=False,
        fused_batch_norm=False,
    ),
    "imagenet stem": dict(
        **RESNET,
        stem="imagenet",
        image_size=32,
        warmup_epochs=0.0,
        use_blur=True,
        precision="mixed_bfloat16",
    ),
    "streamed": dict(
        cache_dataset=False, precision="mixed_float16", eval_image_size=24, num_proj_layers=1
    ),
    "sk and se": dict(**RESNET, resnet_depth=50, sk_ratio=0.0625, se_ratio=0.25),
}
LARGE = ["sk and se", "imagenet stem", "adam"]  # of ResNets, whose layers tests/encoders tests


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in CHOICES],
)
def test_every_choice_trains_and_evaluates(tmp_path, name):
    changes = CHOICES[name]
    result = tfssl.run(tiny_config(tmp_path / "run", train_steps=2, eval_baseline=False, **changes))
    assert result["global_step"] == 2 and result["pretrained"]["linear"]["examples"] == 40
    losses = [v for _, v in read_scalars(tmp_path / "run").get("train/total_loss", [])]
    assert np.isfinite(losses).all() and (losses or name == "sgd")


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(train_batch_size=65), "--train_batch_size must be at most 64"),
        (dict(train_split="valid"), "--train_split must be one of test, train"),
        (dict(eval_split="valid"), "--eval_split must be one of test, train"),
        (dict(eval_split="train[63:80]"), "--eval_split must not share images with --train_split"),
        (dict(knn_k="65"), "--knn_k must be at most 64"),
        (dict(image_size=7), "--image_size must be at least 8"),
        (dict(stem="imagenet"), "--image_size must be at least 32"),
        (dict(eval_image_size=4), "--eval_image_size must be at least 8"),
        (dict(width_multiplier=0.001), "--width_multiplier"),
        (
            dict(method="dino", image_size=None, local_views=1, local_size="40"),
            "--local_size must not exceed the size of the other views, 32x32. Received: 40",
        ),
    ],
)
def test_refusals_come_before_anything_is_written(tmp_path, changes, said):
    directory = tmp_path / "run"
    with pytest.raises(UsageError, match=said):
        tfssl.run(tiny_config(directory, **RESNET | changes))
    assert not directory.exists()


@pytest.mark.parametrize("labels,left", [(64, "20"), (16, "1")])
def test_neighbours_by_default_are_those_that_there_are_labels_for(labels, left, capsys):
    config = Config(dataset="shapes", train_split=f"train[:{labels}]", train_batch_size=8)
    images = sources.load(config, config.train_split)
    assert job.with_neighbours(config, images, images).knn_k == left
    assert f"--knn_k={left}, as there are {labels} training labels" in capsys.readouterr().out
    with pytest.raises(UsageError, match=f"--knn_k must be at most {labels}"):
        job.with_neighbours(config.replace(knn_k="20,100"), images, images)


@pytest.mark.parametrize(
    "count,asked,fit", [(200, None, 64), (5, None, 2), (600, None, 512), (200, 100, 100)]
)
def test_batches_by_default_are_no_larger_than_half_of_the_images(count, asked, fit, capsys):
    config = Config(dataset="shapes", **({"train_batch_size": asked} if asked else {}))
    assert job.with_batch(config, "train_batch_size", count).train_batch_size == fit
    told = f"--train_batch_size={fit}, as there are {count} images to learn from"
    assert (told in capsys.readouterr().out) == (fit not in (512, asked))


def test_a_run_of_few_images_goes_on_with_its_batches(tmp_path):
    settings = dict(dataset="shapes", encoder="tiny", train_split="train[:40]", knn_k="")
    settings |= dict(eval_split="test[:10]", image_size=16, linear_probe=False, report=False)
    settings |= dict(color_jitter_strength=0.0, grayscale_p=0.0, compile_augmentation=False)
    for steps in (2, 2):
        result = tfssl.run(Config(**settings, train_steps=steps, model_dir=str(tmp_path / "run")))
    assert result["global_step"] == 2
    assert runs.recorded(tmp_path / "run").train_batch_size == 16
    with pytest.raises(UsageError, match="--train_batch_size must be at most 40"):
        tfssl.run(Config(**settings, train_batch_size=100, model_dir=str(tmp_path / "other")))


def test_eval_of_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="which holds none"):
        tfssl.run(tiny_config(tmp_path / "nothing", mode="eval"))
    assert not (tmp_path / "nothing").exists()


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--model_dir"):
        tfssl.run(tiny_config(tmp_path / "file" / "run"))


def test_checkpoints_without_a_record_are_not_ours(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UsageError, match="not a run of tfssl"):
        tfssl.run(tiny_config(tmp_path / "run"))


@pytest.mark.parametrize(
    "size,given,expected",
    [((32, 32), None, 1.0), ((24, 24), None, 1.0), ((48, 48), None, 0.875), ((32, 32), 0.5, 0.5)],
)
def test_the_evaluation_crop_follows_the_reference(size, given, expected):
    assert crop_proportion(Config(eval_crop_proportion=given), size) == expected


@pytest.mark.parametrize("form,relative", [("classic", None), ("popular", 0.5 * 16 / 256 * 1e-3)])
def test_the_online_head_is_adapted_in_byols_form_of_lars_alone(tmp_path, form, relative):
    """Adapted: the step is a share of the weight's length, whatever the gradient's."""
    model = build_model(
        plan(tiny_config(tmp_path, lars_form=form, weight_decay=0.0, warmup_epochs=0.0))
    )
    kernel, bias = model.probe.trainable_variables
    variables = model.trainable_variables
    gradients = [tf.ones(v.shape) for v in variables]
    before = [kernel.numpy(), bias.numpy()]
    model.optimizer.apply(gradients, variables)
    moved = np.linalg.norm(kernel.numpy() - before[0])
    plain = 0.5 * 16 / 256  # learning rate, linearly scaled
    share = relative and relative * np.linalg.norm(before[0])
    expected = share or plain * before[0].size ** 0.5
    assert moved == pytest.approx(expected, rel=1e-2)
    np.testing.assert_allclose(before[1] - bias.numpy(), plain, rtol=1e-5)


@pytest.mark.parametrize("optimizer,decayed_in_loss", [("lars", 1), ("momentum", 21 + 3 + 1)])
def test_what_weight_decay_reaches(tmp_path, optimizer, decayed_in_loss):
    """LARS: the probe's kernel alone is in the loss. Otherwise every kernel: 21, 3 and 1."""
    config = tiny_config(tmp_path, **RESNET, optimizer=optimizer, weight_decay=2.0)
    model = build_model(plan(config))
    kernels = [
        v for part in model.parts.values() for v in part.trainable_variables if v.name == "kernel"
    ]
    chosen = kernels if optimizer == "momentum" else model.probe.trainable_variables[:1]
    assert len(chosen) == decayed_in_loss
    expected = sum(np.sum(np.square(v.numpy())) for v in chosen)
    assert float(model.weight_decay_loss()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "epochs,least", [(3, 0.3), pytest.param(1, 0.1, marks=pytest.mark.ci)], ids=str
)
def test_pretraining_on_shapes_beats_the_untrained_encoder(epochs, least, tmp_path):
    """By the first command of README, and by a third of it."""
    import flags

    config, _ = flags.parse(
        ["run.py", "--flagfile=flags/shapes.flags", f"--model_dir={tmp_path / 'run'}"]
    )
    result = tfssl.run(config.replace(train_epochs=epochs))
    for protocol in ("linear", "knn_20", "knn_200"):
        gain = result["pretrained"][protocol]["top_1"] - result["untrained"][protocol]["top_1"]
        assert gain > least, protocol
