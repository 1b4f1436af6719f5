"""Images of every form of storage through the whole job, as a user would run it."""

import csv

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfssl
from tests.helpers import COLOURS, RESNET, costly, spared, tiny_config
from tfssl import Config, UsageError, domains
from tfssl.config import moments
from tfssl.runner import job, recipes, sources
from tfssl.storage import export, rundir, runs

RNG = np.random.default_rng(0)
LABELS = np.arange(48) % 3
SPLIT = np.array(["train"] * 32 + ["test"] * 16)
KINDS = {  # name: (images, the values that become 0 and 1)
    "rgb": (RNG.integers(0, 256, (48, 20, 16, 3), np.uint8), (0, 255)),
    "grey": (RNG.integers(0, 65536, (48, 20, 16, 1), np.uint16), (0, 65535)),
    "six": (RNG.random((48, 20, 16, 6), np.float32), (0, 1)),
}


# Each writes images with labels, of which -1 is none; or without labels.


def npz(path, images, labels=LABELS):
    labels = {} if labels is None else {"labels": labels}
    np.savez(path / "a.npz", images=images, split=SPLIT, **labels)
    return path / "a.npz"


def h5(path, images, labels=LABELS):
    with h5py.File(path / "a.h5", "w") as file:
        for split in ("train", "test"):
            file[f"{split}_images"] = images[SPLIT == split]
            if labels is not None:
                file[f"{split}_labels"] = labels[SPLIT == split]
    return path / "a.h5"


def table(path, images, labels=LABELS):
    import tifffile

    rows = [("path", "label", "split")] if labels is not None else [("path", "split")]
    for number, (image, split) in enumerate(zip(images, SPLIT)):
        if image.dtype == np.uint8:
            Image.fromarray(image).save(path / f"{number}.png")
        else:
            plane = image[..., 0] if image.shape[-1] == 1 else image
            how = {} if plane.ndim == 2 else {"planarconfig": "contig"}
            tifffile.imwrite(path / f"{number}.png", plane, photometric="minisblack", **how)
        named = []
        if labels is not None:
            named = [f"class{labels[number]}" if labels[number] >= 0 else ""]
        rows.append((f"{number}.png", *named, split))
    with open(path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path / "a.csv"


def tfrecord(path, images, labels=LABELS):
    def of(**values):
        return tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                    if isinstance(value, bytes)
                    else tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                    for name, value in values.items()
                }
            )
        ).SerializeToString()

    (path / "records.tfrecord").mkdir()
    for split in ("train", "test"):
        with tf.io.TFRecordWriter(str(path / "records.tfrecord" / f"{split}.tfrecord")) as file:
            for number in np.flatnonzero(SPLIT == split):
                height, width, depth = images[number].shape
                values = dict(height=height, width=width, depth=depth)
                if labels is not None:
                    values["label"] = int(labels[number])
                file.write(of(image=images[number].tobytes(), **values))
    return path / "records.tfrecord"


OPEN = dict.fromkeys((*COLOURS, "color_jitter_strength"))  # not given
FORMS = {"npz": npz, "h5": h5, "table": table, "tfrecord": tfrecord}


@pytest.fixture
def stored(tmp_path):
    return lambda form, kind: str(FORMS[form](tmp_path, KINDS[kind][0]))


