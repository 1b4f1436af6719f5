"""Schedules of the learning rate and of the decay rate of BYOL's target network."""

import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfssl")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate with linear warmup from 0 and cosine decay to 0.

    Chen et al. 2020 (SimCLR), section 2.2; Loshchilov and Hutter 2017, "SGDR", without restarts.
    Equal to google-research/simclr (tf2/model.py, 383d414): 0 at step 0, the base rate at step
    `warmup_steps`, 0 at step `total_steps` and ever after.

    Args:
        base_learning_rate: float >= 0, the highest rate, already scaled to the batch size.
        warmup_steps: integer >= 0, number of steps of the warmup.
        total_steps: integer > `warmup_steps`, number of steps of the run.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    schedule = tfssl.WarmupCosine(1.0, warmup_steps=10, total_steps=110)
    [round(float(schedule(step)), 3) for step in (0, 5, 10, 60, 110)]  # [0.0, 0.5, 1.0, 0.5, 0.0]
    optimizer = keras.optimizers.SGD(schedule)
    ```
    """

    def __init__(self, base_learning_rate: float, warmup_steps: int, total_steps: int) -> None:
        super().__init__()
        if base_learning_rate < 0:
            raise ValueError(
                "`base_learning_rate` must not be negative. "
                f"Received: base_learning_rate={base_learning_rate}"
            )
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "`warmup_steps` must be at least 0 and less than `total_steps`. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.base_learning_rate = base_learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rise = step / max(self.warmup_steps, 1)
        fall = _half_cosine(step - self.warmup_steps, self.total_steps - self.warmup_steps)
        return self.base_learning_rate * tf.where(step < self.warmup_steps, rise, fall)

    def get_config(self) -> dict[str, Any]:
        return {
            "base_learning_rate": self.base_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def target_decay(step: int | tf.Tensor, total_steps: int, base: float) -> tf.Tensor:
    """Decay rate of BYOL's target network, which increases from `base` to 1 over the run.

    Grill et al. 2020, "Bootstrap Your Own Latent", section 3.2:
    1 - (1 - base) * (cos(pi * step / total_steps) + 1) / 2.

    Args:
        step: integer scalar or tensor, the optimizer steps already made; beyond `total_steps` the
            decay stays 1.
        total_steps: integer > 0, number of steps of the run.
        base: float in [0, 1], the decay at step 0.

    Returns:
        float32 tensor of the shape of `step`, in [base, 1].

    Raises:
        ValueError: if `total_steps` or `base` is out of its range.

    Example:

    ```python
    decay = tfssl.optim.target_decay(tf.range(0, 101, 50), total_steps=100, base=0.5)
    decay.numpy().tolist()  # [0.5, 0.75, 1.0]
    ```
    """
    if total_steps <= 0:
        raise ValueError(f"`total_steps` must be positive. Received: total_steps={total_steps}")
    if not 0 <= base <= 1:
        raise ValueError(f"`base` must be in [0, 1]. Received: base={base}")
    return 1.0 - (1.0 - base) * _half_cosine(step, total_steps)


def scaled_learning_rate(base: float, batch_size: int, scaling: str = "linear") -> float:
    """Scales a learning rate to a batch size.

    Chen et al. 2020 (SimCLR), section 2.2 and appendix B.1.

    Args:
        base: float, the rate before scaling.
        batch_size: integer > 0, images per step over all replicas.
        scaling: "linear", base * batch_size / 256; or "sqrt", base * sqrt(batch_size).

    Returns:
        float.

    Raises:
        ValueError: if `scaling` is unknown or `batch_size` is not positive.

    Example:

    ```python
    tfssl.optim.scaled_learning_rate(0.3, 512)  # 0.6
    tfssl.optim.scaled_learning_rate(0.075, 400, scaling="sqrt")  # 1.5
    ```
    """
    if batch_size <= 0:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
    if scaling == "linear":
        return base * batch_size / 256
    if scaling == "sqrt":
        return base * math.sqrt(batch_size)
    raise ValueError(f"`scaling` must be 'linear' or 'sqrt'. Received: scaling={scaling}")


def train_steps(num_examples: int, epochs: float, batch_size: int) -> int:
    """Number of steps of a run: whole batches plus one, as in google-research/simclr.

    Args:
        num_examples: integer, images per epoch.
        epochs: float, length of the run.
        batch_size: integer, images per step.

    Returns:
        integer of 1 or more.

    Example:

    ```python
    tfssl.optim.train_steps(50_000, epochs=100, batch_size=512)  # 9766
    ```
    """
    return int(num_examples * epochs // batch_size) + 1


def warmup_steps(num_examples: int, epochs: float, batch_size: int) -> int:
    """Number of steps of a warmup: whole batches, as in google-research/simclr.

    Args:
        num_examples: integer, images per epoch.
        epochs: float, length of the warmup.
        batch_size: integer, images per step.

    Returns:
        integer of 0 or more.

    Example:

    ```python
    tfssl.optim.warmup_steps(50_000, epochs=10, batch_size=512)  # 976
    ```
    """
    return int(num_examples * epochs // batch_size)


def _half_cosine(step, total_steps):
    """Falls from 1 at step 0 to 0 at `total_steps`, and stays 0."""
    progress = tf.clip_by_value(tf.cast(step, tf.float32) / total_steps, 0.0, 1.0)
    return 0.5 * (1.0 + tf.cos(math.pi * progress))
