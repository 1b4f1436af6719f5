"""--checkpoint of weights by the names of timm: Vision Transformers and ConvNeXts of others."""

import json

import numpy as np
import pytest

import tfssl
from tests.helpers import FINETUNE_SETTINGS, LINEAR_EVAL_SETTINGS, ROOT, run_given
from tfssl import UsageError, encoders
from tfssl.encoders import convnexts, named, timm, vits
from tfssl.storage import pretrained

IMAGES = dict(dataset="shapes", train_split="train[:48]", eval_split="test[:24]", image_size="16")
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
KNN = dict(mode="knn", knn_k="5", eval_batch_size=12, precision="float32")


def cases():
    found = []
    for family in ("vit", "convnext"):
        golden = np.load(ROOT / "tests" / "golden" / f"{family}.npz")
        for case in dict.fromkeys(name.partition("/")[0] for name in golden):
            found.append((family, case))
    return found


def weights_of(family, case):
    golden = np.load(ROOT / "tests" / "golden" / f"{family}.npz")
    start = f"{case}/weights/"
    return {k.removeprefix(start): golden[k] for k in golden if k.startswith(start)}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    np.savez(path, **weights_of("vit", "token"))
    return str(path)


def pixels(seed=0):
    return np.random.default_rng(seed).random((3, 16, 16, 3), np.float32)


@pytest.mark.parametrize("family,case", cases())
def test_its_encoder_takes_images_in_0_1(family, case, tmp_path):
    weights = weights_of(family, case)
    np.savez(tmp_path / "theirs.npz", **weights)
    path = tmp_path / "encoder.keras"
    run_given(mode="export", checkpoint=str(tmp_path / "theirs.npz"), output=str(path))
    made = tfssl.load_encoder(str(path))(pixels())
    theirs = encoders.from_timm(weights)((pixels() - MEAN) / DEVIATION)
    np.testing.assert_allclose(made, theirs, rtol=1e-4, atol=1e-5)


def test_other_values_than_imagenets(file, tmp_path):
    path = tmp_path / "encoder.keras"
    run_given(mode="export", checkpoint=file, output=str(path), input_range="-1,1")
    theirs = encoders.from_timm(weights_of("vit", "token"))(2 * pixels() - 1)
    np.testing.assert_allclose(tfssl.load_encoder(str(path))(pixels()), theirs, atol=1e-5)
    assert pretrained.find(str(path)).about["input_range"] == "-1,1"


def test_frozen_it_is_evaluated(file, tmp_path, capsys):
    found = run_given(**KNN, **IMAGES, checkpoint=file, model_dir=str(tmp_path / "knn"))
    assert 0 <= found["results"]["knn_5"]["top_1"] <= 1
    assert found["encoder"]["encoder"].startswith("vit_base(")  # with dimensions of its own
    told = "weights of a Vision Transformer, which is given images as by --input_range=imagenet"
    assert f"{file}: {told}" in capsys.readouterr().out
    settings = {**LINEAR_EVAL_SETTINGS, **IMAGES, "eval_batch_size": 12, "precision": "float32"}
    run_given(**settings, checkpoint=file, model_dir=str(tmp_path / "linear"))


def test_it_is_finetuned_and_goes_on(file, tmp_path):
    settings = {**FINETUNE_SETTINGS, **IMAGES, "mode": "finetune", "checkpoint": file}
    settings |= {"model_dir": str(tmp_path), "input_range": "-1,1"}
    run_given(**settings)
    steps = 2 * settings["train_steps"]
    again = run_given(**{**settings, "train_steps": steps, "model_dir": str(tmp_path / "longer")})
    assert again["global_step"] == steps
    classifier = tfssl.load_encoder(str(tmp_path))
    assert classifier(pixels()).shape == (3, 16)
    started = json.loads((tmp_path / "pretrained.json").read_text())
    assert started["input_range"] == "-1,1" and started["source"] == "timm's names"


def test_a_file_of_safetensors(file, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = str(tmp_path / "theirs.safetensors")
    numpy.save_file(weights_of("vit", "token"), path)
    one, other = (pretrained.find(place) for place in (file, path))
    assert one.about == other.about
    theirs = encoders.from_timm(path)
    for a, b in zip(theirs.get_weights(), encoders.from_timm(file).get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["vit_tiny(patch_size=8, image_size=16)", "convnext_atto"])
def test_a_usual_size_has_its_name(name):
    made = named.make(name, (None, None, 3))
    family, size = name.partition("(")[0].split("_")
    if family == "vit":
        size_of = vits.SIZES[size]._asdict() | {"patch_size": 8, "image_size": 16, "channels": 3}
    else:
        size_of = convnexts.SIZES[size]._asdict() | {"patch_size": 4, "channels": 3}
    said = timm.name_of(family, size_of)
    assert said.startswith(f"{family}_{size}(") and "dim" not in said
    again = named.make(said, (None, None, 3))
    assert [w.shape for w in again.weights] == [w.shape for w in made.weights]


def test_mistakes(file, tmp_path):
    def refused(**settings):
        with pytest.raises(UsageError) as error:
            run_given(**{**KNN, **IMAGES, "model_dir": str(tmp_path / "run"), **settings})
        assert not (tmp_path / "run").exists()
        return str(error.value)

    missing = str(tmp_path / "none.safetensors")
    assert "weights by the names of timm" in refused(checkpoint=missing)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    said = refused(checkpoint=str(tmp_path / "other.npz"))
    assert "its weights must be those of a Vision Transformer or a ConvNeXt of timm" in said
    (tmp_path / "dino.pth").write_bytes(b"nothing")
    assert "safetensors.torch.save_file" in refused(checkpoint=str(tmp_path / "dino.pth"))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    assert "cannot be read" in refused(checkpoint=str(tmp_path / "broken.npz"))
    cut = weights_of("vit", "token")
    del cut["blocks.1.mlp.fc2.bias"]
    np.savez(tmp_path / "cut.npz", **cut)
    assert "blocks.1.mlp.fc2.bias" in refused(checkpoint=str(tmp_path / "cut.npz"))
    broken = {**weights_of("vit", "token"), "norm.bias": np.full(16, np.nan, np.float32)}
    np.savez(tmp_path / "nan.npz", **broken)
    assert "finite" in refused(checkpoint=str(tmp_path / "nan.npz"))
    assert "contradicts --checkpoint" in refused(checkpoint=file, encoder="vit_tiny")