def config(path, model_dir, **changes):
    settings = dict(
        dataset=path,
        data_dir=None,
        train_split="train",
        eval_split=None,
        train_steps=2,
        train_batch_size=8,
        knn_k="3",
        color_jitter_strength=1.0,
    )
    return tiny_config(model_dir, **settings | changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_the_network_gets_the_values_of_the_file(form, kind, stored, tmp_path):
    images, (low, high) = KINDS[kind]
    path = stored(form, kind)
    source = sources.load(config(path, tmp_path / "run"), "test")
    channels = 3 if (form, kind) == ("table", "grey") else images.shape[-1]
    expected = np.repeat(images, channels // images.shape[-1], axis=-1)[SPLIT == "test"]
    expected = np.float32((expected.astype(np.float64) - low) / (high - low))
    found = [
        (tfssl.augment.as_float(image).numpy(), int(label))
        for image, label in source.records().map(source.decode)
    ]
    assert len(found) == 16 and source.channels == channels and source.num_classes == 3
    for image, label in found:
        errors = np.abs(expected - image).max(axis=(1, 2, 3))
        assert errors.min() < 1e-4 and LABELS[SPLIT == "test"][errors.argmin()] == label


@pytest.mark.parametrize(
    "form,kind",
    [
        ("npz", "six"),
        spared("h5", "grey"),
        spared("table", "six"),
        costly("tfrecord", "grey"),
        spared("table", "grey"),
        spared("npz", "rgb"),
    ],
)
def test_from_files_to_predictions(form, kind, stored, tmp_path):
    path, channels = stored(form, kind), KINDS[kind][0].shape[-1]
    channels = 3 if (form, kind) == ("table", "grey") else channels
    run = str(tmp_path / "run")
    result = tfssl.run(config(path, run))
    assert result["pretrained"]["knn_3"]["examples"] == 16
    encoder = keras.saving.load_model(f"{run}/encoder.keras")
    assert encoder.input_shape[-1] == channels
    again = tfssl.run(config(path, run))
    assert again == result
    tuned = tfssl.run(
        config(
            path,
            tmp_path / "tuned",
            mode="finetune",
            checkpoint=run,
            train_steps=2,
            color_jitter_strength=None,
            knn_k=None,
        )
    )
    assert tuned["finetuned"]
    predicted = tfssl.run(
        tfssl.Config(
            mode="predict",
            checkpoint=str(tmp_path / "tuned"),
            dataset=path,
            eval_split="test",
            output=str(tmp_path / "classes.csv"),
        )
    )
    with open(predicted) as file:
        assert len(list(csv.DictReader(file))) == 16
    embedded = tfssl.run(tfssl.Config(mode="embed", model_dir=run))
    assert len(np.load(f"{embedded}/embeddings.npz")["h"]) == 16


@pytest.mark.parametrize("kind,usual", [("rgb", None), ("grey", "drawing"), ("six", "microscopy")])
def test_the_number_of_channels_chooses_the_views_where_nothing_else_does(
    kind, usual, stored, tmp_path, capsys
):
    asked = config(stored("npz", kind), tmp_path / "run", **OPEN)

    def planned(**changes):
        found = job.plan(asked.replace(**changes)).config
        said = f"--views={usual} is chosen" in capsys.readouterr().out
        return found, said

    chosen, said = planned()
    assert chosen.views == usual and said == bool(usual)
    if usual:
        no_colours = {} if kind == "rgb" else domains.NO_COLOURS
        expected = recipes.options_of(Config(views=usual), 1) | no_colours
        assert recipes.options_of(chosen, 1) == expected
    assert planned(flip_p=0.25)[0].flip_p == 0.25
    assert planned(views="standard")[0].crop_area_min == 0.08
    for changes in (dict(views="standard"), dict(method="byol"), dict(method="swav")):
        found, said = planned(**changes)
        assert (found.views, said) == (changes.get("views"), False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grey", spared("six")])
def test_a_method_that_wants_the_means_of_imagenet_takes_those_of_the_images(
    kind, stored, tmp_path
):
    asked = config(
        stored("npz", kind), tmp_path / "run", method="byol", **OPEN, **RESNET, proj_hidden_dim=16
    )
    result = tfssl.run(asked)
    assert tfssl.run(asked) == result
    images, (_, high) = KINDS[kind]
    there = runs.recorded(asked.model_dir)
    mean, deviation = moments(there.input_normalization)
    unit = images[SPLIT == "train"] / high
    np.testing.assert_allclose(mean, unit.mean(axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(deviation, unit.std(axis=(0, 1, 2)), rtol=1e-3)
    with pytest.raises(UsageError, match="--input_normalization=imagenet needs images of 3 chann"):
        job.plan(asked.replace(input_normalization="imagenet", model_dir=str(tmp_path / "other")))


def test_grey_files_in_three_channels_are_told(tmp_path, capsys):
    path = str(FORMS["table"](tmp_path, KINDS["grey"][0]))
    told = "grey, in three equal channels: --channels=1 takes one, and --views=drawing with it"
    for changes, expected in (
        ({}, True),
        (dict(channels=3), False),
        (dict(channels=1), False),
        (dict(views="grey_medical"), False),
        (dict(method="byol"), False),
    ):
        job.plan(config(path, tmp_path / "run", **OPEN | changes))
        assert (told in capsys.readouterr().out) == expected, changes
    (tmp_path / "colours").mkdir()
    colours = str(FORMS["table"](tmp_path / "colours", KINDS["rgb"][0]))
    job.plan(config(colours, tmp_path / "run", **OPEN))
    assert told not in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_goes_on_with_the_views_that_it_began_with(stored, tmp_path, monkeypatch):
    asked = config(stored("npz", "grey"), tmp_path / "run", **OPEN)
    result = tfssl.run(asked)
    monkeypatch.setattr(domains, "usual", lambda channels: "texture")  # as if in a later version
    assert tfssl.run(asked) == result
    there = runs.recorded(asked.model_dir)
    assert (there.views, there.elastic_p) == ("drawing", 0.5)
    with pytest.raises(UsageError, match="--views"):
        tfssl.run(asked.replace(views="standard"))


@pytest.mark.parametrize("form", FORMS)
def test_images_without_labels_are_evaluated_on_those_of_another_form(form, tmp_path):
    images, other = KINDS["rgb"][0], [*FORMS, *FORMS][[*FORMS].index(form) + 1]
    (tmp_path / "labelled").mkdir()
    path = FORMS[form](tmp_path, images, None)
    probe = FORMS[other](tmp_path / "labelled", 255 - images)
    settings = dict(probe_dataset=str(probe), probe_train_split="train", train_split="train")
    plan = job.plan(config(str(path), tmp_path / "run", **settings))
    assert plan.train_source.num_classes == 0 and plan.train_source.num_examples == 32
    for source, count in ((plan.labelled_source, 32), (plan.eval_source, 16)):
        assert (source.name, source.num_classes, source.num_labelled) == (probe.name, 3, count)
    with pytest.raises(UsageError, match="--train_split must have labels"):
        job.plan(config(str(path), tmp_path / "run", mode="finetune", checkpoint="none"))


@pytest.mark.parametrize("form", FORMS)
def test_images_of_which_few_have_labels(form, tmp_path):
    few = np.where(np.arange(48) < 20, -1, LABELS)  # 12 of 32, and all of the 16 for evaluation
    path = str(FORMS[form](tmp_path, KINDS["rgb"][0], few))
    plan = job.plan(config(path, tmp_path / "run"))
    assert (plan.train_source.num_examples, plan.labelled_source.num_labelled) == (32, 12)
    assert plan.eval_source.num_labelled == 16
    half = dict(mode="finetune", checkpoint="none", label_fraction=0.5, train_batch_size=2)
    colours = dict.fromkeys(COLOURS) | dict(knn_k=None)
    plan = job.plan(config(path, tmp_path / "tuned", **half, **colours))
    assert sorted(tfssl.data.labels_of(plan.train_source)) == [0, 0, 1, 1, 2, 2]


def test_labels_that_are_not_found_are_asked_for_by_their_flag(tmp_path, capsys):
    path = table(tmp_path, KINDS["rgb"][0])
    path.write_text(path.read_text().replace("path,label,split", "Path,Diagnosis,split", 1))
    asked = config(str(path), tmp_path / "run", mode="finetune", checkpoint="none")
    with pytest.raises(UsageError, match=r"--train_split must have labels \(--label_key names t"):
        job.plan(asked)
    said = capsys.readouterr().out
    assert "no column of labels among Path, Diagnosis, split: --label_key names one" in said
    assert len(job.plan(asked.replace(label_key="Diagnosis")).train_source.classes) == 3


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(grayscale_p=0.2), "--grayscale_p needs images of 3 channels: --grayscale_p=0 leaves"),
        (dict(view2_jitter_hue=0.1), "--view2_jitter_hue needs images of 3 channels"),
        (dict(channels=3), "--channels must be 6 for images of 6 channels. Received: 3"),
        (dict(data_dir="elsewhere"), "--data_dir must not be given where --dataset is a path"),
        (dict(image_key="pictures"), "--image_key must name an array of --dataset=/"),
        (dict(probe_dataset="shapes"), "--probe_dataset must have the channels of --dataset"),
    ],
)
def test_mistakes(changes, said, stored, tmp_path):
    with pytest.raises(UsageError) as caught:
        tfssl.run(config(stored("npz", "six"), tmp_path / "run", **changes))
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes,said",
    [
        (
            dict(views="typo", **dict.fromkeys(COLOURS)),
            "--views must be one of standard, natural,",
        ),
        (dict(eval_split="typo"), "--eval_split must be one of test, train, or a slice of it"),
        (dict(eval_split="typo[:4]"), "--eval_split must be one of test, train, or a slice of it"),
        (
            dict(probe_dataset="absent.npz"),
            "--probe_dataset must be a file of arrays. Received: absent.npz",
        ),
    ],
)
def test_mistakes_that_are_found_before_images_are_read(changes, said, stored, tmp_path, capsys):
    with pytest.raises(UsageError) as caught:
        tfssl.run(config(stored("npz", "six"), tmp_path / "run", **changes))
    assert said in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_group_on_both_sides_is_refused(tmp_path):
    groups = np.array([f"p{number % 20}" for number in range(48)])
    path = tmp_path / "a.npz"
    np.savez(path, images=KINDS["rgb"][0], labels=LABELS, split=SPLIT, patient=groups)
    with pytest.raises(UsageError, match="no group of --train_split, by --group_by=patient"):
        tfssl.run(config(str(path), tmp_path / "run", group_by="patient"))


def multispectral(path):
    """16 bits, six bands of different levels, with pixels without data; and where those are."""
    images = RNG.normal(1000, 150, (48, 16, 16, 6)) * np.arange(1, 7)
    images = np.clip(images, 1, 65535).astype(np.uint16)
    images[:, :2, :5], images[3, :, 9, 4] = 0, 0
    np.savez(path / "a.npz", images=images, labels=LABELS, split=SPLIT)
    return images


@pytest.mark.parametrize("suffix", ["", spared("saved_model")])
def test_an_encoder_of_raw_values_gives_what_the_run_does(suffix, tmp_path, capsys):
    images = multispectral(tmp_path)
    path, run = str(tmp_path / "a.npz"), str(tmp_path / "run")
    bands = dict(
        value_range="percentiles",
        no_data="0",
        no_data_fill=0.5,
        encoder="resnet",
        resnet_depth=18,
        width_multiplier=1 / 16,
        input_normalization="dataset",
    )
    tfssl.run(config(path, run, **bands))
    seen = images[SPLIT == "train"].astype(np.float64)
    low, high = np.nanpercentile(np.where(seen == 0, np.nan, seen).reshape(-1, 6), (1, 99), axis=0)
    unit = np.clip((images - low) / (high - low), 0, 1)
    unit = np.where(images == 0, 0.5, unit).astype(np.float32)
    means, deviations = (
        unit[SPLIT == "train"].mean((0, 1, 2)),
        unit[SPLIT == "train"].std((0, 1, 2)),
    )
    recorded = rundir.read_json(run, "flags.json")["input_normalization"]
    np.testing.assert_allclose(
        [[float(v) for v in side.split(",")] for side in recorded.split("/")],
        [means, deviations],
        rtol=2e-3,
    )
    expected = tfssl.load_encoder(run)(unit).numpy()
    raw = tfssl.run(
        tfssl.Config(mode="export", checkpoint=run, export_input="raw", format=suffix or "keras")
    )
    given = images.astype(np.float32)
    if suffix:
        model = tf.saved_model.load(raw)  # its variables live as long as it does
        made = model.serve(given).numpy()
    else:
        made = keras.saving.load_model(raw)(images).numpy()
        with pytest.raises(UsageError, match="takes values as they are stored, for programs other"):
            tfssl.run(tfssl.Config(mode="finetune", checkpoint=raw, dataset="shapes"))
    assert raw == f"{run}/encoder_raw{'_saved_model' if suffix else '.keras'}"
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4)
    capsys.readouterr()
    tfssl.run(config(path, run, **bands))  # the same command finds the finished run
    assert "--input_normalization=dataset" not in capsys.readouterr().out


