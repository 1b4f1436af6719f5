"""Four epochs of `fit`, of 32 steps each, on views of images in memory"""

UNIT = None
TUNED, STEADY = "calls in parallel tuned by tf.data", "a call for each core"
VARIANTS = {TUNED: None, STEADY: None}
EPOCHS, STEPS, BATCH, SIZE = 4, 32, 64, 16


def build(name, settings):
    import keras
    import tensorflow as tf

    import tfssl
    from tfssl.data import shapes

    images = shapes.generate("train", STEPS * BATCH, 24, seed=0)[0]
    views = tfssl.views(images, tfssl.augment.simclr(SIZE), batch_size=BATCH)
    if name == TUNED:
        options = tf.data.Options()
        options.autotune.enabled = True
        views = views.with_options(options)
    encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=1 / 8)
    model = tfssl.SimCLR(encoder)
    model.compile(keras.optimizers.Adam(1e-3))
    return lambda: model.fit(views, epochs=EPOCHS, verbose=0), 0, 0


def targets(rows):
    ratio = rows[TUNED]["ms"] / rows[STEADY]["ms"]
    return [(f"a call for each core no slower than tuned: {ratio:.2f} times as fast", ratio >= 1)]
