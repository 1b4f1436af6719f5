"""Self-supervised methods: one file each, one line each in METHODS.

A method is a `SelfSupervised` with `loss_on_views`, and a `build(config, kit)` that makes it from a
`tfssl.Config` and a `Kit`: the one place of the method that reads settings. Beside them, what is
done with an encoder afterwards: `Supervised` trains it, or a classifier on it, with labels.
"""

from tfssl.methods import byol, cpc, npair, simclr, triplet
from tfssl.methods.base import Kit, SelfSupervised
from tfssl.methods.byol import BYOL
from tfssl.methods.cpc import CPC
from tfssl.methods.distilled import Distilled
from tfssl.methods.npair import NPair
from tfssl.methods.simclr import MemorySimCLR, SimCLR
from tfssl.methods.supervised import Supervised
from tfssl.methods.triplet import Triplet

METHODS = {
    "simclr": simclr.build,
    "byol": byol.build,
    "npair": npair.build,
    "triplet": triplet.build,
    "cpc": cpc.build,
}
PROJECTORS = {name: simclr.build_projector for name in METHODS} | {"byol": byol.build_projector}

__all__ = [
    "BYOL",
    "CPC",
    "Distilled",
    "METHODS",
    "MemorySimCLR",
    "NPair",
    "PROJECTORS",
    "Kit",
    "SelfSupervised",
    "SimCLR",
    "Supervised",
    "Triplet",
]
