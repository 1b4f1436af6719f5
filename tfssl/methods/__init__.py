"""Self-supervised methods: one file each, one line each in METHODS.

A method is a `SelfSupervised` with `loss_on_views`, and a `build(config, kit)` that makes it from a
`tfssl.Config` and a `Kit`: the one place of the method that reads settings. Beside them, what is
done with an encoder afterwards: a linear classifier on it.
"""

from tfssl.methods import byol, simclr
from tfssl.methods.base import Kit, SelfSupervised
from tfssl.methods.byol import BYOL
from tfssl.methods.linear import LinearClassifier
from tfssl.methods.simclr import SimCLR

METHODS = {"simclr": simclr.build, "byol": byol.build}

__all__ = ["BYOL", "METHODS", "Kit", "LinearClassifier", "SelfSupervised", "SimCLR"]
