"""Odd settings, by the dozen here; that the harness tries every knob; that it can fail."""

import dataclasses
import importlib
import json
import math
import os
import subprocess
import sys
import time
from typing import Optional

import numpy as np
import pytest

from tests.helpers import ROOT
from tfssl import TrainingError, UsageError, config
from tfssl.config import Config, kind, knob


@pytest.fixture
def scripts(monkeypatch):
    """(draws, expectation, fuzz), the modules of scripts/."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return [importlib.import_module(name) for name in ("draws", "expectation", "fuzz")]


def fuzz(what, count, directory):
    """Runs the command; returns the rows of its journal."""
    journal = directory / "journal.jsonl"
    done = subprocess.run(
        [
            sys.executable,
            "scripts/fuzz.py",
            what,
            str(journal),
            f"--draws={count}",
            f"--root={directory / 'root'}",
            f"--report={directory / 'report.md'}",
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{count:,} draws" in (directory / "report.md").read_text()
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sorted(row["number"] for row in rows) == list(range(count))
    return rows


@pytest.mark.slow
def test_odd_settings_end_in_finite_numbers_or_in_a_sentence(tmp_path):
    rows = fuzz("settings", 5, tmp_path)
    assert {"finite", "sentence"} <= {row["outcome"] for row in rows}
    began = time.monotonic()  # the same command goes on from its journal: there is nothing left
    assert fuzz("settings", 5, tmp_path) == rows and time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "what,count", [("settings", 2000), ("records", 200), ("checkpoints", 100), ("names", 50)]
)
def test_many_draws_hold(what, count, tmp_path):
    fuzz(what, count, tmp_path)


@pytest.mark.slow
def test_every_knob_gets_values_that_it_takes_and_others(scripts):
    draws, *_ = scripts
    for field in dataclasses.fields(Config):
        found = draws.drawn(draws.values(field, line=False), 60, seed=1)
        good = [value for value in found if fits(field, value)]
        assert len(set(map(repr, found))) > 2 and good and len(good) < len(found), field.name


def fits(field, value):
    try:
        config.check_range(field, config.check_type(field, value))
    except UsageError:
        return False
    return True


@pytest.mark.slow
def test_a_new_knob_is_drawn_by_itself(scripts):
    draws, *_ = scripts

    @dataclasses.dataclass(frozen=True)
    class Larger(Config):
        sharpness: Optional[float] = knob(0.7, "Run", "A new one.", config.within(0.6, 0.8))

    assert any(
        "sharpness" in draw.changes
        for draw in draws.drawn(draws.settings(dataclasses.fields(Larger)[-40:]), 300, seed=0)
    )
    made = draws.drawn(draws.settings([Larger.__dataclass_fields__["sharpness"]]), 60, seed=0)
    values = [draw.changes["sharpness"] for draw in made]
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    assert any(0.6 <= value <= 0.8 for value in numbers)
    assert any(not 0.6 <= value <= 0.8 for value in numbers) and len(numbers) < len(values)
    assert kind(Larger.__dataclass_fields__["sharpness"]) == (float, True, None)


@pytest.mark.slow
def test_equal_numbers_are_equal_draws():
    code = (
        "import runs, draws, hashlib; print(hashlib.sha256(''.join(map(ascii, map(str, "
        "draws.drawn(draws.settings(), 50, 100)))).encode()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT / "scripts",
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1 and len(said.pop()) == 65


@pytest.mark.slow
def test_draws_are_of_every_kind(scripts):
    draws, *_ = scripts
    made = draws.drawn(draws.settings(), 1000, seed=50)
    assert {draw.base for draw in made} == set(draws.BASES)
    assert 250 < sum(draw.line for draw in made) < 750
    assert all(1 <= len(draw.changes) <= draws.MOST for draw in made)


@pytest.fixture
def judged(scripts, tmp_path, monkeypatch):
    """(work in an empty directory) -> (outcome, what was said)."""
    _, expectation, _ = scripts
    places = expectation.Places(str(tmp_path), may=("run",))
    monkeypatch.chdir(tmp_path)
    places.fresh()
    os.mkdir("run")
    monkeypatch.setattr(expectation, "LIMIT", 2.0)
    yield lambda work: expectation.judged(lambda err: work(), places)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def refuse_and_leave():
    write("run/flags.json", "{}")
    raise UsageError("--seed must be something else. Received: 1")


def raise_raw(kind, message):
    error = kind("")
    error.args = (message,)
    raise error


def leave_array():
    np.savez("run/embeddings.npz", h=np.array([1.0, np.inf], np.float32))


FAULTS = [
    (refuse_and_leave, "refused, and yet changed"),
    (lambda: write("../../../up", "x"), "written outside of the run"),
    (lambda: write("elsewhere", "x"), "written outside of the run"),
    (lambda: write("run/result.json", '{"loss": NaN}'), "result.json:loss is nan"),
    (lambda: write("run/result.json", '{"a": {"top_1": 1.5}}'), "top_1 is 1.5"),
    (lambda: write("predictions.csv", "file,probability\na,1.5\n"), "written outside"),
    (leave_array, "embeddings.npz holds numbers that are not finite"),
    (lambda: raise_raw(UsageError, "--a\nb"), "not one sentence"),
    (lambda: raise_raw(UsageError, "no."), "names no flag"),
    (lambda: raise_raw(TrainingError, "x" * 5000), "not one sentence"),
    (lambda: [][0], "IndexError"),
    (lambda: sys.exit(3), "SystemExit"),
    (lambda: time.sleep(60), "not at its end after 2 s"),
]


@pytest.mark.parametrize("work,said", FAULTS, ids=[said for _, said in FAULTS])
def test_a_planted_fault_is_caught(judged, work, said):
    outcome, what = judged(work)
    assert outcome == "fault" and said in what


def test_what_holds_is_not_called_a_fault(judged):
    def refuse():
        raise UsageError("--seed must be something else. Received: 1")

    assert judged(refuse) == ("sentence", "--seed must be something else. Received: 1")
    assert judged(lambda: write("run/result.json", '{"top_1": 0.5}')) == ("finite", "")


def test_a_check_that_is_missing_is_found(scripts, tmp_path, monkeypatch):
    """--temperature=-1 and a batch of 10**9 pass where no range is checked."""
    draws, expectation, fuzz = scripts
    kind = fuzz.Settings(expectation.Places(str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    draw = draws.Draw("simclr", {"temperature": -1.0}, line=False)
    assert kind.run(draw)[0] == "sentence"
    monkeypatch.setattr(config.checks, "check_range", lambda field, value: None)
    outcome, said = kind.run(draw)
    assert outcome == "fault" and "temperature" in said
