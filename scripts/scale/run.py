"""What many images cost: python scripts/scale/run.py OUTPUT_DIR [--counts=1000,...] [--sets=DIR]

Writes sets of small JPEG files into --sets, as folders and as TFRecord shards: the embedded shapes
with noise, no two alike. Of each set, in processes of their own: the time to open it for the first
time and again, the time to the first batch of a training and to the first batch in the middle of an
epoch, images per second on one core and on all, and the memory that each takes; that the batches
from the middle on are the same bits; how well an epoch is shuffled.

Writes OUTPUT_DIR/images.md and images.json; what is there already is not measured again.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import runs  # noqa: E402
import sets  # noqa: E402

STORES = ("folder", "tfrecord")
QUESTIONS = ("first", "again", "middle", "one_core", "all_cores", "shuffle")


def main(argv):
    options = parse(argv)
    path = os.path.join(options.out, "images.json")
    found = runs.read(path) if os.path.exists(path) else {}
    for count in options.counts:
        for store in options.stores:
            place = sets.written(options.sets, store, count)
            of_set = found.setdefault(f"{store} {count}", {"store": store, "images": count})
            for question in QUESTIONS:
                if question not in of_set:
                    of_set[question] = asked(options, question, store, place, count)
                    os.makedirs(options.out, exist_ok=True)
                    runs.write(path, json.dumps(found, indent=1))
                    print(f"{store} {count:,} {question}: {of_set[question]}", flush=True)
    runs.write(os.path.join(options.out, "images.md"), report(list(found.values())))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", help="directory of the report")
    parser.add_argument("--counts", default="1000,10000,100000", help="images of each set")
    parser.add_argument("--stores", default=",".join(STORES), help=f"of {', '.join(STORES)}")
    parser.add_argument("--sets", help="directory of the images; default: OUTPUT_DIR/sets")
    options = parser.parse_args(argv)
    options.counts = [int(text) for text in options.counts.split(",")]
    options.stores = options.stores.split(",")
    wrong = [store for store in options.stores if store not in STORES]
    if wrong:
        parser.error(f"--stores must be of {', '.join(STORES)}. Received: {wrong[0]}")
    if min(options.counts) < sets.LEAST:
        parser.error(f"--counts must be {sets.LEAST} or more. Received: {min(options.counts)}")
    options.sets = options.sets or os.path.join(options.out, "sets")
    return options


def asked(options, question, store, place, count):
    """The answer of a process, with a cache of its own for what is known of files."""
    cores = sorted(os.sched_getaffinity(0))
    cores = cores[:1] if question == "one_core" else cores
    cache = os.path.join(options.sets, f"cache_{store}_{count}")
    if question == "first":
        sets.removed(cache)
    command = [sys.executable, os.path.join(HERE, "measure.py"), question, store, place, str(count)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "TFSSL_CACHE_DIR": cache, "TF_CPP_MIN_LOG_LEVEL": "3"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(found):
    """The table of what was measured, as Markdown."""
    header = (
        *("images", "stored as", "opened first, s", "again, s", "memory, MiB", "first batch, s"),
        *("in mid-epoch, s", "same bits", "images/s, 1 core", "all cores", "memory of a pass, MiB"),
        *("classes in a batch, of those by chance", "by blocks"),
    )
    rows = [row(one) for one in sorted(found, key=lambda one: (one["store"], one["images"]))]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def row(one):
    first, again, middle = (one[name] for name in ("first", "again", "middle"))
    speeds = one["one_core"], one["all_cores"]
    return [
        f"{one['images']:,}",
        one["store"],
        f"{first['opened']:.1f}",
        f"{again['opened']:.1f}",
        f"{again['memory']:.0f}",
        f"{again['batch']:.1f}",
        f"{middle['batch']:.1f}",
        "yes" if middle["same"] else "**no**",
        *(f"{speed['images_per_second']:,.0f}" for speed in speeds),
        f"{speeds[1]['memory']:.0f}",
        *(f"{one['shuffle'][name]:.2f}" for name in ("whole", "blocks")),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