@pytest.mark.slow
def test_images_are_scaled_as_the_network_of_a_checkpoint_has_learned_them(tmp_path, capsys):
    images = multispectral(tmp_path)
    path, run, tuned = (str(tmp_path / name) for name in ("a.npz", "run", "tuned"))
    levels = dict(value_range="percentiles", no_data="0", no_data_fill=0.5)
    there = tfssl.run(config(path, run, knn_k="3", **levels))["pretrained"]["knn_3"]
    assert "as the network has learned it" not in capsys.readouterr().out
    learned = rundir.read_json(run, "data.json")["value_ranges"]
    again = tfssl.run(config(path, str(tmp_path / "knn"), mode="knn", checkpoint=run, knn_k="3"))[
        "results"
    ]["knn_3"]
    assert again["correct_top_1"] == there["correct_top_1"]
    (first, *_), _ = learned["uint16"]
    assert f"values of uint16: taken as {first:g} to" in (out := capsys.readouterr().out)
    assert "as the network has learned it" in out
    tuning = config(path, tuned, mode="finetune", checkpoint=run, train_steps=1)
    tfssl.run(tuning)
    flags = rundir.read_json(tuned, "flags.json")
    assert rundir.read_json(tuned, "data.json")["value_ranges"] == learned
    assert (flags["no_data"], flags["no_data_fill"]) == ("0", 0.5)
    capsys.readouterr()
    tfssl.run(tuning)
    assert "finished; nothing left to do" in capsys.readouterr().out
    own = tuning.replace(value_range="0,1500", model_dir=str(tmp_path / "own"), linear_probe=False)
    tfssl.run(own)
    assert rundir.read_json(own.model_dir, "data.json")["value_ranges"] == {"uint16": [0.0, 1500.0]}
    share = (images[SPLIT == "train"] >= 1500).mean()
    warning = f"WARNING: {share:.0%} of the values of a.npz train become 1, white"
    assert warning in capsys.readouterr().out


