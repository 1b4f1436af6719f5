"""Self-supervised methods: one file each, one line each in METHODS.

A method is a `SelfSupervised` with `loss_on_views`, and a `build(config, kit)` that makes it from a
`tfssl.Config` and a `Kit`: the one place of the method that reads settings. Beside them, what is
done with an encoder afterwards: `Supervised` trains it, or a classifier on it, with labels.
"""

from tfssl.methods import byol, simclr
from tfssl.methods.base import Kit, SelfSupervised
from tfssl.methods.byol import BYOL
from tfssl.methods.simclr import SimCLR
from tfssl.methods.supervised import Supervised

METHODS = {"simclr": simclr.build, "byol": byol.build}
PROJECTORS = {"simclr": simclr.build_projector, "byol": byol.build_projector}

__all__ = ["BYOL", "METHODS", "PROJECTORS", "Kit", "SelfSupervised", "SimCLR", "Supervised"]
