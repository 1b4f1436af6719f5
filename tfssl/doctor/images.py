"""Checks of the augmentations: XLA on the device against TensorFlow on the CPU.

An operation is compared on draws that both sides are given, so that nothing is rounded to another
decision, and every image counts. The draws are compared by themselves, and the recipes as a whole:
there a window may be rounded to another pixel, so one image in fifty may differ.
"""

import functools

import numpy as np
import tensorflow as tf

from tfssl import augment
from tfssl.augment import ops
from tfssl.doctor.bounds import DRAW, EXACT, PIXEL_PRODUCT, RECIPE
from tfssl.doctor.comparison import Check, worst_row
from tfssl.doctor.material import HOST, in_graph, pictures

SEED = [3, 8]
SIZE = (16, 16)
FLIPPED = 0.02  # of the images of a batch


def operations():
    """{name: (function that makes an `Op`, bound)}."""
    simclr, byol = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1)
    return {
        "crop and resize": (lambda: ops.random_resized_crop(SIZE), PIXEL_PRODUCT),
        "flip": (lambda: ops.flip_left_right(), EXACT),
        "rotate, reflect": (lambda: ops.rotate(), EXACT),
        "rotate, nearest": (lambda: ops.rotate(fill="nearest"), EXACT),
        "rotate, constant": (lambda: ops.rotate(fill="constant", value=0.3), EXACT),
        "quarter turns": (lambda: ops.quarter_turns(), EXACT),
        "brightness": (lambda: ops.color_jitter(0.8, 0.0, 0.0, 0.0), EXACT),
        "contrast": (lambda: ops.color_jitter(0.0, 0.8, 0.0, 0.0), EXACT),
        "saturation": (lambda: ops.color_jitter(0.0, 0.0, 0.8, 0.0), EXACT),
        "hue": (lambda: ops.color_jitter(0.0, 0.0, 0.0, 0.2), EXACT),
        "colour jitter of SimCLR": (lambda: ops.color_jitter(*simclr), EXACT),
        "colour jitter of BYOL": (lambda: ops.color_jitter(*byol, "additive"), EXACT),
        "drop of colours": (lambda: ops.maybe(ops.grayscale(), 0.5), PIXEL_PRODUCT),
        "blur, reflect": (lambda: ops.blur(taps=5), EXACT),
        "blur, constant": (lambda: ops.blur(taps=5, padding="constant"), EXACT),
        "solarize": (lambda: ops.solarize(), EXACT),
        "clip": (lambda: ops.clip(), EXACT),
        "upside down": (lambda: ops.flip_up_down(), EXACT),
        "elastic": (lambda: ops.elastic(), PIXEL_PRODUCT),
        "gamma": (lambda: ops.gamma(), EXACT),
        "levels": (lambda: ops.levels(0.2, 0.4), EXACT),
        "noise": (lambda: ops.noise(), EXACT),
        "speckle": (lambda: ops.speckle(), EXACT),
        "lost channels": (lambda: ops.channel_dropout(), EXACT),
        "erasing": (lambda: ops.erase(), EXACT),
        "cutout": (lambda: ops.cutout(), EXACT),
        "bytes": (lambda: ops.on_bytes(ops.flip_left_right()), EXACT),
    }


def recipes():
    """{name: function that makes a `View`}."""
    return {
        "SimCLR's view, small": lambda: augment.simclr(16),
        "SimCLR's view, large": lambda: augment.simclr(16, jitter_strength=1.0, blur_p=0.5),
        "BYOL's first view": lambda: augment.byol(16)[0],
        "BYOL's second view": lambda: augment.byol(16)[1],
    }


def checks():
    """The checks of augmentation, a list."""
    return [
        *(of_operation(name, make, bound) for name, (make, bound) in operations().items()),
        of_draws(),
        *(of_recipe(name, make) for name, make in recipes().items()),
        of_center_crop(),
    ]


def of_operation(name, make, bound):
    images = pictures(16, 24, 20)
    if name == "bytes":
        images = np.round(255 * images).astype("uint8")
    if name == "clip":
        images = 1.5 * images - 0.25

    def drawn():
        with tf.device(HOST):
            return make().draw(SEED, images)

    def measure():
        given = tf.nest.map_structure(lambda values: values.numpy(), drawn())
        made = in_graph(lambda *inputs: make().apply(*inputs), images, given, jit_compile=True)
        return {"images": made.numpy()}

    def expect():
        with tf.device(HOST):
            return {"images": make().apply(tf.constant(images), drawn()).numpy()}

    return Check(
        f"augment: {name}, XLA", "augmentation", measure, expect, bound, distance=worst_row
    )


def of_draws():
    images = tf.TensorShape([64, 27, 21, 3])

    def draw():
        shaped = tf.zeros(images)
        return {name: make().draw(SEED, shaped) for name, (make, _) in operations().items()}

    def measure():
        return flattened(in_graph(draw, jit_compile=True))

    def expect():
        with tf.device(HOST):
            return flattened(draw())

    distance = functools.partial(worst_row, left_out=FLIPPED)
    return Check("augment: draws, XLA", "augmentation", measure, expect, DRAW, distance=distance)


def of_recipe(name, make):
    images = pictures(64, 27, 21)

    def measure():
        made = in_graph(lambda images: make()(images, SEED), images, jit_compile=True)
        return {"images": made.numpy()}

    def expect():
        with tf.device(HOST):
            return {"images": make()(tf.constant(images), SEED).numpy()}

    distance = functools.partial(worst_row, left_out=FLIPPED)
    return Check(
        f"augment: {name}, XLA", "augmentation", measure, expect, RECIPE, distance=distance
    )


def of_center_crop():
    """Of evaluation: without XLA, which has no bicubic resize."""
    images = pictures(8, 27, 21)

    def cropped():
        return {"images": ops.center_crop(tf.constant(images), SIZE, 0.875).numpy()}

    def expect():
        with tf.device(HOST):
            return cropped()

    return Check("augment: centre crop", "augmentation", cropped, expect, EXACT, distance=worst_row)


def flattened(draws, path=""):
    """{"op/part/...": array} of nested dicts."""
    found = {}
    for name, value in draws.items():
        if isinstance(value, dict):
            found |= flattened(value, f"{path}{name}/")
        else:
            found[path + name] = value.numpy()
    return found