def test_images_of_two_types_have_no_raw_values(tmp_path):
    about = {"value_ranges": {"uint8": [0, 255], "uint16": [0, 4095]}}
    with pytest.raises(UsageError, match="needs images of one type. x was trained on images of ui"):
        export.of_raw_values(None, about, "x")
    about = {"value_ranges": {"uint8": [[0, 1, 2], [3, 4, 5]]}}
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.GlobalMaxPooling2D()])
    with pytest.raises(UsageError, match="needs a value range of 1 channels.*Received: one of 3"):
        export.of_raw_values(model, about, "x")


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(input_normalization="dataset", encoder="tiny"), "--input_normalization=dataset is f"),
        (dict(input_normalization="1,2/0,1"), "--input_normalization must be none, imagenet, data"),
        (
            dict(input_normalization="0,0/1,1", encoder="resnet"),
            "--input_normalization must have 6 means, as many as",
        ),
    ],
)
def test_a_normalization_that_does_not_suit(changes, said, stored, tmp_path):
    with pytest.raises(UsageError) as caught:
        tfssl.run(config(stored("npz", "six"), tmp_path / "run", **changes))
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


OWN = dict(color_jitter_strength=None, flip_p=None, grayscale_p=None)  # no flags of views
FILE = """
import tfssl


def pair(size, channels):
    turned = tfssl.augment.supervised_view(size, channels, quarter_turns_p=1.0)
    return turned, tfssl.augment.supervised(size)


broken = 3
"""


