"""What a tf.data service costs on one machine: python scripts/scale/service.py OUTPUT_DIR

Batches of SimCLR's views of small JPEG files in TFRecord shards, made in this process; by workers
of a service that share its cores; and by two workers of which one is killed in the middle. The
batches must be the same bits. Other hosts would add cores and the network; what is measured here is
what the sending itself takes.

Writes OUTPUT_DIR/service.md and service.json.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import numpy as np  # noqa: E402
import runs  # noqa: E402
import sets  # noqa: E402

from tfssl import augment, data  # noqa: E402
from tfssl.config import Config  # noqa: E402
from tfssl.doctor import machine  # noqa: E402
from tfssl.runner import sources  # noqa: E402

COUNT, BATCH = 20_000, 256  # images of the set, and of a batch
WAYS = {  # name: number of workers, and whether one is killed in the middle
    "in this process": (0, False),
    "1 worker": (1, False),
    "2 workers": (2, False),
    "2 workers, one killed": (2, True),
}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    parser.add_argument("--sets", help="directory of the images; default: OUTPUT_DIR/sets")
    parser.add_argument("--sizes", default="32,64", help="sides of the views in pixels")
    parser.add_argument("--steps", type=int, default=200, help="batches")
    options = parser.parse_args(argv)
    place = sets.written(options.sets or os.path.join(options.out, "sets"), "tfrecord", COUNT)
    rows = []
    for size in map(int, options.sizes.split(",")):
        make = functools.partial(batches, place, size)
        for way, (workers, killed) in WAYS.items():
            found = measured(make, options.steps, workers, killed)
            rows.append({"size": size, "way": way, **found})
            print(json.dumps(rows[-1]), flush=True)
    there = machine.describe()
    found = {"processor": there["processor"], "cores": there["cores"], "rows": rows}
    os.makedirs(options.out, exist_ok=True)
    runs.write(os.path.join(options.out, "service.json"), json.dumps(found, indent=1))
    runs.write(os.path.join(options.out, "service.md"), report(found))


@functools.cache
def source_of(place):
    return sources.load(Config(dataset="tfrecord", data_dir=place, cache_dataset=False), "train")


def batches(place, size, start, stop):
    recipes = [augment.simclr(size)] * 2
    steps = dict(start_step=start, stop_step=stop)
    return data.views(source_of(place), recipes, batch_size=BATCH, seed=0, compiled=True, **steps)


def measured(make, steps, workers, killed):
    """Images per second after the first batch, seconds to it, and a digest of all batches."""
    content = hashlib.sha256()
    with service(workers) as (address, processes):
        began = time.monotonic()
        made = data.served(make, 0, steps, address) if workers else make(0, steps)
        for step, batch in enumerate(made):
            if step == 0:
                first = time.monotonic()
            if killed and step == steps // 4:
                processes[0].kill()
            for view in batch["views"]:
                content.update(np.ascontiguousarray(view).data)
        ended = time.monotonic()
    speed = (steps - 1) * BATCH / (ended - first)
    return {"first": first - began, "images_per_second": speed, "digest": content.hexdigest()[:16]}


@contextlib.contextmanager
def service(workers):
    """The address of a service on this machine, and the processes of its workers."""
    if not workers:
        yield None, ()
        return
    with socket.create_server(("localhost", 0)) as free:
        address = f"localhost:{free.getsockname()[1]}"
    program = [sys.executable, "-m", "tfssl"]
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(HERE))}
    words = [["data_dispatcher"], *[["data_worker"]] * workers]
    processes = [
        subprocess.Popen(
            [*program, *word, f"--data_service={address}"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for word in words
    ]
    try:
        for process in processes:  # each says when it is there; a worker may wait before
            while "tf.data service" not in process.stdout.readline():
                if process.poll() is not None:
                    sys.exit(f"a process of the service ended with {process.returncode}")
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def report(found):
    """The table, as Markdown."""
    lines = [
        f"{found['processor']}, {found['cores']} cores",
        "",
        "| views, px | batches made | first batch, s | images/s | same bits |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["rows"]:
        alone = next(one for one in found["rows"] if one["size"] == row["size"])
        same = "yes" if row["digest"] == alone["digest"] else "**no**"
        lines.append(
            f"| {row['size']} | {row['way']} | {row['first']:.1f} | "
            f"{row['images_per_second']:,.0f} | {same} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
