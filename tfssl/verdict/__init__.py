"""Judges a training without labels: whether it learns, and if not, what to change."""

from tfssl.verdict.evidence import Facts, History, Point, facts_of_views
from tfssl.verdict.rules import BROKEN, KINDS, Verdict, judge

__all__ = ["BROKEN", "KINDS", "Facts", "History", "Point", "Verdict", "facts_of_views", "judge"]
