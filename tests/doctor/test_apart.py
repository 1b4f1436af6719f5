"""Checks in processes of their own: what ends one of these is a failed check."""

import json
import sys
import textwrap

import numpy as np
import pytest

from tests.helpers import spared
from tfssl import doctor
from tfssl.doctor import apart, comparison
from tfssl.doctor.steps import of_step

ONE = {"one": np.ones(3)}


def checks(*names):
    return [comparison.Check(name, "method", lambda: ONE, lambda: ONE, 1e-3) for name in names]


def program(tmp_path, at, how):
    """A command that answers with outcomes, but for a name `at`, where it does something else."""
    path = tmp_path / "answers.py"
    path.write_text(
        textwrap.dedent(f"""
            import json, os, signal, sys
            for name in json.loads(sys.argv[1]):
                if name == {at!r}:
                    {how}
                found = dict(name=name, group="method", error=1e-6, bound=1e-3, seconds=0.1)
                print("noise")
                print("{apart.MARK}" + json.dumps(found), flush=True)
        """)
    )
    return sys.executable, str(path)


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize(
    "how,failed",
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "its process was ended by SIGSEGV"),
        ("sys.exit(3)", "its process ended with exit code 3"),
        ("sys.exit(0)", "its process ended with exit code 0"),
        ("1 / 0", "its process ended with exit code 1"),
    ],
)
def test_what_ends_the_process_is_one_failed_check(place, how, failed, tmp_path):
    names = ["a", "b", "c", "d"]
    made = list(apart.elsewhere(checks(*names), program(tmp_path, names[place], how)))
    assert [outcome.name for outcome in made] == names
    assert [outcome.passed for outcome in made] == [number != place for number in range(4)]
    assert made[place].failed == failed and made[place].error == float("inf")


def test_only_steps_of_methods_are_run_apart(monkeypatch):
    """The processes are of one method each."""
    groups = []

    def noted(members):
        groups.append([check.name for check in members])
        return map(comparison.run, members)

    monkeypatch.setattr(apart, "elsewhere", noted)
    here = comparison.Check("a loss", "loss", lambda: ONE, lambda: ONE, 1e-3)
    steps = checks("step of a, x", "step of a, y", "step of b, x")
    made = list(doctor.outcomes([here, *steps, here]))
    assert [outcome.name for outcome in made] == [c.name for c in (here, *steps, here)]
    assert groups == [["step of a, x", "step of a, y"], ["step of b, x"]]
    assert all(outcome.passed for outcome in made)


def test_what_the_process_does(capsys):
    names = [check.name for check in doctor.checks()[:2]]
    apart.main([json.dumps(names)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(apart.MARK)]
    made = [comparison.Outcome(**json.loads(line.removeprefix(apart.MARK))) for line in lines]
    assert [outcome.name for outcome in made] == names
    assert all(outcome.passed for outcome in made)


@pytest.mark.parametrize("method", [spared("simclr")])
def test_a_real_step_apart_is_the_same(method):
    check = of_step(method, "float32", False)
    (made,) = apart.elsewhere([check])
    here = doctor.run(check)
    assert made.passed and (made.name, made.bound) == (here.name, here.bound)
    assert made.error == pytest.approx(here.error, rel=0.5)


def test_an_outcome_survives_json():
    outcome = doctor.run(comparison.Check("broken", "method", lambda: 1 / 0, lambda: ONE, 1e-3))
    again = comparison.Outcome(**json.loads(json.dumps(vars(outcome))))
    assert again == outcome and again.failed.startswith("ZeroDivisionError")
