"""Judges a training without labels: whether it learns, and if not, what to change."""

from tfssl.verdict.evidence import Facts, History, Point, facts_of_views
from tfssl.verdict.rules import KINDS, Verdict, judge

__all__ = ["KINDS", "Facts", "History", "Point", "Verdict", "facts_of_views", "judge"]
