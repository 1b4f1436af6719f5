"""Checks of the optimizers against NumPy in float64."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfssl import optim
from tfssl.doctor import references
from tfssl.doctor.bounds import EXACT, POWER
from tfssl.doctor.comparison import Check
from tfssl.doctor.material import double, random

RATES = (2.0, 1.0, 0.5)  # falling, where LARS's two forms differ; powers of two are exact


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """RATES times a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __call__(self, step):
        return self.factor * tf.gather(tf.constant(RATES), tf.minimum(tf.cast(step, tf.int32), 2))


def checks():
    """The checks of optimizers, a list."""

    def lars(form):
        return optim.LARS(Falling(1.0), 0.9, 0.01, eeta=0.02, momentum_form=form)

    def lars_reference(form, w, gradients, adapted):
        rates = np.array(RATES)
        return references.lars(w, gradients, rates, 0.9, 0.01, 0.02, form, adapted)

    def sgd_reference(w, gradients, adapted):
        return references.momentum(w, gradients, 0.125 * np.array(RATES), 0.9)

    def adam_reference(w, gradients, adapted):
        return references.adam(w, gradients, 0.125 * np.array(RATES), 0.9, 0.999, 1e-7)

    return [
        *(
            of_optimizer(
                f"LARS, {form}",
                functools.partial(lars, form),
                functools.partial(lars_reference, form),
            )
            for form in ("classic", "popular")
        ),
        of_optimizer(
            "SGD with momentum",
            lambda: keras.optimizers.SGD(Falling(0.125), momentum=0.9, nesterov=True),
            sgd_reference,
        ),
        of_optimizer("Adam", lambda: keras.optimizers.Adam(Falling(0.125)), adam_reference, POWER),
    ]


def of_optimizer(name, make, reference, bound=EXACT):
    """Three steps, of a kernel and of a bias that LARS does not adapt."""
    starts = {"kernel": random(0, 3, 3, 4, 8), "bias": 1 + random(1, 8)}
    gradients = {name: random(2, 3, *value.shape) for name, value in starts.items()}

    def measure():
        variables = {name: keras.Variable(value, name=name) for name, value in starts.items()}
        optimizer = make()
        if hasattr(optimizer, "exclude_from_adaptation"):
            optimizer.exclude_from_adaptation([variables["bias"]])
        optimizer.build(list(variables.values()))

        @tf.function
        def step(*flow):
            optimizer.apply(list(flow), list(variables.values()))

        after = {name: [] for name in starts}
        for number in range(3):
            step(*(tf.constant(gradients[name][number]) for name in starts))
            for name, variable in variables.items():
                after[name].append(variable.numpy() - starts[name])
        return {name: np.stack(values) for name, values in after.items()}

    def expect():
        return {
            name: reference(*double(starts[name], gradients[name]), adapted=name == "kernel")
            for name in starts
        }

    return Check(name, "optimizer", measure, expect, bound)
