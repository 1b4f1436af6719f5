"""Files of weights that are damaged, huge, of another form, or would run code."""

import json
import os
import resource
import shutil
import zipfile

import keras
import numpy as np
import pytest

import tfssl
from tfssl import UsageError, encoders
from tfssl.storage import export, pretrained


@pytest.fixture
def file(finished_resnet, tmp_path):
    return shutil.copy(finished_resnet[0] / "encoder.keras", tmp_path / "encoder.keras")


def refusal(function, *args):
    with pytest.raises(UsageError) as refused:
        function(*args)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_of_a_newer_keras_is_said_to_be_one(file):
    about = json.dumps({"keras_version": "99.1.0", "date_saved": ""})
    later = rewritten(file, metadata_json=about)
    assert tfssl.load_encoder(later).output_shape  # it may well load
    with zipfile.ZipFile(file) as archive:
        config = archive.read("config.json").decode()
    later = rewritten(file, config_json=config.replace('"Conv2D"', '"Conv99D"'))
    said = refusal(tfssl.load_encoder, later)
    assert f"; Keras 99.1.0 saved it, and this is {keras.__version__})." in said
    now = rewritten(file, metadata_json=json.dumps({"keras_version": keras.__version__}))
    assert "saved it" not in refusal(tfssl.load_encoder, now)


