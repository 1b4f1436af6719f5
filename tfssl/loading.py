"""Loads TensorFlow with the environment variables that it reads once, and without noise.

On a machine without a GPU, TensorFlow prints lines that look like errors but are not, some of which
no variable turns off. So while TensorFlow is loaded and lists its devices, standard error is piped
through `grep` in a separate process, which drops the known harmless lines and passes all others,
even if TensorFlow crashes.

This module uses the standard library only, as TensorFlow is loaded by whoever imports it first,
tfssl or its user.
"""

import contextlib
import functools
import glob
import importlib
import importlib.machinery
import logging
import os
import platform
import shutil
import subprocess
import sys
import warnings

LEVEL, ONEDNN = "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"
GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"  # instead of all memory at once, which others may need

# Extended regular expressions. Lines on every machine:
ALWAYS = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called",
    r"[ /]port\.cc:[0-9]+\] oneDNN custom operations are on\.",
    r"[ /]cuda_(dnn|fft|blas)\.cc:[0-9]+\] Unable to register cu(DNN|FFT|BLAS) factory: .* already",
    r"[ /]computation_placer\.cc:[0-9]+\] computation placer already registered\.",
)
# Lines about a GPU where there is none:
WITHOUT_GPU = (
    r"[ /]cudart_stub\.cc:[0-9]+\] Could not find cuda drivers on your machine",
    r"[ /]cuda_(platform|driver)\.cc:[0-9]+\] failed call to cuInit: ",
    r"[ /]cuda_diagnostics\.cc:[0-9]+\] ",
    r"[ /]gpu_device\.cc:[0-9]+\] Cannot dlopen some GPU libraries\.",
)
# Device files of GPUs (the third under WSL) and TPUs (the last two).
ACCELERATORS = (
    "/dev/nvidia*",
    "/proc/driver/nvidia",
    "/dev/dxg",
    "/dev/accel[0-9]*",
    "/dev/vfio/[0-9]*",
)
# Libraries whose use of deprecated functions of TensorFlow is not reported.
LIBRARIES = ("keras", "keras_cv", "tensorflow", "tensorflow_datasets", "tf2onnx")


def switches(environ, machine):
    """The environment variables to set before TensorFlow is loaded, {name: value}.

    Variables that the user has set are left out. On x86-64, oneDNN halves the time of convolutions,
    and takes a tenth of it in bfloat16; by default TensorFlow uses it with AVX-512 only.

    Args:
        environ: the current variables.
        machine: the result of `platform.machine()`.
    """
    wanted = {LEVEL: "2"}  # errors are shown
    if machine.lower() in ("x86_64", "amd64"):
        wanted[ONEDNN] = "1"
    return {name: value for name, value in wanted.items() if name not in environ}


SAVED = ("tfssl.layers", "tfssl.optim", "tfssl.methods")  # rooms whose classes Keras saves


def watch():
    """Installs an import hook, so that TensorFlow is loaded by `load` and Keras by `with_ours`.

    Warns if TensorFlow is already loaded without the variables of `switches`.
    """
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, Finder)
        return
    missing = switches(os.environ, platform.machine())
    if missing:
        variables = " and ".join(f"{name}={value}" for name, value in missing.items())
        warnings.warn(
            f"TensorFlow was imported before tfssl, which could not set {variables} for it: "
            "import tfssl first, or set them yourself.",
            RuntimeWarning,
            stacklevel=3,
        )


class Finder:
    """The import hook of `watch`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        loaded_by = {"tensorflow": load, "keras": with_ours}.get(name)
        if loaded_by is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(loaded_by, spec.loader.exec_module)
        return spec


def with_ours(execute, module):
    """Loads Keras, and then the classes that `keras.models.load_model` needs for models of tfssl.

    Args:
        execute: (module) -> None, loads it.
        module: the module `keras`, empty.
    """
    execute(module)
    register()


def register():
    """Registers the classes of tfssl with Keras, if it is loaded with the TensorFlow backend."""
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() == "tensorflow":
        for name in SAVED:
            importlib.import_module(name)


def load(execute, module):
    """Loads TensorFlow with its environment variables set and without its noise.

    Args:
        execute: (module) -> None, loads it.
        module: the module `tensorflow`, empty.
    """
    asked = os.environ.get(LEVEL)
    os.environ.update(switches(os.environ, platform.machine()))
    gpu = accelerated()
    if gpu:
        os.environ.setdefault(GROWTH, "true")
    if asked in ("0", "1"):  # the user wants all messages
        execute(module)
        return
    with without_lines(ALWAYS if gpu else ALWAYS + WITHOUT_GPU):
        execute(module)
        if not gpu:  # with a GPU, the user may still choose the visible devices
            with contextlib.suppress(Exception):  # raised again where devices are used
                module.config.list_physical_devices()
    for logger in ("tensorflow", "absl"):  # absl has created its logger by now
        logging.getLogger(logger).addFilter(is_ours)


def accelerated():
    """Whether there are signs of a GPU or TPU, working or not."""
    return bool(shutil.which("nvidia-smi") or any(map(glob.glob, ACCELERATORS)))


@contextlib.contextmanager
def without_lines(patterns):
    """Context that drops matching lines from standard error, file descriptor 2.

    Without `grep` or standard error, nothing is dropped.

    Args:
        patterns: extended regular expressions.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(redirected(patterns))
        yield


@contextlib.contextmanager
def redirected(patterns):
    words = [word for pattern in patterns for word in ("-e", pattern)]
    before = os.dup(2)
    try:
        # In its own session, so that Ctrl-C does not end it before the messages about Ctrl-C.
        sieve = subprocess.Popen(
            ["grep", "-avE", "--line-buffered", *words],
            stdin=subprocess.PIPE,
            stdout=before,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        flush()
        os.dup2(sieve.stdin.fileno(), 2)
        try:
            yield
        finally:
            flush()
            os.dup2(before, 2)
            sieve.stdin.close()
            with contextlib.suppress(
                subprocess.TimeoutExpired
            ):  # another process may still hold the pipe
                sieve.wait(timeout=5)
    finally:
        os.close(before)


def flush():
    if sys.stderr is not None:
        sys.stderr.flush()


def is_ours(record):
    """Filter of log records: drops deprecations that libraries are responsible for."""
    if str(record.msg).startswith("`FeatureConnector.dtype` is deprecated"):
        return False  # used by tensorflow_datasets itself
    if not str(record.msg).startswith("From %s: %s (from %s) is deprecated"):
        return True
    where = str(record.args[0]).replace(os.sep, "/")
    return not any(f"-packages/{name}/" in where for name in LIBRARIES)
