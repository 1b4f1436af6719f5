"""`--protocols`: evaluation protocols of plug-ins."""

import numpy as np

from tfssl import registry
from tfssl.errors import TrainingError, UsageError
from tfssl.runner import plugins
from tfssl.text import printable

REHEARSED, DIM = 1000, 512  # random representations to try a protocol on, and their dimension


def registered(config):
    """Creates {name: protocol} for --protocols.

    Raises:
        UsageError: a name is not registered, or a protocol cannot be created.
    """
    protocols = {}
    for name in plugins.split(config.protocols):
        entry = registry.find("protocol", name)
        if entry is None:
            known = ", ".join(registry.ENTRIES["protocol"]) or "none"
            raise UsageError(
                f"--protocols must be names that a file of --plugin registers ({known}). "
                f"Received: {printable(name)}"
            )
        try:
            protocols[name] = entry.value()
        except Exception as error:  # the class is the user's
            raise UsageError(
                f"--protocols={name} cannot be made: {type(error).__name__}: {error}"
            ) from error
        if not callable(getattr(protocols[name], "scores", None)):
            raise UsageError(
                f"--protocols={name} must have a method scores(train_h, train_labels, test_h, "
                f"num_classes). Received: {type(protocols[name]).__name__}"
            )
    return protocols


def rehearse(config, source):
    """Calls the protocols on random representations, so that one that fails does so early.

    Args:
        config: a `tfssl.Config`.
        source: the `Source` of the training images.

    Raises:
        UsageError: a protocol fails, or returns something else than scores.
    """
    classes, count = source.num_classes, min(source.num_labelled, REHEARSED)
    if not classes or not count:
        return
    h = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    for name, protocol in registered(config).items():
        try:
            scores(name, protocol, h, np.arange(count) % classes, h[:8], classes)
        except TrainingError as error:
            raise UsageError(f"{error} (tried on random representations)") from error


def scores(name, protocol, train_h, train_labels, test_h, num_classes):
    """Calls a protocol of a plug-in and returns its scores, float [N, C].

    Raises:
        TrainingError: it fails, or returns something else.
    """
    try:
        values = np.asarray(protocol.scores(train_h, train_labels, test_h, num_classes), np.float64)
    except Exception as error:  # the class is the user's
        raise TrainingError(f"--protocols={name} fails: {type(error).__name__}: {error}") from error
    if values.shape != (len(test_h), num_classes) or np.isnan(values).any():
        raise TrainingError(
            f"--protocols={name} must return scores {[len(test_h), num_classes]} without NaN. "
            f"Received: an array of shape {list(values.shape)}"
        )
    return values
