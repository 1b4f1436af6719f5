# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A method of your own
#
# A method is a class with a loss. `fit`, half precision, several devices, saving, measuring and
# the command line come with `tfssl.SelfSupervised`.

# %%
import tfssl

# isort: split
import keras
import tensorflow as tf

from tfssl.data import shapes

IMAGES, EPOCHS = 4000, 6

# %% [markdown]
# ## The loss
#
# Alignment and uniformity (Wang and Isola 2020) as a loss: the views of an image are close,
# images are spread over the sphere.


# %%
@tfssl.register("align_uniform")
class AlignUniform(tfssl.SelfSupervised):
    """Wang and Isola 2020, section 5: alignment plus a weight times uniformity."""

    SCALARS = ("alignment_term", "uniformity_term")

    def __init__(self, encoder, weight=1.0, **options):
        super().__init__(encoder, **options)
        self.weight = weight

    def make_heads(self):
        return {"projector": self.head(tfssl.layers.projector(self.dim), self.dim, "projector")}

    def loss_on_views(self, views, labels=None, training=True):
        h = tuple(self.encode(view, training) for view in views)
        z = tuple(self.projector(features, training=training) for features in h)
        first, second = (tf.math.l2_normalize(tf.cast(one, tf.float32), axis=1) for one in z)
        alignment = tf.reduce_mean(tf.reduce_sum(tf.square(first - second), axis=1))
        spread = (uniformity(first) + uniformity(second)) / 2
        scalars = {"alignment_term": alignment, "uniformity_term": spread}
        return tfssl.Outputs(alignment + self.weight * spread, scalars, h, z)


def uniformity(z):
    """log E exp(-2 d^2) over the pairs of different images."""
    distances = 2 - 2 * tf.matmul(z, z, transpose_b=True)
    apart = tf.linalg.set_diag(-2 * distances, tf.fill([tf.shape(z)[0]], -1e9))
    pairs = tf.cast(tf.shape(z)[0] * (tf.shape(z)[0] - 1), tf.float32)
    return tf.reduce_logsumexp(apart) - tf.math.log(pairs)


# %% [markdown]
# ## Training it

# %%
x, y = shapes.generate("train", IMAGES, 32, seed=0)
x_test, y_test = shapes.generate("test", IMAGES // 4, 32, seed=0)
encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.125)
recipe = tfssl.augment.simclr(16, crop_area=(0.7, 1.0), jitter_strength=1.0, grayscale_p=0.4)
views = tfssl.views(x, recipe, batch_size=128)

model = AlignUniform(encoder, weight=1.0)
model.compile(keras.optimizers.Adam(2e-3))
before = tfssl.evaluate(encoder, (x, y), (x_test, y_test), size=16)
history = model.fit(views, epochs=EPOCHS, verbose=0).history
after = tfssl.evaluate(encoder, (x, y), (x_test, y_test), size=16)
for protocol, found in after.items():
    print(f"{protocol}: {before[protocol]['top_1']:.1%} -> {found['top_1']:.1%}")

# %% [markdown]
# ## Did it collapse?
#
# `z_std` is logged for every method: 0 is a collapse; 1 is a projection that is spread evenly.

# %%
print("z_std", [round(value, 3) for value in history["z_std"]])

# %% [markdown]
# ## On the command line
#
# In a file of its own, the same class is a word there, with everything that the program does for
# its own methods:
#
#     tfssl --plugin=mine.py --method=align_uniform --dataset=./photos
