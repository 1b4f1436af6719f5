"""Checks that a device computes what it should: small computations and what comes out of them.

`checks` lists them, `run` measures one and compares it with its reference.
"""

from tfssl.doctor.apart import outcomes
from tfssl.doctor.catalogue import checks
from tfssl.doctor.comparison import Check, Outcome, run

__all__ = ["Check", "Outcome", "checks", "outcomes", "run"]
