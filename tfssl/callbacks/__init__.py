"""Keras callbacks that measure the quality of representations during `fit`."""

from tfssl.callbacks.measures import KNN, Information, Probe
from tfssl.callbacks.verdict import Verdict

__all__ = ["KNN", "Information", "Probe", "Verdict"]