def test_views_of_a_function_in_a_file(stored, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    run, path = tmp_path / "run", stored("npz", "six")
    plain = dict(OWN, views=f"{tmp_path}/mine.py:pair")
    tfssl.run(config(path, run, **plain))
    assert list(rundir.read_json(run, "data.json")["plugins"]) == ["mine.py"]
    (tmp_path / "mine.py").write_text(FILE + "# changed\n")
    with pytest.raises(UsageError, match="mine.py is not the file that the run in --model_dir"):
        tfssl.run(config(path, run, **plain))
    (tmp_path / "mine.py").unlink()
    assert tfssl.run(tfssl.Config(mode="eval", model_dir=str(run)))  # needs no views


@pytest.mark.parametrize(
    "views,said",
    [
        ("gone.py:pair", "--views must be a function of a file. Received: gone.py"),
        ("{}/mine.py:other", "--views must name a function of .*mine.py. Received: other"),
        ("{}/mine.py:broken", "--views must name a function of .*mine.py. Received: broken"),
        ("landsat", "--views must be one of standard, .*, or FILE.py:function. Received: landsat"),
    ],
)
def test_views_that_are_not_there(views, said, stored, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    settings = dict(OWN, views=views.format(tmp_path))
    with pytest.raises(UsageError, match=said):
        tfssl.run(config(stored("npz", "six"), tmp_path / "run", **settings))
    assert not (tmp_path / "run").exists()
