"""Chooses the image and the label among the features of a tensorflow_datasets builder."""

import numpy as np
import tensorflow as tf

from tfssl.errors import UsageError

CUSTOMARY = ("image", "label")  # if the builder has no supervised_keys


def choose(builder):
    """Chooses the features to learn from.

    The image is the first one in the builder's supervised_keys, or the only one. So is the label,
    which must be a class; otherwise the images are unlabelled.

    Returns:
        (name of the image, name of the label or None, a remark or "").

    Raises:
        UsageError: examples have no image, several among which none is named, or images of an
            unsupported shape.
    """
    features = dict(builder.info.features.items())
    named = tf.nest.flatten(builder.info.supervised_keys or CUSTOMARY)
    image = image_of(builder.name, features, named)
    label, remark = label_of(features, named)
    return image, label, remark and f"{builder.name}: {remark}"


def image_of(dataset, features, named):
    """The name of the image feature."""
    images = [name for name, feature in features.items() if is_image(feature)]
    chosen = next((name for name in named if name in images), None)
    if chosen is None and len(images) > 1:
        raise UsageError(
            "`dataset` must say by its supervised_keys which of its images to learn "
            f"from. Received: {dataset}, with {', '.join(sorted(images))}"
        )
    if not images:
        within = [name for name, feature in features.items() if holds_image(feature)]
        raise UsageError(
            "`dataset` must have one image in every example. Received: "
            f"{dataset}, "
            + (
                f"whose images are within {', '.join(sorted(within))}"
                if within
                else f"with {', '.join(sorted(features))}"
            )
        )
    chosen = chosen or images[0]
    shape = features[chosen].shape
    if len(shape) != 3 or shape[-1] not in (1, 2, 3, 4):
        raise UsageError(
            "`dataset` must hold images [height, width, channels] of 1 to 4 channels. "
            f"Received: {dataset}, whose {chosen} is {list(shape)}"
        )
    return chosen


def label_of(features, named):
    """The name of the label feature, or None, and a remark or ""."""
    labels = [name for name, feature in features.items() if is_class(feature)]
    known = [name for name in labels if features[name].num_classes]
    chosen = next(
        (name for name in (*named, *CUSTOMARY) if name in known),
        known[0] if len(known) == 1 else None,
    )
    if chosen:
        return chosen, "" if chosen in named else f"the labels are those of {chosen}"
    if known:
        return None, (
            f"none of {', '.join(sorted(known))} is declared as the label; "
            "the images are taken as unlabelled"
        )
    numbers = [
        name
        for name in dict.fromkeys((*named, *CUSTOMARY))
        if name in labels or is_integer(features.get(name))
    ]
    return None, numbers and (
        f"{', '.join(numbers)} does not say how many classes there are; the "
        "images are taken as unlabelled"
    ) or ""


def is_image(feature):
    """Whether a feature is an image, and not a segmentation map."""
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image) and not isinstance(
        feature, tfds.features.LabeledImage
    )


def holds_image(feature):
    """Whether a feature is or contains an image, at any depth."""
    within = getattr(feature, "feature", None)
    parts = [within] if within is not None else getattr(feature, "values", list)()
    return is_image(feature) or any(map(holds_image, parts))


def is_class(feature):
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.ClassLabel)


def is_integer(feature):
    """Whether a feature is an integer scalar."""
    import tensorflow_datasets as tfds

    return (
        isinstance(feature, tfds.features.Tensor)
        and feature.shape == ()
        and np.issubdtype(feature.np_dtype, np.integer)
    )
