"""Which images to label first, from the representations of an encoder."""

from tfssl.selection.strategies import coverage, typical, uncertain, uniform

__all__ = ["coverage", "typical", "uncertain", "uniform"]
