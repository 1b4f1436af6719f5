"""`--mode=doctor`: does this machine compute rightly, and how fast?"""

import os
import time

from tfssl import encoders, files
from tfssl.doctor import apart, catalogue, comparison, machine, speed
from tfssl.errors import UsageError
from tfssl.runner import device, edge, parser
from tfssl.runner.cost import duration
from tfssl.terminal import StatusLine

FILE = "doctor.json"
RIGHT, WRONG, UNUSED = 0, 1, 3  # exit codes
BUSY = 0.25  # of the cores, at work for others
# {name: (flags of a standard recipe, images in its training split)}
RECIPES = {
    "shapes, the first run": (["--flagfile=flags/shapes.flags"], 10_000),
    "CIFAR-10, fast": (["--flagfile=flags/fast/cifar10.flags"], 50_000),
    "CIFAR-10, 10 epochs": (["--flagfile=flags/cifar10.flags"], 50_000),
    "CIFAR-10, the thesis's ResNet-18": (
        ["--flagfile=flags/thesis/simclr.flags", "--resnet_depth=18", "--train_batch_size=1024"],
        50_000,
    ),
}
TYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def doctor(config, given):
    """Checks and measures this machine, prints tables and writes doctor.json.

    Args:
        config: a `tfssl.Config`: its method, precision, seed and `full`.
        given: names of the flags that the user gave.

    Returns:
        The content of doctor.json; "exit_code" is 0, 1 if a check failed, or 3 if there is a GPU
        that TensorFlow does not use.

    Raises:
        UsageError: the method is not one of tfssl's own, or the file cannot be written.
    """
    path = edge.output_file(config.output or FILE, replaced=True)
    began, load = time.monotonic(), os.getloadavg()[0]  # before any work of its own
    policy, why = (
        device.of_device() if config.precision == "auto" else (config.precision, "as asked")
    )
    chosen = device.choose(config)
    found = {
        "machine": {**machine.describe(), "load": load},
        "precision": {"policy": policy, "why": why},
        "jit_compile": chosen.jit_compile,
        "augment_on": chosen.augment_on,
    }
    show_machine(found)
    try:
        checks = catalogue.checks(method=config.method, precision=policy, full=config.full)
    except ValueError as error:
        raise UsageError(f"--mode=doctor checks tfssl's own methods: {error}") from error
    found["checks"] = checked(checks, config.full)
    found["speed"] = measured(policy, chosen.jit_compile == "on")
    found["recipes"] = durations(found["speed"])
    show_speed(found)
    found["seconds"] = time.monotonic() - began
    found["verdict"], found["exit_code"] = verdict(found)
    files.write_json(os.path.dirname(os.path.abspath(path)), os.path.basename(path), found)
    print(f"\n{path}: all of this as JSON\n{found['verdict']}", flush=True)
    return found


def show_machine(found):
    """Prints what there is, and what is chosen for it."""
    there = found["machine"]
    built, nvidia = there["built_for"], there["nvidia"] or {}
    lines = {
        "versions": ", ".join(f"{name} {version}" for name, version in there["versions"].items()),
        "processor": f"{there['processor']}, {there['cores']} cores, "
        f"{there['memory_bytes'] / 2**30:.1f} GiB; {' '.join(there['instructions']) or 'no AVX2'}; "
        f"oneDNN {'on' if there['onednn'] else 'off'}",
        "GPU": ", ".join(map(gpu_text, there["gpus"])) or "none that TensorFlow sees",
        "NVIDIA": ", ".join(f"{key} {value}" for key, value in nvidia.items()) or "no driver",
        "TensorFlow for": "CUDA {cuda_version}, cuDNN {cudnn_version}".format(**built)
        if "cuda_version" in built
        else "no GPU",
        "precision": "{policy}: {why}".format(**found["precision"]),
        "training": f"XLA {found['jit_compile']}, augmentation on the {found['augment_on']}, "
        "channels last",
    }
    print("\n".join(f"{name:15} {text}" for name, text in lines.items()))
    print("".join(f"WARNING: {text}\n" for text in there["warnings"]), flush=True)


def gpu_text(gpu):
    capability = gpu["compute_capability"]
    return gpu["name"] + (" (compute capability {}.{})".format(*capability) if capability else "")


