# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # SimCLR on your own encoder
#
# Any Keras model that takes images can be trained without labels. Here it is a small
# convolutional network on the embedded dataset `shapes`, so that nothing is downloaded; put your
# own model and images in their places.

# %%
import tfssl  # first: it sets what TensorFlow reads once, when it loads

# isort: split
import keras
import matplotlib.pyplot as plt

from tfssl.data import shapes

IMAGES, EPOCHS, BATCH = 6000, 12, 128

# %% [markdown]
# ## The images
#
# Arrays of uint8, `[N, height, width, 3]`. The labels are used to measure, never to train.

# %%
x, y = shapes.generate("train", IMAGES, 32, seed=0)
x_test, y_test = shapes.generate("test", IMAGES // 4, 32, seed=0)

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for axis, image in zip(axes.flat, x):
    axis.imshow(image)
    axis.axis("off")

# %% [markdown]
# ## What the network is to ignore
#
# Two random views of an image should get the same representation: they are cropped, mirrored and
# recoloured. What the views change is what the encoder learns to ignore, so look at them. These
# classes differ in shape alone: colours may change much, and crops must keep most of the figure.

# %%
recipe = tfssl.augment.simclr(32, crop_area=(0.7, 1.0), jitter_strength=1.0, grayscale_p=0.4)
views = tfssl.views(x, recipe, batch_size=BATCH)
first, second = next(iter(views))["views"]

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for column in range(8):
    for row, view in enumerate((first, second)):
        axes[row, column].imshow(view[column])
        axes[row, column].axis("off")

# %% [markdown]
# ## The encoder and the method
#
# The encoder ends in one vector for each image. SimCLR adds a projector of its own, which is
# thrown away afterwards.

# %%
encoder = keras.Sequential([keras.Input((None, None, 3))])
for filters, strides in ((32, 1), (64, 2), (128, 2)):
    encoder.add(keras.layers.Conv2D(filters, 3, strides, "same", use_bias=False))
    encoder.add(keras.layers.BatchNormalization(momentum=0.9))
    encoder.add(keras.layers.ReLU())
encoder.add(keras.layers.GlobalAveragePooling2D())

model = tfssl.SimCLR(encoder, temperature=0.2)
model.compile(keras.optimizers.Adam(2e-3))
before = tfssl.evaluate(encoder, (x, y), (x_test, y_test))

# %% [markdown]
# ## Training
#
# `KNN` measures after each epoch how often the nearest training images have the right class: the
# only number here that uses labels. The loss alone does not tell whether something useful is
# learned.

# %%
knn = tfssl.callbacks.KNN((x, y), (x_test, y_test))
history = model.fit(views, epochs=EPOCHS, callbacks=[knn], verbose=0).history

figure, axes = plt.subplots(1, 2, figsize=(8, 2.5))
axes[0].plot(history["contrast_loss"])
axes[0].set(title="loss", xlabel="epoch")
axes[1].plot([100 * value for value in history["knn_20"]])
axes[1].set(title="kNN accuracy, %", xlabel="epoch")

# %% [markdown]
# ## What came of it

# %%
after = tfssl.evaluate(encoder, (x, y), (x_test, y_test))
for protocol, found in after.items():
    print(f"{protocol}: {before[protocol]['top_1']:.1%} -> {found['top_1']:.1%}")

# %%
encoder.save("encoder.keras")  # plain Keras layers: `keras.models.load_model` needs no tfssl
