# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Reading a report
#
# Every training of the program ends with a verdict and `report.html`. Two trainings, one of them
# broken on purpose, and what is said of them.

# %%
import tfssl

# isort: split
import json
import pathlib

IMAGES, EPOCHS = 4000, 3.0
COMMON = dict(
    dataset="shapes",
    train_split=f"train[:{IMAGES}]",
    eval_split="test[:500]",
    image_size=16,
    width_multiplier=0.125,
    train_batch_size=64,
    train_epochs=EPOCHS,
    optimizer="adam",
    temperature=0.2,
)

# %%
good = dict(learning_rate=0.04, crop_area_min=0.5, color_jitter_strength=1.0)
tfssl.run(tfssl.Config(**COMMON, **good, model_dir="runs/good"))

# %% [markdown]
# The same without augmentation: both views of an image are the same.

# %%
nothing = dict(crop_area_min=1.0, crop_area_max=1.0, crop_aspect_min=1.0, crop_aspect_max=1.0)
nothing |= dict(flip_p=0.0, color_jitter_strength=0.0, grayscale_p=0.0)
tfssl.run(tfssl.Config(**COMMON, **nothing, learning_rate=0.04, model_dir="runs/easy"))

# %% [markdown]
# ## The verdict
#
# It knows no labels. `kind` is one word, `why` has the numbers that it follows from, `advice`
# what to change.

# %%
for name in ("good", "easy"):
    verdict = json.loads(pathlib.Path(f"runs/{name}/verdict.json").read_text())["verdict"]
    print(f"{name}: {verdict['kind']}: {verdict['why']} {verdict['advice']}\n")

# %% [markdown]
# ## Both side by side
#
# `runs/good/compare.html` is one file without a server: the verdicts, the curves over each other,
# the accuracies with their protocols. `runs/good/report.html` has the nearest neighbours of 24
# images, which tell most at a glance: do they show the same thing, or only the same colour?

# %%
tfssl.run(tfssl.Config(mode="report", model_dir="runs/good", compare="runs/easy"))
