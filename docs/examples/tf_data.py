"""The forms in which images can come: a folder, `tf.data`, dicts, a generator, your own views.

python docs/examples/tf_data.py
"""

import pathlib
import tempfile

import tfssl  # before TensorFlow: it sets what TensorFlow reads once, when it loads

# isort: split
import keras
import numpy as np
import tensorflow as tf

from tfssl.data import shapes


def write_folder(directory, x, y):
    """Images as DIRECTORY/CLASS/NUMBER.png."""
    for number, (image, label) in enumerate(zip(x, y)):
        path = pathlib.Path(directory, shapes.CLASSES[label], f"{number}.png")
        path.parent.mkdir(exist_ok=True)
        keras.utils.save_img(path, image, scale=False)


def forms(directory, x, y, batch_size):
    """{name: dataset of views}."""
    recipe = tfssl.augment.simclr(32)
    # Floats of 0 to 255, which `value_range` says; one by one or batched, as here.
    of_keras = keras.utils.image_dataset_from_directory(directory, image_size=(40, 40))
    dicts = tf.data.Dataset.from_tensor_slices({"image": x, "label": y})
    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    sizes = np.random.default_rng(0).integers(24, 33, len(x))
    generator = tf.data.Dataset.from_generator(
        lambda: (image[:side] for image, side in zip(x, sizes)), output_signature=spec
    )
    noise = tf.data.Dataset.from_tensor_slices(x / np.float32(255)).batch(batch_size, True)
    own = noise.map(lambda images: (images, tf.image.flip_left_right(images)))
    return {
        "a folder": tfssl.views(directory, recipe, batch_size),
        "image_dataset_from_directory": tfssl.views(
            of_keras, recipe, batch_size, value_range=(0, 255)
        ),
        "dicts": tfssl.views(dicts, recipe, batch_size),
        "a generator, mixed sizes": tfssl.views(generator, recipe, batch_size),
        "views of your own": own,
    }


def main(images=400, batch_size=50):
    x, y = shapes.generate("train", images, image_size=32, seed=0)
    model = tfssl.SimCLR(tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.125))
    model.compile("adam")
    losses = {}
    with tempfile.TemporaryDirectory() as directory:
        write_folder(directory, x, y)
        for name, views in forms(directory, x, y, batch_size).items():
            losses[name] = model.fit(views, verbose=0).history["loss"][-1]
            print(f"{name}: loss {losses[name]:.2f}")
    return losses


if __name__ == "__main__":
    main()
