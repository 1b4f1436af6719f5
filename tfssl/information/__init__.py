"""Information theory of the thesis: discrete information, bounds on it, estimation by contrast."""

from tfssl.information.discrete import (
    conditional_entropy,
    entropy,
    joint_table,
    kl_divergence,
    mutual_information,
)

__all__ = ["conditional_entropy", "entropy", "joint_table", "kl_divergence", "mutual_information"]
