"""The batch formats that a training step accepts."""

import numpy as np
import tensorflow as tf

FORMS = "(view1, view2), ((view1, view2), label), or {'views': (view1, view2), 'label': label}"
ONE_FORM = "(images, label), or {'views': (images,), 'label': label}"
SLACK = 0.5  # views may exceed [0, 1] by this much after augmentation


def unpack(data):
    """Converts a batch in any of the accepted formats to {"views": tuple, ...}.

    Args:
        data: tensors or their specs: views, (views, labels), or a dict with "views" and optionally
            "label". Views are a tuple or list of images [B, H, W, C], or a single one.

    Returns:
        A dict with "views", a tuple; "label", if there are labels; and further keys of `data`.

    Raises:
        ValueError: `data` has another format.
    """
    if isinstance(data, dict) and "views" in data:
        return {**data, "views": as_views(data["views"])}
    if isinstance(data, (tuple, list)) and data and all(map(is_images, data)):
        return {"views": tuple(data)}
    if isinstance(data, (tuple, list)) and len(data) == 2 and is_labels(data[1]):
        return {"views": as_views(data[0]), "label": data[1]}
    if is_images(data):
        return {"views": (data,)}
    raise ValueError(f"`x` must give {FORMS}. Received: {describe(data)}")


def as_views(views):
    """Views as a tuple."""
    if is_images(views):
        return (views,)
    if isinstance(views, (tuple, list)) and views and all(map(is_images, views)):
        return tuple(views)
    raise ValueError(f"Views must be images [B, H, W, C]. Received: {describe(views)}")


def rank(value):
    shape = getattr(value, "shape", None)
    return None if shape is None else tf.TensorShape(shape).rank


def is_images(value):
    return rank(value) == 4


def is_labels(value):
    return rank(value) in (0, 1)


def describe(data):
    """The structure of a batch as text, e.g. (float32 [?, 32, 32, 3], int64 [?])."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key!r}: {describe(value)}" for key, value in data.items()) + "}"
    if isinstance(data, (tuple, list)):
        return "(" + ", ".join(map(describe, data)) + ")"
    if getattr(data, "shape", None) is None:
        return type(data).__name__
    sides = ["?" if side is None else str(side) for side in tf.TensorShape(data.shape)]
    return f"{tf.as_dtype(data.dtype).name} [{', '.join(sides)}]"


def check_values(batch, input_range):
    """Checks that the views of a batch are finite floats in [0, 1].

    Args:
        batch: result of `unpack`, with NumPy arrays.
        input_range: value range that the encoder expects, for the message.

    Raises:
        ValueError: they are not.
    """
    for number, view in enumerate(batch["views"], start=1):
        view = np.asarray(view)
        if not np.issubdtype(view.dtype, np.floating) and view.dtype.name != "bfloat16":
            raise ValueError(
                f"View {number} must be of floats in [0, 1]. Received: {view.dtype} images; "
                "tfssl.views makes views of them"
            )
        view = view.astype(np.float32)
        if not np.isfinite(view).all():
            raise ValueError(f"View {number} must be finite. Received: values that are not")
        low, high = float(view.min()), float(view.max())
        if low < -SLACK or high > 1.0 + SLACK:
            raise ValueError(
                f"View {number} must be in [0, 1]; the model brings it to the {input_range} that "
                f"the encoder expects. Received: values in [{low:.4g}, {high:.4g}]"
            )
