"""Which settings identify a run or a network, and the default names of runs."""

import dataclasses
import hashlib
import json
import os

from tfssl.config.defaults import ABSENT, without_later
from tfssl.config.schema import COMPAT, DEVICES, EVAL, EXPORT, LINEAR, LOG
from tfssl.config.settings import Config

# Settings of the architecture, taken from a checkpoint if there is one; for the stem see --stem.
ARCHITECTURE = (
    "method",
    "encoder",
    "encoder_size",
    "channels",
    "input_range",
    "resnet_depth",
    "width_multiplier",
    "sk_ratio",
    "se_ratio",
    "input_normalization",
    "proj_head_mode",
    "proj_out_dim",
    "proj_hidden_dim",
    "num_proj_layers",
    "proj_batch_norm",
)

# Settings that do not affect training: a run can be continued or evaluated with other values.
FREE = frozenset(
    f.name
    for f in dataclasses.fields(Config)
    if f.metadata["group"] in (EVAL, LINEAR, EXPORT, LOG, DEVICES, COMPAT)
) - {"probe_dataset", "global_bn"} | {
    "mode",
    "full",
    "dry_run",
    "train_mode",
    "model_dir",
    "data_dir",
    "eval_split",
    "cache_dataset",
    "shuffle",
    "max_shared_fraction",
    "max_similar_fraction",
    "plugin",
}


def differences(config, other, goes_on=False):
    """The names of settings that affect training and differ between two Configs.

    Args:
        config, other: `tfssl.Config`s.
        goes_on: whether one continues the other's training, so that the order of images matters.
    """
    free = FREE
    if goes_on:
        free -= {"cache_dataset", "shuffle"}  # which change the order of the images
        if config.dataset == "shapes":
            free -= {"eval_image_size"}  # the images are drawn at the larger of both sizes
    return [
        f.name
        for f in dataclasses.fields(Config)
        if f.name not in free and compared(config, f.name) != compared(other, f.name)
    ]


def compared(config, name):
    """The value of a setting, for comparisons: no number of channels means 3."""
    value = getattr(config, name)
    return 3 if name == "channels" and value is None else value


def default_model_dir(config, data):
    """`runs/<task>-<dataset>-r<depth>-b<batch>-<digest>`: equal settings and data, equal name.

    Args:
        config: a `tfssl.Config`.
        data: JSON-serializable identity of the training images; None: the name that tfssl 0.1 used,
            from its settings only.
    """
    learned = without_later(
        {f.name: getattr(config, f.name) for f in dataclasses.fields(Config) if f.name not in FREE}
    )
    if data is None:
        learned = {name: value for name, value in learned.items() if name not in ABSENT}
    else:
        learned["data"] = json.dumps(data, sort_keys=True)
    digest = hashlib.sha256(repr(sorted(learned.items())).encode()).hexdigest()[:8]
    dataset = config.dataset.replace("/", "_").replace(":", "_")
    if not config.trains:
        return os.path.join("runs", f"{config.mode}-{dataset}-{digest}")
    task = config.method if config.task == "pretrain" else config.task
    network = f"r{config.resnet_depth}"
    if config.encoder != "resnet":
        network = "".join(c if c.isalnum() else "_" for c in config.encoder.partition("(")[0])
    return os.path.join("runs", f"{task}-{dataset}-{network}-b{config.train_batch_size}-{digest}")
