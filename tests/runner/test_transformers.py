"""Runs of Vision Transformers: masked images, pictures, multi-crop, finetuning by depth."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfssl
from tests.helpers import TINY_SETTINGS, costly, finetune_shapes, run_given, spared
from tfssl.encoders import sections
from tfssl.errors import UsageError

VIT = "vit_tiny(patch_size=4, dim=16, depth=2, heads=2)"
MAE = dict(method="mae", encoder=VIT, method_options="decoder_depth=1,decoder_dim=32")


@pytest.fixture(scope="module")
def mae(tmp_path_factory):
    """The directory of an MAE training with all scalars and a report, and its result."""
    directory = tmp_path_factory.mktemp("mae") / "run"
    return directory, run_given(**given_of(MAE), model_dir=str(directory))


def given_of(changes):
    """The settings of a training that draws and reports."""
    more = dict(information_scalars=True, report=True, knn_k="5")
    return {**TINY_SETTINGS, **changes, **more}


def test_a_masked_training_is_judged_drawn_and_reported(mae):
    directory, result = mae
    verdict = json.loads((directory / "verdict.json").read_text())
    assert verdict["facts"]["compared"] is False
    points = verdict["points"]
    assert np.isfinite([point["loss_of_views"] for point in points]).all()
    assert np.isfinite([point["view_retrieval"] for point in points]).all()
    assert "The loss of held-out images is" in result["verdict"]["why"]
    with Image.open(directory / "reconstructions.png") as picture:
        assert picture.size == (12 * 64, 3 * 64)
    with Image.open(directory / "attention.png") as picture:
        assert picture.size == (12 * 64, (1 + 2) * 64)
    page = (directory / "report.html").read_text()
    assert "Masked images, completed" in page and 'alt="attention of the heads"' in page


@pytest.mark.slow
@pytest.mark.ci
def test_it_goes_on_bit_for_bit(mae, tmp_path):
    """The masks are those of the step."""
    directory = tmp_path / "again"
    shutil.copytree(mae[0], directory)
    for path in (directory / "checkpoints").glob("*-4.*"):
        path.unlink()
    for name in ("result.json", "result_4.json", "encoder.keras", "newest.json"):
        (directory / name).unlink()
    run_given(**{**given_of(MAE), "model_dir": str(directory)})
    for a, b in zip(*(tfssl.load_encoder(path).get_weights() for path in (directory, mae[0]))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["simmim", costly("dino"), spared("mocov3"), spared("byol")])
def test_other_methods_take_transformers(method, tmp_path):
    options = {
        "simmim": {},
        "dino": dict(
            proj_hidden_dim=16,
            proj_out_dim=8,
            local_views=1,
            local_size=8,
            method_options="num_prototypes=8",
        ),
        "mocov3": dict(proj_hidden_dim=16, pred_hidden_dim=8, encoder=FROZEN),
        "byol": dict(proj_hidden_dim=16),
    }[method]
    own = {"method": method, "encoder": VIT, "model_dir": str(tmp_path / "run"), **options}
    result = run_given(**{**TINY_SETTINGS, **own})
    assert result["global_step"] == 4 and (tmp_path / "run" / "attention.png").exists()
    assert (tmp_path / "run" / "reconstructions.png").exists() == (method == "simmim")


FROZEN = VIT.replace(")", ", train_patches=False)")


def test_moco_v3_leaves_the_projection_of_patches_at_random():
    """Chen et al. 2021, section 4.2; the target has the same one."""
    model = tfssl.MoCoV3(
        tfssl.encoders.vit(patch_size=2, dim=8, depth=1, train_patches=False, heads=2)
    )
    model.build((None, 8, 8, 3))
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    networks = model.encoder, model.target_encoder
    before = [net.get_layer("patches").get_weights() for net in networks]
    x = tf.constant(np.random.default_rng(0).random((4, 8, 8, 3), np.float32))
    model.train_step((x, 1 - x))
    after = [net.get_layer("patches").get_weights() for net in networks]
    for (kernel, _), (again, _) in zip(before, after):
        np.testing.assert_array_equal(kernel, again)
    np.testing.assert_array_equal(before[0][0], before[1][0])
    assert np.abs(model.encoder.get_layer("block1").get_weights()[0]).sum() > 0


def test_the_attention_of_the_class_token():
    encoder = tfssl.encoders.vit(patch_size=2, dim=8, depth=2, heads=2, registers=1)
    parts, x = sections.find(encoder), np.random.default_rng(0).random((3, 8, 6, 3), np.float32)
    maps = sections.class_attention(parts, tf.constant(x))
    assert maps.shape == (3, 2, 4, 3)
    tokens = parts.blocks[0](parts.tokens(parts.patches(x)))
    whole = parts.blocks[1].attention.maps(parts.blocks[1].norm1(tokens)).numpy()
    np.testing.assert_allclose(np.reshape(maps, (3, 2, 12)), whole[:, :, 0, 2:], atol=1e-6)
    assert (maps.numpy().sum((2, 3)) < 1).all()


def test_it_is_finetuned_by_depth(mae, tmp_path, capsys):
    finetune_shapes(
        mae[0],
        tmp_path / "run",
        optimizer="adamw",
        learning_rate=0.001,
        layer_decay=0.5,
        fine_tune_after_block=2,
    )
    assert "all after 2 quarters of the blocks" in capsys.readouterr().out
    before, after = (tfssl.load_encoder(path) for path in (mae[0], tmp_path / "run"))
    pairs = list(zip(sections.find(before).blocks, sections.find(after).blocks))
    changed = [
        [not np.array_equal(a, b) for a, b in zip(x.get_weights(), y.get_weights())]
        for x, y in pairs
    ]
    assert not any(changed[0]) and all(changed[1])


def test_blocks_are_computed_again(mae, tmp_path):
    """The same weights but for rounding; not of an encoder whose blocks are unknown."""
    run_given(**{**TINY_SETTINGS, **MAE, "model_dir": str(tmp_path / "again"), "remat": True})
    for a, b in zip(
        *(tfssl.load_encoder(path).get_weights() for path in (mae[0], tmp_path / "again"))
    ):
        np.testing.assert_allclose(a, b, atol=1e-3)
    with pytest.raises(
        UsageError, match="--remat is for the resnet, vit and .*Received: --encoder=tiny"
    ):
        run_given(**{**TINY_SETTINGS, "model_dir": str(tmp_path / "run"), "remat": True})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(encoder="resnet"), "--method=mae needs a Vision Transformer, such as --encoder=vit"),
        (dict(encoder="tiny"), "--encoder=tiny: MAE needs a Vision Transformer"),
        (dict(encoder="vit_tiny"), "--encoder=vit_tiny: MAE masks some .* Received: 1x1"),
        (dict(num_views=2), "--num_views must be 1 for --method=mae. Received: 2"),
        (dict(layer_decay=0.5), "--layer_decay concerns finetuning"),
        (dict(method_options="mask_ratio=1.5"), "--mask_ratio must be a number between 0 and 1"),
        (dict(method_options="decoder_dim=40"), "--decoder_dim must be a multiple of 32"),
    ],
)
def test_what_cannot_be_is_refused(settings, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_given(**{**TINY_SETTINGS, **MAE, "model_dir": str(tmp_path / "run"), **settings})
    assert not (tmp_path / "run").exists()


def test_a_rate_by_depth_needs_depth(tmp_path):
    with pytest.raises(UsageError, match="--layer_decay needs .* Received: 0.5 with tiny"):
        finetune_shapes("none", tmp_path / "run", encoder="tiny", layer_decay=0.5)
