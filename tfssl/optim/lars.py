"""The LARS optimizer: layer-wise adaptive rate scaling."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

MOMENTUM_FORMS = ("classic", "popular")


@keras.saving.register_keras_serializable(package="tfssl")
class LARS(keras.optimizers.Optimizer):
    """SGD with momentum and layer-wise adaptive rate scaling (LARS).

    The step of each layer is scaled to the norm of its weights.

    You et al. 2017, "Large Batch Training of Convolutional Networks", Algorithm 1. For a variable
    w with gradient g, momentum m, learning rate r and buffer v:

        u = (g + weight_decay * w) * eeta * ||w|| / ||g + weight_decay * w||
        classic:   v = m * v + r * u        w = w - v
        popular:   v = m * v + u            w = w - r * v

    The two forms agree while the learning rate is constant. When it changes, "classic" keeps the
    rate at which each gradient entered the buffer. google-research/simclr (tf2/lars_optimizer.py,
    383d414) is "classic"; DeepMind's BYOL (byol/utils/optimizers.py, f5de0ed) is "popular".

    Differs from the paper: weight decay is added to the gradient before the ratio and counts in its
    norm, and the ratio is 1 if either norm is 0, as in both references (otherwise a layer that
    starts at zero would never move). Differs from Keras's optimizers: weight decay is part of the
    gradient, so that momentum and ratio apply to it; it is not subtracted from the weights.

    Variables passed to `exclude_from_adaptation` are updated by plain SGD with momentum. The models
    of tfssl exclude biases and normalizations by themselves.

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: float in [0, 1).
        weight_decay: float >= 0, factor of the weights added to the gradient.
        eeta: float > 0, the trust coefficient of the paper.
        nesterov: whether a step looks one momentum update ahead.
        momentum_form: "classic" or "popular".
        name: name of the optimizer.
        **kwargs: further arguments of `keras.optimizers.Optimizer`, e.g. `clipnorm`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = tfssl.LARS(0.3, weight_decay=1e-6)
    optimizer.exclude_from_adaptation(tfssl.optim.excluded(model))
    model.compile(optimizer, loss="mse")
    ```
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eeta: float = 0.001,
        nesterov: bool = False,
        momentum_form: str = "classic",
        name: str = "lars",
        **kwargs: Any,
    ) -> None:
        # Keras's own `weight_decay` stays None: it would be subtracted on top of ours.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        if isinstance(learning_rate, (int, float)):
            _check(
                learning_rate >= 0,
                "`learning_rate` must not be negative",
                learning_rate=learning_rate,
            )
        _check(0 <= momentum < 1, "`momentum` must be in [0, 1)", momentum=momentum)
        _check(weight_decay >= 0, "`weight_decay` must not be negative", weight_decay=weight_decay)
        _check(eeta > 0, "`eeta` must be positive", eeta=eeta)
        _check(
            momentum_form in MOMENTUM_FORMS,
            f"`momentum_form` must be one of {MOMENTUM_FORMS}",
            momentum_form=momentum_form,
        )
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self.eeta = eeta
        self.nesterov = nesterov
        self.momentum_form = momentum_form
        self._unadapted = frozenset()

    def exclude_from_adaptation(self, variables: Iterable[keras.Variable]) -> None:
        """Excludes variables from layer adaptation and from weight decay.

        `tfssl.optim.excluded` returns the usual list. The exclusion is not part of `get_config`:
        call this again after deserialization. To exclude variables from weight decay only, use the
        inherited `exclude_from_weight_decay`.

        Args:
            variables: list of variables that the optimizer will be built with.

        Raises:
            ValueError: if the optimizer is already built.
        """
        _check(
            not self.built,
            "Variables must be excluded before the optimizer is built",
            built=self.built,
        )
        self.exclude_from_weight_decay(var_list=variables)
        self._unadapted = frozenset(self._var_key(v) for v in variables)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        learning_rate = tf.cast(learning_rate, variable.dtype)
        inside, outside = (
            (learning_rate, 1.0) if self.momentum_form == "classic" else (1.0, learning_rate)
        )
        scaled = inside * self._adapted(tf.cast(gradient, variable.dtype), variable)
        buffer = self._momentums[self._get_variable_index(variable)]
        velocity = self.momentum * tf.convert_to_tensor(buffer) + scaled
        step = self.momentum * velocity + scaled if self.nesterov else velocity
        self.assign(buffer, velocity)
        self.assign_sub(variable, outside * step)

    def _adapted(self, gradient, variable):
        """The gradient with weight decay, scaled by the layer's trust ratio."""
        if self._use_weight_decay(variable):
            gradient += self.coupled_weight_decay * variable
        if self._var_key(variable) in self._unadapted:
            return gradient
        w_norm, g_norm = tf.norm(variable), tf.norm(gradient)
        both = tf.logical_and(w_norm > 0, g_norm > 0)
        return gradient * tf.where(both, self.eeta * tf.math.divide_no_nan(w_norm, g_norm), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
            "eeta": self.eeta,
            "nesterov": self.nesterov,
            "momentum_form": self.momentum_form,
        }


def _check(condition, message, **received):
    if not condition:
        ((name, value),) = received.items()
        raise ValueError(f"{message}. Received: {name}={value}")
