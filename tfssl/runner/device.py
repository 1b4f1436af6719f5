"""The device, the numerical precision, and the versions of libraries."""

import tensorflow as tf

from tfssl import compat, encoders
from tfssl.doctor import machine
from tfssl.errors import UsageError

HELD = 0.25  # of the GPU's memory, at most, for images
LONG = 1500  # steps; shorter trainings end sooner without XLA, as measured on an H100
NARROW = 16  # channels; below, oneDNN's bfloat16 convolutions are slower than its float32 ones


def resolve_precision(precision, width_multiplier):
    """The Keras dtype policy for --precision; "auto" depends on the hardware.

    Args:
        precision: the flag.
        width_multiplier: of the network; on a processor, narrow ones are faster in float32.
    """
    if precision != "auto":
        return precision
    return of_device(width_multiplier)[0]


def of_device(width_multiplier=1.0):
    """(dtype policy, why) for a network on this device."""
    gpus = machine.gpus()
    if gpus:
        capability = gpus[0]["compute_capability"]
        if capability is None:
            return "float32", "the GPU does not say what it can do"
        version = ".".join(map(str, capability))
        if capability >= [8, 0]:
            return "mixed_bfloat16", f"compute capability {version} has bfloat16 in Tensor cores"
        if capability >= [7, 0]:
            return "mixed_float16", f"compute capability {version} has float16 in Tensor cores"
        return "float32", f"compute capability {version} has no Tensor cores"
    if not machine.onednn():
        return "float32", "TensorFlow runs without oneDNN"
    have = machine.bfloat16_instructions()
    if not have:
        return "float32", "the processor has neither AVX-512 nor AMX for bfloat16"
    if encoders.first_filters(width_multiplier) < NARROW:
        return "float32", f"networks of fewer than {NARROW} channels are faster in it"
    return "mixed_bfloat16", f"the processor has {have[0]}"


def choose(config, steps=LONG, replicas=1):
    """The Config with those settings of speed chosen that are left to the device.

    Args:
        config: a `tfssl.Config`.
        steps: integer, length of the training.
        replicas: integer, number of devices that train, of all workers. XLA cannot compile their
            exchange.

    Raises:
        UsageError: XLA is asked for on several devices.
    """
    if config.jit_compile == "on" and replicas > 1 and config.trains:
        raise UsageError(
            f"--jit_compile=on needs a single device. Received: {replicas} replicas; give "
            "--jit_compile=off, or --distribute=none"
        )
    gpu = bool(tf.config.list_physical_devices("GPU"))
    on = "device" if gpu and not config.own_views else "host"
    compiles = gpu and steps >= LONG and replicas == 1
    compiles = compiles and not (config.own_views and config.augment_on == "device")
    jit = "on" if compiles else "off"
    choices = {}
    if config.augment_on == "auto":
        choices["augment_on"] = on
    if config.jit_compile == "auto":
        choices["jit_compile"] = jit
    # Several workers have to make the same number, which the time that each takes does not give.
    if not config.steps_per_execution and (not gpu or replicas > 1):
        choices["steps_per_execution"] = 1
    return config.replace(**choices)


def holder(size):
    """The device to hold `size` bytes of images; None: the GPU's memory is too small for them."""
    if not tf.config.list_physical_devices("GPU"):
        return "CPU:0"
    return "GPU:0" if size <= compat.gpu_memory() * HELD else None


def width_of(about):
    """The width multiplier in the description of a network; 1 if it is not a ResNet."""
    return about["width_multiplier"] if about.get("encoder", "resnet") == "resnet" else 1.0


def describe():
    """Device, library versions and use of oneDNN, for the record of a run."""
    gpus = machine.gpus()
    device = (
        f"{len(gpus)} x {gpus[0]['name']}"
        if gpus
        else f"{machine.cores()}-core CPU ({machine.processor_name()})"
    )
    return {"device": device, "onednn": machine.onednn(), "versions": machine.versions()}
