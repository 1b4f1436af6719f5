"""The scripts of docs/examples and the Python blocks of docs/*.md run, at toy sizes."""

import csv
import json
import pathlib
import re
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.S)
WITH_PYTHON = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Runs `main` of a script in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(name, *args, **sizes):
        script = runpy.run_path(str(ROOT / "docs" / "examples" / f"{name}.py"))
        return script["main"](*args, **sizes)

    return run


@pytest.mark.slow
def test_any_encoder(example, tmp_path):
    history, accuracies = example("any_encoder", images=60, test_images=20, epochs=1, batch_size=20)
    assert history["contrast_loss"][0] > 0
    assert accuracies["linear"]["examples"] == accuracies["knn_20"]["examples"] == 20
    again = keras.models.load_model(tmp_path / "encoder.keras")
    assert again(np.zeros((2, 32, 32, 3), "float32")).shape == (2, 576)


@pytest.mark.slow
def test_six_channels(example):
    with pytest.warns(UserWarning, match="saturation, hue, grayscale"):
        h = example("six_channels", images=16, epochs=1, batch_size=8)
    assert h.shape == (8, 128) and np.std(h, axis=0).max() > 0


def attempts(optimizer):
    """Steps that were made or, in float16, left out, for each of which Keras halves the scale."""
    scale = getattr(optimizer, "dynamic_scale", None)
    left_out = 0 if scale is None else np.log2(optimizer.initial_scale / float(scale))
    return int(optimizer.iterations) + left_out


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_byol_in_half_precision_goes_on_from_a_file(example, policy):
    before = keras.config.dtype_policy()
    model, again, history = example(
        "byol_half_precision", policy, images=16, epochs=1, batch_size=8, hidden=16
    )
    assert keras.config.dtype_policy() == before
    # A functional model that is loaded has no policy of its own; its layers have.
    convolution = again.encoder.get_layer("conv1")
    assert again.dtype_policy.name == convolution.dtype_policy.name == policy
    assert attempts(model.optimizer) == 2 and attempts(again.optimizer) == 4
    assert again.total_steps == 4
    assert len(history["loss"]) == 1 and np.isfinite(history["loss"][0])


@pytest.mark.slow
def test_own_augmentation(example):
    losses = example("own_augmentation", images=16, batch_size=8)
    assert set(losses) == {"function", "layers", "two views", "one operation"}
    assert all(np.isfinite(loss) for loss in losses.values())


@pytest.mark.slow
def test_own_method_learns_saves_and_loads(example, tmp_path):
    model, history = example("own_method", images=48, epochs=2, batch_size=16, width=1 / 16)
    assert history["loss"][0] != history["loss"][1]
    expected = history["supervised_loss"][1] - history["similarity"][1]
    assert history["loss"][1] - history["weight_decay"][1] == pytest.approx(expected, abs=1e-3)
    model.save("simsiam.keras")
    again = keras.models.load_model("simsiam.keras")
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    np.testing.assert_allclose(again(images), model(images), rtol=1e-5)


@pytest.mark.slow
def test_vision_transformer(example):
    model, history = example(
        "vision_transformer", images=16, epochs=1, batch_size=8, dim=12, depth=1, heads=2, patch=8
    )
    assert model.encoder.output_shape == (None, 16, 12) and model.dim == 12
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    mean = np.mean(model.encoder(images), axis=1)
    np.testing.assert_allclose(model(images), mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_own_method_is_a_plug_in_of_the_command_line(tmp_path):
    """The command of docs/methods.md, at toy size."""
    (command,) = re.findall(
        r"^python run.py --plugin=\S+ --method=simsiam2.*$",
        (ROOT / "docs" / "methods.md").read_text(),
        re.M,
    )
    toy = "--train_split=train[:60] --eval_split=test[:20] --train_batch_size=20 --train_steps=2"
    more = f"{toy} --knn_k=5 --noeval_baseline --width_multiplier=0.0625 --model_dir={tmp_path}"
    words = [*command.split()[1:], *more.split()]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["pretrained"]["knn_5"]["examples"] == 20


@pytest.mark.slow
def test_finetune(example):
    learned, tuned, student = example(
        "finetune", images=32, labelled=16, epochs=1, batch_size=8, width=1 / 8
    )
    linear, finetuned = learned
    assert linear == 2
    assert len(student.trainable_variables) == finetuned > 2
    assert student.dim == tuned.dim // 2


@pytest.mark.slow
def test_tf_data(example):
    losses = example("tf_data", images=16, batch_size=8)
    assert len(losses) == 5 and all(np.isfinite(loss) for loss in losses.values())


@pytest.mark.slow
def test_scans_and_tiles(example, tmp_path):
    example("scans_and_tiles", count=40, side=16)
    with open(tmp_path / "scans" / "scans.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 and len({row["patient"] for row in rows}) == 10
    scan = np.asarray(Image.open(tmp_path / "scans" / rows[0]["path"]))
    assert scan.dtype == np.uint16 and scan.shape == (16, 16) and 255 < scan.max() <= 4095
    tiles = np.load(tmp_path / "tiles.npz")
    assert tiles["images"].shape == (40, 16, 16, 6) and (tiles["images"] == 0).any()
    assert set(tiles["split"]) == {"train", "test"}


@pytest.mark.parametrize("name", ["scans", "tiles.npz"])
def test_images_of_ones_own_are_not_overwritten(name, tmp_path, monkeypatch):
    (tmp_path / name).write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"{name} must not exist yet"):
        runpy.run_path(str(ROOT / "docs/examples/scans_and_tiles.py"), run_name="__main__")
    assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_scripts_are_short_and_linked_and_tested():
    index = (ROOT / "docs" / "index.md").read_text()
    tests = pathlib.Path(__file__).read_text()
    for path in SCRIPTS:
        assert len(path.read_text().splitlines()) < 100, path
        assert f"(examples/{path.name})" in index
        assert f'"{path.stem}"' in tests


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_python_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    """The blocks of a page share their names."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, str(page), "exec"), names)
