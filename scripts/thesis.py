"""The thesis's accuracies, each with the setting that it is of."""

import contextlib
import csv
import functools
import os

import records
import runs
import sweep

# Tables in which a number is looked for, in this order, and the experiment that they are of. The
# others repeat rows of these.
TABLES = {3: "table3", 6: "table6", 7: "table6", 8: "table8", 16: "table16", 12: "table12",
          14: "table14"}
ON_TRAINING_SPLIT = (12, 14)  # its Remark 12
IMAGES = {"cifar10": 50_000, "imagenette/160px-v2": 9_469}
KNOBS = {column: knob for knob, column in records.COLUMNS.items()}


def rows(number):
    """The rows of a table as printed: dicts of numbers, None where a cell is blank."""
    path = os.path.join(runs.ROOT, "results", "thesis", f"table{number:02}.csv")
    with open(path) as file:
        return [{name: float(text) if text else None for name, text in row.items()}
                for row in csv.DictReader(file)]


@functools.cache
def printed():
    """A list of (table, Config, row): every row whose setting is certain."""
    found = []
    with contextlib.chdir(runs.ROOT):  # flagfiles name each other from there
        for number, name in TABLES.items():
            _, grid = sweep.read([f"--flagfile=flags/thesis/{name}.flags"])
            base = grid.config(grid.points[0])
            for row in rows(number):
                setting = {KNOBS[column]: row[column] for column in KNOBS if column in row}
                if None in setting.values() or row["top_1_accuracy"] is None:
                    continue
                for whole in ("resnet_depth", "train_batch_size"):
                    if whole in setting:
                        setting[whole] = int(setting[whole])
                config = base.replace(**setting)
                if number in ON_TRAINING_SPLIT or plausible(config, row.get("steps")):
                    found.append((number, config, row))
    return found


def plausible(config, steps):
    """Whether printed steps are those of the setting; Table 6 has some of another batch size."""
    expected = config.train_epochs * IMAGES[config.dataset] / config.train_batch_size
    return steps is None or abs(steps / expected - 1) < 0.05


def beside(config):
    """(table, row) of the thesis for a run, or None where it has no run of these settings."""
    for number, theirs, row in printed():
        if records.setting(config) == records.setting(theirs):
            return number, row
    return None
