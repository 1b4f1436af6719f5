"""Views made of a function or a Keras layer of one's own."""

import inspect
from collections.abc import Callable

import keras
import tensorflow as tf

from tfssl.augment import ops
from tfssl.augment.recipes import View

_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def view(function: Callable[..., tf.Tensor]) -> View:
    """A view of one's own: of a function, a Keras layer or an `Op`.

    The images that it is given are float32 [B, H, W, C] in [0, 1], the whole batch at once; what it
    returns is cast to float32. A function of two arguments takes its randomness from the seed,
    int32 [2]: its views are `stateless`, and equal seeds give equal views (XLA's random numbers may
    be other than TensorFlow's). A function of one argument and a layer may keep a state of their
    own, and count as not `stateless`. In a batch that is made in parts, as for several replicas,
    each part has a seed of its own.

    Nothing is cropped before the function: images that differ in size cannot become a batch.

    Example:

    ```python
    def noisy(images, seed):
        return images + tf.random.stateless_normal(tf.shape(images), seed, stddev=0.1)

    tfssl.augment.view(noisy)
    tfssl.augment.view(keras.layers.RandomContrast(0.4))
    ```

    Args:
        function: one of `f(images)` and `f(images, seed)`, told apart by the arguments that have
            no default; a `keras.Layer`, `keras.Sequential` included, called with `training=True`;
            an `Op`, such as `random_resized_crop`; or a `View`, which is returned as it is.

    Returns:
        A `View`.

    Raises:
        ValueError: `function` is none of these.
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
    count = _count_arguments(function)
    if count == 1:
        return _stateful(name, function)
    if count == 2:
        return _seeded(name, function)
    raise ValueError(
        "`function` must be f(images), f(images, seed), a keras.Layer, an Op or a View. "
        f"Received: function={function!r}"
    )


def _count_arguments(function):
    """How many arguments a function has to be given; None where it is no such function."""
    if inspect.isclass(function) or not callable(function):
        return None
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some that are built in do not tell
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
    )


def _seeded(name, function):
    """The draw is a seed per image, as every draw is per image; the first of them counts."""
    return ops.Op(
        name,
        lambda seed, images: {"seed": ops.seeds(seed, tf.shape(images)[0])},
        lambda images, drawn: tf.cast(function(images, drawn["seed"][0]), tf.float32),
        per_image=False,
    )
