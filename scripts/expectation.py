"""What the fuzz harness asks of a command: finite numbers, or one sentence and nothing touched."""

import contextlib
import csv
import io
import json
import math
import os
import re
import shutil
import signal
import sys
import time
import traceback
import zipfile

import h5py
import numpy as np

LIMIT = 120.0  # seconds that a command may take before it shows progress
ENOUGH, STEPS = 3.0, 200  # one of so many steps is stopped after so many seconds of them: it works
LONGEST = 2_000  # characters of a sentence
SENTENCE, TRAINING, FINITE, LONG, FAULT = "sentence", "training", "finite", "long", "fault"


class Fault(Exception):
    """The property does not hold."""


class Stopped(BaseException):
    """The time is over."""


class Clock:
    """Stops what takes long: by SIGTERM where it is at its steps, as an exception otherwise."""

    def __init__(self, said):
        self.said, self.limit, self.asked, self.steps_began = said, LIMIT, 0, None

    def __enter__(self):
        self.began = time.monotonic()
        self.before = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGALRM, self.tick), (signal.SIGTERM, self.stop))
        }
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        return self

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def tick(self, *_):
        now, totals = time.monotonic(), re.findall(r"\] \d+/(\d+) ", self.said())
        if self.steps_began is None and totals and int(totals[-1]) >= STEPS:
            self.steps_began = now
        if now - self.began > self.limit + 20 or self.asked > 20:
            raise Stopped
        if now > (self.steps_began + ENOUGH if self.steps_began else self.began + self.limit):
            self.asked += 1
            if self.asked == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    def stop(self, *_):
        if not self.asked:  # another one's signal ends the harness: it is no outcome
            os._exit(1)
        raise Stopped


