"""Checks what a machine must have: python machine.py OUTPUT.json [--data_dir=DATA] [--toy]

Writes versions, the GPU and the processor. Exit code 2 and one sentence where something is missing
without which no stage of run.py could work. Where PyTorch cannot be imported, "torch" says why.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

import stages  # noqa: E402

TORCH_SECONDS = 90.0
TORCH = """
import json, torch, torchvision
cuda = torch.cuda.is_available()
if cuda:
    torch.ones(2, 2, device="cuda").sum().item()
print(json.dumps({"torch": torch.__version__, "torchvision": torchvision.__version__,
                  "cuda": torch.version.cuda, "gpu": cuda}))
"""


class Missing(Exception):
    """What the machine has not, in one sentence."""


def nvidia():
    """Name, memory in MiB and driver of the first GPU as nvidia-smi tells them; {} without it."""
    fields = "name,memory.total,driver_version,power.limit"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "--id=0"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    parts = [part.strip() for part in done.stdout.strip().split(",")]
    if done.returncode or len(parts) != 4:
        return {}
    return dict(zip(("name", "memory_mib", "driver", "power_limit_w"), parts))


def begin_torch(python):
    """A process that imports PyTorch; None: there is no such program."""
    if not shutil.which(python):
        return None
    return subprocess.Popen(
        [python, "-c", TORCH],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end_torch(process, python, toy):
    """What the process has found: versions, or {"missing": sentence}."""
    if process is None:
        return {"missing": f"there is no program {python}"}
    try:
        out, error = process.communicate(timeout=TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        return {"missing": f"importing it with {python} took more than {TORCH_SECONDS:.0f} s"}
    finally:
        stages.end(process)
    if process.returncode:
        return {"missing": f"importing it with {python} failed: {stages.last_line(error)}"}
    found = json.loads(out.strip().splitlines()[-1])
    if not (found["gpu"] or toy):
        return {"missing": f"PyTorch {found['torch']} of {python} sees no GPU"}
    return found


def tensorflow_sees(toy):
    """What TensorFlow finds, after a small computation with XLA."""
    try:
        import tfssl  # isort: skip
        import keras
        import tensorflow as tf
    except Exception as error:  # of a library that is torn, or not there
        raise Missing(f"TensorFlow and tfssl cannot be imported: {type(error).__name__}: {error}")
    gpus = tf.config.list_physical_devices("GPU")
    if not (gpus or toy):
        raise Missing(f"TensorFlow {tf.__version__} sees no GPU")
    began = time.monotonic()
    try:
        compiled_step(tf)
    except Exception as error:
        line = stages.last_line(str(error).strip().split("\n")[0])
        raise Missing(f"a convolution compiled by XLA failed: {line}")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    build = tf.sysconfig.get_build_info()
    return {
        "tfssl": tfssl.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "gpus": len(gpus),
        "device": details.get("device_name", "CPU"),
        "compute_capability": details.get("compute_capability"),
        "first_xla_s": time.monotonic() - began,
    }


def compiled_step(tf):
    """A convolution and its gradient in bfloat16, compiled by XLA."""

    @tf.function(jit_compile=True)
    def gradient(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME")))
        return tape.gradient(loss, kernel)

    images, kernel = tf.ones([8, 16, 16, 64], tf.bfloat16), tf.ones([3, 3, 64, 64], tf.bfloat16)
    return gradient(images, kernel).numpy()


def images_of(data_dir):
    """Number of test images of CIFAR-10, which are read."""
    import tfssl
    from tfssl.runner import sources

    try:
        config = tfssl.Config(dataset="cifar10", data_dir=data_dir)
        return sources.load(config, "test").num_examples
    except Exception as error:
        line = stages.last_line(str(error))
        raise Missing(f"--data_dir={data_dir}: CIFAR-10 cannot be read: {line}")


def memory_gib():
    with contextlib.suppress(ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--data_dir")
    parser.add_argument("--torch_python", default="python3")
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    torch = begin_torch(options.torch_python)
    try:
        found = tensorflow_sees(options.toy)
        if options.data_dir:
            found["test_images"] = images_of(options.data_dir)
    except Missing as missing:
        print(missing, file=sys.stderr)
        if torch:
            stages.end(torch)
        sys.exit(2)
    about = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "toy": options.toy,
        "gpu": nvidia(),
        **found,
        "torch": end_torch(torch, options.torch_python, options.toy),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": memory_gib(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
    stages.write(options.output, about)
    print(f"{about['device']}, TensorFlow {about['tensorflow']}")


if __name__ == "__main__":
    main()
