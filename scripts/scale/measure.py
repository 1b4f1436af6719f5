"""One measurement of a set, in a process of its own: measure.py QUESTION STORE PLACE COUNT"""

import hashlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402
import runs  # noqa: E402, F401 - which finds tfssl

from tfssl import augment, data  # noqa: E402
from tfssl.config import Config  # noqa: E402
from tfssl.runner import sources  # noqa: E402

BATCH, SIZE = 256, 32
STEPS = 4  # of which the batches are compared
PASS = 200_000  # images, at most
MIXED = 40  # batches whose classes are counted


def memory():
    """MiB that this process holds, and held at most."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file if line.startswith("Vm"))
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def opened(store, place):
    return sources.load(Config(dataset=store, data_dir=place, cache_dataset=False), "train")


def batches(source, start=0, stop=10**9, **options):
    recipe = augment.supervised_view((SIZE, SIZE))  # crops: what is asked is how files are read
    how = dict(batch_size=BATCH, seed=0, start_step=start, stop_step=stop)
    return data.views(source, [recipe] * 2, **how, **options)


def digest(made):
    """A digest of all bits of some batches."""
    content = hashlib.sha256()
    for batch in made:
        for array in (*batch["views"], batch["label"]):
            content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def seconds(function):
    began = time.monotonic()
    made = function()
    return made, time.monotonic() - began


def opening(store, place, count):
    """Seconds of opening, and of the first batch after it; MiB that opening took."""
    before = memory()[0]
    source, took = seconds(lambda: opened(store, place))
    held = memory()
    _, of_batch = seconds(lambda: next(iter(batches(source))))
    answer = {"opened": took, "batch": of_batch, "memory": held[0] - before}
    return {**answer, "most": held[1] - before, "found": source.num_examples}


def middle(store, place, count):
    """Seconds to the first batch in mid-epoch, and whether the batches are those of before.

    Those of before come from a stream that began some batches earlier.
    """
    source = opened(store, place)
    step = max(STEPS, count // BATCH // 2)
    _, took = seconds(lambda: next(iter(batches(source, start=step))))
    earlier = list(batches(source, start=step - STEPS, stop=step + STEPS))[STEPS:]
    return {"batch": took, "same": digest(earlier) == digest(batches(source, step, step + STEPS))}


def speed(store, place, count):
    """Images per second of a pass, at most PASS images; MiB that it takes beside the source."""
    source = opened(store, place)
    before, steps = memory()[0], max(4, min(count, PASS) // BATCH)
    made = iter(batches(source, stop=steps))
    next(made)
    _, took = seconds(lambda: sum(1 for _ in made))
    return {"images_per_second": (steps - 1) * BATCH / took, "memory": memory()[1] - before}


def shuffle(store, place, count):
    """Different classes in a batch, relative to those by chance, for each way to shuffle."""
    source = opened(store, place)
    labels = data.labels_of(source)
    chance = np.random.default_rng(0)
    steps = min(MIXED, count // BATCH)
    expected = [len(set(labels[chance.permutation(count)[:BATCH]])) for _ in range(MIXED)]
    answer = {}
    for way in ("whole", "blocks"):
        made = batches(source, stop=steps, shuffle=way)
        found = [len(np.unique(batch["label"])) for batch in made]
        answer[way] = float(np.mean(found) / np.mean(expected))
    return answer


QUESTIONS = {
    "first": opening,
    "again": opening,
    "middle": middle,
    "one_core": speed,
    "all_cores": speed,
    "shuffle": shuffle,
}


if __name__ == "__main__":
    question, store, place, count = sys.argv[1:]
    print(json.dumps(QUESTIONS[question](store, place, int(count))))
