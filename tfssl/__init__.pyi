"""The exports of `tfssl`, for type checkers and editors, which cannot follow lazy imports."""

from tfssl.config import Config as Config
from tfssl.data.inputs import views as views
from tfssl.data.opening import open_images as open_images
from tfssl.errors import TrainingError as TrainingError
from tfssl.errors import UsageError as UsageError
from tfssl.evaluation import evaluate as evaluate
from tfssl.evaluation import represent as represent
from tfssl.methods import BYOL as BYOL
from tfssl.methods import CPC as CPC
from tfssl.methods import DCL as DCL
from tfssl.methods import DCLW as DCLW
from tfssl.methods import DINO as DINO
from tfssl.methods import EMPSSL as EMPSSL
from tfssl.methods import MAE as MAE
from tfssl.methods import NNCLR as NNCLR
from tfssl.methods import BarlowTwins as BarlowTwins
from tfssl.methods import DeepInfoMax as DeepInfoMax
from tfssl.methods import Distilled as Distilled
from tfssl.methods import FastSiam as FastSiam
from tfssl.methods import MoCoV2 as MoCoV2
from tfssl.methods import MoCoV3 as MoCoV3
from tfssl.methods import NPair as NPair
from tfssl.methods import Outputs as Outputs
from tfssl.methods import SelfSupervised as SelfSupervised
from tfssl.methods import SIGReg as SIGReg
from tfssl.methods import SimCLR as SimCLR
from tfssl.methods import SimMIM as SimMIM
from tfssl.methods import SimSiam as SimSiam
from tfssl.methods import SupCon as SupCon
from tfssl.methods import Supervised as Supervised
from tfssl.methods import SwAV as SwAV
from tfssl.methods import Triplet as Triplet
from tfssl.methods import VICReg as VICReg
from tfssl.optim import LARS as LARS
from tfssl.optim import WarmupCosine as WarmupCosine
from tfssl.registry import register as register
from tfssl.runner.program import run as run
from tfssl.storage.export import load_encoder as load_encoder

from . import augment as augment
from . import callbacks as callbacks
from . import data as data
from . import encoders as encoders
from . import evaluation as evaluation
from . import layers as layers
from . import losses as losses
from . import optim as optim
from . import selection as selection
from . import verdict as verdict

__version__: str

__all__ = [
    "BYOL",
    "BarlowTwins",
    "CPC",
    "Config",
    "DCL",
    "DCLW",
    "DINO",
    "DeepInfoMax",
    "Distilled",
    "EMPSSL",
    "FastSiam",
    "LARS",
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
    "TrainingError",
    "Triplet",
    "UsageError",
    "VICReg",
    "WarmupCosine",
    "augment",
    "callbacks",
    "data",
    "encoders",
    "evaluate",
    "evaluation",
    "layers",
    "load_encoder",
    "losses",
    "open_images",
    "optim",
    "register",
    "represent",
    "run",
    "selection",
    "verdict",
    "views",
]
