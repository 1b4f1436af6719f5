"""The number of steps between two calls of the callbacks."""

import itertools

import pytest

from tfssl.callbacks import steps
from tfssl.callbacks.steps import Pace


def made(pace):
    return list(itertools.accumulate(pace, initial=0))[1:]


def test_calls_end_at_points_checkpoints_and_the_last_step():
    assert made(Pace(0, 13, most=100, every=[5, 4])) == [4, 5, 8, 10, 12, 13]
    assert made(Pace(0, 7, most=3)) == [3, 6, 7]
    assert made(Pace(0, 3, most=1, every=[0])) == [1, 2, 3]  # 0: there are no points


def test_a_resumed_training_ends_calls_where_the_straight_one_does():
    pace = Pace(3, 13, most=100, every=[5])
    assert list(pace) == [2, 5, 3] and pace.step == 13


@pytest.mark.parametrize("per_step, calls", [(0.5, [1, 2, 2, 2]), (0.01, [1, 4, 16, 64])])
def test_without_a_limit_calls_take_about_a_second(monkeypatch, per_step, calls):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    pace = Pace(0, 1000, most=None)
    counts = []
    for count in itertools.islice(pace, 4):
        now[0] += count * per_step
        counts.append(count)
    assert counts == calls


def test_a_long_first_call_that_compiles_is_followed_by_a_short_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    pace = Pace(0, 1000, most=None)
    next(pace)
    now[0] += 100.0
    assert next(pace) == 1
