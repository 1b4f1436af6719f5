"""The training step of a Vision Transformer: vit_tiny, patches of 4 px, 32 px, 128 images, AdamW

The loss is the mean square of the representations, so that the step is that of the encoder alone.
MAE's is its own, with a decoder of 4 blocks.
"""

import functools

from tables import step

BATCH, SIDE, PATCH = 128, 32, 4
UNIT = "images"
DIM, DEPTH, HEADS = 192, 12, 3
TOKENS = 1 + (SIDE // PATCH) ** 2
PRECISIONS = ("float32", "bfloat16")
OURS = {f"tfssl, {precision}": precision for precision in PRECISIONS}
MAE = {f"tfssl, MAE, {precision}": precision for precision in PRECISIONS}
TIMM = {
    f"timm, {precision}{', torch.compile' * compiled}": (precision, compiled)
    for precision in PRECISIONS
    for compiled in (False, True)
}
VARIANTS = {**dict.fromkeys({**OURS, **MAE, **step.MATMUL}), **dict.fromkeys(TIMM, "timm")}


def build(name, settings):
    if name in step.MATMUL:
        return step.build(name, settings)
    if name in TIMM:
        return of_timm(*TIMM[name]), BATCH, flops()
    if name in MAE:
        return of_mae(MAE[name]), BATCH, 0
    return of_tfssl(OURS[name]), BATCH, flops()


def flops():
    """Of the blocks for all images, forward and backward: matrices, and attention."""
    products = TOKENS * 12 * DIM**2 + 2 * TOKENS**2 * DIM
    patches = (TOKENS - 1) * PATCH**2 * 3 * DIM
    return 3 * 2 * BATCH * (DEPTH * products + patches)


def of_tfssl(precision):
    import keras
    import tensorflow as tf

    import tfssl

    keras.config.set_dtype_policy(policy(precision))
    encoder = tfssl.encoders.vit("tiny", PATCH)
    optimizer = keras.optimizers.AdamW(1e-4)
    optimizer.build(encoder.trainable_variables)
    images = tf.random.stateless_uniform([BATCH, SIDE, SIDE, 3], [0, 0])

    @tf.function(autograph=False)
    def train():
        with tf.GradientTape() as tape:
            h = tf.cast(encoder(images, training=True), tf.float32)
            loss = tf.reduce_mean(tf.square(h))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        optimizer.apply(gradients, encoder.trainable_variables)
        return loss

    return lambda: float(train())


def of_mae(precision):
    import keras
    import tensorflow as tf

    import tfssl

    keras.config.set_dtype_policy(policy(precision))
    model = tfssl.MAE(tfssl.encoders.vit("tiny", PATCH), decoder_depth=4)
    model.build((None, SIDE, SIDE, 3))
    model.compile(keras.optimizers.AdamW(1e-4), jit_compile=False)
    images = tf.random.stateless_uniform([BATCH, SIDE, SIDE, 3], [0, 0])
    train = tf.function(model.train_step, autograph=False)
    return lambda: float(train((images,))["loss"])


def policy(precision):
    return "float32" if precision == "float32" else f"mixed_{precision}"


def of_timm(precision, compiled):
    import timm
    import torch

    net = timm.create_model(
        "vit_tiny_patch16_224", img_size=SIDE, patch_size=PATCH, num_classes=0
    ).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    forward = torch.compile(net) if compiled else net
    cast = functools.partial(torch.autocast, "cpu", torch.bfloat16, precision == "bfloat16")
    images = torch.rand(BATCH, 3, SIDE, SIDE)

    def train():
        with cast():
            h = forward(images)
        loss = h.float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


finish = step.finish


def targets(rows):
    found = []
    for precision in PRECISIONS:
        ours = rows[f"tfssl, {precision}"]
        share = ours["of matmul"]
        found.append(
            (
                f"{precision} step at least 80 % of the {precision} matmul: {100 * share:.0f} %",
                share >= 0.8,
            )
        )
        peers = [rows[name]["images/s"] for name in TIMM if precision in name and name in rows]
        if peers:
            ratio = ours["images/s"] / max(peers)
            found.append((f"{precision} step as fast as timm's best: {ratio:.2f}", ratio >= 1))
    return found
