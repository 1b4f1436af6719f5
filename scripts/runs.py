"""Runs of run.py from a script: each in a directory of its own, so that a second try continues."""

import csv
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(directory, *flags, result="result.json"):
    """One command line of run.py, in view; returns what it wrote and its settings.

    Args:
        directory: --model_dir.
        *flags: the other flags.
        result: file below the directory that holds the result, or a function of the directory that
            finds it.

    Raises:
        subprocess.CalledProcessError: it failed, and has said why.
    """
    subprocess.run([sys.executable, os.path.join(ROOT, "run.py"), *flags,
                    f"--model_dir={directory}"], check=True)
    return read(result(directory) if callable(result) else os.path.join(directory, result))


def read(path):
    with open(path) as file:
        return json.load(file)


def write_table(rows, path):
    """Rows, dicts of the same keys, as CSV."""
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
