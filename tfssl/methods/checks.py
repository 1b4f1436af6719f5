"""Checks of the views, labels and layers that a method is given."""

import contextlib
import numbers
import re

import numpy as np
import tensorflow as tf

from tfssl.methods import batches


def views(method, given):
    """Raises ValueError unless the number, sizes and channels of the views suit the method."""
    name, count = type(method).__name__, method.NUM_VIEWS
    if count and len(given) != count:
        raise ValueError(
            f"{name} takes {counted(count, 'view')} of each image: "
            f"tfssl.views(..., num_views={count}). Received: {len(given)}"
        )
    if len(given) < method.LEAST_VIEWS:
        raise ValueError(
            f"{name} takes {method.LEAST_VIEWS} or more views of each image: tfssl.views(..., "
            f"num_views={method.LEAST_VIEWS}). Received: {len(given)}"
        )
    sizes = {tuple(view.shape[1:3]) for view in given}
    if method.SAME_SIZE and len(sizes) > 1:
        raise ValueError(
            f"{name} takes views of one size. Received: {batches.describe(tuple(given))}"
        )
    channels = {view.shape[-1] for view in given}
    if len(channels) > 1 or None in channels:
        raise ValueError(
            "Views must have one known number of channels. "
            f"Received: {batches.describe(tuple(given))}"
        )


def batch_size(method, size):
    """Raises ValueError for a batch that is too small or that `accumulate_steps` cannot divide."""
    if size and size < method.least_batch:
        raise ValueError(
            f"{type(method).__name__} compares the images of a batch, of which it needs "
            f"{method.least_batch} or more. Received: batches of {size}"
        )
    if size and size % method.accumulate_steps:
        raise ValueError(
            "`accumulate_steps` must divide the batch size. "
            f"Received: {method.accumulate_steps} for batches of {size}"
        )


def count_images(dataset):
    """Number of images in an epoch of a dataset of views; None: unknown."""
    spec, batches_made = getattr(dataset, "element_spec", None), -1
    if isinstance(dataset, tf.data.Dataset):
        batches_made = int(dataset.cardinality())
    if batches_made <= 0 or spec is None:
        return None
    size = batches.unpack(spec)["views"][0].shape[0]
    return batches_made * size if size else None


def classes(method, count):
    """Raises ValueError if there are more classes than outputs of the classifier."""
    outputs = method.num_outputs
    if outputs and count > outputs:
        raise ValueError(
            f"`num_classes` must be at least {count}, as `x` has labels up to {count - 1}. "
            f"Received: {outputs}"
        )


def first_batch(method, dataset, clock=None):
    """Checks the values of the first batch of a user's dataset."""
    with clock.fixed(0) if clock else contextlib.nullcontext(), explained(method):
        for data in dataset.take(1).as_numpy_iterator():
            batch = batches.unpack(data)
            batches.check_values(batch, list(method.input_range))
            if "label" in batch:
                classes(method, int(np.max(batch["label"], initial=-1)) + 1)
    if clock:
        clock.checked = True


def images(given):
    """Raises ValueError if `predict` is given views, or floats outside [0, 1]."""
    if isinstance(given, tf.data.Dataset):
        for data in given.take(1).as_numpy_iterator():
            if isinstance(data, dict) or isinstance(data, tuple) and isinstance(data[0], tuple):
                raise ValueError(
                    "`x` must be images [N, H, W, C], or a dataset of them. Received: a dataset of "
                    "views; tfssl.represent(encoder, images) takes images in any form"
                )
            images(data[0] if isinstance(data, tuple) else data)
    elif np.issubdtype(getattr(given, "dtype", None), np.floating) and np.size(given):
        low, high = float(np.min(given)), float(np.max(given))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("`x` must be finite. Received: values that are not")
        if low < -batches.SLACK or high > 1.0 + batches.SLACK:
            raise ValueError(
                "Floats in `x` must be in [0, 1]; the model brings them to the range that the "
                f"encoder expects. Received: values in [{low:.4g}, {high:.4g}]"
            )


def values_in(error, name="x"):
    """Raises ValueError where a TensorFlow error is about values that a dataset found in `x`.

    Args:
        error: the error.
        name: the argument that holds the images.
    """
    found = re.search(r"assertion failed: \[(.* must .* `x`.*)\] \[(\S+)\] \[(\S+)\]", str(error))
    if found:
        what, low, high = found.groups()
        raise ValueError(f"{what} [{low}, {high}]".replace("`x`", f"`{name}`")) from None


@contextlib.contextmanager
def explained(method):
    """Raises ValueError where TensorFlow finds unsuitable values or labels in `x`."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        values_in(error)
        if method.num_outputs and "SparseSoftmaxCrossEntropyWithLogits" in str(error):
            raise ValueError(
                "`num_classes` must be above every label in `x`. "
                f"Received: {method.num_outputs}, and a label that is not below it"
            ) from None
        raise


def parts_differ(parts):
    """Raises ValueError if two of {name: layer} share variables."""
    owner = {}
    for name, part in parts.items():
        for variable in part.variables:
            other = owner.setdefault(id(variable), name)
            if other != name:
                raise ValueError(
                    f"`{name}` must be a layer of its own. Received: the layer of `{other}`, or "
                    "one that shares weights with it"
                )


def integer(name, value, least=None):
    """Raises ValueError if an argument is not an integer, or less than `least`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or least is not None and value < least:
        raise ValueError(
            f"`{name}` must be an integer{'' if least is None else f' of {least} or more'}. "
            f"Received: {name}={value!r}"
        )


def positive(name, value):
    """Raises ValueError if an argument is not a finite number above 0."""
    if not is_number(value) or not 0 < value < float("inf"):
        raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}")


def share(name, value):
    """Raises ValueError if an argument is not a number in [0, 1]."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={value!r}")


def weight(name, value):
    """Raises ValueError if an argument is not a finite number of 0 or more."""
    if not is_number(value) or not 0 <= value < float("inf"):
        raise ValueError(f"`{name}` must be 0 or more. Received: {name}={value!r}")


def is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def counted(count, noun):
    """A count with its noun, e.g. 1 view, 2 views."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
