"""Vision Transformers: figures of timm, sizes, positions, and what every encoder must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import ROOT, spared
from tfssl import encoders, layers
from tfssl.encoders import named, vits
from tfssl.layers import transformer

SMALL = dict(patch_size=4, dim=16, depth=2, heads=2)
GOLDEN = np.load(ROOT / "tests" / "golden" / "vit.npz")  # by scripts/golden_timm.py


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def figures(case):
    """(weights, images, representations) of timm."""
    start = f"{case}/weights/"
    weights = {k.removeprefix(start): GOLDEN[k] for k in GOLDEN if k.startswith(start)}
    return weights, GOLDEN[f"{case}/images"], GOLDEN[f"{case}/h"]


@pytest.mark.parametrize("case", ["token", "mean", "registers"])
def test_representations_are_those_of_timm(case):
    weights, x, h = figures(case)
    found = encoders.from_timm(weights, heads=2)(x)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5 * np.abs(h).max())


# timm 1.0.31: sum(p.numel() for p in timm.create_model(NAME, num_classes=0).parameters()).
@pytest.mark.parametrize(
    "size,count", [("tiny", 5_524_416), ("small", 21_665_664), ("base", 85_798_656)]
)
def test_parameters_are_as_many_as_timms(size, count):
    usual = vits.SIZES[size]
    patches = (16 * 16 * 3 + 1) * usual.dim
    block = 12 * usual.dim**2 + 13 * usual.dim
    tokens = (1 + 1 + 14 * 14) * usual.dim
    assert count == patches + tokens + usual.depth * block + 2 * usual.dim
    one = encoders.vit(size, positions="learned", image_size=224, depth=1)
    assert one.count_params() == count - (usual.depth - 1) * block


def test_weights_that_do_not_fit_are_named():
    weights, *_ = figures("token")
    for name in ("patch_embed.proj.weight", "pos_embed", "blocks.1.mlp.fc2.bias", "norm.weight"):
        with pytest.raises(ValueError, match=f"Missing: .*{name}"):
            encoders.from_timm({k: v for k, v in weights.items() if k != name}, heads=2)
    for more in ("blocks.0.attn.q_norm.weight", "norm_pre.weight"):
        with pytest.raises(ValueError, match=f"Received: {more}, which these do not have"):
            encoders.from_timm(weights | {more: np.ones(8)}, heads=2)
    with pytest.raises(ValueError, match=r"norm.bias of shape \(16,\). Received: \(3,\)"):
        encoders.from_timm(weights | {"norm.bias": np.zeros(3)}, heads=2)
    with pytest.raises(ValueError, match="positions of a square of patches. Received: 8 positions"):
        encoders.from_timm(weights | {"pos_embed": np.zeros((1, 8, 16))}, heads=2)


def test_weights_are_read_from_a_file_whatever_stands_before_their_names(tmp_path):
    weights, x, h = figures("token")
    more = {f"teacher.backbone.{name}": value for name, value in weights.items()}
    np.savez(tmp_path / "dino.npz", **more, **{"teacher.head.bias": np.zeros(3)})
    found = encoders.from_timm(tmp_path / "dino.npz", heads=2)(x)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5 * np.abs(h).max())
    for wrong, why in (("none.npz", "cannot be read"), ("a.pth", "must be a .safetensors or .npz")):
        with pytest.raises(ValueError, match=why):
            encoders.from_timm(tmp_path / wrong)


@pytest.mark.parametrize("options", [{}, {"positions": "learned", "image_size": 12}])
@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("shape", [(2, 13, 30, 3), (1, 3, 3, 3)])
def test_images_of_any_size(options, pool, shape):
    """Also where the graph does not know it."""
    encoder = encoders.vit(**SMALL, **options, pool=pool)
    x = images(*shape)
    h = encoder(x)
    assert h.shape == (shape[0], 16) and encoder.output_shape == (None, 16)
    anything = tf.TensorSpec([None, None, None, 3])
    in_graph = tf.function(lambda x: encoder(x), input_signature=[anything])(x)
    np.testing.assert_allclose(in_graph, h, rtol=1e-4, atol=1e-5)


def test_positions_are_those_of_mae_where_the_map_is_the_grid():
    """By loops over places and dimensions, as in He et al.'s util/pos_embed.py."""
    dim, (rows, columns) = 8, (3, 5)
    expected = np.zeros((rows, columns, dim))
    for row in range(rows):
        for column in range(columns):
            for half, at in enumerate((column, row)):
                for i in range(dim // 4):
                    angle = at / 10000 ** (i / (dim // 4))
                    expected[row, column, half * dim // 2 + i] = np.sin(angle)
                    expected[row, column, half * dim // 2 + dim // 4 + i] = np.cos(angle)
    found = transformer.sines((rows, columns), rows, columns, dim)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_grid_is_stretched_by_bicubic_interpolation():
    table = images(4, 6, 2)
    expected = tf.image.resize(table, (9, 11), "bicubic", antialias=False)
    weights = (transformer.cubic(9, 4), transformer.cubic(11, 6))
    found = np.einsum("rg,ghd,ch->rcd", weights[0], table, weights[1])
    inside = (slice(2, -2), slice(2, -2))  # at its edges TensorFlow repeats the outermost value
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)  # by a table
    np.testing.assert_allclose(transformer.cubic(5, 5), np.eye(5), atol=1e-7)
    np.testing.assert_allclose(np.sum(transformer.cubic(7, 3), axis=1), 1, atol=1e-6)


def test_attention_is_that_of_the_paper():
    """One head at a time, by its own matrices."""
    layer, x = layers.Attention(2, seed=1), images(2, 5, 6)
    found = layer(x)
    kernel, bias = (np.array(w) for w in (layer.qkv.kernel, layer.qkv.bias))
    mixed = []
    for head in range(2):
        q, k, v = (
            x @ kernel[:, part : part + 3] + bias[part : part + 3]
            for part in (3 * head, 6 + 3 * head, 12 + 3 * head)
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(3))
        shares = scores / scores.sum(-1, keepdims=True)
        np.testing.assert_allclose(layer.maps(x)[:, head], shares, atol=1e-6)
        mixed.append(shares @ v)
    output = layer.output_layer
    expected = np.concatenate(mixed, -1) @ np.array(output.kernel) + np.array(output.bias)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stochastic_depth_leaves_branches_out_for_whole_images():
    block = layers.TransformerBlock(2, stochastic_depth=0.5, seed=3)
    x = np.repeat(images(1, 4, 8), 200, axis=0)
    h = np.array(block(x, training=True)).reshape(200, -1)
    kinds, counts = np.unique(np.round(h, 4), axis=0, return_counts=True)
    assert len(kinds) == 4 and counts.min() > 25  # both branches, one, the other, none
    assert np.abs(kinds - x[0].reshape(-1)).max(axis=1).min() < 1e-3
    plain = layers.TransformerBlock(2, seed=3)
    plain.build(x.shape)
    plain.set_weights([w for w in block.get_weights() if w.dtype == np.float32])
    np.testing.assert_allclose(block(x), plain(x), atol=1e-6)
    depths = [
        layer.stochastic_depth
        for layer in encoders.vit(**SMALL | {"depth": 3}, stochastic_depth=0.2).layers
        if isinstance(layer, layers.TransformerBlock)
    ]
    np.testing.assert_allclose(depths, [0, 0.1, 0.2])


def test_equal_seeds_give_equal_weights_and_no_two_kernels_are_equal():
    one, same, other = (encoders.vit(**SMALL, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(one.get_weights(), same.get_weights()):
        np.testing.assert_array_equal(a, b)
    kernels = [w for w in one.get_weights() if w.ndim == 2 and w.std() > 0]
    assert len({w.ravel()[:4].tobytes() for w in kernels}) == len(kernels)
    assert not np.array_equal(one(images(1, 8, 8, 3)), other(images(1, 8, 8, 3)))


@pytest.mark.parametrize(
    "options", [{}, dict(positions="learned", registers=2, layer_scale=0.1, pool="mean")]
)
def test_it_is_saved_and_loaded(options, tmp_path):
    encoder = encoders.vit(**SMALL, **options)
    encoder.save(tmp_path / "encoder.keras")
    loaded = tfssl.load_encoder(tmp_path / "encoder.keras")
    x = images(2, 12, 16, 3)
    np.testing.assert_array_equal(loaded(x), encoder(x))


def test_recomputed_blocks_have_the_same_gradients():
    x = images(4, 8, 8, 3)
    gradients = []
    for remat in (None, layers.Rematerialized):
        encoder = encoders.vit(**SMALL, remat=remat)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder(x, training=True) ** 2)
        gradients.append(tape.gradient(loss, encoder.trainable_variables))
    assert len(gradients[0]) == len(gradients[1]) > 20
    for plain, recomputed in zip(*gradients):
        np.testing.assert_allclose(plain, recomputed, rtol=1e-3, atol=1e-5)


def test_the_projection_of_patches_can_be_left_at_random():
    encoder = encoders.vit(**SMALL, train_patches=False)
    frozen = {v.path for v in encoder.variables} - {v.path for v in encoder.trainable_variables}
    assert {path.split("/")[-2] for path in frozen} == {"patches"}


def test_half_precision():
    x = images(2, 8, 8, 3)
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = encoders.vit(**SMALL, registers=1)(x)
    finally:
        keras.config.set_dtype_policy(with_policy)
    assert half.dtype == tf.bfloat16
    whole = encoders.vit(**SMALL, registers=1)(x)
    np.testing.assert_allclose(tf.cast(half, tf.float32), whole, atol=0.1)


@pytest.mark.parametrize("method", ["SimCLR", spared("BYOL"), spared("DINO")])
def test_it_learns_by_every_kind_of_method(method):
    options = {"num_prototypes": 16} if method == "DINO" else {}
    model = getattr(tfssl, method)(encoders.vit(**SMALL, channels=6), **options)
    model.compile("adam")
    crops = tfssl.augment.supervised(8)
    views = tfssl.views(images(8, 16, 16, 6), crops, batch_size=4, num_views=2, compiled=False)
    before = [w.copy() for w in model.encoder.get_weights()]
    losses = model.fit(views, epochs=1, verbose=0).history
    assert np.isfinite(list(losses.values())).all()
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.encoder.get_weights())]
    assert np.mean(moved) > 0.9


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(size="huge"), "`size` must be one of .*Received: size='huge'"),
        (dict(pool="max"), "`pool` must be one of"),
        (dict(positions="rotary"), "`positions` must be one of"),
        (dict(patch_size=0), "`patch_size` must be an integer of at least 1. Received: 0"),
        (dict(dim=18, heads=3), "`dim` must be a multiple of 4 with positions='sincos'"),
        (dict(dim=16, heads=3), "`heads` must divide `dim`, 16. Received: 3"),
        (dict(stochastic_depth=1.0), r"`stochastic_depth` must be in \[0, 1\)"),
        (dict(class_token=False), "`pool`='token' needs a class token"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        encoders.vit(**{"depth": 1, **options})


def test_it_is_made_by_name():
    encoder = named.make("vit_tiny(patch_size=4, depth=1, dim=16, heads=2)", (None, None, 2), 5)
    assert encoder.input_shape == (None, None, None, 2) and encoder.output_shape == (None, 16)
    same = encoders.vit("tiny", 4, depth=1, dim=16, heads=2, channels=2, seed=5)
    np.testing.assert_array_equal(encoder.get_weights()[0], same.get_weights()[0])
    with pytest.raises(ValueError, match="`encoder` must be resnet, .*vit_tiny"):
        named.make("vit_huge", (None, None, 3))
    with pytest.raises(ValueError, match="could not be made: .*unexpected keyword argument"):
        named.make("vit_tiny(rows=3)", (None, None, 3))
