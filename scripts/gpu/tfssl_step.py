"""Times tfssl's SimCLR training step: python tfssl_step.py --depth 18 --batch 1024 --variant xla

As torch_step.py, which it answers in the same form: the same network, loss and optimizer, in
bfloat16. Variants: xla and graph are the step on two views that are on the device already, compiled
with XLA or not; whole is the step of a training, which takes the images from the device's memory,
augments them and trains, compiled with XLA.
"""

import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def build(depth, batch, size, variant, width=1.0):
    """A function: number of steps -> the last loss."""
    import tfssl  # isort: skip
    import tensorflow as tf

    from tfssl.methods.learner import several_steps
    from tfssl.runner.job import plan, training_batches
    from tfssl.runner.pretrain import build_model
    from tfssl.runner.recipes import trained

    config = tfssl.Config(
        dataset="shapes",
        image_size=size,
        resnet_depth=depth,
        stem="cifar",
        width_multiplier=width,
        train_batch_size=batch,
        train_steps=10**6,
        warmup_epochs=0.0,
        learning_rate=0.001,
        optimizer="momentum",
        temperature=0.25,
        num_proj_layers=2,
        precision="mixed_bfloat16",
        augment_on="device" if variant.startswith("whole") else "host",
        jit_compile="off" if variant.endswith("graph") else "on",
    )
    job = plan(config)
    model = build_model(job)
    if variant.startswith("whole"):
        iterator = iter(training_batches(job, trained(job.config, job.size), 0))
        several = several_steps(model)

        def steps(count):
            logs, _ = several(iterator, tf.constant(count))
            return float(logs["loss"])

        return steps
    views = [tf.random.stateless_uniform([batch, size, size, 3], [0, i]) for i in (1, 2)]
    data = {"views": tuple(views), "label": tf.range(batch) % 8}
    step = tf.function(
        lambda: model.train_step(data), autograph=False, jit_compile=variant != "graph"
    )

    def steps(count):
        for _ in range(count):
            logs = step()
        return float(logs["loss"])

    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument(
        "--variant", choices=("xla", "graph", "whole", "whole-graph"), default="xla"
    )
    options = parser.parse_args()
    import tfssl  # noqa: F401 - isort: skip
    import tensorflow as tf

    began = time.perf_counter()
    steps = build(options.depth, options.batch, options.size, options.variant, options.width)
    loss = steps(1)
    first = time.perf_counter() - began
    steps(3)
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    about = {"ready": True, "first": first, "loss": loss}
    about["device"] = details.get("device_name", "CPU")
    print(json.dumps({**about, "version": tf.__version__}), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        loss = steps(int(line))
        seconds = time.perf_counter() - began
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else 0
        print(json.dumps({"seconds": seconds, "loss": loss, "peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
