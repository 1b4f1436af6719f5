"""Loss functions of self-supervised learning, as pure functions of tensors."""

from tfssl.losses.assignment import sinkhorn, swav
from tfssl.losses.coding import emp_ssl, total_coding_rate
from tfssl.losses.contrastive import (
    multi_view_nt_xent,
    multi_view_nt_xent_with_scalars,
    nt_xent,
    nt_xent_with_scalars,
)
from tfssl.losses.decoupled import dcl, dclw
from tfssl.losses.distillation import distillation_loss
from tfssl.losses.gaussian import epps_pulley, sigreg
from tfssl.losses.infonce import info_nce
from tfssl.losses.labelled import supcon
from tfssl.losses.metric import (
    n_pair_loss,
    of_one_class,
    triplet_loss,
    tuple_loss,
    without_siblings,
)
from tfssl.losses.queued import moco, moco_with_scalars
from tfssl.losses.reconstruction import mae, normalized_patches, simmim
from tfssl.losses.redundancy import barlow_twins, vicreg, vicreg_terms
from tfssl.losses.regression import negative_cosine, regression_loss
from tfssl.losses.selfdistillation import dino

__all__ = [
    "barlow_twins",
    "dcl",
    "dclw",
    "dino",
    "distillation_loss",
    "emp_ssl",
    "epps_pulley",
    "info_nce",
    "mae",
    "moco",
    "moco_with_scalars",
    "multi_view_nt_xent",
    "multi_view_nt_xent_with_scalars",
    "n_pair_loss",
    "negative_cosine",
    "normalized_patches",
    "nt_xent",
    "nt_xent_with_scalars",
    "of_one_class",
    "regression_loss",
    "sigreg",
    "simmim",
    "sinkhorn",
    "supcon",
    "swav",
    "total_coding_rate",
    "triplet_loss",
    "tuple_loss",
    "vicreg",
    "vicreg_terms",
    "without_siblings",
]
