"""What the run computes on: the device, the precision, the versions."""

import contextlib
import importlib.metadata
import os
import platform

import tensorflow as tf

from tfssl import encoders

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")
NARROW = 16  # channels below which oneDNN's bfloat16 convolutions are slower than those of float32


def resolve_precision(precision, width_multiplier):
    """The Keras dtype policy for --precision: "auto" becomes what the hardware computes fast.

    Args:
        precision: the flag.
        width_multiplier: of the network. On a processor the narrowest are faster in float32.
    """
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        fast = capability is not None and capability >= (8, 0)
    else:
        fast = (
            onednn()
            and encoders.first_filters(width_multiplier) >= NARROW
            and any(flag in processor_flags() for flag in ("avx512_bf16", "amx_bf16"))
        )
    return "mixed_bfloat16" if fast else "float32"


def width_of(about):
    """The width multiplier of a network, by its description; 1 of another than ours."""
    return about["width_multiplier"] if about.get("encoder", "resnet") == "resnet" else 1.0


def describe():
    """Device, library versions and whether oneDNN computes, for the record of a run."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        device = f"{len(gpus)} x {name}"
    else:
        device = f"{cores()}-core CPU ({processor_name()})"
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"device": device, "onednn": onednn(), "versions": versions}


def onednn():
    """Whether TensorFlow computes with oneDNN; None where it does not say."""
    with contextlib.suppress(ImportError, AttributeError):  # no part of its public interface
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    return None


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor_info(key):
    """The first value of a key in /proc/cpuinfo, or "" where there is no such file or key."""
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    return ""


def processor_flags():
    return processor_info("flags").split()


def processor_name():
    return processor_info("model name") or platform.processor() or platform.machine()
