"""The list of checks."""

import dataclasses
import itertools

import tensorflow as tf

from tfssl.doctor import images, layers, losses, optimizers, steps
from tfssl.doctor.comparison import Check


def checks(
    device: str | None = None,
    *,
    method: str = "simclr",
    precision: str = "float32",
    full: bool = False,
) -> list[Check]:
    """Lists the checks of a device.

    Args:
        device: name for `tf.device`, such as "GPU:1"; None: where TensorFlow places computations.
        method: whose training step is checked, one of `doctor.steps.METHODS`.
        precision: of that step: "float32", "mixed_bfloat16" or "mixed_float16".
        full: whether to check the steps of all methods, in every precision, with and without XLA,
            with the augmentation outside and inside. This takes many minutes.

    Returns:
        list of `Check`s, in a fixed order: losses, layers, optimizers, augmentations, steps; and,
        where there are several GPUs, what two of them compute together.

    Raises:
        ValueError: an unknown method or precision.

    Example:

    ```python
    from tfssl import doctor

    len({check.name for check in doctor.checks()}) == len(doctor.checks())  # True
    ```
    """
    for name, value, known in (
        ("method", method, tuple(steps.METHODS)),
        ("precision", precision, steps.PRECISIONS),
    ):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")
    # XLA compiles the step where there is a GPU, unless it is told otherwise: check both there.
    compiled = (False, True) if tf.config.list_physical_devices("GPU") else (False,)
    of_steps = [(method, precision, xla, False) for xla in compiled]
    if full:
        every = [
            *itertools.product(steps.METHODS, steps.PRECISIONS, (False, True), (False,)),
            *itertools.product(steps.AUGMENTING, steps.PRECISIONS, (False, True), (True,)),
        ]
        of_steps += [case for case in every if case not in of_steps]
    made = [
        *losses.checks(),
        *layers.checks(),
        *optimizers.checks(),
        *images.checks(),
        *(steps.of_step(*case) for case in of_steps),
    ]
    return [*(placed(check, device) for check in made), *layers.checks_together()]


def placed(check, device):
    """The check with its measurement on a device."""
    if device is None:
        return check

    def measure():
        with tf.device(device):
            return check.measure()

    return dataclasses.replace(check, measure=measure)
