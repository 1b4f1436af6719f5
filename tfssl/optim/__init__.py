"""The LARS optimizer, schedules, and the selection of variables for weight decay."""

from tfssl.optim.decay import decayed, excluded
from tfssl.optim.lars import LARS
from tfssl.optim.schedules import (
    WarmupCosine,
    scaled_learning_rate,
    target_decay,
    train_steps,
    warmup_steps,
)

__all__ = [
    "LARS",
    "WarmupCosine",
    "decayed",
    "excluded",
    "scaled_learning_rate",
    "target_decay",
    "train_steps",
    "warmup_steps",
]
