"""Odd input, by the thousand: python scripts/fuzz.py KIND JOURNAL [--draws=2000] [--shard=K/N]

KIND is what is odd: settings (flags of run.py and `Config` in Python, every mode and method),
records (the JSON of a run), checkpoints (their files) or names (of classes and images of a folder).
Each draw is run on tiny networks in a directory of its own and must end in finite numbers, or in
one sentence that names the flag: never in a traceback, a hang, a number out of its range, a file
left behind by what was refused, or one outside of the run.

Every outcome is a line of JOURNAL; the same command goes on where that ends. Equal numbers are
equal draws, by equal code. Draws are run in child processes, 50 in each, so that one that takes all
memory or dies is an outcome too. Exits 1 where a draw failed. --report=FILE adds command and
outcome to a Markdown file.
"""

import argparse
import collections
import importlib
import json
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time

import damages
import draws
import expectation
import runs  # noqa: F401 - the root of the repository is where `run` and `flags` are

from tfssl.terminal import escape_unencodable

EACH = 50  # draws of a child process
HARD = 240.0  # seconds after which a child is killed
MEMORY = 12 * 2**30  # bytes of address space that a child may take
FIGURES = 24  # images of every class of the prepared folder


class Settings:
    """Draws of `draws.settings`, and how they are run."""

    strategy = staticmethod(draws.settings)

    def __init__(self, places):
        self.places = places

    def prepare(self):
        """Makes the runs that others start from, in root/prepared."""
        import tfssl

        make_shallow()
        places, tiny = self.places, {**draws.TINY, **draws.PLAIN}
        if os.path.isdir(places.prepared):
            return
        os.makedirs(places.prepared)
        tfssl.run(tfssl.Config(**{**tiny, "model_dir": places["pre"], "checkpoint_steps": 1}))
        tfssl.run(
            tfssl.Config(
                **{
                    **tiny,
                    "model_dir": places["tuned"],
                    "mode": "finetune",
                    "checkpoint": places["pre"],
                }
            )
        )
        tfssl.run(
            tfssl.Config(
                **{
                    **tiny,
                    "model_dir": places["student"],
                    "mode": "distill",
                    "teacher": places["tuned"],
                }
            )
        )
        shutil.copytree(places["pre"], places["stopped"])
        for name in ("result.json", "result_2.json", "encoder.keras", "checkpoints/step_00000002"):
            path = os.path.join(places["stopped"], name)
            (shutil.rmtree if os.path.isdir(path) else os.remove)(path)
        make_photos(places["photos"])
        with open(places["list"], "w") as file:
            file.write("".join(f"{place}\n" for place in range(20)))

    def filled(self, value):
        """A text with the places that it names."""
        if not isinstance(value, str):
            return value
        names = {"run": "run", "copy": "copy", "stopped": "stopped"} | {
            name: self.places[name] for name in ("pre", "tuned", "photos", "list")
        }
        for name, path in names.items():
            value = value.replace(f"{{{name}}}", path)
        return value

    def run(self, draw):
        """Runs a draw; returns (outcome, what was said)."""
        places, changes = self.places, {k: self.filled(v) for k, v in draw.settings.items()}
        places.fresh()
        for name in ("copy", "stopped"):
            if draw.settings["model_dir"] == f"{{{name}}}":
                shutil.copytree(places["pre" if name == "copy" else name], name)
        named = [
            changes[name] for name in ("model_dir", "output") if isinstance(changes.get(name), str)
        ]
        places.may = [*(name for name in named if "\0" not in name), "runs", "predictions.csv"]
        filled = draws.Draw(draw.base, changes, draw.line)
        return expectation.judged(lambda err: carry_out(filled, err), places)


def carry_out(draw, err):
    """Runs the command that a draw is.

    Args:
        err: () -> what was written to standard error.

    Raises:
        UsageError, TrainingError, Interrupted: as the command does, or says.
    """
    import run
    import tfssl
    from tfssl.errors import Interrupted

    if not draw.line:
        tfssl.run(tfssl.Config(**draw.settings))
        return
    code = run.main(["run.py", *draw.words])
    said = err().removesuffix("\n").rpartition("run.py: ")[2]
    if code > 128:
        raise Interrupted(said, code - 128)
    if code:
        raise (tfssl.UsageError if code == 2 else tfssl.TrainingError)(said)


