"""Runs of run.py from a script: each in a directory of its own, so that a second try continues."""

import contextlib
import csv
import functools
import glob
import io
import json
import os
import subprocess
import sys

METHODS = {
    "simclr": "SimCLR",
    "byol": "BYOL",
    "npair": "N-pair",
    "triplet": "triplet",
    "cpc": "CPC",
    "simsiam": "SimSiam",
    "fastsiam": "FastSiam",
    "barlow_twins": "Barlow Twins",
    "vicreg": "VICReg",
    "sigreg": "SIGReg",
    "mocov2": "MoCo v2",
    "mocov3": "MoCo v3",
    "nnclr": "NNCLR",
    "dcl": "DCL",
    "dclw": "DCLW",
    "swav": "SwAV",
    "dino": "DINO",
    "emp_ssl": "EMP-SSL",
    "dim": "Deep InfoMax",
    "mae": "MAE",
    "simmim": "SimMIM",
    "supcon": "SupCon",
}  # as people write them
TRAINING = ("train/", "learning_rate")  # how the tags of a training's scalars begin
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if ROOT not in sys.path:  # `flags` is not installed with tfssl, and this clone's is meant
    sys.path.insert(0, ROOT)

import tfssl  # noqa: E402, F401 - before TensorFlow, in every script


def run(directory, *flags, result="result.json", cores=None, log=False):
    """One command line of run.py, in view; returns what it wrote and its settings.

    Args:
        directory: --model_dir.
        *flags: the other flags.
        result: file below the directory that holds the result, or a function of the directory that
            finds it.
        cores: numbers of the processor's cores that it may use; None: all.
        log: whether what it prints goes to `directory.log` instead of the terminal.

    Raises:
        SystemExit: it failed, and has said why.
    """
    own = ["--noreport", *flags, f"--model_dir={directory}"]
    command = [sys.executable, os.path.join(ROOT, "run.py"), *own]
    restrict = functools.partial(os.sched_setaffinity, 0, cores) if cores else None
    with contextlib.ExitStack() as stack:
        printed = None
        if log:
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            printed = stack.enter_context(open(f"{directory}.log", "a"))
        done = subprocess.run(command, stdout=printed, stderr=printed, preexec_fn=restrict)
    if done.returncode:
        sys.exit(f"{directory}.log says why it failed" if log else done.returncode)
    return read(result(directory) if callable(result) else os.path.join(directory, result))


def refuse(parser, words, *names):
    """Ends a script where flags that it sets itself are among those for run.py."""
    for name in names:
        if any(word.split("=")[0] == f"--{name}" for word in words):
            parser.error(f"--{name} is the script's own to give: see --help")


def read(path):
    with open(path) as file:
        return json.load(file)


def write(path, text):
    """Writes a file whole or not at all, even where the power goes."""
    with open(path + ".tmp", "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def linear_evaluation(model_dir, step):
    """Path of the longest linear evaluation of the encoder of a step, or None."""
    paths = [
        path
        for path in glob.glob(os.path.join(model_dir, "linear_eval", "*", "result.json"))
        if read(path)["global_step"] == step
    ]
    return max(paths, key=lambda path: read(path)["linear_epochs"], default=None)


def scores(result):
    """{protocol: {"top_1", "top_5", ...}} of what a run trained."""
    return next(
        (result[done] for done in ("pretrained", "finetuned", "distilled") if result.get(done)), {}
    )


def top_5(scores):
    """The top-5 accuracy of a protocol, None where it says nothing: of 5 classes or fewer."""
    return scores.get("top_5") if scores.get("classes", 6) > 5 else None


def points(directory, prefixes, **how):
    """(tag, step, value) of every scalar of a run whose tag begins so.

    Args:
        how: arguments of TensorBoard's `EventAccumulator`.
    """
    import tensorflow as tf  # here, because most scripts need not wait for them
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(directory, size_guidance={"tensors": 0}, **how).Reload()
    for tag in events.Tags()["tensors"]:
        if tag.startswith(prefixes):
            for event in events.Tensors(tag):
                yield tag, event.step, float(tf.make_ndarray(event.tensor_proto))


def scalars(directory, prefixes=TRAINING):
    """`points` as {tag: {step: value}}; {} where there are none yet."""
    found = {}
    for tag, step, value in points(directory, prefixes):
        found.setdefault(tag, {})[step] = value
    return found


def label_list(dataset, fraction, seed):
    """The file name of the list of so many labels in results/labels."""
    return f"{dataset}_{100 * fraction:g}pct_seed{seed}.txt"


def write_table(rows, path):
    """Rows, dicts of the same keys, as CSV."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write(path, text.getvalue().removesuffix("\n"))
