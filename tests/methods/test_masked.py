"""MAE and SimMIM: what is masked, what the encoder sees, and what is predicted."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.networks import feature_maps, images, made, small_vit
from tfssl.encoders import sections

METHODS = ["mae", "simmim"]


def built(method, encoder=small_vit, size=(8, 8), channels=3, **options):
    model = made(method, encoder, **options)
    model.build((None, *size, channels))
    return model


def noise(model, count=4, seed=0):
    squares = int(np.prod(model.squares()))
    return tf.constant(np.random.default_rng(seed).random((count, squares), np.float32))


def pixels_of(patches, patch, size, channels=3):
    """The image of patches, one after the other."""
    image = np.zeros((*size, channels), np.float32)
    across = size[1] // patch
    for number, values in enumerate(np.asarray(patches)):
        row, column = number // across * patch, number % across * patch
        image[row : row + patch, column : column + patch] = values.reshape(patch, patch, channels)
    return image


# Patches and masks ------------------------------------------------------------------------------


def test_patches_are_those_of_the_image():
    model, x = built("mae", size=(8, 12)), images(3, 12)[:, :8]
    patches = model.patched(x)
    assert patches.shape == (3, 24, 12)
    for image, of_image in zip(x, patches):
        np.testing.assert_array_equal(pixels_of(of_image, 2, (8, 12)), image)
    np.testing.assert_array_equal(model.assembled(patches, x), x)


def test_a_view_of_no_whole_patches_is_padded_as_the_encoder_pads_it():
    encoder = tfssl.encoders.vit(patch_size=4, dim=8, depth=1, heads=2)
    model, x = built("mae", lambda: encoder, size=(10, 13)), images(2, 13)[:, :10]
    kernel = np.random.default_rng(1).normal(size=(4, 4, 3, 8)).astype(np.float32)
    layer = encoder.get_layer("patches")
    layer.kernel.assign(kernel)
    by_encoder = tf.reshape(layer(x), (2, -1, 8))
    np.testing.assert_allclose(model.patched(x) @ kernel.reshape(48, 8), by_encoder, atol=1e-5)
    np.testing.assert_array_equal(model.assembled(model.patched(x), x), x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75, 0.99])
def test_so_many_squares_are_masked(method, ratio):
    model = built(method, mask_ratio=ratio)
    mask = model.predict_patches(tf.constant(images(4)), noise(model)).mask.numpy()
    count = 16 if method == "mae" else 4 * 4  # squares of one patch
    visible = int(count * (1 - ratio))
    expected = min(max(1, count - visible), count - 1)
    np.testing.assert_array_equal(mask.sum(axis=1), expected)
    assert set(np.unique(mask)) <= {0, 1}


def test_squares_of_several_patches_are_masked_as_a_whole():
    model = built("simmim", size=(16, 16), mask_size=4)
    assert model.squares() == (4, 4) and model.patches == (8, 8)
    mask = model.mask_of(noise(model)).numpy().reshape(4, 4, 2, 4, 2)
    np.testing.assert_array_equal(mask, mask[:, :, :1, :, :1] * np.ones((1, 1, 2, 1, 2)))
    np.testing.assert_array_equal(mask.sum((1, 2, 3, 4)), 4 * model.num_masked)


@pytest.mark.parametrize("method", METHODS)
def test_every_step_and_every_image_has_masks_of_its_own_and_evaluation_the_same(method):
    model = built(method)
    batch = {"views": (tf.constant(images(4)),)}
    first = model.batch_of(batch)["noise"]
    assert len(np.unique(np.argsort(first, axis=1), axis=0)) == 4
    np.testing.assert_array_equal(model.batch_of(batch)["noise"], first)
    before = [float(model.test_step(batch)["loss"]) for _ in range(2)]
    model.optimizer.iterations.assign(1)
    assert not np.array_equal(model.batch_of(batch)["noise"], first)
    model.reset_metrics()
    assert [float(model.test_step(batch)["loss"]) for _ in range(2)] == pytest.approx(before)
    other = built(method, seed=1).batch_of(batch)["noise"]
    assert not np.array_equal(other, first)


# MAE --------------------------------------------------------------------------------------------


def test_the_encoder_sees_the_visible_patches_alone():
    model, x, drawn = built("mae"), images(4), noise(built("mae"))
    h, predicted, masked = model.masked_pass(tf.constant(x), drawn, training=False)
    patches = model.patched(x).numpy()
    for image, of_image in enumerate(masked.numpy()):
        patches[image, of_image] = 7.0  # whatever they are
    other = model.assembled(tf.constant(patches), x)
    for a, b in zip(model.masked_pass(other, drawn, training=False), (h, predicted, masked)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    patches[:, :] = 7.0
    gone = model.masked_pass(model.assembled(tf.constant(patches), x), drawn, training=False)
    assert np.abs(gone[0] - h).max() > 1e-4


def test_all_tokens_visible_give_the_representation_of_the_encoder():
    """In whatever order they come: positions are those of their places."""
    for pool in ("token", "mean"):
        encoder = tfssl.encoders.vit(patch_size=2, dim=8, depth=2, heads=2, pool=pool, registers=1)
        parts, x = sections.sections(encoder, "test"), tf.constant(images(3))
        tokens = parts.tokens.of_patches(parts.patches(x))
        shuffled = tf.gather(tokens, np.random.default_rng(0).permutation(16), axis=1)
        h = parts.head(parts.transformed(parts.tokens.with_first(shuffled)))
        np.testing.assert_allclose(h, encoder(x), atol=1e-5)


def mae_by_steps(model, x, drawn):
    """Algorithm of section 3, image by image, with tokens put back in their places."""
    encoder, decoder, total = model.encoder, model.decoder, []
    tokens = encoder.get_layer("tokens")
    blocks = [encoder.get_layer(f"block{number}") for number in (1, 2)]
    positions = np.array(tfssl.layers.transformer.sines(tokens.grid, 4, 4, decoder.dim)).reshape(
        16, -1
    )
    for image, of_image in zip(x, drawn.numpy()):
        patches = encoder.get_layer("patches")(image[None])
        embedded = (patches + tokens.places(4, 4)).numpy().reshape(16, -1)
        visible = np.sort(np.argsort(of_image)[:4])
        masked = np.setdiff1d(np.arange(16), visible)
        y = np.concatenate([np.array(tokens.added), embedded[visible]])[None]
        for block in blocks:
            y = block(y)
        y = decoder.embed(encoder.get_layer("norm")(y)).numpy()[0]
        whole = np.repeat(np.array(decoder.mask_token)[0], 17, axis=0)
        whole[0], whole[1 + visible] = y[0], y[1:]
        whole[1:] += positions
        whole = whole[None]
        for block in decoder.blocks:
            whole = block(whole)
        predicted = np.array(decoder.pixels(decoder.norm(whole)))[0, 1:]
        values = np.stack(
            [image[r : r + 2, c : c + 2].ravel() for r in range(0, 8, 2) for c in range(0, 8, 2)]
        )
        for place in masked:
            deviation = np.sqrt(values[place].var(ddof=1) + 1e-6)
            target = (values[place] - values[place].mean()) / deviation
            total.append(np.mean((predicted[place] - target) ** 2))
    return np.mean(total)


def test_mae_computes_what_its_paper_describes():
    model, x = built("mae", decoder_depth=2), images(3)
    keras.utils.set_random_seed(1)
    for variable in model.trainable_variables:  # positions and attention matter
        variable.assign_add(0.3 * keras.random.normal(variable.shape))
    drawn = noise(model, 3)
    found = model.loss_on_views((tf.constant(x),), training=False, noise=drawn).loss
    assert float(found) == pytest.approx(mae_by_steps(model, x, drawn), rel=1e-4)


def test_the_encoder_costs_about_a_quarter():
    """By the tokens that its blocks see."""
    seen = []

    @keras.saving.register_keras_serializable(package="tests")
    class Counting(tfssl.layers.TransformerBlock):
        def call(self, x, training=None):
            seen.append(int(x.shape[1]))
            return super().call(x, training)

    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 2, 2, name="patches")(inputs)
    x = Counting(2, name="block1")(tfssl.layers.Tokens((14, 14), name="tokens")(x))
    model = built("mae", lambda: keras.Model(inputs, x[:, 0]), size=(16, 16))
    seen.clear()
    model.loss_on_views((tf.constant(images(2, 16)),))
    assert seen == [1 + 64 // 4]


@pytest.mark.slow
@pytest.mark.ci
def test_mae_learns_to_complete_images():
    """Of two colours, half and half: what is hidden follows from what is seen."""
    x = np.zeros((64, 8, 8, 3), np.float32)
    colours = np.random.default_rng(0).random((64, 2, 3))
    x[:, :, :4], x[:, :, 4:] = colours[:, 0, None, None], colours[:, 1, None, None]
    vit = tfssl.encoders.vit(patch_size=2, dim=16, depth=2, heads=2)
    optimizer = keras.optimizers.Adam(0.005)
    model = built("mae", lambda: vit, normalize_patches=False, optimizer=optimizer)
    data = tf.data.Dataset.from_tensors((x,)).repeat(100)
    losses = model.fit(data, epochs=3, verbose=0).history["reconstruction_loss"]
    variance = float(np.mean((x - x.mean((0, 1, 2))) ** 2))
    assert losses[-1] < 0.5 * variance
    masked, completed = (picture.numpy() for picture in model.reconstruct(x))
    grey = np.all(masked == 0.5, axis=-1)
    assert 0.7 < grey.mean() < 0.8
    np.testing.assert_array_equal(completed[~grey], x[~grey])
    assert np.mean((completed[grey] - x[grey]) ** 2) < 0.5 * variance


def test_a_reconstruction_of_what_is_known_is_the_image():
    """Normalized predictions get the mean and deviation of their patch."""
    model, x = built("mae"), images(4)
    target = tfssl.losses.normalized_patches(model.patched(x))[0]

    class Knows(tfssl.layers.MaskedDecoder):
        def call(self, x, order=None, size=None, training=None):
            return tf.gather(target, order[:, 4:], batch_dims=1)

    knowing = Knows((14, 14), 12, 32, 1, 1)
    model = built("mae", decoder=knowing)
    np.testing.assert_allclose(model.reconstruct(x)[1], x, atol=1e-5)


# SimMIM -----------------------------------------------------------------------------------------


def test_masked_patches_do_not_reach_the_network():
    for encoder, size in ((small_vit, 8), (feature_maps, 8)):
        model, x = built("simmim", encoder), images(4, size)
        drawn = noise(model)
        h, predicted, mask = model.masked_pass(tf.constant(x), drawn, training=False)
        patches = np.where(mask.numpy()[..., None] > 0, 7.0, model.patched(x)).astype(np.float32)
        other = model.assembled(tf.constant(patches), x)
        found = model.masked_pass(other, drawn, training=False)
        for a, b in zip(found, (h, predicted, mask)):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_simmim_learns_on_a_feature_map_from_the_pixels_at_its_places():
    resnet = tfssl.encoders.resnet(18, width_multiplier=1 / 16, stem="cifar")
    model = tfssl.SimMIM(resnet)
    model.build((None, 32, 48, 3))
    assert model.patch_size == (8, 8) and model.patches == (4, 6)
    model.compile("adam", run_eagerly=True)
    logs = model.train_step({"views": (tf.constant(images(2, 48)[:, :32]),)})
    assert np.isfinite(float(logs["reconstruction_loss"]))
    # A pixel moves the prediction of its own patch most, in a network of 3x3 convolutions.
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 2, 2, name="conv")(inputs)
    model = tfssl.SimMIM(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps)))
    drawn, x = noise(model, 1), images(1)
    before = model.masked_pass(tf.constant(x), drawn, training=False)[1]
    place = int(np.flatnonzero(model.mask_of(drawn).numpy() == 0)[0])
    x[0, place // 4 * 2, place % 4 * 2] += 0.5
    after = model.masked_pass(tf.constant(x), drawn, training=False)[1]
    changed = np.abs(after - before).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(np.flatnonzero(changed), [place])


def test_the_loss_of_simmim_is_that_of_its_predictions():
    model, x = built("simmim"), images(3)
    drawn = noise(model, 3)
    prediction = model.predict_patches(tf.constant(x), drawn)
    errors = np.abs(prediction.patches - model.patched(x)).mean(axis=2)
    expected = np.mean([e[m > 0].mean() for e, m in zip(errors, prediction.mask.numpy())])
    found = model.loss_on_views((tf.constant(x),), training=False, noise=drawn).loss
    assert float(found) == pytest.approx(expected, rel=1e-5)


# Encoders ---------------------------------------------------------------------------------------


def test_a_transformer_within_another_model_is_found():
    vit = small_vit()
    inputs = keras.Input((None, None, 3))
    outer = keras.Model(inputs, vit(keras.layers.Rescaling(255.0)(inputs)))
    parts, x = sections.sections(outer, "test"), tf.constant(images(2))
    assert parts.blocks[0] is vit.get_layer("block1")
    tokens = parts.tokens(parts.patches(x))
    np.testing.assert_allclose(parts.head(parts.transformed(tokens)), outer(x), atol=1e-4)


def test_an_encoder_with_something_between_its_blocks_is_refused():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 2, 2)(inputs)
    x = tfssl.layers.TransformerBlock(2)(tfssl.layers.Tokens((4, 4))(x))
    x = tfssl.layers.TransformerBlock(2)(keras.layers.Dense(8)(x))
    with pytest.raises(ValueError, match="MAE needs a Vision Transformer"):
        tfssl.MAE(keras.Model(inputs, x[:, 0]))


@pytest.mark.parametrize("method", METHODS)
def test_recomputed_blocks_give_the_same_gradients(method):
    gradients = []
    for remat in (None, tfssl.layers.Rematerialized):
        vit = tfssl.encoders.vit(patch_size=2, dim=8, depth=2, heads=2, remat=remat)
        model = built(method, lambda vit=vit: vit)
        batch = model.batch_of({"views": (tf.constant(images(4)),)})
        gradients.append(model.gradients_of(model.loss_on, batch)[0])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda vit: tfssl.MAE(feature_maps()), "MAE needs a Vision Transformer"),
        (lambda vit: tfssl.MAE(vit, mask_ratio=1.0), r"`mask_ratio` must be in \(0, 1\)"),
        (lambda vit: tfssl.MAE(vit, decoder_dim=40), "`decoder_dim` must be a multiple of 32"),
        (lambda vit: tfssl.MAE(vit, decoder_depth=0), "`decoder_depth` must be an integer of 1"),
        (lambda vit: tfssl.SimMIM(vit, mask_size=3), "`mask_size` must be a multiple .* 2x2"),
        (lambda vit: tfssl.SimMIM(vit, mask_ratio=True), r"`mask_ratio` must be in \(0, 1\)"),
        (
            lambda vit: tfssl.SimMIM(keras.Sequential([keras.layers.Flatten()])),
            "`encoder` must end in a feature map whose sides divide .* 8x8. Received: none",
        ),
        (
            lambda vit: tfssl.MAE(tfssl.encoders.vit(patch_size=4, dim=8, depth=1, heads=2)),
            "MAE masks some of many squares .* 9 or more: .*Received: 2x2, with patches of 4x4",
        ),
    ],
)
def test_what_cannot_be_masked_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(small_vit()).build((None, 8, 8, 3))


def test_views_of_unknown_size_and_two_views_are_refused():
    model = made("mae", small_vit)
    with pytest.raises(ValueError, match="MAE needs views of a known size"):
        model.build((None, None, None, 3))
    x = images(4)
    with pytest.raises(ValueError, match="MAE takes 1 view of each image: .*num_views=1"):
        model.fit(tf.data.Dataset.from_tensors((x, x)), verbose=0)


def test_two_views_are_judged_of_a_method_of_one():
    """The representations are of the whole images."""
    model, x = built("mae"), images(8)
    information = tfssl.callbacks.Information((x, 0.5 * x + 0.2))
    views = tf.data.Dataset.from_tensors((x,))
    found = model.fit(views, callbacks=[information], verbose=0).history
    assert np.isfinite([found[name][0] for name in ("view_retrieval", "lidar", "alignment")]).all()
    loss = model.loss_on_views((tf.constant(x),), training=False).loss
    assert found["loss_of_views"][0] == pytest.approx(float(loss), rel=1e-5)
    h = tf.math.l2_normalize(model(x), axis=1), tf.math.l2_normalize(model(0.5 * x + 0.2), axis=1)
    expected = float(tf.reduce_mean(tf.reduce_sum((h[0] - h[1]) ** 2, axis=1)))
    assert found["alignment"][0] == pytest.approx(expected, rel=1e-4)
