# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Multispectral images
#
# Six bands of 16 bits, each on a level of its own, and pixels where the sensor saw nothing:
# nothing of this is special to tfssl, which reads the number of channels from the images.

# %%
import tfssl

# isort: split
import keras
import matplotlib.pyplot as plt
import numpy as np

TILES, EPOCHS, SIDE, BANDS = 1200, 10, 32, 6

# %% [markdown]
# ## Images
#
# Drawn here: stripes, dots and blocks of two random materials. Their spectra say nothing about
# the class.


# %%
def draw(count, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    place = np.arange(SIDE) / SIDE
    images = np.empty((count, SIDE, SIDE, BANDS), np.uint16)
    for number, label in enumerate(labels):
        y, x = place[:, None] + rng.random(), place[None, :] + rng.random()
        turns = 2 * np.pi * rng.uniform(2, 4)
        form = {
            0: np.sin(turns * (x + rng.uniform(-1, 1) * y)),
            1: np.sin(turns * x) * np.sin(turns * y) - 0.3,
            2: np.kron(rng.random((4, 4)) - 0.5, np.ones((SIDE // 4, SIDE // 4))),
        }[label]
        ground, figure = rng.uniform(500, 9000, (2, BANDS))
        pixels = np.where(form[..., None] > 0, figure, ground)
        images[number] = np.clip(pixels + rng.normal(0, 300, pixels.shape), 1, 65535)
        images[number, : rng.integers(0, 5)] = 0  # not seen
    return images, labels


x, y = draw(TILES, seed=0)
x_test, y_test = draw(TILES // 3, seed=1)

# %% [markdown]
# ## Reading them
#
# `tfssl.open_images` has all that concerns values: here each band is scaled from its 1st to its
# 99th percentile, and 0 means that there is nothing. The test images are read by the ranges of
# the training images.

# %%
np.savez("tiles.npz", images=x, labels=y)
np.savez("test.npz", images=x_test, labels=y_test)
tiles = tfssl.open_images("tiles.npz", value_range="percentiles", no_data=0)
test = tfssl.open_images("test.npz", like=tiles, no_data=0)

# %% [markdown]
# ## Views
#
# From above there is no up: quarter turns and both mirrors. No single band may decide: bands are
# lost.

# %%
recipe = tfssl.augment.domain("satellite", 24, channels=BANDS)
views = tfssl.views(tiles, recipe, batch_size=100)
first, second = next(iter(views))["views"]

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for column in range(8):
    for row, view in enumerate((first, second)):
        axes[row, column].imshow(view[column][..., :3])  # three of the bands as colours
        axes[row, column].axis("off")

# %% [markdown]
# ## Training and measuring

# %%
encoder = tfssl.encoders.resnet(18, stem="cifar", width_multiplier=0.25, channels=BANDS)
model = tfssl.SimCLR(encoder, temperature=0.2)
model.compile(keras.optimizers.Adam(2e-3))
before = tfssl.evaluate(encoder, tiles, test, size=24)
model.fit(views, epochs=EPOCHS, verbose=0)
after = tfssl.evaluate(encoder, tiles, test, size=24)
for protocol, found in after.items():
    print(f"{protocol}: {before[protocol]['top_1']:.1%} -> {found['top_1']:.1%}")
