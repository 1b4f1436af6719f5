"""Training methods as `keras.Model`s with `compile` and `fit`, one file each.

Self-supervised methods are subclasses of `SelfSupervised`. `Supervised` trains an encoder, or a
classifier on it, with labels; `Distilled` trains on the outputs of a teacher.
"""

from tfssl.methods.byol import BYOL
from tfssl.methods.cpc import CPC
from tfssl.methods.distilled import Distilled
from tfssl.methods.learner import Learner, Outputs
from tfssl.methods.npair import NPair
from tfssl.methods.selfsupervised import SelfSupervised, direction_std
from tfssl.methods.simclr import SimCLR
from tfssl.methods.supervised import Supervised
from tfssl.methods.triplet import Triplet

__all__ = [
    "BYOL",
    "CPC",
    "Distilled",
    "Learner",
    "NPair",
    "Outputs",
    "SelfSupervised",
    "SimCLR",
    "Supervised",
    "Triplet",
    "direction_std",
]
