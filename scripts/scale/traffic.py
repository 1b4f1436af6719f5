"""What the devices of one step of SimCLR send: python scripts/scale/traffic.py OUTPUT_DIR

Traces the training step of ResNet-50 on logical processors, which takes no data and no GPU, and
counts the values that each device gives to the others: gradients, representations, statistics of
batch normalization. From these, the time of a step on so many GPUs, one for each connection of so
many gigabits per second, by a ring. Writes OUTPUT_DIR/traffic.md and traffic.json.
"""

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import runs  # noqa: E402
import tensorflow as tf  # noqa: E402

from tfssl import encoders, methods, optim  # noqa: E402
from tfssl.distribute import strategy  # noqa: E402

DEVICES = (8, 16, 32, 64, 128)
GIGABITS = (10, 25, 100, 400, 7200)  # of Ethernet, InfiniBand, and a GPU's NVLink
LATENCY = 50e-6  # seconds that a sum over all devices takes at least, within a data centre
TRACED = (2, 4)  # devices
IMAGES = 256  # of a device
# Twice the multiplications of ResNet-50 at 224 px, forward and twice that backward, of two views;
# at the speed that the step of ResNet-18 reached on an H100 (results/gpu/).
STEP = 2 * IMAGES * 3 * 2 * 4.09e9 / 254e12


def main(argv):
    options = arguments().parse_args(argv)
    (cpu,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * max(TRACED)
    tf.config.set_logical_device_configuration(cpu, logical)
    sizes = {count: sent(count) for count in TRACED}
    os.makedirs(options.out, exist_ok=True)
    runs.write(os.path.join(options.out, "traffic.json"), json.dumps(sizes, indent=1))
    runs.write(os.path.join(options.out, "traffic.md"), report(sizes))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    return parser


def sent(count):
    """The values that a device gives away in one step on `count` devices.

    Returns:
        {"gradients" | "rest": {"messages", "bytes"}}: the gradients of all weights, which the
        optimizer sums; and what the forward and the backward pass exchange.
    """
    together = strategy.strategy_on("CPU", count)
    found = {name: {"messages": 0, "bytes": 0} for name in ("gradients", "rest")}
    reduce = tf.distribute.ReplicaContext.all_reduce

    def counted(context, op, values, options=None):
        flat = tf.nest.flatten(values)
        size = sum(value.shape.num_elements() * value.dtype.size for value in flat)
        of = found["gradients" if len(flat) > 100 else "rest"]
        of["messages"] += 1 / count  # each device traces the step
        of["bytes"] += size / count
        return reduce(context, op, values, options)

    with together.scope():
        model = model_of()
    views = tf.zeros([IMAGES, 32, 32, 3])  # their size changes nothing of what is sent
    batch = {"views": (views, views)}
    tf.distribute.ReplicaContext.all_reduce = counted
    try:
        tf.function(lambda: together.run(model.train_step, (batch,))).get_concrete_function()
    finally:
        tf.distribute.ReplicaContext.all_reduce = reduce
    return found


def for_devices(sizes, count):
    """{part: {"messages", "bytes"}} on another number of devices: bytes are linear in it."""
    few, many = TRACED
    made = {}
    for part, of in sizes[few].items():
        slope = (sizes[many][part]["bytes"] - of["bytes"]) / (many - few)
        size = of["bytes"] + slope * (count - few)
        made[part] = {"messages": of["messages"], "bytes": size}
    return made


def seconds(parts, count, gigabits):
    """Of all sums of a step, one after the other; each device sends 2 (n - 1) / n of the bytes."""
    size = sum(part["bytes"] for part in parts.values()) * 2 * (count - 1) / count
    messages = sum(part["messages"] for part in parts.values())
    return size / (gigabits * 1e9 / 8) + messages * LATENCY


def report(sizes):
    """The table, as Markdown."""
    header = ["devices", "images of a step", "gradients, MB", "others, MB", "sums"]
    header += [f"{gigabits:,} Gbit/s" for gigabits in GIGABITS]
    lines = [header, ["---"] * len(header)]
    for count in DEVICES:
        parts = for_devices(sizes, count)
        cells = [f"{count}", f"{count * IMAGES:,}"]
        cells += [f"{parts[name]['bytes'] / 1e6:.0f}" for name in ("gradients", "rest")]
        cells.append(f"{sum(part['messages'] for part in parts.values()):.0f}")
        for gigabits in GIGABITS:
            took = seconds(parts, count, gigabits)
            cells.append(f"{1e3 * took:.0f} ms, {STEP / (STEP + took):.0%}")
        lines.append(cells)
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"A device computes for {1e3 * STEP:.0f} ms.\n\n{text}\n"


def model_of():
    """SimCLR on ResNet-50, with the projector of its paper."""
    encoder = encoders.resnet(50, stem="imagenet", seed=0)
    model = methods.SimCLR(encoder)
    model.build((None, 32, 32, 3))
    model.compile(optim.LARS(0.1), weight_decay=1e-6, jit_compile=False)
    return model


if __name__ == "__main__":
    main(sys.argv[1:])
