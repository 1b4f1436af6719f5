"""Small encoders of every kind that users bring, and every method on them."""

import keras
import numpy as np
import tensorflow as tf

import tfssl
from tfssl import layers
from tfssl.encoders import adapt, sections

SIZE = 8


def functional(channels=3, size=None):
    """A functional CNN with batch normalization that ends in [B, D]."""
    inputs = keras.Input((size, size, channels))
    x = keras.layers.Conv2D(6, 3, strides=2, name="conv")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="cnn")


def tiny(input_shape):
    """The encoder of the small runs: one of each kind of layer that a run treats in its own way."""
    inputs = keras.Input((None, None, input_shape[-1]))
    x = keras.layers.Conv2D(32, 3, strides=2, use_bias=False, name="conv")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="tiny")


def sequential():
    """A `keras.Sequential` that does not know its input yet."""
    return keras.Sequential(
        [
            keras.layers.Conv2D(6, 3, strides=2, activation="gelu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5),
        ]
    )


class Subclassed(keras.Model):
    """Neither built nor able to say how it was made."""

    def __init__(self, width):
        super().__init__()
        self.conv = keras.layers.Conv2D(width, 3, strides=2, activation="gelu")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.dense = keras.layers.Dense(5)

    def call(self, images):
        return self.dense(self.pool(self.conv(images)))


@keras.saving.register_keras_serializable(package="tests")
class ViT(keras.Layer):
    """Patches, learned positions and one block: tokens [B, n, D]."""

    def __init__(self, dim=8, patch=4, **options):
        super().__init__(**options)
        self.dim, self.patch = dim, patch
        self.embed = keras.layers.Conv2D(dim, patch, strides=patch)
        self.norm = keras.layers.LayerNormalization()
        self.attention = keras.layers.MultiHeadAttention(2, dim // 2)
        self.mlp = keras.layers.Dense(dim, activation="gelu")

    def build(self, input_shape):
        count = (input_shape[1] // self.patch) * (input_shape[2] // self.patch)
        self.places = keras.layers.Embedding(count, self.dim)
        self.embed.build(input_shape)
        tokens = (None, count, self.dim)
        self.places.build((count,))
        self.norm.build(tokens)
        self.attention.build(tokens, tokens)
        self.mlp.build(tokens)
        self.built = True

    def call(self, images):
        x = self.embed(images)
        x = keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2], self.dim))
        x = x + self.places(keras.ops.arange(x.shape[1]))
        normed = self.norm(x)
        x = x + self.attention(normed, normed)
        return x + self.mlp(x)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "patch": self.patch}


def feature_maps():
    """A functional CNN that ends in [B, h, w, D]."""
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(6, 3, activation="gelu", name="conv")(inputs)
    return keras.Model(inputs, maps, name="maps")


def mobile_net():
    return keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )


ENCODERS = {
    "functional": functional,
    "sequential": sequential,
    "subclassed": lambda: Subclassed(6),
    "vit": ViT,
    "feature_maps": feature_maps,
    "mobile_net": mobile_net,
}


def projector(dim):
    return layers.projector(dim, out_dim=4, hidden_dim=8, num_layers=2)


def teacher():
    """Logits of three classes."""
    inputs = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    kernel = keras.initializers.RandomNormal(stddev=5.0, seed=0)
    outputs = keras.layers.Dense(3, kernel_initializer=kernel)(pooled)
    return keras.Model(inputs, outputs, name="teacher")


def distilled(encoder, **options):
    return tfssl.Distilled(encoder, teacher(), alpha=0.5, **options)


def supervised(encoder, **options):
    return tfssl.Supervised(encoder, num_classes=3, **options)


def memory(encoder, **options):
    """`memory_encoder` is made as BYOL's target is."""
    return tfssl.SimCLR(encoder, memory_size=24, memory_decay=0.5, **options)


def head(width=4):
    """A small head that takes h of any dimension."""
    return keras.Sequential([keras.layers.Dense(8, "relu"), keras.layers.Dense(width)])


def with_heads(method, *names, **settings):
    """A function (encoder, **options) -> the method, with small heads of these names."""

    def make(encoder, **options):
        return method(encoder, **{**{name: head() for name in names}, **settings, **options})

    return make


def deep_infomax(encoder, **options):
    """Its map is that of the layer "conv", if the encoder has one."""
    names = [layer.name for layer in getattr(encoder, "layers", ())]
    options = {"local_layer": "conv" if "conv" in names else None, **options}
    return with_heads(tfssl.DeepInfoMax, "projector", "local_projector")(encoder, **options)


