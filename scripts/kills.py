"""A training that is killed again and again: python scripts/kills.py DIR [--kills=20] [FLAGS]

Runs a training in DIR/straight without interruption, and the same command in DIR/killed, where the
process is sent SIGKILL at a random moment after its first step, and started again, until it has
been killed so often and has ended. Then compares, bit for bit, all that the two runs are: every
variable of the last checkpoint (weights, statistics, optimizer, sums of the metrics), every point
of TensorBoard, the exported encoder, and the results. Exits 1 where anything differs.
--report=FILE adds command and outcome to a Markdown file.
"""

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time

import runs

RESULTS = ("pretrained", "finetuned", "distilled", "results")
VOLATILE = "train/images_per_second"


def start(directory, flags):
    return subprocess.Popen(
        [sys.executable, os.path.join(runs.ROOT, "run.py"), *flags, f"--model_dir={directory}"],
        cwd=runs.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kill(directory, flags, within, chance):
    """Starts a run and kills it: whether that came before its end, and what it last said."""
    with start(directory, flags) as process:
        said = ""
        for line in process.stdout:
            said = line.strip() or said
            if "steps  loss" in line:
                break
        time.sleep(chance.uniform(0, within))
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return alive, said


def newest(directory):
    """The step of the newest checkpoint, 0 where there is none."""
    path = os.path.join(directory, "checkpoints")
    names = os.listdir(path) if os.path.isdir(path) else ()
    return max((int(name[5:]) for name in names if name.startswith("step_")), default=0)


def saving(directory):
    """Whether a process that died here was in the middle of saving."""
    path = os.path.join(directory, "checkpoints")
    return os.path.isdir(path) and any(name.startswith("unfinished") for name in os.listdir(path))


def variables(directory):
    import tensorflow as tf
    path = os.path.join(directory, "checkpoints", f"step_{newest(directory):08}", "state")
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
            if not name.startswith("_CHECKPOINTABLE")}


def points(directory):
    """{(tag, step): value}, and how many points say something else than another of their step."""
    found, contradictions = {}, 0
    for tag, step, value in runs.points(directory, runs.TRAINING, purge_orphaned_data=False):
        if tag != VOLATILE:
            contradictions += found.get((tag, step), value) != value
            found[tag, step] = value
    return found, contradictions


def differences(one, other):
    """What differs between two finished runs, in words; empty where nothing does."""
    import keras
    import numpy as np
    found = []

    def compare(what, a, b):
        if a.keys() != b.keys():
            found.append(f"{what}: {sorted(map(str, a.keys() ^ b.keys()))[:3]} in one alone")
        else:
            names = [name for name in a if not np.array_equal(a[name], b[name])]
            found.extend([f"{what}: {len(names)} of {len(a)}, such as {names[0]}"] if names else [])

    compare("checkpoint", variables(one), variables(other))
    (a, _), (b, contradictions) = points(one), points(other)
    compare("TensorBoard", a, b)
    if contradictions:
        found.append(f"TensorBoard: {contradictions} points contradict one of the same step")
    compare("encoder.keras", *(dict(enumerate(keras.models.load_model(
        os.path.join(directory, "encoder.keras")).get_weights())) for directory in (one, other)))
    if os.path.exists(os.path.join(one, "result.json")):
        a, b = (runs.read(os.path.join(directory, "result.json")) for directory in (one, other))
        compare("result.json", *({name: json.dumps(result.get(name)) for name in RESULTS}
                                 for result in (a, b)))
    return found


def report(path, command, outcome):
    """Adds a section to a Markdown file."""
    with open(path, "a") as file:
        file.write(f"\n```bash\n{command}\n```\n\n{outcome}.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--within", type=float, default=2.0,
                        help="seconds after the first step of a process, at most")
    parser.add_argument("--kill_seed", type=int, default=0)
    parser.add_argument("--report", help="Markdown file to add command and outcome to")
    arguments, flags = parser.parse_known_args()
    straight, killed = (os.path.join(arguments.directory, name) for name in ("straight", "killed"))
    chance, kills, places, caught = random.Random(arguments.kill_seed), 0, [], 0
    began = time.monotonic()
    with start(straight, flags) as process:
        out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"the uninterrupted run failed:\n{out}")
    while kills < arguments.kills:
        before = newest(killed)
        alive, said = kill(killed, flags, arguments.within, chance)
        if not alive:
            sys.exit(f"the run ended after {kills} kills: give it more steps, or less time "
                     f"--within. It last said: {said}")
        kills += 1
        caught += saving(killed)
        places.append(newest(killed))
        print(f"kill {kills} of {arguments.kills}: step {before} -> {places[-1]}", flush=True)
    with start(killed, flags) as process:
        out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"the last start failed:\n{out}")
    found = differences(straight, killed)
    outcome = (f"{kills} kills, {caught} of them while a checkpoint was being written, "
               f"{len(set(places))} different checkpoints gone on from, "
               f"{time.monotonic() - began:.0f} s: "
               + ("; ".join(found) if found else "every bit is the same"))
    print(outcome, flush=True)
    if arguments.report:
        told = [word for word in sys.argv[1:]
                if not word.startswith("--report") and word != arguments.directory]
        report(arguments.report, shlex.join(["python", "scripts/kills.py", "DIR", *told]), outcome)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
