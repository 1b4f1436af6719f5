"""Hostile files of every kind: read rightly, or refused in one sentence; nothing is run."""

import os
import pickle
import sys

import pytest

from tests.helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import hostile  # noqa: E402 - a script, which imports its neighbours


def wrong(outcomes):
    return [outcome for outcome in outcomes if outcome[2] == "wrong"]


@pytest.mark.slow
def test_some_files_of_every_kind():
    outcomes = hostile.trial(2 * len(hostile.READERS), seed=1)
    assert not wrong(outcomes)
    assert {kind for kind, *_ in outcomes} == set(hostile.READERS)
    assert {"right", "refused"} == {outcome for _, _, outcome, *_ in outcomes}


@pytest.mark.slow
def test_three_hundred_files():
    assert not wrong(hostile.trial(300, seed=2))


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    """A traceback, several sentences, a file that is made: each counts."""
    for said, expected in ((None, "right"), ("no.", "refused"), ("one\ntwo", "wrong")):
        monkeypatch.setitem(hostile.READERS, "png", lambda path, said=said: said)
        assert hostile.judged("png", "x") == (expected, said or "")
    monkeypatch.setitem(hostile.READERS, "png", lambda path: 1 / 0)
    assert "ZeroDivisionError" in hostile.judged("png", "x")[1]
    made = pickle.loads(pickle.dumps(hostile.Canary(str(tmp_path / "canary"))))
    made.close()
    assert (tmp_path / "canary").exists()


def test_every_change_is_made_and_depends_on_the_seed_alone(tmp_path):
    contents = {kind: b"PNG of a kind: " + kind.encode() for kind in hostile.PICTURES}
    told = set()
    for seed in range(200):
        made = []
        for name in ("a", "b"):
            path = tmp_path / name
            done = hostile.write(str(path), "png", contents, hostile.random.Random(seed), "x")
            made.append(
                (done, path.is_file() and path.stat().st_size < 2**20 and path.read_bytes())
            )
            hostile.remove(str(path))
        assert made[0] == made[1]
        told.add(made[0][0])
    expected = {make.__name__ for make in (*hostile.SPECIAL, *hostile.CHANGES)}
    assert told == expected | {"of another kind"} and not os.listdir(tmp_path)


def test_the_report_has_one_section_of_them():
    text = hostile.with_section("# Reliability\n\nkills\n\n## Other\n\nx\n", "one")
    again = hostile.with_section(text + "\n## Last\n\ny\n", "two")
    assert again.count(hostile.TITLE) == 1 and "one" not in again
    assert again.index("kills") < again.index("two") < again.index("## Last")
    table = hostile.table([("png", "cut", "right", "", 0), ("png", "cut", "refused", "x", 0)])
    assert table.endswith("| png | 1 | 1 | 0 |\n| all | 1 | 1 | 0 |")
