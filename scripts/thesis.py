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
TABLES = {
    3: "table3",
    6: "table6",
    8: "table8",
    "figure23": "figure23",
    16: "table16",
    12: "table12",
    14: "table14",
}
ONLINE, ONE_BATCH, SEPARATE = "online head", "one training batch", "separate linear head"
KNOBS = {column: knob for knob, column in records.COLUMNS.items()}


def protocol(table):
    """What the accuracies of a table are of."""
    return {16: SEPARATE, 12: ONE_BATCH, 14: ONE_BATCH}.get(table, ONLINE)


def rows(table):
    """The rows of a table: dicts of numbers, and where they are from, `source`.

    Args:
        table: its number, or figure23.
    """
    name = table if isinstance(table, str) else f"table{table:02}"
    with open(os.path.join(runs.ROOT, "results", "thesis", f"{name}.csv")) as file:
        return [
            {column: number(text) for column, text in row.items()} for row in csv.DictReader(file)
        ]


def number(text):
    """The value of a cell: an integer or a float where it is one."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@functools.cache
def printed():
    """A list of (table, Config, row): every row with its setting."""
    found = []
    with contextlib.chdir(runs.ROOT):  # flagfiles name each other from there
        for table, name in TABLES.items():
            _, grid = sweep.read([f"--flagfile=flags/thesis/{name}.flags"])
            base = grid.config(grid.points[0])
            for row in rows(table):
                setting = {KNOBS[column]: row[column] for column in KNOBS if column in row}
                found.append((table, base.replace(**setting), row))
    return found


def beside(config):
    """(table, row) of the thesis for a run, or None where it has no run of these settings."""
    for table, theirs, row in printed():
        if records.setting(config) == records.setting(theirs):
            return table, row
    return None