def checked(checks, full=False):
    """Runs the checks, prints a line each, and returns their outcomes as dicts.

    Args:
        full: whether they are the full list, of which steps are run in other processes.
    """
    print(f"{'check':58} {'error':>8} {'bound':>8}")
    outcomes, line = [], StatusLine()
    made = apart.outcomes(checks) if full else map(comparison.run, checks)
    for number, check in enumerate(checks, start=1):
        if line.terminal:
            line.show(f"{number}/{len(checks)} {check.name} ...")
        outcome = next(made)
        line.end(
            f"{outcome.name:58} {outcome.error:8.1e} {outcome.bound:8.1e} "
            + ("ok" if outcome.passed else f"FAILED {outcome.failed or ''}")
        )
        outcomes.append(
            {
                "name": outcome.name,
                "group": outcome.group,
                "passed": outcome.passed,
                "error": outcome.error if outcome.error < float("inf") else None,
                "bound": outcome.bound,
                "array": outcome.worst,
                "failed": outcome.failed,
                "seconds": outcome.seconds,
            }
        )
    return outcomes


def measured(policy, compiled):
    """Measures the speed, and returns [{"name", "dtype", "flops", "images", ...}]."""
    dtype = TYPES[policy]
    types = dict.fromkeys(["float32", dtype])
    rates = [speed.product(one) for one in types]
    rates += [
        speed.convolution(dtype, channels, side)
        for channels, side in ((64, 32), (128, 16), (256, 8))
    ]
    step = speed.step(policy, compiled)
    made = [vars(rate) for rate in (*rates, step, speed.pipeline())]
    peaks = {rate.dtype: rate.flops for rate in rates[: len(types)]}
    for one in made:
        peak = peaks.get(TYPES.get(one["dtype"], one["dtype"]))
        one["of_product"] = one["flops"] / peak if one["flops"] and peak else None
    made[-2]["largest_batch"] = speed.largest_batch(step)
    return made


def durations(rates):
    """{name of a standard recipe: seconds of its training}, from the measured step."""
    step = next(rate for rate in rates if rate["images"] and rate["flops"])
    found = {}
    for name, (flags, images) in RECIPES.items():
        config, _ = parser.parse(["tfssl", *flags])
        encoder = encoders.resnet(
            config.resnet_depth, stem="cifar", width_multiplier=config.width_multiplier
        )
        operations = 2 * speed.flops_of(encoder, int(config.image_size or speed.SIDE))
        steps = config.train_epochs * images
        found[name] = steps * operations / step["flops"]
    return found


def show_speed(found):
    """Prints what was measured, and how long the standard recipes take."""
    print(f"\n{'speed':68} {'TFLOP/s':>8} {'of product':>10} {'images/s':>9}")
    for one in found["speed"]:
        rate = f"{one['flops'] / 1e12:.2f}" if one["flops"] else ""
        share = f"{100 * one['of_product']:.0f} %" if one["of_product"] else ""
        images = f"{one['images']:,.0f}" if one["images"] else ""
        print(f"{one['name'] + ', ' + one['dtype']:68} {rate:>8} {share:>10} {images:>9}")
        if one.get("largest_batch"):
            print(
                f"  about {one['bytes_per_image'] / 1e6:.1f} MB an image: up to "
                f"{one['largest_batch']:,} images a batch fit into the memory"
            )
    there = found["machine"]
    if there["load"] > BUSY * there["cores"]:
        print(f"  other work (load {there['load']:.1f}) was slowing this machine: measure again")
    print("\nstandard recipes on this machine, the training alone, estimated from that step:")
    for name, seconds in found["recipes"].items():
        print(f"  {name:40} {duration(seconds)}")


def verdict(found):
    """(last line, exit code)."""
    outcomes = found["checks"]
    failed = [outcome["name"] for outcome in outcomes if not outcome["passed"]]
    gpus = found["machine"]["gpus"]
    name = gpus[0]["name"] if gpus else found["machine"]["processor"]
    if failed:
        return (
            f"{len(failed)} of {len(outcomes)} checks FAILED on {name} ({', '.join(failed[:3])}"
            f"{', ...' if len(failed) > 3 else ''}): do not trust trainings on it"
        ), WRONG
    right = f"all {len(outcomes)} checks passed on {name}"
    warnings = found["machine"]["warnings"]
    if warnings:
        return f"{right}, but a GPU is not used: {warnings[0]}", UNUSED
    return f"{right}: it computes rightly", RIGHT
