"""ConvNeXt: timm's figures, sizes, names, and training."""

import keras
import numpy as np
import pytest

import tfssl
from tests.helpers import ROOT
from tfssl import encoders, layers
from tfssl.encoders import convnexts, named

GOLDEN = np.load(ROOT / "tests" / "golden" / "convnext.npz")  # by scripts/golden_timm.py
SMALL = dict(patch_size=2, depths=(1, 2), dims=(6, 8))


def figures(case):
    """(weights, images, representations) of timm."""
    start = f"{case}/weights/"
    weights = {k.removeprefix(start): GOLDEN[k] for k in GOLDEN if k.startswith(start)}
    return weights, GOLDEN[f"{case}/images"], GOLDEN[f"{case}/h"]


def images(count=4, size=16, channels=3):
    return np.random.default_rng(0).random((count, size, size, channels), np.float32)


@pytest.mark.parametrize("case", ["linear", "convolutions"])
def test_representations_are_those_of_timm(case):
    weights, x, h = figures(case)
    found = encoders.from_timm(weights)(x)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5 * np.abs(h).max())


# timm 1.0.31: sum(p.numel() for p in timm.create_model(NAME, num_classes=0).parameters()).
@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("atto", 3_374_520),
        ("femto", 4_832_784),
        ("pico", 8_532_672),
        ("nano", 14_952_560),
        ("tiny", 27_820_128),
    ],
)
def test_parameters_are_as_many_as_timms(size, count):
    depths, dims = convnexts.SIZES[size]
    blocks = [n * (8 * d**2 + (49 + 1 + 2 + 4 + 1 + 1) * d) for n, d in zip(depths, dims)]
    between = [2 * a + (4 * a + 1) * b for a, b in zip(dims, dims[1:])]
    assert count == 51 * dims[0] + sum(blocks) + sum(between) + (2 * dims[-1])
    if size == "atto":
        assert encoders.convnext(size).count_params() == count


def test_weights_that_do_not_fit_are_named(tmp_path):
    weights, x, h = figures("linear")
    for name in ("stages.1.downsample.1.weight", "stages.0.blocks.1.norm.bias", "head.norm.weight"):
        with pytest.raises(ValueError, match=f"a ConvNeXt of timm. Missing: {name}"):
            encoders.from_timm({k: v for k, v in weights.items() if k != name})
    with pytest.raises(ValueError, match=r"head.norm.bias of shape \(16,\). Received: \(3,\)"):
        encoders.from_timm(weights | {"head.norm.bias": np.zeros(3)})
    np.savez(tmp_path / "some.npz", **{f"backbone.{k}": v for k, v in weights.items()})
    found = encoders.from_timm(tmp_path / "some.npz")(x)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5 * np.abs(h).max())


def test_maps_halve_from_stage_to_stage():
    encoder = encoders.convnext(**SMALL)
    assert encoder(images(2)).shape == (2, 8) and encoder(images(2, 21)).shape == (2, 8)
    shapes = [tuple(layer.output.shape) for layer in encoder.layers[1:]]
    assert encoder.compute_output_shape((5, 32, 48, 3)) == (5, 8) and shapes[-1] == (None, 8)
    first = keras.Model(encoder.input, encoder.get_layer("stage1_block1").output)
    last = keras.Model(encoder.input, encoder.get_layer("stage2_block2").output)
    assert first(images(1)).shape == (1, 8, 8, 6) and last(images(1)).shape == (1, 4, 4, 8)


def test_a_block_computes_what_the_paper_draws():
    block = layers.ConvNeXtBlock(layer_scale=0.5, seed=1)
    x = np.random.default_rng(1).normal(size=(2, 9, 10, 4)).astype(np.float32)
    found = block(x)
    kernel = np.array(block.depthwise.kernel)[..., 0]
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    y = np.zeros_like(x)
    for row in range(7):
        for column in range(7):
            y += padded[:, row : row + 9, column : column + 10] * kernel[row, column]
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    y = keras.activations.gelu(y @ np.array(block.hidden.kernel), approximate=False)
    y = np.array(y) @ np.array(block.output_layer.kernel)
    np.testing.assert_allclose(found, x + 0.5 * y, atol=1e-5)


def test_stochastic_depth_grows_and_leaves_branches_out():
    encoder = encoders.convnext(**SMALL, stochastic_depth=0.2)
    blocks = [x for x in encoder.layers if isinstance(x, layers.ConvNeXtBlock)]
    np.testing.assert_allclose([block.stochastic_depth for block in blocks], [0, 0.1, 0.2])
    block = layers.ConvNeXtBlock(layer_scale=1.0, stochastic_depth=0.5, seed=3)
    x = np.repeat(images(1, 8, 4), 200, axis=0)
    whole, dropped = block(x)[0], x[0]
    h = np.array(block(x, training=True))
    left = np.array([np.allclose(one, dropped, atol=1e-6) for one in h])
    twice = np.array([np.allclose(one - dropped, 2 * (whole - dropped), atol=1e-4) for one in h])
    assert (left | twice).all() and 60 < left.sum() < 140


def test_it_is_saved_trained_and_rematerialized(tmp_path):
    encoder = encoders.convnext(**SMALL, seed=1)
    encoder.save(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(
        tfssl.load_encoder(tmp_path / "encoder.keras")(images()), encoder(images())
    )
    remat = encoders.convnext(**SMALL, seed=1, remat=layers.Rematerialized)
    ended = []
    for each in (encoder, remat):
        model = tfssl.SimCLR(each, num_classes=2)
        model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.05), jit_compile=False)
        crops = tfssl.augment.supervised(8)
        views = tfssl.views((images(8), np.arange(8) % 2), crops, batch_size=4, compiled=False)
        before = [w.copy() for w in each.get_weights()]
        assert np.isfinite(model.fit(views, verbose=0).history["loss"][0])
        ended.append(each.get_weights())
        assert all(not np.array_equal(a, b) for a, b in zip(before, ended[-1]))
    for a, b in zip(*ended):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_simmim_masks_its_pixels():
    model = tfssl.SimMIM(encoders.convnext(**SMALL))
    model.build((None, 16, 16, 3))
    assert model.patch_size == (4, 4) and model.dim == 8


def test_it_is_made_by_name():
    encoder = named.make("convnext_femto(depths=[1], dims=[4], patch_size=1)", (None, None, 2), 5)
    assert encoder.input_shape == (None, None, None, 2) and encoder.output_shape == (None, 4)
    with pytest.raises(ValueError, match="`encoder` must be resnet, .*convnext_atto"):
        named.make("convnext_huge", (None, None, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size="huge"), "`size` must be one of .*Received: size='huge'"),
        (dict(patch_size=0), "`patch_size` must be of integers of at least 1. Received: 0"),
        (dict(dims=(4, 0), depths=(1, 1)), r"`dims` must be of integers .*Received: \(4, 0\)"),
        (dict(dims=(4, 4)), "`depths` and `dims` must be of equal lengths"),
        (dict(stochastic_depth=1.0), r"`stochastic_depth` must be in \[0, 1\)"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        encoders.convnext(**options)
