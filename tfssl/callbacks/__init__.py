"""Keras callbacks."""

from tfssl.callbacks.measures import KNN, Information, Probe

__all__ = ["KNN", "Information", "Probe"]
