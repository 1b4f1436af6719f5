"""Checks of one training step of a method, against the same step on the CPU in float32."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfssl import augment, compat, data, encoders, layers, methods, optim
from tfssl.data.arrays import source_of
from tfssl.doctor.bounds import CHOOSING, NORMALIZED, STEP
from tfssl.doctor.comparison import Check
from tfssl.doctor.material import HOST, in_graph, initialize, pictures

SIDE, BATCH, CLASSES = 32, 8, 10
PRECISIONS = tuple(STEP)


def simclr(encoder, dim):
    head = layers.projector(dim, out_dim=32, normalization=layers.synchronized)
    return methods.SimCLR(encoder, head, temperature=0.5, **common())


def byol(encoder, dim):
    make = functools.partial(
        layers.byol_head, hidden_dim=64, out_dim=32, normalization=layers.synchronized
    )
    return methods.BYOL(encoder, make(dim), make(32, name="predictor"), total_steps=10, **common())


def npair(encoder, dim):
    head = layers.projector(dim, out_dim=32, normalization=layers.synchronized)
    return methods.NPair(encoder, head, temperature=0.5, **common())


def triplet(encoder, dim):
    head = layers.projector(dim, out_dim=32, normalization=layers.synchronized)
    return methods.Triplet(encoder, head, **common())


def cpc(encoder, dim):
    head = layers.projector(dim, out_dim=32, normalization=layers.synchronized)
    return methods.CPC(encoder, head, **common())


def common():
    return {"num_classes": CLASSES, "input_range": "0,1"}


def peer(cls, head=None, **options):
    """A function like those above for another method.

    Args:
        cls: class of the method.
        head: arguments of `layers.mlp` for its projector; None: SimCLR's.
        **options: further arguments of the class.
    """

    def make(encoder, dim):
        widths = {"out_dim": 32, "normalization": layers.synchronized}
        projector = (
            layers.projector(dim, **widths)
            if head is None
            else layers.mlp(dim, **{**widths, "hidden_dim": 64, **head})
        )
        return cls(encoder, projector, **options, **common())

    return make


METHODS = {
    "simclr": simclr,
    "byol": byol,
    "npair": npair,
    "triplet": triplet,
    "cpc": cpc,
    "simsiam": peer(methods.SimSiam, {"normalize_output": True}),
    "fastsiam": peer(methods.FastSiam, {"normalize_output": True}),
    "barlow_twins": peer(methods.BarlowTwins, {}),
    "vicreg": peer(methods.VICReg, {}),
    "sigreg": peer(methods.SIGReg, {}),
    "mocov2": peer(methods.MoCoV2, {"normalization": None}, memory_size=64),
    "mocov3": peer(methods.MoCoV3, {"normalize_output": True}, total_steps=10),
    "nnclr": peer(methods.NNCLR, {"normalize_output": True}, memory_size=64),
    "dcl": peer(methods.DCL, temperature=0.5),
    "dclw": peer(methods.DCLW, temperature=0.5),
    "swav": peer(methods.SwAV, {}, num_prototypes=16),
    "dino": peer(methods.DINO, {"normalization": None}, num_prototypes=16),
    "emp_ssl": peer(methods.EMPSSL, {}),
    "dim": peer(methods.DeepInfoMax, {}),
    "supcon": peer(methods.SupCon, temperature=0.5),
}
FACTORS = {"triplet": CHOOSING} | dict.fromkeys(("barlow_twins", "mocov3", "nnclr"), NORMALIZED)
AUGMENTING = ("simclr", "cpc")  # the operations of other methods within the step are SimCLR's


def of_step(method, precision, compiled, inside=False):
    """A step of a ResNet-18 of a quarter of the width.

    Args:
        method: key of METHODS.
        precision: one of PRECISIONS.
        compiled: whether XLA compiles the step.
        inside: whether the step augments the images itself.
    """
    kind = ("XLA" if compiled else "no XLA") + (", augmenting" if inside else "")
    name = f"step of {method}, {precision}, {kind}"

    def measure():
        return step(method, precision, compiled, inside)

    def expect():
        with tf.device(HOST):
            return step(method, "float32", None, inside)

    factors = FACTORS.get(method, {})
    bounds = {name: bound * factors.get(name, 1.0) for name, bound in STEP[precision].items()}
    return Check(name, "method", measure, expect, max(bounds.values()), bounds=bounds)


def step(method, precision, compiled, inside):
    """{"loss": its value, "update": the change of the trained weights, "moved": of the others}.

    Args:
        compiled: None: eagerly, which takes less time for one step.
    """
    with compat.dtype_policy(precision):
        encoder = encoders.resnet(18, stem="cifar", width_multiplier=0.25)
        model = METHODS[method](encoder, encoder.output_shape[-1])
    model.build((None, SIDE, SIDE, 3))
    optimizer = optim.LARS(0.5)
    if precision == "mixed_float16":  # a scale of 2^15, the default, is tried by overflowing
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0)
    model.compile(
        optimizer,
        weight_decay=1e-4,
        jit_compile=bool(compiled),
        prepare=preparation(method, compiled is not None) if inside else None,
    )
    initialize(model)
    trained, others = model.trainable_variables, moving_of(model)
    before = [v.numpy() for v in (*trained, *others)]
    given = batch(inside, model.NUM_VIEWS or 2)
    if compiled is None:
        logs = model.train_step(tf.nest.map_structure(tf.constant, given))
    else:
        # Keras declines XLA for layers that cannot have it, such as a GRU on a GPU.
        logs = in_graph(model.train_step, given, jit_compile=model.jit_compile)
    changes = [(v.numpy() - old).ravel() for v, old in zip((*trained, *others), before)]
    return {
        "loss": logs["loss"].numpy(),
        "update": np.concatenate(changes[: len(trained)]),
        "moved": np.concatenate(changes[len(trained) :]),
    }


def moving_of(model):
    """Moving averages of normalizations, and the weights of target networks."""
    parts = [*model.parts.values(), *model.followers.values()]
    return [v for part in parts for v in part.non_trainable_variables if v.dtype == "float32"]


def batch(inside, views=2):
    """A batch of views; or of images, as `data.finisher` takes them."""
    images = pictures(BATCH, SIDE, SIDE)
    labels = np.arange(BATCH) % CLASSES
    if inside:
        seeds = np.array([[3, 8], [5, 2]], "int32")
        return {"images": images, "label": labels, "seeds": seeds, "part": np.int32(0)}
    shifted = np.roll(images, 3, axis=2) * 0.8 + 0.1
    return {"views": (images, shifted)[:views], "label": labels}


def recipes(method):
    view = augment.simclr(SIDE)
    return [view._replace(pixels=augment.identity()) if method == "cpc" else view] * 2


def preparation(method, compiled):
    return data.finisher(
        source_of(pictures(BATCH, SIDE, SIDE)), recipes(method), compiled, in_blocks=False
    )
