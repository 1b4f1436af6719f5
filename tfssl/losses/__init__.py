"""Loss functions of self-supervised learning, as pure functions of tensors."""

from tfssl.losses.contrastive import nt_xent, nt_xent_with_scalars
from tfssl.losses.distillation import distillation_loss
from tfssl.losses.infonce import info_nce
from tfssl.losses.metric import (
    n_pair_loss,
    of_one_class,
    triplet_loss,
    tuple_loss,
    without_siblings,
)
from tfssl.losses.regression import regression_loss

__all__ = [
    "distillation_loss",
    "info_nce",
    "n_pair_loss",
    "nt_xent",
    "nt_xent_with_scalars",
    "of_one_class",
    "regression_loss",
    "triplet_loss",
    "tuple_loss",
    "without_siblings",
]
