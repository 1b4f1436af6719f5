"""A run as one HTML page that needs no other file, no network and no server."""

from tfssl.report.sample import Sample
from tfssl.report.write import CHARTS, Run, compare, page_of

__all__ = ["CHARTS", "Run", "Sample", "compare", "page_of"]
