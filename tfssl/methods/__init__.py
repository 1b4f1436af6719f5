"""Self-supervised methods: one file each, one line each in METHODS.

A method is a `SelfSupervised` with `loss_on_views`, and a `build(config, encoder, **parts)` that
makes it from a `tfssl.Config`: the one place of the method that reads settings.
"""

from tfssl.methods import simclr
from tfssl.methods.base import SelfSupervised
from tfssl.methods.simclr import SimCLR

METHODS = {"simclr": simclr.build}

__all__ = ["METHODS", "SelfSupervised", "SimCLR"]
