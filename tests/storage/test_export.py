"""The encoder in every form, where tfssl is not installed too; and its embeddings."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfssl
from tfssl import Config, UsageError, augment
from tfssl.data.shapes import CLASSES
from tfssl.runner import sources
from tfssl.storage.export import read_about

IMAGES = np.random.default_rng(0).random((2, 24, 36, 3), np.float32)


@pytest.fixture(scope="module")
def run(finished_resnet, tmp_path_factory):
    """A copy of a finished run: some tests write into it."""
    return shutil.copytree(finished_resnet[0], tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def expected(run):
    return np.asarray(tfssl.load_encoder(run)(IMAGES))


def export(**settings):
    settings = {"mode": "export", **settings}
    return tfssl.run(Config(**settings), given=set(settings))


def test_the_file_says_what_it_is(run):
    about = read_about(run / "encoder.keras")
    assert (about["stem"], about["input_normalization"], about["method"]) == (
        "cifar",
        "none",
        "simclr",
    )
    assert (about["image_size"], about["dataset"], about["step"]) == ([16, 16], "shapes", 4)
    assert "[0, 1]" in about["input"]


def test_a_round_trip_is_bit_equal(run, expected, tmp_path):
    path = export(checkpoint=str(run), output=str(tmp_path / "again.keras"))
    np.testing.assert_array_equal(tfssl.load_encoder(path)(IMAGES), expected)
    assert read_about(path)["dataset"] == "shapes"
    encoder = tfssl.load_encoder(run)
    for a, b in zip(encoder.get_weights(), tfssl.load_encoder(path).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


ELSEWHERE = """
import sys
sys.modules["tfssl"] = None  # as where it is not installed
import keras, numpy as np
assert keras.backend.backend() == sys.argv[3]
images = np.random.default_rng(0).random((2, 24, 36, 3), np.float32)
model = keras.models.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[2], keras.ops.convert_to_numpy(model(images)))
"""


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(
    "backend,module", [("tensorflow", "tensorflow"), ("jax", "jax"), ("torch", "torch")]
)
def test_it_loads_without_tfssl_on_every_backend(backend, module, run, expected, tmp_path):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, run / "encoder.keras", tmp_path / "h.npy", backend],
        check=True,
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=tmp_path,
    )
    np.testing.assert_allclose(np.load(tmp_path / "h.npy"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_serves_the_same_numbers_at_any_size(run, expected, tmp_path):
    path = export(model_dir=str(run), format="saved_model", output=str(tmp_path / "served"))
    model = tf.saved_model.load(path)
    np.testing.assert_allclose(model.serve(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert model.serve(np.zeros((1, 40, 17, 3), np.float32)).shape == (1, 32)
    assert json.loads((tmp_path / "served" / "tfssl.json").read_text())["stem"] == "cifar"


@pytest.mark.slow  # the numbers are those of the test above; .keras is loaded so above that
def test_a_saved_model_serves_without_tfssl(run, expected, tmp_path):
    path = export(model_dir=str(run), format="saved_model", output=str(tmp_path / "served"))
    script = (
        "import sys; sys.modules['tfssl'] = sys.modules['keras'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        "images = np.random.default_rng(0).random((2, 24, 36, 3), np.float32)\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "np.save(sys.argv[2], model.serve(images))"
    )
    subprocess.run(
        [sys.executable, "-c", script, path, tmp_path / "h.npy"], check=True, cwd=tmp_path
    )
    np.testing.assert_allclose(np.load(tmp_path / "h.npy"), expected, rtol=1e-4, atol=1e-5)


def test_onnx_gives_the_same_numbers_at_any_size(run, expected, tmp_path):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = export(
        checkpoint=str(run / "encoder.keras"), format="onnx", output=str(tmp_path / "encoder.onnx")
    )
    session = onnxruntime.InferenceSession(path)
    (name,) = (value.name for value in session.get_inputs())
    (h,) = session.run(None, {name: IMAGES})
    np.testing.assert_allclose(h, expected, atol=1e-4)
    other = np.random.default_rng(1).random((3, 41, 17, 3), np.float32)
    np.testing.assert_allclose(
        session.run(None, {name: other})[0], tfssl.load_encoder(run)(other), atol=1e-4
    )
    assert json.loads(session.get_modelmeta().custom_metadata_map["tfssl"])["stem"] == "cifar"
    assert os.listdir(tmp_path) == ["encoder.onnx"]


def test_npz_holds_every_array(run, tmp_path):
    path = export(checkpoint=str(run), format="npz", output=str(tmp_path / "weights.npz"))
    encoder, arrays = tfssl.load_encoder(run), np.load(path)
    assert json.loads(str(arrays["about"]))["method"] == "simclr"
    assert len(arrays.files) == len(encoder.variables) + 1
    for variable in encoder.variables:
        np.testing.assert_array_equal(arrays[variable.path], variable)


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(), "encoder.keras already exists; give another path by --output"),  # the run's own
        (dict(format="npz", output="encoder.keras"), "--output must not exist yet"),
        (dict(output="encoder.h5"), "--output must end in .keras"),
        (dict(checkpoint=None), "--mode=export needs --model_dir or --checkpoint"),
        (dict(stem="imagenet", output="x.keras"), "--stem=imagenet contradicts"),
        (dict(resnet_depth=50, output="x.keras"), "--resnet_depth=50 contradicts"),
        (dict(checkpoint="nowhere"), "does not exist"),
    ],
)
def test_refusals_overwrite_nothing(changes, said, run):
    settings = {"checkpoint": str(run), **changes}
    if settings.get("output"):
        settings["output"] = str(run / settings["output"])
    before = {path: os.path.getmtime(run / path) for path in os.listdir(run)}
    with pytest.raises(UsageError, match=said):
        export(**{k: v for k, v in settings.items() if v is not None})
    assert {path: os.path.getmtime(run / path) for path in os.listdir(run)} == before


def test_embeddings_with_a_projector_and_a_picture(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    settings = dict(
        mode="embed",
        checkpoint=str(run),
        dataset="shapes",
        train_split="train[:20]",
        eval_split="test[:60]",
        image_size="16x24",
        embed_points=50,
        model_dir=str(tmp_path),
        precision="float32",
    )
    directory = tfssl.run(Config(**settings), given=set(settings))
    made = np.load(os.path.join(directory, "embeddings.npz"))
    assert made["h"].shape == (60, 32) and made["labels"].shape == (60,)
    assert made["classes"].tolist() == list(CLASSES)
    sprite = Image.open(os.path.join(directory, "sprite.png"))
    assert sprite.size == (8 * 32, 8 * 32)  # 50 images
    for name, rows in (("tensors.tsv", 50), ("metadata.tsv", 51)):
        with open(os.path.join(directory, name)) as file:
            assert len(file.readlines()) == rows
    assert os.path.getsize(os.path.join(directory, "map.png")) > 10_000
    assert "tensorboard --logdir" in capsys.readouterr().out
    # The picture of a place in the sprite is that of the representation in the same row.
    source = sources.load(Config(**settings), "test[:60]")
    with open(os.path.join(directory, "tensors.tsv")) as file:
        row = np.array(file.readlines()[13].split(), float)
    place = int(np.argmin(np.abs(made["h"] - row).max(1)))
    assert made["files"].tolist() == [f"test:{i}" for i in range(60)]
    with open(os.path.join(directory, "metadata.tsv")) as file:
        head, *told = (line.rstrip("\n").split("\t") for line in file)
    assert head == ["file", "label"]
    assert told[13] == [f"test:{place}", CLASSES[made["labels"][place]]]
    crop = augment.center_crop(source.arrays[0][place] / np.float32(255), (16, 24), 1.0)
    shown = np.asarray(sprite)[32:64, 5 * 32 : 6 * 32]  # 13 = 1 x 8 + 5
    whole = Image.fromarray((crop.numpy() * 255).round().astype(np.uint8))
    np.testing.assert_array_equal(shown, np.asarray(whole.resize((32, 32), Image.BOX)))


@pytest.mark.slow
def test_equal_embeddings_for_equal_commands(run, tmp_path):
    made = []
    for name in ("a", "b"):
        settings = dict(mode="embed", model_dir=str(run), eval_split="test[:12]")
        directory = tfssl.run(Config(**settings), given=set(settings))
        made.append(np.load(os.path.join(directory, "embeddings.npz"))["h"])
    np.testing.assert_array_equal(*made)


def test_weights_by_other_names_are_not_loaded_as_an_encoder(tmp_path):
    np.savez(tmp_path / "vit.npz", weight=np.zeros(3))
    with pytest.raises(UsageError, match="tfssl.encoders.from_timm makes the encoder of weights"):
        tfssl.load_encoder(tmp_path / "vit.npz")
