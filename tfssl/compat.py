"""Every private or version-dependent part of Keras and TensorFlow that the library touches.

Tried with Keras 3.15 and TensorFlow 2.21.
"""

import contextlib

import keras
import tensorflow as tf


@contextlib.contextmanager
def dtype_policy(policy):
    """Layers made inside compute in this policy; the process's own is put back afterwards.

    Args:
        policy: a `keras.DTypePolicy` or its name.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def clear_losses(layer):
    """Forgets what `add_loss` collected in earlier calls of a layer and of those within it."""
    layer._clear_losses()


def several_workers(strategy):
    """Whether a `tf.distribute` strategy spans several processes."""
    in_several = getattr(strategy.extended, "_in_multi_worker_mode", lambda: False)
    return in_several()


def clock_of(dataset):
    """The `tfssl.data.clock.Clock` of a dataset that `tfssl.views` made, or of one made of it.

    None for any other object.
    """
    ahead = [dataset]
    while ahead:
        one = ahead.pop()
        if getattr(one, "clock", None) is not None:
            return one.clock
        inputs = getattr(one, "_inputs", None)
        ahead += inputs() if isinstance(one, tf.data.Dataset) and inputs else []
    return None


def with_callback(callbacks, first):
    """The callbacks of `fit`, in whatever form it takes them, after another one."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(first)
        return callbacks
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return [first, *given]