def make_shallow():
    """Has every ResNet of this process have one block in a group: graphs are made in less time."""
    blocks = importlib.import_module("tfssl.encoders.resnets").BLOCKS
    blocks.update({depth: (bottleneck, (1, 1, 1, 1)) for depth, (bottleneck, _) in blocks.items()})


def make_photos(path):
    """A folder of two classes, split into train and test."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            os.makedirs(os.path.join(path, split, name))
            for number in range(FIGURES):
                pixels = chance.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(pixels).save(os.path.join(path, split, name, f"{number}.png"))


class Records(Settings):
    """Runs whose records are damaged, and what is done with them then."""

    strategy = staticmethod(damages.records)

    def run(self, damage):
        run, mode = damage.run, damage.mode
        self.places.fresh()
        shutil.copytree(self.places[run], "run")
        damage.apply(os.path.abspath("run"))
        settings = {**draws.TINY, **draws.PLAIN, "model_dir": "run"}
        of_run = {
            "finetune": dict(checkpoint="run", model_dir="new"),
            "export": dict(checkpoint="run", output="written.keras"),
            "predict": dict(checkpoint="run"),
            "linear_eval": draws.SHORT,
            "embed": draws.SHORT,
        }.get(mode, {})
        settings |= of_run | ({"mode": mode} if mode != "resume" else self.begun(run))
        self.places.may = ["run", "new", "written.keras", "predictions.csv"]
        outcome, said = expectation.judged(
            lambda err: carry_out(draws.Draw("simclr", settings, False), err), self.places
        )
        if outcome == expectation.FINITE and mode == "resume" and run == "stopped":
            return self.as_it_would_have(outcome)
        return outcome, said

    def begun(self, run):
        """The settings that a prepared run was begun with."""
        return {
            "tuned": dict(mode="finetune", checkpoint=self.places["pre"]),
            "student": dict(mode="distill", teacher=self.places["tuned"]),
        }.get(run, {})

    def as_it_would_have(self, outcome):
        """Whether a run that went on ended where the one that was not stopped did."""
        import numpy as np

        import tfssl

        one, other = (
            tfssl.load_encoder(path).get_weights() for path in ("run", self.places["pre"])
        )
        same = all(map(np.array_equal, one, other))
        return (outcome, "") if same else (expectation.FAULT, "it went on, to other weights")


class Checkpoints(Records):
    """A stopped run with two checkpoints, whose files are damaged."""

    strategy = staticmethod(damages.checkpoints)


class Names(Settings):
    """Folders with odd names: finetuned on, then predicted, whose CSV has the names again."""

    strategy = staticmethod(damages.names)

    def run(self, named):
        import csv

        self.places.fresh()
        named.make("photos", png)
        self.places.may = ["run", "predictions.csv"]
        settings = {
            **draws.TINY,
            "dataset": "folder",
            "data_dir": "photos",
            "model_dir": "run",
            "train_split": "train",
            "eval_split": "test",
            "mode": "finetune",
            "checkpoint": "none",
            "train_steps": 1,
            "max_bad_fraction": 1.0,
        }
        outcome, said = self.carried(settings)
        if outcome != expectation.FINITE:
            return outcome, said
        outcome, said = self.carried(
            {
                **draws.TINY,
                "mode": "predict",
                "checkpoint": "run",
                "dataset": "folder",
                "data_dir": "photos",
                "eval_split": "test",
                "model_dir": None,
            }
        )
        if outcome == expectation.FINITE:
            with open("predictions.csv", newline="") as file:
                found = {row["file"] for row in csv.DictReader(file)}
            from tfssl.text import plain

            wanted = {
                plain(os.path.join("test", one, image))
                for one in named.classes
                for image in named.images
            }
            lost = [name for name in wanted if name not in found]
            if lost:
                return (
                    expectation.FAULT,
                    f"predictions.csv has no {lost[:2]} but {sorted(found)[:2]}",
                )
        return outcome, said

    def carried(self, settings):
        return expectation.judged(
            lambda err: carry_out(draws.Draw("simclr", settings, False), err), self.places
        )


def png(number):
    """An image that differs from those of other numbers."""
    import io

    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


KINDS = {"settings": Settings, "records": Records, "checkpoints": Checkpoints, "names": Names}


class Journal:
    """The outcomes so far, a line of JSON each."""

    def __init__(self, path):
        self.path, self.rows = path, {}
        if os.path.exists(path):
            with open(path) as file:
                for line in file:
                    row = json.loads(line)
                    self.rows[row["number"]] = row

    def add(self, **row):
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows[row["number"]] = row


def child(kind, start, numbers, journal, now):
    """Runs draws one after the other, and says in the file `now` which one it is at.

    Args:
        start: the number of the first of the EACH draws that these are of.
        numbers: those that are to be run.
    """
    import gc

    import keras

    drawn = draws.drawn(kind.strategy(), EACH, start)
    expectation.silent_stderr()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kind.prepare()
    for number in numbers:
        draw = drawn[number - start]
        with open(now, "w") as file:
            json.dump([number, str(draw)], file)
        began = time.monotonic()
        outcome, said = kind.run(draw)
        journal.add(
            number=number,
            outcome=outcome,
            said=said[:1000],
            draw=str(draw)[:3000],
            seconds=round(time.monotonic() - began, 2),
        )
        keras.backend.clear_session()
        gc.collect()


def wait(process, now):
    """How a child ended: its exit code, or "killed" where a draw took too long."""
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        if os.path.exists(now) and time.time() - os.path.getmtime(now) > HARD:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return "killed"
        time.sleep(0.1)


def shard(kind, start, numbers, journal, now):
    """Runs draws in child processes: a new one where a draw ends the one before."""
    while numbers := [number for number in numbers if number not in journal.rows]:
        if os.path.exists(now):
            os.remove(now)
        sys.stdout.flush()
        process = os.fork()
        if not process:
            code = 1
            try:
                child(kind, start, numbers, journal, now)
                code = 0
            finally:
                os._exit(code)
        status = wait(process, now)
        journal.__init__(journal.path)
        if not os.path.exists(now):
            sys.exit("the runs that draws start from could not be made")
        with open(now) as file:
            number, draw = json.load(file)
        if number not in journal.rows:
            journal.add(
                number=number,
                outcome=expectation.FAULT,
                seconds=HARD,
                said=f"the process died ({status})",
                draw=draw[:3000],
            )


def summary(rows):
    """What the outcomes are, in words."""
    counted = collections.Counter(row["outcome"] for row in rows)
    names = {
        expectation.FINITE: "ended in finite numbers",
        expectation.SENTENCE: "were refused in one sentence",
        expectation.TRAINING: "ended in one sentence while training",
        expectation.LONG: "asked for more than is waited for, and were under way",
        expectation.FAULT: "failed",
    }
    seconds = sum(row["seconds"] for row in rows)
    return f"{len(rows):,} draws, {seconds:.0f} s: " + ", ".join(
        f"{counted[name]:,} {text}" for name, text in names.items()
    )


def report(path, kind, outcome):
    told = [word for word in sys.argv[1:] if not word.startswith(("--report", "--root"))]
    told[1:2] = ["JOURNAL"]
    with open(path, "a") as file:
        file.write(
            f"\n```bash\n{shlex.join(['python', 'scripts/fuzz.py', *told])}\n```\n\n{outcome}.\n"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("journal", help="file of outcomes, which the same command adds to")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--shard", default="0/1", help="K/N: every Nth fifty draws, from K on")
    parser.add_argument("--root", help="directory to work in; not given: a temporary one")
    parser.add_argument("--report", help="Markdown file to add command and outcome to")
    arguments = parser.parse_args()
    escape_unencodable()
    journal = Journal(os.path.abspath(arguments.journal))
    root = os.path.abspath(arguments.root) if arguments.root else tempfile.mkdtemp(prefix="fuzz-")
    os.makedirs(root, exist_ok=True)
    os.environ["TFSSL_CACHE_DIR"] = os.path.join(root, "cache")
    import tensorflow as tf  # noqa: F401 - once, before the children

    import tfssl.runner.program  # noqa: F401

    kind = KINDS[arguments.kind](expectation.Places(root))
    which, of = map(int, arguments.shard.split("/"))
    for start in range(which * EACH, arguments.draws, of * EACH):
        numbers = range(start, min(start + EACH, arguments.draws))
        shard(kind, start, numbers, journal, os.path.join(root, "now"))
        print(summary(journal.rows.values()), flush=True)
    if not arguments.root:
        shutil.rmtree(root)
    rows = [row for number, row in sorted(journal.rows.items()) if number < arguments.draws]
    faults = [row for row in rows if row["outcome"] == expectation.FAULT]
    for row in faults:
        print(f"{row['number']}: {row['said']}\n    {row['draw']}")
    if arguments.report:
        report(arguments.report, arguments.kind, summary(rows))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
