"""SimCLR on images of six channels, such as those of a satellite, of 12 bits.

    python docs/examples/six_channels.py

Operations of the recipe that need RGB (saturation, hue, grayscale) are left out, with a warning.
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras
import numpy as np


def multispectral(count, side=40, channels=6, seed=0):
    """Smooth random images, uint16 [count, side, side, channels] in [0, 4095]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, side // 8, side // 8, channels))
    noise = 0.1 * rng.random((count, side, side, channels))
    fine = np.kron(coarse, np.ones((1, 8, 8, 1))) + noise
    return (4095 * fine / fine.max()).astype(np.uint16)


def main(images=512, epochs=3, batch_size=64):
    x = multispectral(images)
    encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.25, channels=6)
    model = tfssl.SimCLR(encoder)
    model.compile(keras.optimizers.Adam(1e-3), weight_decay=1e-4)
    recipe = tfssl.augment.simclr(32, channels=6)
    # Without `value_range` the whole range of uint16, 0 to 65535, would become [0, 1].
    views = tfssl.views(x, recipe, batch_size=batch_size, value_range=(0, 4095))
    model.fit(views, epochs=epochs, verbose=2)
    h = encoder.predict(x[:8].astype("float32") / 4095, verbose=0)
    print(f"representations of 8 images: {h.shape}")
    return h


if __name__ == "__main__":
    main()
