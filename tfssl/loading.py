"""How TensorFlow is loaded: with the switches that it reads once, and without its noise.

On a machine without a GPU, TensorFlow greets with lines that look like errors and are none. Some of
them no variable turns off. So, while it is loaded and looks for devices, and no longer, standard
error passes through `grep`, a process of its own that drops the lines known to mean nothing and
passes on all others, even those of a TensorFlow that crashes.

It uses the standard library alone: TensorFlow is loaded by whoever imports it first, be it tfssl or
its user.
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

# Extended regular expressions. What TensorFlow says on every machine:
ALWAYS = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called",
    r"[ /]port\.cc:[0-9]+\] oneDNN custom operations are on\.",
    r"[ /]cuda_(dnn|fft|blas)\.cc:[0-9]+\] Unable to register cu(DNN|FFT|BLAS) factory: .* already",
    r"[ /]computation_placer\.cc:[0-9]+\] computation placer already registered\.",
)
# And what it says of a GPU where there is none:
WITHOUT_GPU = (
    r"[ /]cudart_stub\.cc:[0-9]+\] Could not find cuda drivers on your machine",
    r"[ /]cuda_(platform|driver)\.cc:[0-9]+\] failed call to cuInit: ",
    r"[ /]cuda_diagnostics\.cc:[0-9]+\] ",
    r"[ /]gpu_device\.cc:[0-9]+\] Cannot dlopen some GPU libraries\.",
)
# Where a GPU (under Windows' Linux the third) or a TPU (the last two) shows itself.
ACCELERATORS = (
    "/dev/nvidia*",
    "/proc/driver/nvidia",
    "/dev/dxg",
    "/dev/accel[0-9]*",
    "/dev/vfio/[0-9]*",
)
# Libraries whose use of what TensorFlow calls deprecated is their makers' business.
LIBRARIES = ("keras", "keras_cv", "tensorflow", "tensorflow_datasets", "tf2onnx")


def switches(environ, machine):
    """The variables that are to be set before TensorFlow is loaded: {name: value}.

    Those that the user has set are not among them. oneDNN computes convolutions on x86-64 in half
    of the time, and in bfloat16 in a tenth; TensorFlow itself turns it on with AVX-512 only.

    Args:
        environ: the variables that are set.
        machine: what `platform.machine()` says.
    """
    wanted = {LEVEL: "2"}  # errors are shown
    if machine.lower() in ("x86_64", "amd64"):
        wanted[ONEDNN] = "1"
    return {name: value for name, value in wanted.items() if name not in environ}


SAVED = ("tfssl.layers", "tfssl.optim", "tfssl.methods")  # rooms whose classes Keras saves


def watch():
    """Has TensorFlow loaded by `load`, whoever imports it; where it is there already, warns.

    Likewise Keras by `with_ours`.
    """
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, Finder)
        return
    missing = switches(os.environ, platform.machine())
    if missing:
        told = " and ".join(f"{name}={value}" for name, value in missing.items())
        warnings.warn(
            f"TensorFlow was imported before tfssl, which could not set {told} for it: "
            "import tfssl first, or set them yourself.",
            RuntimeWarning,
            stacklevel=3,
        )


class Finder:
    """Finds TensorFlow where it is, and has it loaded by `load`."""

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
    """Loads Keras, and then what `keras.models.load_model` needs for models of tfssl.

    Args:
        execute: (module) -> None, loads it.
        module: the module `keras`, empty.
    """
    execute(module)
    register()


def register():
    """Makes classes of tfssl known to Keras, where that is loaded and computes with TensorFlow."""
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() == "tensorflow":
        for name in SAVED:
            importlib.import_module(name)


def load(execute, module):
    """Loads TensorFlow with its switches set and its noise held back.

    Args:
        execute: (module) -> None, loads it.
        module: the module `tensorflow`, empty.
    """
    asked = os.environ.get(LEVEL)
    os.environ.update(switches(os.environ, platform.machine()))
    if asked in ("0", "1"):  # to be told everything
        execute(module)
        return
    gpu = accelerated()
    with without_lines(ALWAYS if gpu else ALWAYS + WITHOUT_GPU):
        execute(module)
        if not gpu:  # else the user may yet say which devices are seen
            with contextlib.suppress(Exception):  # whoever needs them is told
                module.config.list_physical_devices()
    for logger in ("tensorflow", "absl"):  # the second one exists by now, of absl's own class
        logging.getLogger(logger).addFilter(is_ours)


def accelerated():
    """Whether there are traces of a GPU or TPU, working or not."""
    return bool(shutil.which("nvidia-smi") or any(map(glob.glob, ACCELERATORS)))


@contextlib.contextmanager
def without_lines(patterns):
    """Standard error, file descriptor 2, without lines that match; all others pass at once.

    Where there is no `grep` or no standard error, nothing is held back.

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
        # A session of its own, so that Ctrl-C does not reach it before what is said about it.
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
            with contextlib.suppress(subprocess.TimeoutExpired):  # another process may write to it
                sieve.wait(timeout=5)
    finally:
        os.close(before)


def flush():
    if sys.stderr is not None:
        sys.stderr.flush()


def is_ours(record):
    """Whether a record of TensorFlow's log concerns who reads it: not deprecations in libraries."""
    if str(record.msg).startswith("`FeatureConnector.dtype` is deprecated"):
        return False  # which tensorflow_datasets itself reads
    if not str(record.msg).startswith("From %s: %s (from %s) is deprecated"):
        return True
    where = str(record.args[0]).replace(os.sep, "/")
    return not any(f"-packages/{name}/" in where for name in LIBRARIES)
