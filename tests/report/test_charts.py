"""Charts: ticks, and lines where they belong."""

import math
import re

import pytest

from tfssl.report import charts


@pytest.mark.parametrize(
    "low,high,expected",
    [
        (0, 1, [0, 0.5, 1]),
        (0, 1000, [0, 500, 1000]),
        (-1.2, 0.3, [-1.5, -1, -0.5, 0, 0.5]),
        (3, 3, [1, 2, 3, 4, 5]),
        (0, 0, [-0.5, 0, 0.5]),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, expected):
    assert charts.ticks(low, high, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value,text", [(0, "0"), (0.1 + 0.2, "0.3"), (12000, "12k"), (2.5e6, "2.5M"), (1e-12, "0")]
)
def test_numbers_of_axes(value, text):
    assert charts.short(value) == text


def test_a_line_passes_through_its_points():
    drawn = charts.lines("loss", {"a <b>": [(0, 0.0), (5, math.nan), (10, 1.0)], "none": []})
    points = re.search(r'points="([^"]*)"', drawn).group(1).split()
    right, top = charts.WIDTH - charts.RIGHT, float(charts.TOP)
    left, bottom = float(charts.LEFT), float(charts.HEIGHT - charts.BOTTOM)
    assert points == [f"{left:.1f},{bottom:.1f}", f"{right:.1f},{top:.1f}"]
    assert "a &lt;b&gt; <b>1</b>" in drawn and "none" not in drawn


def test_the_axis_ends_with_the_points():
    drawn = charts.lines("loss", {"a": [(0, 0.0), (1581, 1.0)]})
    assert f'points="{charts.LEFT:.1f},' in drawn
    assert f" {charts.WIDTH - charts.RIGHT:.1f},{charts.TOP:.1f}" in drawn
    assert ">1500</text>" in drawn and ">2000</text>" not in drawn
    assert charts.lines("loss", {"a": [(5, 1.0)]})  # a single point


def test_nothing_to_draw():
    assert charts.lines("loss", {}) == charts.lines("loss", {"a": [(0, math.inf)]}) == ""
