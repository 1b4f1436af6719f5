"""Information theory of the thesis: discrete information, sufficiency, bounds, estimation.

References to definitions, propositions and equations are to Sáez Maldonado, "Mutual Information in
Self-Supervised Learning" (Granada, 2021).
"""

from tfssl.information.discrete import (
    conditional_entropy,
    entropy,
    joint_table,
    kl_divergence,
    mutual_information,
)
from tfssl.information.sufficiency import (
    is_sufficient,
    keeps_information,
    minimal_sufficient,
    push_forward,
)

__all__ = [
    "conditional_entropy",
    "entropy",
    "is_sufficient",
    "joint_table",
    "keeps_information",
    "kl_divergence",
    "minimal_sufficient",
    "mutual_information",
    "push_forward",
]
