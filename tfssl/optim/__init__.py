"""The LARS optimizer, schedules, optimizers with a scheduled weight decay, and the selection of its
variables."""

from tfssl.optim.decay import decayed, excluded
from tfssl.optim.lars import LARS
from tfssl.optim.scheduled import AdamW, Lion, Muon, decay_of
from tfssl.optim.schedules import (
    WarmupCosine,
    scaled_learning_rate,
    target_decay,
    train_steps,
    warmup_steps,
)

__all__ = [
    "AdamW",
    "LARS",
    "Lion",
    "Muon",
    "WarmupCosine",
    "decay_of",
    "decayed",
    "excluded",
    "scaled_learning_rate",
    "target_decay",
    "train_steps",
    "warmup_steps",
]