def rewritten(path, **changes):
    """The archive with some of its files replaced; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): text for name, text in changes.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            if text is not None:
                archive.writestr(name, text)
    return path


def about_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(export.ABOUT))


@pytest.mark.parametrize(
    "entry,value",
    [
        ("resnet_depth", "18"),
        ("resnet_depth", 19),
        ("resnet_depth", True),
        ("stem", 5),
        ("stem", "keep"),
        ("width_multiplier", -1),
        ("width_multiplier", float("inf")),
        ("sk_ratio", None),
        ("image_size", 16),
        ("image_size", [16]),
        ("image_size", ["a", 2]),
        ("image_size", [0, 16]),
        ("step", "2"),
        ("step", -1),
        ("dataset", None),
        ("dataset", 3),
        ("value_ranges", []),
        ("value_ranges", {"uint16": [1]}),
        ("value_ranges", {"u": [2, 1]}),
        ("classes", 0),
        ("classes", "ten"),
        ("class_names", "abc"),
        ("class_names", [1, 2]),
        ("class_names", ["a"]),
        ("seed", 1.5),
        ("task", {}),
        ("eval_crop_proportion", 2),
    ],
)
def test_what_a_file_says_of_itself_is_checked(entry, value, file):
    rewritten(file, tfssl_json=json.dumps({**about_of(file), entry: value}))
    said = refusal(pretrained.find, str(file))
    assert f"is damaged: its description of the network is wrong ({entry}: " in said
    assert "must be " in said


@pytest.mark.parametrize("entry", ["resnet_depth", "stem", "dataset", "step", "image_size"])
def test_what_a_file_does_not_say_is_named(entry, file):
    about = about_of(file)
    del about[entry]
    rewritten(file, tfssl_json=json.dumps(about))
    assert f"({entry} is missing)" in refusal(pretrained.find, str(file))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "3", "{", "\ud800".encode("utf-8", "replace"), "[" * 100_000]
)
def test_a_record_that_is_none(text, file):
    rewritten(file, tfssl_json=text)
    assert "damaged" in refusal(pretrained.find, str(file))


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "metadata.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\x89HDF\r\n\x1a\n" + 99 * b"\0"])
def test_parts_that_are_missing_or_other_ones(name, content, file):
    rewritten(file, **{name.replace(".", "_"): content})
    if (name, content) == ("metadata.json", b"{}"):
        return  # Keras needs nothing of it
    try:
        model = export.load_model(str(file))
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert name == "metadata.json" and model.output_shape[-1] == 32


def test_cut_anywhere_it_is_refused(file):
    with open(file, "rb") as whole:
        content = whole.read()
    for length in np.linspace(0, len(content) - 1, 12).astype(int):
        with open(file, "wb") as cut:
            cut.write(content[:length])
        assert "is not a .keras file" in refusal(pretrained.find, str(file))
        assert "is not a .keras file" in refusal(tfssl.load_encoder, str(file))


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(file):
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2**28))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for function in (pretrained.find, tfssl.load_encoder):
        assert "unpacks to 25" in refusal(function, str(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_layers_larger_than_the_file_are_not_made(file):
    with zipfile.ZipFile(file) as archive:
        config = archive.read("config.json").decode()
    assert '"filters": 4' in config
    rewritten(file, config_json=config.replace('"filters": 4', '"filters": 4000000000'))
    assert "more than it has weights" in refusal(tfssl.load_encoder, str(file))


def other(inputs, outputs):
    given = keras.Input(inputs)
    return keras.Model(given, outputs(given))


@pytest.mark.parametrize(
    "inputs,outputs,said",
    [
        ((None, None, None), keras.layers.Flatten(), "from [?, ?, ?, ?] to [?, ?]"),
        ((None, None, 3), keras.layers.Conv2D(4, 1), "to [?, ?, ?, 4]"),
        ((7,), keras.layers.Dense(3), "from [?, 7]"),
        (
            (None, None, 3),
            lambda x: [keras.layers.GlobalAveragePooling2D()(x)] * 2,
            "something else",
        ),
    ],
    ids=["channels", "map", "vector", "two"],
)
def test_networks_of_another_form(inputs, outputs, said, tmp_path):
    other(inputs, outputs).save(tmp_path / "a.keras")
    told = refusal(tfssl.load_encoder, str(tmp_path / "a.keras"))
    assert "is not a network from images [B, H, W, channels] to [B, D]" in told and said in told


def test_nothing_in_a_file_is_run(tmp_path):
    """A Lambda layer, and a class of any module, are not loaded: the canary does not appear."""
    canary = tmp_path / "canary"
    name = str(canary)
    network = other(
        (None, None, 3),
        lambda x: keras.layers.GlobalAveragePooling2D()(
            keras.layers.Lambda(lambda y: (open(name, "w"), y)[1], output_shape=lambda s: s)(x)
        ),
    )
    network.save(tmp_path / "lambda.keras")
    keras.models.load_model(tmp_path / "lambda.keras", safe_mode=False)(np.zeros((1, 8, 8, 3)))
    canary.unlink()  # so it would run
    assert "is not a Keras model" in refusal(tfssl.load_encoder, str(tmp_path / "lambda.keras"))
    plain = other((None, None, 3), keras.layers.GlobalAveragePooling2D())
    plain.save(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "other.keras") as archive:
        config = json.loads(archive.read("config.json"))
    for module, kind in (("os", "system"), ("subprocess", "Popen"), ("builtins", "exec")):
        config["config"]["layers"][1] |= {
            "module": module,
            "class_name": kind,
            "registered_name": kind,
            "config": {"args": f"touch {canary}", "name": f"touch {canary}"},
        }
        rewritten(tmp_path / "other.keras", config_json=json.dumps(config))
        assert "is not a Keras model" in refusal(tfssl.load_encoder, str(tmp_path / "other.keras"))
    assert not canary.exists()


def test_weights_that_are_no_numbers_are_named(file):
    model = keras.models.load_model(file)
    variable = model.get_layer("conv3").kernel
    values = np.array(variable)
    values[0, 0, 0, 0] = np.nan
    variable.assign(values)
    about = export.read_about(file)
    export.write(model, str(file), about)
    said = refusal(tfssl.load_encoder, str(file))
    assert "weights conv3/kernel are not finite" in said
    found = pretrained.find(str(file))
    encoder = encoders.resnet(
        18, stem="cifar", width_multiplier=0.0625, normalization=keras.layers.BatchNormalization
    )
    assert "not finite" in refusal(found.restore, encoder)


def test_weights_of_another_network_do_not_fit(file):
    rewritten(file, tfssl_json=json.dumps({**about_of(file), "resnet_depth": 34}))
    found = pretrained.find(str(file))
    encoder = encoders.resnet(
        34, stem="cifar", width_multiplier=0.0625, normalization=keras.layers.BatchNormalization
    )
    assert "does not fit the network that it describes" in refusal(found.restore, encoder)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: os.symlink("/dev/zero", path),
        lambda path: os.symlink("none", path),
    ],
)
def test_what_is_no_file_hangs_nothing(make, tmp_path):
    make(tmp_path / "encoder.keras")
    for function in (pretrained.find, tfssl.load_encoder, export.load_model, export.read_about):
        assert str(tmp_path) in refusal(function, str(tmp_path / "encoder.keras"))
