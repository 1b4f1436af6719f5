"""Training methods as `keras.Model`s with `compile` and `fit`, one file each.

Self-supervised methods are subclasses of `SelfSupervised`. `Supervised` trains an encoder, or a
classifier on it, with labels; `Distilled` trains on the outputs of a teacher.
"""

from tfssl.methods.barlow_twins import BarlowTwins
from tfssl.methods.byol import BYOL
from tfssl.methods.cpc import CPC
from tfssl.methods.dcl import DCL, DCLW
from tfssl.methods.deep_infomax import DeepInfoMax
from tfssl.methods.dino import DINO
from tfssl.methods.distilled import Distilled
from tfssl.methods.emp_ssl import EMPSSL
from tfssl.methods.learner import Learner, Outputs
from tfssl.methods.mae import MAE
from tfssl.methods.mocov2 import MoCoV2
from tfssl.methods.mocov3 import MoCoV3
from tfssl.methods.nnclr import NNCLR
from tfssl.methods.npair import NPair
from tfssl.methods.selfsupervised import SelfSupervised, direction_std
from tfssl.methods.sigreg import SIGReg
from tfssl.methods.simclr import SimCLR
from tfssl.methods.simmim import SimMIM
from tfssl.methods.simsiam import FastSiam, SimSiam
from tfssl.methods.supcon import SupCon
from tfssl.methods.supervised import Supervised
from tfssl.methods.swav import SwAV
from tfssl.methods.triplet import Triplet
from tfssl.methods.vicreg import VICReg

__all__ = [
    "BYOL",
    "BarlowTwins",
    "CPC",
    "DCL",
    "DCLW",
    "DINO",
    "DeepInfoMax",
    "Distilled",
    "EMPSSL",
    "FastSiam",
    "Learner",
    "MAE",
    "MoCoV2",
    "MoCoV3",
    "NNCLR",
    "NPair",
    "Outputs",
    "SIGReg",
    "SelfSupervised",
    "SimCLR",
    "SimMIM",
    "SimSiam",
    "SupCon",
    "Supervised",
    "SwAV",
    "Triplet",
    "VICReg",
    "direction_std",
]
