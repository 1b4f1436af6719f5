"""Where the time of a training step goes: python scripts/bench/breakdown.py [run.py's flags]

Runs some steps on a constant batch under TensorFlow's profiler and adds up what the operations took
on the processor, by kind; the work of a kind may run on several threads at once, so the sums are of
thread time. What oneDNN did within them is added up from its own log. Prints two tables.
"""

import collections
import glob
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
STEPS = 3


def steps(arguments, trace_dir):
    """Trains some steps, traced into a directory where one is given; prints their mean time."""
    import flags  # before TensorFlow, for which tfssl sets oneDNN as in a training

    # isort: split
    import tensorflow as tf
    from tables import network

    from tfssl.runner.job import plan
    from tfssl.runner.pretrain import build_model

    config, _ = flags.parse(["breakdown.py", "--dataset=shapes", *arguments])
    job = plan(config)
    step = network.step_of(build_model(job), config.train_batch_size, job.size[0])
    step(), step()
    print("BEGIN", flush=True)
    if trace_dir:
        tf.profiler.experimental.start(trace_dir)
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    print(f"END {(time.perf_counter() - began) / STEPS}", flush=True)
    if trace_dir:
        tf.profiler.experimental.stop()


def traced(directory):
    """{operation: milliseconds of thread time per step} from the trace."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = glob.glob(os.path.join(directory, "**", "*.xplane.pb"), recursive=True)
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    sums = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:  # named "node:Operation"
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name and kind.isidentifier():
                    sums[kind] += event.duration_ps / 1e9 / STEPS
    return sums


def onednn(arguments):
    """{primitive, direction, types: milliseconds per step}, and the milliseconds of a step."""
    done = subprocess.run(
        [sys.executable, __file__, "--log", *arguments],
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "ONEDNN_VERBOSE": "1"},
    )
    sums, counting, whole = collections.Counter(), False, 0.0
    for line in done.stdout.splitlines():
        if line.startswith("BEGIN"):
            counting = True
        elif line.startswith("END"):
            counting, whole = False, 1e3 * float(line.split()[1])
        elif counting and line.startswith("onednn_verbose") and ",exec," in line:
            fields = line[line.index(",exec,") :].split(",")[2:]
            types = "/".join(
                dict.fromkeys(
                    part.split(":")[1] for part in fields[4].split() if part.count(":") > 1
                )
            )
            sums[f"{fields[1]} {fields[3]} {types}"] += float(fields[-1]) / STEPS
    return sums, whole


def show(title, sums, whole, count=14):
    print(f"\n{title}; a step takes {whole:.0f} ms\n")
    print("| what | ms | of the step |\n| --- | ---: | ---: |")
    for name, spent in [*sums.most_common(count), (f"all {len(sums)}", sum(sums.values()))]:
        print(f"| {name} | {spent:.1f} | {100 * spent / whole:.1f} % |", flush=True)


def main():
    if sys.argv[1:2] == ["--log"]:
        return steps(sys.argv[2:], None)
    sums, whole = onednn(sys.argv[1:])
    show("oneDNN's primitives", sums, whole)
    with tempfile.TemporaryDirectory() as directory:
        steps(sys.argv[1:], directory)
        show("TensorFlow's operations, thread time", traced(directory), whole, 24)


if __name__ == "__main__":
    main()