@contextlib.contextmanager
def captured():
    """Standard output and error as text streams like a terminal's; yields what was written."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        yield [lambda stream=stream: stream.buffer.getvalue().decode() for stream in streams]


def judged(work, places):
    """Whether the property holds of some work.

    Args:
        work: () -> None, runs a command; it raises what the command does.
        places: `Places`, where it may write.

    Returns:
        (outcome, what was said): SENTENCE, TRAINING, FINITE, LONG or FAULT.
    """
    from tfssl.errors import Interrupted, TrainingError, UsageError

    before = places.snapshot()
    with captured() as (out, err):
        try:
            with Clock(out) as clock:
                work(err)
            outcome, said = FINITE, ""
        except UsageError as error:
            outcome, said = SENTENCE, str(error)
        except TrainingError as error:
            outcome, said = TRAINING, str(error)
        except (Interrupted, Stopped):
            if not clock.asked:
                os._exit(1)
            outcome, said = (
                (LONG, "")
                if clock.steps_began
                else (FAULT, f"not at its end after {clock.limit:g} s: {out()[-200:]}")
            )
        except BaseException as error:
            outcome, said = FAULT, told(error)
    try:
        check(outcome, said, before, places)
    except Fault as fault:
        return FAULT, f"{fault} ({outcome}: {said[:300]})" if said else str(fault)
    return outcome, said


def told(error):
    """An exception as text: what it is, and the last places that it passed."""
    last = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in last if "tfssl" in frame.filename or "flags" in frame.filename]
    place = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(ours[-3:]))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} [{place}]"


def check(outcome, said, before, places):
    """Raises Fault where an outcome is not what it is to be."""
    if outcome in (SENTENCE, TRAINING):
        if "\n" in said or not said.isprintable() or len(said) > LONGEST:
            raise Fault("not one sentence")
        if outcome == SENTENCE and not re.search(r"--[a-z]|\.json|checkpoint", said):
            raise Fault("names no flag")
    changed = places.changes(before)
    left = [
        path
        for path in changed
        if not (  # the lock of a run that is there is no trace
            os.path.basename(path) == "lock" and os.path.dirname(path) in before
        )
    ]
    if outcome == SENTENCE and left:
        raise Fault(f"refused, and yet changed {left[:3]}")
    stray = [path for path in changed if not places.allowed(path)]
    if stray:
        raise Fault(f"written outside of the run: {stray[:3]}")
    if outcome == FINITE:
        for path in changed:
            check_file(path)


def check_file(path):
    """Raises Fault where a file that a run wrote holds what is no number or out of its range."""
    name = os.path.basename(path)
    if os.path.isdir(path) or name == "diagnosis.json":
        return
    if name.endswith(".json"):
        with open(path) as file:
            check_numbers(json.load(file), name)
    elif name.endswith(".keras"):
        with (
            zipfile.ZipFile(path) as file,
            h5py.File(io.BytesIO(file.read("model.weights.h5"))) as weights,
        ):
            weights.visititems(lambda _, item: check_array(item, path))
    elif name.endswith(".npz"):
        with np.load(path) as arrays:
            for array in arrays.values():
                check_array(array, path)
    elif name == "predictions.csv":
        check_predictions(path)
    elif name.startswith("events."):
        check_events(path)


def check_numbers(value, where):
    """Numbers of JSON, which must be finite, and accuracies, which must lie in [0, 1]."""
    if isinstance(value, dict):
        for key, part in value.items():
            check_numbers(part, f"{where}:{key}")
    elif isinstance(value, list):
        for part in value:
            check_numbers(part, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Fault(f"{where} is {value}")
    elif re.search(r"(top_\d+|accuracy)$", where) and "correct" not in where and value is not None:
        if not 0 <= value <= 1:
            raise Fault(f"{where} is {value}")


def check_array(array, path):
    if getattr(array, "dtype", None) is not None and array.dtype.kind == "f":
        if not np.isfinite(array[()]).all():
            raise Fault(f"{os.path.basename(path)} holds numbers that are not finite")


def check_predictions(path):
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            shares = [float(value) for name, value in row.items() if name.startswith("prob")]
            if not all(0 <= share <= 1 for share in shares):
                raise Fault(f"probabilities {shares} in {path}")


def check_events(path):
    import tensorflow as tf

    for record in tf.compat.v1.io.tf_record_iterator(path):
        for value in tf.compat.v1.Event.FromString(record).summary.value:
            if value.HasField("tensor"):
                check_array(np.asarray(tf.make_ndarray(value.tensor)), f"{value.tag} of {path}")


class Places:
    """Directories of a command, made afresh for it below a root: it runs in root/a/b/work.

    Args:
        root: a directory; root/prepared is kept, root/cache is not looked at.
        may: () -> paths, relative to the work, that may be written beside its run.
    """

    def __init__(self, root, may=()):
        self.root, self.may = root, may
        self.work = os.path.join(root, "a", "b", "work")
        self.prepared = os.path.join(root, "prepared")

    def fresh(self):
        shutil.rmtree(os.path.join(self.root, "a"), ignore_errors=True)
        os.makedirs(self.work)
        os.chdir(self.work)

    def __getitem__(self, name):
        return os.path.join(self.prepared, name)

    def snapshot(self):
        """{path: what tells it from another one} of all but the cache."""
        found = {}
        for directory, names, files in os.walk(self.root):
            if directory == self.root:
                names[:] = [name for name in names if name not in ("cache", "journal")]
            for name in (*names, *files):
                path = os.path.join(directory, name)
                stat = os.lstat(path)
                found[path] = (stat.st_size, stat.st_mtime_ns) if name in files else None
        return found

    def changes(self, before):
        """Paths that are new, gone or other than in a snapshot."""
        now = self.snapshot()
        return sorted(path for path in {*before, *now} if before.get(path, 0) != now.get(path, 0))

    def allowed(self, path):
        return any(
            path == top or path.startswith(top + os.sep) or top.startswith(path + os.sep)
            for top in map(os.path.abspath, self.may)
        )


def silent_stderr():
    """Has what TensorFlow writes to the file of standard error go nowhere; for a child alone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stderr__.fileno())
