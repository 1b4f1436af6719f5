"""What there is to compute with: devices, drivers, libraries, instruction sets."""

import contextlib
import ctypes
import glob
import importlib.metadata
import os
import platform
import shutil
import subprocess
from xml.etree import ElementTree

import tensorflow as tf

from tfssl import memory
from tfssl.loading import accelerated

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")
MATRIX = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile")
LIBRARIES = (  # that TensorFlow's wheel opens for CUDA 12
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcudnn.so.9",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libnccl.so.2",
)
HOW = "pip install 'tensorflow[and-cuda]' installs them"


def versions() -> dict[str, str]:
    """{package: version} of what results depend on, and of Python."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def onednn() -> bool | None:
    """Whether TensorFlow uses oneDNN; None: unknown."""
    with contextlib.suppress(ImportError, AttributeError):  # not part of the public API
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    return None


def cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor_info(key: str) -> str:
    """The first value of a key in /proc/cpuinfo; "": there is none."""
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    return ""


def processor_flags() -> list[str]:
    """The instruction sets of the processor, as Linux names them."""
    return processor_info("flags").split()


def bfloat16_instructions() -> list[str]:
    """Those of the processor's instruction sets that compute in bfloat16, the fastest first."""
    return [flag for flag in ("amx_bf16", "avx512_bf16") if flag in processor_flags()]


def processor_name() -> str:
    """The name of the processor."""
    return processor_info("model name") or platform.processor() or platform.machine()


def gpus() -> list[dict]:
    """The GPUs that TensorFlow sees: [{"name", "compute_capability": [major, minor] or None}]."""
    found = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        capability = details.get("compute_capability")
        found.append(
            {
                "name": details.get("device_name") or device.name,
                "compute_capability": list(capability) if capability else None,
            }
        )
    return found


def driver() -> dict[str, str] | None:
    """{"driver": its version, "memory": that of the first GPU} by nvidia-smi; None: no answer."""
    if not shutil.which("nvidia-smi"):
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError, ElementTree.ParseError):
        said = subprocess.run(
            ["nvidia-smi", "-q", "-x"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        root = ElementTree.fromstring(said)
        return {
            "driver": root.findtext("driver_version", "unknown"),
            "memory": root.findtext("gpu/fb_memory_usage/total", "unknown"),
        }
    return None


def loads(library: str) -> bool:
    """Whether a shared library can be loaded, or lies where TensorFlow's wheel looks for it."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(library)
        return True
    site = os.path.dirname(os.path.dirname(tf.__file__))
    return bool(glob.glob(os.path.join(site, "nvidia", "*", "lib", library)))


def warnings(seen: int | None = None, there: bool | None = None) -> list[str]:
    """What keeps TensorFlow from a GPU that is there, a sentence each; empty if nothing does.

    Args:
        seen: number of GPUs that TensorFlow sees; None: as it is.
        there: whether there are signs of a GPU or TPU; None: as it is.
    """
    seen = len(gpus()) if seen is None else seen
    there = accelerated() if there is None else there
    if seen or not there:
        return []
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ["CUDA_VISIBLE_DEVICES hides the GPU from this process: unset it"]
    if not tf.sysconfig.get_build_info().get("is_cuda_build"):
        return [
            "there is a GPU, but this TensorFlow is built without CUDA: install the package "
            "tensorflow instead of tensorflow-cpu"
        ]
    if driver() is None:
        return ["there is a GPU, but nvidia-smi gives no answer: install NVIDIA's driver"]
    missing = [library for library in LIBRARIES if not loads(library)]
    if missing:
        return [f"TensorFlow does not find {', '.join(missing)}: {HOW}"]
    return [
        "TensorFlow does not see the GPU, though driver and libraries are there: "
        "TF_CPP_MIN_LOG_LEVEL=0 shows its reasons"
    ]


def describe() -> dict:
    """All of this module as one JSON-serializable dict."""
    build = tf.sysconfig.get_build_info()
    flags = processor_flags()
    return {
        "versions": versions(),
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": cores(),
        "instructions": [name for name in MATRIX if name in flags],
        "memory_bytes": memory.available(),
        "onednn": onednn(),
        "gpus": gpus(),
        "nvidia": driver(),
        "built_for": {
            name: build[name] for name in ("cuda_version", "cudnn_version") if name in build
        },
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "warnings": warnings(),
    }
