"""Views from your own functions and Keras layers."""

import inspect
import reprlib
from collections.abc import Callable

import keras
import tensorflow as tf

from tfssl.augment import basis, ops
from tfssl.augment.recipes import View

_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def view(function: Callable[..., tf.Tensor]) -> View:
    """Makes a `View` of your own function, a Keras layer or an `Op`.

    The function is called once per batch with images float32 [B, H, W, C] in [0, 1]; its result is
    cast to float32. `f(images, seed)` takes its randomness from the seed, int32 [2]: the view is
    `stateless`, and equal seeds give equal views (under XLA the random numbers may differ from
    TensorFlow's). `f(images)` and layers may keep random state, so their views are not `stateless`.
    When a batch is made in parts, as for several replicas, each part gets its own seed.

    The images are not cropped before the function: they must all have the same size.

    Args:
        function: `f(images)` or `f(images, seed)`, distinguished by the number of arguments without
            a default; a `keras.Layer`, including `keras.Sequential`, called with `training=True`;
            an `Op`, such as `random_resized_crop`; or a `View`, which is returned unchanged.

    Returns:
        A `View`.

    Raises:
        ValueError: `function` is none of these.

    Example:

    ```python
    def noisy(images, seed):
        return images + tf.random.stateless_normal(tf.shape(images), seed, stddev=0.1)

    tfssl.augment.view(noisy).stateless  # True
    tfssl.augment.view(keras.layers.RandomContrast(0.4)).stateless  # False
    ```
    """
    if isinstance(function, View):
        return function
    if isinstance(function, ops.Crop):
        return View(function, ops.identity())
    if isinstance(function, ops.Op):
        return View(ops.identity(), function)
    return View(ops.identity(), _op(function))


def _op(function):
    if isinstance(function, keras.Layer):
        return _stateful(function.name, lambda images: function(images, training=True))
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.isfunction(function) and str(function.__module__).startswith(f"{__package__}."):
        raise ValueError(
            f"`function` must be a view or an operation, such as tfssl.augment.{name}(...). "
            f"Received: the function tfssl.augment.{name} itself"
        )
    count = _count_arguments(function)
    if count == 1:
        return _stateful(name, function)
    if count == 2:
        return _seeded(name, function)
    raise ValueError(
        "`function` must be f(images), f(images, seed), a keras.Layer, an Op or a View. "
        f"Received: function={reprlib.repr(function)}"
    )


def _count_arguments(function):
    """The number of required arguments; None if `function` cannot be called by position."""
    if inspect.isclass(function) or not callable(function):
        return None
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have no signature
        return None
    required = [p for p in parameters if p.default is p.empty and p.kind not in _OPEN]
    positional = all(p.kind is not p.KEYWORD_ONLY for p in required)
    return len(required) if positional else None


def _stateful(name, function):
    return ops.Op(
        name,
        lambda seed, images: {},
        lambda images, drawn: tf.cast(function(images), tf.float32),
        per_image=False,
        stateless=False,
        own=False,
    )


def _seeded(name, function):
    """Draws one seed per image, as every draw has the batch as first axis, and uses the first."""
    return ops.Op(
        name,
        lambda seed, images: {"seed": basis.seeds(seed, tf.shape(images)[0])},
        lambda images, drawn: tf.cast(function(images, drawn["seed"][0]), tf.float32),
        per_image=False,
        own=False,
    )