def small_vit(channels=3):
    """A Vision Transformer of which a view of 8 px has 16 patches."""
    return tfssl.encoders.vit(patch_size=2, dim=8, depth=2, heads=2, channels=channels)


def masked(method, **settings):
    """A function (encoder, **options) -> a method that masks patches.

    In place of an encoder that is no Vision Transformer it takes one of the same channels.
    """

    def make(encoder, **options):
        if not sections.find(encoder):
            shape = adapt.known_input_shape(encoder)
            encoder = small_vit(shape[-1] if shape else 3)
        return method(encoder, **{**settings, **options})

    return make


PEERS = {
    "simsiam": with_heads(tfssl.SimSiam, "projector", "predictor"),
    "fastsiam": with_heads(tfssl.FastSiam, "projector", "predictor"),
    "barlow_twins": with_heads(tfssl.BarlowTwins, "projector"),
    # Of 25 times the weights, as by default, the steps of large features diverge.
    "vicreg": with_heads(tfssl.VICReg, "projector", invariance=1, variance=1, covariance=0.04),
    "sigreg": with_heads(tfssl.SIGReg, "projector", num_slices=8),
    "mocov2": with_heads(tfssl.MoCoV2, "projector", memory_size=24, memory_decay=0.5),
    "mocov3": with_heads(tfssl.MoCoV3, "projector", "predictor"),
    "nnclr": with_heads(tfssl.NNCLR, "projector", "predictor", memory_size=24),
    "dcl": with_heads(tfssl.DCL, "projector"),
    "dclw": with_heads(tfssl.DCLW, "projector"),
    "swav": with_heads(tfssl.SwAV, "projector", num_prototypes=6, memory_size=12),
    "dino": with_heads(tfssl.DINO, "projector", num_prototypes=6),
    "emp_ssl": with_heads(tfssl.EMPSSL, "projector"),
    "deep_infomax": deep_infomax,
    "supcon": with_heads(tfssl.SupCon, "projector"),
    "mae": masked(tfssl.MAE, decoder_dim=32, decoder_depth=1),
    "simmim": masked(tfssl.SimMIM),
}
MASKED = ("mae", "simmim")
SELF_SUPERVISED = {
    "simclr": tfssl.SimCLR,
    "memory": memory,
    "byol": tfssl.BYOL,
    "npair": tfssl.NPair,
    "triplet": tfssl.Triplet,
    "cpc": tfssl.CPC,
    **PEERS,
}
METHODS = {**SELF_SUPERVISED, "supervised": supervised, "distilled": distilled}
SIZES = {"mobile_net": 32}  # pixels, where 8 are too few
FOLLOWED = ("memory", "byol", "mocov2", "mocov3", "dino")  # by a second network


def labels(count=16, seed=0):
    return np.random.default_rng(seed).integers(3, size=count)


def images(count=16, size=SIZE, channels=3, seed=0):
    return np.random.default_rng(seed).random((count, size, size, channels), np.float32)


def elements(model, count=16, size=SIZE, seed=0, num_views=None, **options):
    """What `fit` takes of random images: labels, and two views where the model takes any number."""
    views = tuple(
        images(count, size, seed=seed + view, **options)
        for view in range(num_views or model.NUM_VIEWS or 2)
    )
    return {"views": views, "label": labels(count, seed)}


def dataset(model, batch_size=8, **options):
    """Batches of `elements`, the same in every epoch."""
    return tf.data.Dataset.from_tensor_slices(elements(model, **options)).batch(batch_size, True)


def made(method, encoder=functional, optimizer=None, compiled=None, **options):
    """A compiled method on a new encoder, equal weights at every call."""
    keras.utils.set_random_seed(0)
    model = METHODS[method](encoder(), **options)
    model.compile(optimizer or keras.optimizers.SGD(0.1), jit_compile=False, **(compiled or {}))
    return model


def followers(model):
    """The weights of the networks that follow others."""
    return [v for follower in model.followers.values() for v in follower.weights]


def gradients_of(model, function):
    """The gradients of what a function returns by all that a model learns."""
    with tf.GradientTape() as tape:
        loss = function()
    return tape.gradient(loss, model.trainable_variables)


def gradients_besides(model, views, held):
    """Those of the loss of views; none may reach the variables `held`."""
    with tf.GradientTape() as tape:
        others = [v.value for v in held]
        tape.watch(others)
        loss = model.loss_on_views(views).loss
    made_gradients, none = tape.gradient(loss, [model.trainable_variables, others])
    assert all(gradient is None for gradient in none)
    return made_gradients


def values(model):
    """All that makes a model what it is: weights, the queue, and the optimizer's state."""
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]
