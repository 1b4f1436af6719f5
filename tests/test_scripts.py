"""What results/ says follows from the numbers beside it; the benchmark's processes answer."""

import csv
import importlib
import json
import subprocess
import sys

import pytest

from tests.test_run import ROOT

BENCH = ROOT / "scripts" / "bench"
RECORDED = sorted((ROOT / "results" / "bench").glob("*.csv"))


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_verdicts_of_a_benchmark_follow_from_its_table(path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    table = importlib.import_module(f"tables.{path.stem}")
    with open(path) as file:
        rows = {row["variant"]: {name: number(text) for name, text in row.items()}
                for row in csv.DictReader(file)}
    text = path.with_suffix(".md").read_text()
    targets = table.targets(rows)
    for what, met in targets:
        assert f"- **{'met' if met else 'missed'}**: {what}" in text
    assert text.count("- **") == len(targets) > 0
    assert all(name in text for name in rows)


def test_a_variant_of_the_benchmark_answers_in_turns():
    worker = [sys.executable, BENCH / "worker.py", "loss", "plain, 2,048 embeddings", "{}"]
    with subprocess.Popen(worker, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        out, _ = process.communicate("go\ngo\n", timeout=120)
    about, *turns = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert about["calls"] >= 1 and about["flops"] == 3 * 2 * 128 * 2048**2
    assert len(turns) == 2 and all(turn["seconds"] > 0 for turn in turns)
