"""TensorBoard points of label-free measures on fixed views, such as those of held-out images."""

import dataclasses
import io
import json
import os

import numpy as np

from tfssl import files, verdict
from tfssl.callbacks.measures import LOSS
from tfssl.callbacks.tensorboard import Points
from tfssl.callbacks.verdict import Verdict

VERDICT = "verdict.json"  # the newest verdict, and the history that it follows from
STOPS = {
    "levelled_off": ("levelled_off",),
    "broken": verdict.BROKEN,
    "any": ("levelled_off", *verdict.BROKEN),
}
FILE = "neighbours.npy"  # int32 [points, 2 + N k]: the step, k, the neighbours of each image
NAMES = ("lidar", "spectrum_decay", "view_retrieval", "view_rank", "neighbours_kept", LOSS)


class HeldOutScalars(Points):
    """Writes `Information` of fixed views as information/<name> every `every` steps, and judges.

    The neighbours of each point and the history of the verdict are kept in the directory of the
    run, so that a training that is continued has the points of one that was not interrupted.

    Args:
        start_step, total_steps, writer, every: as for `Points`.
        views: a dataset of views, all of whose batches are used.
        directory: of the run.
        say: function of a text, prints a new verdict.
        stop_when: a key of `STOPS`, or None.
        held_out: as for `Verdict`.
    """

    def __init__(
        self,
        start_step,
        total_steps,
        writer,
        every,
        views,
        directory,
        say=print,
        stop_when=None,
        held_out=True,
    ):
        super().__init__(start_step, total_steps, writer, every)
        self.directory, self.say, self.stop_when = directory, say, stop_when
        self.path = os.path.join(directory, FILE)
        self.judged = Verdict(views, num_batches=len(views), verbose=False, held_out=held_out)
        self.neighbours = {}

    def on_train_begin(self, logs=None):
        judged, start = self.judged, self.start_step
        judged.set_model(self.model)
        # Those of other images, where a run goes on with another evaluation split, are dropped.
        images = sum(len(batch["views"][0]) for batch in judged.batches)
        # Those of step 0, of a run that was killed before its first checkpoint, are made again.
        there = remembered(self.path, start) if start else {}
        self.neighbours = {at: of for at, of in there.items() if len(of) == images}
        judged.before = self.neighbours.get(max(self.neighbours, default=None))
        judged.history = history_of(self.directory, start) if start else verdict.History()
        judged.begin(self.total_steps)
        if start == 0:
            self.note(0, judged.measure())

    def write(self, step, logs):
        judged, before = self.judged, self.judged.now
        found = judged.measure()
        self.note(step, {**logs, **found})
        finite = [name for name in NAMES if np.isfinite(found.get(name, np.nan))]
        self.writer.scalars(step, {f"information/{name}": found[name] for name in finite})
        if before is None or judged.now.kind != before.kind:
            self.say(f"\nverdict at step {step:,}: {judged.now}")
        if stops(judged.history, self.stop_when):
            self.model.stop_training = True

    def note(self, step, measured):
        """Adds a point to the files of the run."""
        self.judged.add(step, measured)
        if self.judged.before is not None:
            self.neighbours[step] = self.judged.before
            remember(self.path, self.neighbours)
        now = dataclasses.asdict(self.judged.now)
        files.write_json(self.directory, VERDICT, {"verdict": now, **self.judged.history.to_dict()})


def stops(history, stop_when):
    """Whether the last two verdicts of a history are such that a training stops.

    Args:
        history: a `tfssl.verdict.History`.
        stop_when: a key of `STOPS`, or None.
    """
    lasts = [history.points[: len(history.points) - back] for back in (0, 1)]
    # The first point is of the untrained network.
    return all(
        len(points) > 1 and verdict.judge(points, history.facts).kind in STOPS.get(stop_when, ())
        for points in lasts
    )


def verdict_at(directory, step):
    """{"verdict": the newest one in the files of a run} if it is of this step, otherwise {}."""
    found = recorded(directory, lambda content: verdict.Verdict.of(content["verdict"]))
    return {"verdict": dataclasses.asdict(found)} if found and found.step == step else {}


def history_of(directory, step):
    """The `History` in the files of a run up to a step; empty if it cannot be read."""
    found = recorded(directory, lambda content: verdict.History.from_dict(content).until(step))
    return found or verdict.History()


def recorded(directory, of):
    """`of` the content of VERDICT in the files of a run; None if it cannot be read."""
    try:
        return of(json.loads(files.read(os.path.join(directory, VERDICT))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def remembered(path, step):
    """{step: int32 [N, k]} of a file, up to a step; {} without one, or if it cannot be read."""
    try:
        rows = np.load(io.BytesIO(files.read(path)))
        return {int(row[0]): row[2:].reshape(-1, row[1]) for row in rows if row[0] <= step}
    except (OSError, ValueError, EOFError, IndexError, TypeError):
        return {}


def remember(path, history):
    """Writes the file that `remembered` reads."""
    rows = np.stack(
        [np.concatenate([[step, of.shape[1]], of.ravel()]) for step, of in history.items()]
    )
    files.write_whole(path, lambda file: np.save(file, rows.astype(np.int32)))
