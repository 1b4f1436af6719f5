"""Augmentation alone, two views per image, with blur and solarization

32 px: from uint8 images in memory. 128 px: from JPEG files of 160 to 320 px in memory. Keras's,
keras-cv's and lightly's layers are not the same recipe: their own ranges, the same operations.
"""

import io

BATCH, WORKERS = 256, 2
UNIT = "images"
PLAIN, FAST = "tfssl, 32 px, not compiled", "tfssl, 32 px"
PLAIN_JPEG, JPEG = "tfssl, 128 px from JPEG, not compiled", "tfssl, 128 px from JPEG"
VARIANTS = {
    PLAIN: None,
    FAST: None,
    "Keras layers, 32 px": "keras",
    "keras-cv layers, 32 px": "keras_cv",
    "torchvision v2, 32 px": "torchvision",
    "lightly, 32 px": "lightly",
    PLAIN_JPEG: None,
    JPEG: None,
    "torchvision v2, 128 px from JPEG": "torchvision",
}


def build(name, settings):
    maker = {
        "Keras": keras_layers,
        "keras-cv": keras_cv_layers,
        "torchvision": torchvision_v2,
        "lightly": lightly,
        "tfssl": ours,
    }[name.replace(",", "").split()[0]]
    batches = iter(maker("JPEG" in name, "not compiled" not in name))
    return lambda: next(batches), BATCH // 4 if "JPEG" in name else BATCH, 0


def pictures(count=2048):
    """Smooth colour noise, as uint8 [count, 32, 32, 3]."""
    import numpy as np
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=(count, 32, 32, 3))
    noise = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    return np.clip(128 + 250 * noise, 0, 255).astype(np.uint8)


def files(count=256):
    """JPEG files of 160 to 320 px, about 15 kB each."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(1)
    made = []
    for picture in pictures(count):
        size = tuple(int(side) for side in random.integers(160, 321, 2))
        buffer = io.BytesIO()
        image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        grain = random.normal(0, 8, (*size[::-1], 3))
        image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
        image.save(buffer, "jpeg", quality=85)
        made.append(buffer.getvalue())
    return made


def ours(jpeg, compiled):
    import numpy as np
    import tensorflow as tf

    from tfssl import augment, data

    size = (128, 128) if jpeg else (32, 32)
    recipes = (
        augment.simclr_view(size, jitter_strength=0.5, blur_p=1.0),
        augment.simclr_view(size, jitter_strength=0.5, blur_p=0.1, solarize_p=0.2),
    )
    if jpeg:
        encoded = files()
        source = data.Source(
            "jpeg",
            "train",
            ("train", 0, len(encoded)),
            1,
            (None, None),
            lambda: tf.data.Dataset.from_tensor_slices({"image": encoded}),
            lambda example: (
                tf.io.decode_jpeg(example["image"], channels=3),
                tf.constant(0, tf.int64),
            ),
            content=lambda example: example["image"],
        )
    else:
        images = pictures()
        source = data.Source(
            "uint8",
            "train",
            ("train", 0, len(images)),
            1,
            (32, 32),
            None,
            None,
            arrays=(images, np.zeros(len(images), np.int64)),
        )
    return data.views(
        source,
        recipes,
        batch_size=BATCH // 4 if jpeg else BATCH,
        seed=0,
        stop_step=10**9,
        compiled=compiled,
    )


def keras_layers(jpeg, compiled):
    import keras

    layers = keras.layers
    one = [
        layers.RandomCrop(24, 24),
        layers.Resizing(32, 32, "bicubic"),
        layers.RandomFlip("horizontal"),
        layers.RandomColorJitter((0, 1), 0.4, 0.4, 0.4, 0.1),
        layers.RandomGrayscale(0.2),
        layers.RandomGaussianBlur(0.5, 3, 1.0, (0, 1)),
        layers.Solarization(0.5, 0.5, (0, 1)),
    ]
    return of_layers(one)


def keras_cv_layers(jpeg, compiled):
    import keras_cv

    layers = keras_cv.layers

    def maybe(layer, rate):
        return layers.RandomApply(layer, rate, batchwise=False)

    return of_layers(
        [
            layers.RandomCropAndResize((32, 32), (0.08, 1.0), (0.75, 1.33)),  # bicubic fails
            layers.RandomFlip("horizontal"),
            maybe(layers.RandomColorJitter((0, 1), 0.4, 0.4, 0.4, 0.1), 0.8),
            maybe(layers.Grayscale(3), 0.2),
            maybe(layers.RandomGaussianBlur(3, (0.0, 1.0)), 0.5),
            maybe(layers.Solarization((0, 1), 0.0, 0.5), 0.2),
        ]
    )


def of_layers(layers):
    import tensorflow as tf

    def view(images):
        for layer in layers:
            images = layer(images, training=True)
        return images

    def views(images):
        images = tf.cast(images, tf.float32) / 255.0
        return view(images), view(images)

    dataset = tf.data.Dataset.from_tensor_slices(pictures()).repeat().batch(BATCH, True)
    return dataset.map(views, num_parallel_calls=WORKERS).prefetch(2)


def torchvision_v2(jpeg, compiled):
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import InterpolationMode, v2

    size = 128 if jpeg else 32

    def view(blur, solarize):
        return v2.Compose(
            [
                v2.RandomResizedCrop(size, (0.08, 1.0), interpolation=InterpolationMode.BICUBIC),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(13 if jpeg else 3, (0.1, 2.0))], blur),
                v2.RandomSolarize(128, solarize),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    images = (
        files()
        if jpeg
        else [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in pictures()]
    )
    first, second = view(1.0, 0.0), view(0.1, 0.2)

    def make(item):
        if jpeg:
            data = torch.frombuffer(bytearray(item), dtype=torch.uint8)
            item = decode_jpeg(data, mode=ImageReadMode.RGB)
        return first(item), second(item)

    return of_torch(images, make, BATCH // 4 if jpeg else BATCH)


def lightly(jpeg, compiled):
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    make = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.5)
    images = [Image.fromarray(image) for image in pictures()]
    return of_torch(images, lambda item: tuple(make(item)), BATCH)


class Endless:
    """A dataset without end for a DataLoader; at the top level, for workers are sent it."""

    def __init__(self, items, make):
        self.items, self.make = items, make

    def __len__(self):
        return 10**9

    def __getitem__(self, index):
        return self.make(self.items[index % len(self.items)])


def of_torch(items, make, batch):
    from torch.utils.data import DataLoader

    return DataLoader(
        Endless(items, make),
        batch_size=batch,
        num_workers=WORKERS,
        shuffle=False,
        multiprocessing_context="fork",
    )


def targets(rows):
    wanted = (
        ("keras-cv layers, 32 px", FAST, 6),
        ("Keras layers, 32 px", FAST, 3),
        ("torchvision v2, 32 px", FAST, 8),
        ("torchvision v2, 128 px from JPEG", JPEG, 3),
    )
    made = []
    for peer, own, least in wanted:
        if peer in rows and own in rows:
            ratio = rows[own]["images/s"] / rows[peer]["images/s"]
            made.append((f"{own}: at least {least} times {peer}: {ratio:.1f}", ratio >= least))
    return made
