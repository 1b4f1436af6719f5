"""`--distribute`: selects the devices and processes for training."""

import functools
import glob
import hashlib
import os

import keras
import tensorflow as tf

import tfssl
from tfssl.distribute import strategy
from tfssl.errors import UsageError

# Flags with paths, which may differ between hosts.
PLACES = ("model_dir", "data_dir", "probe_data_dir", "checkpoint", "teacher", "label_list")


def distribution(config):
    """The `Distribution` of --distribute; must be called before TensorFlow initializes devices.

    Args:
        config: a `tfssl.Config`; its mode and settings of devices are used.

    Returns:
        A `tfssl.distribute.strategy.Distribution`.

    Raises:
        UsageError: the devices do not exist, or TF_CONFIG is invalid.
    """
    kind = config.distribute
    if not config.trains:
        if kind in ("mirrored", "multi_worker", "tpu"):
            raise UsageError(
                f"--distribute={kind} concerns training; --mode={config.mode} "
                "computes on one device."
            )
        return strategy.single()
    if kind == "auto":
        kind = automatic(config)
    if config.replicas and kind != "mirrored":
        raise UsageError(
            "--replicas concerns --distribute=mirrored. "
            f"Received: --replicas={config.replicas} with {kind}"
        )
    if kind == "multi_worker" and config.model_dir is None and tf_config():
        raise UsageError(
            "--distribute=multi_worker needs --model_dir, a directory that all workers share."
        )
    found = factories(config)[kind]()
    if config.accumulate_steps > 1 and found.replicas > 1:
        raise UsageError(
            "--accumulate_steps must be 1 on several replicas: they divide the batch "
            f"already. Received: {config.accumulate_steps} on {found}"
        )
    if config.train_batch_size % found.replicas:
        raise UsageError(
            "--train_batch_size must be a multiple of the number of replicas, "
            f"{found.replicas}. Received: {config.train_batch_size}"
        )
    return found


def automatic(config):
    """The strategy that --distribute=auto selects."""
    if len(tf_config()) > 1:
        return "multi_worker"
    if config.use_tpu:
        return "tpu"
    return "mirrored" if config.replicas or len(strategy.gpus()) > 1 else "none"


def tf_config():
    """The addresses of the workers in TF_CONFIG."""
    return strategy.workers_of(os.environ.get("TF_CONFIG"))[0]


def factories(config):
    """{strategy: function that creates its `Distribution`}."""
    return {
        "none": strategy.single,
        "mirrored": functools.partial(strategy.mirrored, config.replicas),
        "multi_worker": lambda: strategy.multi_worker(settings(config)),
        "tpu": functools.partial(
            strategy.tpu, config.tpu_name or config.master, config.tpu_zone, config.gcp_project
        ),
    }


def settings(config):
    """The settings that must be equal on all workers: flags except paths, and versions."""
    flags = {f"--{name}": value for name, value in config.to_dict().items() if name not in PLACES}
    return {
        **flags,
        "tfssl": tfssl.__version__,
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "the code of tfssl": code(),
    }


def code():
    """A digest of the package's source files."""
    root = os.path.dirname(tfssl.__file__)
    found = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(root, "**", "*.py"), recursive=True)):
        found.update(os.path.relpath(path, root).encode() + b"\0")
        with open(path, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]
