# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Few labels: pretrain, select, label, finetune
#
# Labels are dear, images are not. An encoder is trained on all images without labels; it then
# says which images to label; with these few labels it is finetuned. `tfssl.run` does what the
# command line does, with the same settings.

# %%
import tfssl

# isort: split
import json
import pathlib

IMAGES, EPOCHS, COUNT, STEPS = 6000, 3.0, 60, 150
COMMON = dict(
    dataset="shapes",
    train_split=f"train[:{IMAGES}]",
    eval_split="test[:1000]",
    image_size=16,
    width_multiplier=0.25,
    report=False,
)

# %% [markdown]
# ## Pretrain without labels

# %%
pretrained = tfssl.run(
    tfssl.Config(
        **COMMON,
        model_dir="runs/pretrained",
        num_views=4,
        train_batch_size=64,
        train_epochs=EPOCHS,
        optimizer="adam",
        learning_rate=0.08,
        temperature=0.2,
        color_jitter_strength=1.0,
        grayscale_p=0.4,
        crop_area_min=0.7,
    )
)

# %% [markdown]
# ## Which images to label
#
# `typical` takes the most typical image of each cluster of representations. The page
# `selected.html` shows them; here they have labels already, so that the list can be used at once.

# %%
lists = {}
for by in ("typical", "random"):
    config = tfssl.Config(mode="select", model_dir="runs/pretrained", count=COUNT, by=by)
    lists[by] = pathlib.Path(tfssl.run(config)) / "label_list.txt"

# %% [markdown]
# ## Finetune with these labels, and from random weights for comparison

# %%
accuracies = {}
for name, by, checkpoint in (
    ("selected, pretrained", "typical", "runs/pretrained"),
    ("random, pretrained", "random", "runs/pretrained"),
    ("random, from scratch", "random", "none"),
):
    result = tfssl.run(
        tfssl.Config(
            **COMMON,
            mode="finetune",
            checkpoint=checkpoint,
            label_list=str(lists[by]),
            model_dir=f"runs/{name.replace(', ', '_').replace(' ', '_')}",
            train_batch_size=min(32, COUNT),
            train_steps=STEPS,
            learning_rate=0.1,
        )
    )
    accuracies[name] = result["finetuned"]["network"]["top_1"]

# %%
print(json.dumps(accuracies, indent=1))
