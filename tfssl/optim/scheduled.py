"""Optimizers of Keras whose weight decay may follow a schedule, as DINO's does."""

from numbers import Real
from typing import Any, Self

import keras
import tensorflow as tf

Schedule = keras.optimizers.schedules.LearningRateSchedule


class ScheduledDecay:
    """Before an optimizer's class: lets settings of its decay be schedules of the step.

    The settings in DECAYS are read by the optimizer where it takes a step; a schedule is then
    called with the steps that were taken, like one of the learning rate.
    """

    DECAYS = ("weight_decay",)

    def __init_subclass__(cls, **options) -> None:
        super().__init_subclass__(**options)
        for name in cls.DECAYS:
            setattr(cls, name, _scheduled(f"_{name}_given"))

    def schedule_of(self, name: str) -> float | Schedule | None:
        """What was given for a setting of DECAYS: a number, a schedule, or None."""
        return getattr(self, f"_{name}_given")

    def get_config(self) -> dict[str, Any]:
        given = {name: self.schedule_of(name) for name in self.DECAYS}
        described = {
            name: keras.optimizers.schedules.serialize(value) if callable(value) else value
            for name, value in given.items()
        }
        return {**super().get_config(), **described}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        described = {
            name: keras.optimizers.schedules.deserialize(config[name], custom_objects)
            for name in cls.DECAYS
            if isinstance(config.get(name), dict)
        }
        return super().from_config({**config, **described}, custom_objects)


def decay_of(optimizer: keras.Optimizer) -> float | Schedule | None:
    """The weight decay that an optimizer was given.

    Args:
        optimizer: a `keras.Optimizer`.

    Returns:
        A number, a schedule, or None.

    Example:

    ```python
    tfssl.optim.decay_of(keras.optimizers.AdamW(0.1, weight_decay=0.05))  # 0.05
    ```
    """
    if isinstance(optimizer, ScheduledDecay):
        return optimizer.schedule_of("weight_decay")
    return getattr(optimizer, "weight_decay", None)


def _scheduled(attribute):
    """A property that holds a number or a schedule, and gives the value of the current step."""

    def now(self) -> float | tf.Tensor | None:
        given = getattr(self, attribute)
        return given(self.iterations) if callable(given) else given

    def give(self, given: float | Schedule | None) -> None:
        if not (given is None or callable(given) or isinstance(given, Real) and given >= 0):
            raise ValueError(
                "A weight decay must be a number of 0 or more, or a schedule of it. "
                f"Received: {given!r}"
            )
        setattr(self, attribute, given)

    return property(now, give)


@keras.saving.register_keras_serializable(package="tfssl")
class AdamW(ScheduledDecay, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose `weight_decay` may be a schedule.

    Loshchilov and Hutter 2019; with a cosine from 0.04 to 0.4 as in Caron et al. 2021 (DINO),
    section 3.2.

    Args:
        *arguments, **keywords: as for `keras.optimizers.AdamW`; `weight_decay` may also be a
            `keras.optimizers.schedules.LearningRateSchedule`, called with the number of steps.

    Example:

    ```python
    decay = keras.optimizers.schedules.CosineDecay(0.04, decay_steps=100, alpha=10.0)
    optimizer = tfssl.optim.AdamW(1e-3, weight_decay=decay)
    round(float(optimizer.weight_decay), 3)  # 0.04
    optimizer.iterations.assign(100)
    round(float(optimizer.weight_decay), 3)  # 0.4
    ```
    """


@keras.saving.register_keras_serializable(package="tfssl")
class Lion(ScheduledDecay, keras.optimizers.Lion):
    """`keras.optimizers.Lion` (Chen et al. 2023) whose `weight_decay` may be a schedule.

    Args:
        *arguments, **keywords: as for `keras.optimizers.Lion`; `weight_decay` as for `AdamW`.

    Example:

    ```python
    decay = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100, alpha=3.0)
    float(tfssl.optim.Lion(1e-4, weight_decay=decay).learning_rate) > 0  # True
    ```
    """


@keras.saving.register_keras_serializable(package="tfssl")
class Muon(ScheduledDecay, keras.optimizers.Muon):
    """`keras.optimizers.Muon` (Liu et al. 2025) whose decays may be schedules.

    Args:
        *arguments, **keywords: as for `keras.optimizers.Muon`; `weight_decay` and
            `adam_weight_decay` as for `AdamW`.

    Example:

    ```python
    decay = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100, alpha=3.0)
    optimizer = tfssl.optim.Muon(0.02, weight_decay=decay, adam_weight_decay=decay)
    round(float(optimizer.adam_weight_decay), 2)  # 0.1
    ```
    """

    DECAYS = ("weight_decay", "adam_weight_decay")
