"""Checks of the losses, values and gradients, against NumPy in float64."""

import functools

import numpy as np
import tensorflow as tf

from tfssl import losses
from tfssl.doctor import references
from tfssl.doctor.bounds import CONTRAST, EXACT, PRODUCT
from tfssl.doctor.comparison import Check
from tfssl.doctor.material import double, in_graph, numpy_of, random

TEMPERATURE = 0.1


def checks():
    """The checks of losses, a list."""
    # Pairs of views that resemble each other, as the loss of unrelated ones hardly depends on them.
    n, dimensions = 24, 32
    z1 = random(0, n, dimensions)
    z2, z3 = z1 + 1.5 * random(1, n, dimensions), random(2, n, dimensions)
    unit = z1 / np.linalg.norm(z1, axis=1, keepdims=True)
    near = unit + 0.1 * z2
    logits = 3 * random(3, n, 10)

    def contrast(z1, z2, **options):
        return losses.nt_xent_with_scalars(z1, z2, TEMPERATURE, **options)[0]

    two = {"to_z1": z1, "to_z2": z2}
    cases = [
        ("NT-Xent", contrast, two, lambda *z: references.nt_xent(*z, TEMPERATURE), CONTRAST),
        (
            "NT-Xent, blockwise",
            functools.partial(contrast, in_blocks=True),
            two,
            lambda *z: references.nt_xent(*z, TEMPERATURE),
            CONTRAST,
        ),
        (
            "BYOL's regression loss",
            lambda prediction: losses.regression_loss(prediction, z2),
            {"to_prediction": z1},
            lambda prediction: references.regression(prediction, *double(z2)),
            EXACT,
        ),
        (
            "N-pair loss",
            losses.n_pair_loss,
            {"to_anchors": unit, "to_positives": near},
            references.n_pair,
            PRODUCT,
        ),
        (
            "triplet loss",
            lambda *z: losses.triplet_loss(*z, margin=4.0),
            {"to_anchor": z1, "to_positive": z2, "to_negative": z3},
            lambda *z: references.triplet(*z, margin=4.0),
            EXACT,
        ),
        (
            "distillation loss",
            lambda student: losses.distillation_loss(student, logits[::-1], 0.5),
            {"to_student": logits},
            lambda student: references.distillation(student, *double(logits[::-1]), 0.5),
            EXACT,
        ),
    ]
    return [of_loss(*case) for case in cases]


def of_loss(name, function, inputs, reference, bound):
    """The value of a loss of the `inputs`, and the gradients that they are named after."""

    def both(*values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = function(*values)
        return loss, tape.gradient(loss, values)

    def measure():
        loss, gradients = in_graph(both, *inputs.values())
        return {"loss": loss.numpy(), **numpy_of(dict(zip(inputs, gradients)))}

    return Check(name, "loss", measure, lambda: reference(*double(*inputs.values())), bound)
