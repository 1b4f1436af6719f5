"""Views of your own: a `keras.Sequential`, a function with a seed, and a recipe with changes.

    python docs/examples/own_augmentation.py

A function of (images, seed) that draws from the seed alone gives the same views at every run. Keras
layers keep a random state of their own, and tfssl says so.
"""

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras
import tensorflow as tf

from tfssl.data import shapes


def noisy_crops(images, seed):
    """Random crops of 24 px, with noise: float32 [B, 32, 32, C] in [0, 1] -> [B, 24, 24, C]."""
    count, channels = tf.shape(images)[0], images.shape[-1]
    crops = tf.image.stateless_random_crop(images, [count, 24, 24, channels], seed)
    noise = tf.random.stateless_normal(tf.shape(crops), seed + [0, 1], stddev=0.05)
    return tf.clip_by_value(crops + noise, 0.0, 1.0)


def recipes():
    """{name: recipe}, each as `tfssl.views` takes it."""
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.2, 0.2),
            keras.layers.RandomContrast(0.4),
        ]
    )
    return {
        "function": noisy_crops,
        "layers": layers,
        "two views": (tfssl.augment.simclr(24), tfssl.augment.simclr(24, blur_p=1.0)),
        "one operation": tfssl.augment.ops.random_resized_crop((24, 24)),
    }


def main(images=1000, batch_size=100):
    x, _ = shapes.generate("train", images, image_size=32, seed=0)
    losses = {}
    for name, recipe in recipes().items():
        encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.125)
        model = tfssl.SimCLR(encoder)
        model.compile("adam")
        views = tfssl.views(x, recipe, batch_size=batch_size)
        losses[name] = model.fit(views, verbose=0).history["loss"][-1]
        print(f"{name}: loss {losses[name]:.2f}")
    return losses


if __name__ == "__main__":
    main()
