"""The device, the numerical precision, and the versions of libraries."""

import contextlib
import importlib.metadata
import os
import platform

import tensorflow as tf

from tfssl import encoders

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")
NARROW = 16  # channels; below, oneDNN's bfloat16 convolutions are slower than its float32 ones


def resolve_precision(precision, width_multiplier):
    """The Keras dtype policy for --precision; "auto" depends on the hardware.

    Args:
        precision: the flag.
        width_multiplier: of the network; on a processor, narrow ones are faster in float32.
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
    """The width multiplier in the description of a network; 1 if it is not a ResNet."""
    return about["width_multiplier"] if about.get("encoder", "resnet") == "resnet" else 1.0


def describe():
    """Device, library versions and use of oneDNN, for the record of a run."""
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
    """Whether TensorFlow uses oneDNN; None: unknown."""
    with contextlib.suppress(ImportError, AttributeError):  # not part of the public API
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    return None


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor_info(key):
    """The first value of a key in /proc/cpuinfo; "": there is none."""
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
