"""Representations of images by any Keras encoder, and the accuracies of protocols on them."""

import keras
import numpy as np
import tensorflow as tf

from tfssl import compat
from tfssl.data.inputs import Images
from tfssl.encoders import adapt
from tfssl.evaluation import images as inputs
from tfssl.evaluation.knn import check_k
from tfssl.evaluation.protocols import KNN, Linear, Protocol
from tfssl.evaluation.topk import accuracies
from tfssl.methods import Learner
from tfssl.methods.hints import InputRange
from tfssl.notes import say

COLLAPSED = 0.01  # std of normalized representations times sqrt(D), in [0, 1], below which to warn


class NotFinite(ValueError):
    """Representations that are not finite."""


def evaluate(
    encoder: keras.Layer,
    train: Images,
    test: Images,
    protocols: Protocol | tuple[Protocol, ...] | list[Protocol] = (KNN(20), Linear()),
    *,
    batch_size: int = 256,
    size: int | tuple[int, int] | None = None,
    value_range: tuple[float, float] | None = None,
    input_range: InputRange = "auto",
) -> dict[str, dict[str, float]]:
    """Measures the accuracies of classifiers on the frozen representations of an encoder.

    The encoder is called with `training=False`; its weights and statistics do not change. Images
    without a label (negative) are left out.

    Args:
        encoder: a `keras.Layer` from images [B, H, W, C] to features [B, D], feature maps
            [B, h, w, D] or tokens [B, n, D], which are averaged over positions; or a
            `tfssl.methods.Learner`, whose encoder is used.
        train, test: labelled images to fit and to score the classifiers: a pair of arrays (images,
            labels), images [N, H, W, C] or [N, H, W] of uint8, uint16 or floats in [0, 1], integer
            labels [N]; a `tf.data.Dataset` of (image, label) or {"image": ..., "label": ...},
            batched or not; a directory of image files; "shapes", the embedded dataset; the name of
            a dataset of tensorflow_datasets; or a `tfssl.data.Source`. Of a directory or a named
            dataset, `train` is the split "train" and `test` the evaluation split; of a directory
            without splits, both are the whole.
        protocols: `tfssl.evaluation.KNN`, `tfssl.evaluation.Linear`, or objects with a `name` and
            a method `scores` like theirs.
        batch_size: images per batch.
        size: side in pixels, or (height, width), to which images are center-cropped and resized;
            above 32 px the crop keeps 0.875 of the side. None: images are not resized.
        value_range: (low, high), the values that become 0 and 1; None: the whole range of an
            integer type, and [0, 1] for floats.
        input_range: the pixel values that the encoder expects, as for `Learner`; must be "auto" if
            `encoder` is a learner, which has its own.

    Returns:
        {name of a protocol: {"top_1", "top_5": floats in [0, 1], "correct_top_1", "correct_top_5",
        "examples", "classes": integers}}.

    Raises:
        ValueError: an argument has another form or value than described here, images differ in size
            and `size` is not given, no image has a label, or representations are not finite.

    Example:

    ```python
    labels = np.arange(40) % 2  # red and green images
    images = np.tile(np.eye(3)[labels][:, None, None], (1, 8, 8, 1))
    encoder = keras.layers.GlobalAveragePooling2D()
    scores = tfssl.evaluate(encoder, (images, labels), (images, labels))
    scores["knn_20"]["top_1"], scores["linear"]["correct_top_1"]  # (1.0, 40)
    ```
    """
    protocols = as_protocols(protocols)
    encode = Encode(encoder, input_range)
    splits = Splits(train, test, batch_size=batch_size, size=size, value_range=value_range)
    return splits.accuracies(encode, protocols)


def represent(
    encoder: keras.Layer,
    images: Images,
    *,
    batch_size: int = 256,
    size: int | tuple[int, int] | None = None,
    value_range: tuple[float, float] | None = None,
    input_range: InputRange = "auto",
) -> np.ndarray:
    """Computes the representations of images by an encoder, in their order.

    Args:
        encoder, batch_size, size, value_range, input_range: as for `evaluate`.
        images: like `train` of `evaluate`; labels are optional.

    Returns:
        NumPy array, float32 [N, D].

    Raises:
        ValueError: as for `evaluate`.

    Example:

    ```python
    encoder = keras.layers.GlobalAveragePooling2D()
    images = np.zeros((4, 40, 50, 3), "uint8")
    tfssl.represent(encoder, images, size=32).shape  # (4, 3)
    ```
    """
    encode = Encode(encoder, input_range)
    batches = inputs.read(
        images, "images", batch_size=batch_size, size=size, value_range=value_range
    )
    return representations(encode, batches)[0]


def as_protocols(protocols):
    """Protocols as a tuple; raises ValueError if two have the same name."""
    protocols = tuple(protocols) if isinstance(protocols, (tuple, list)) else (protocols,)
    for protocol in protocols:
        if isinstance(protocol, type):
            raise ValueError(
                f"`protocols` must be objects, such as {protocol.__name__}(). "
                f"Received: the class {protocol.__name__}"
            )
        if not callable(getattr(protocol, "scores", None)) or not hasattr(protocol, "name"):
            raise ValueError(
                "`protocols` must be objects with a `name` and a method `scores`, such as "
                f"tfssl.evaluation.KNN(20). Received: {protocol!r}"
            )
    names = [protocol.name for protocol in protocols]
    if len(set(names)) < len(names):
        raise ValueError(f"`protocols` must differ in their names. Received: {names}")
    return protocols


class Encode:
    """An encoder as a function: images float32 [B, H, W, C] in [0, 1] -> float32 [B, D].

    It is traced once per image size, for any batch size.

    Args:
        encoder, input_range: as for `evaluate`.

    Raises:
        ValueError: `encoder` is neither a layer nor a learner; when called: it does not take such
            images.
    """

    def __init__(self, encoder, input_range="auto"):
        if not isinstance(encoder, keras.Layer):
            raise ValueError(
                "`encoder` must be a keras.Layer, or a tfssl.methods.Learner. "
                f"Received: {encoder!r}"
            )
        self.encoder, self.functions = encoder, {}
        self.learner = encoder if isinstance(encoder, Learner) else None
        if self.learner is None:
            self.input_range = adapt.resolve_input_range(input_range, encoder)
        elif input_range != "auto":
            raise ValueError(
                "`input_range` cannot be set: the learner has one, "
                f"{list(self.learner.input_range)}. Received: input_range={input_range!r}"
            )

    def __call__(self, images):
        shape = tuple(images.shape[1:])
        if shape not in self.functions:
            self.build((None, *shape))
            self.functions[shape] = tf.function(
                self.traced, input_signature=[tf.TensorSpec([None, *shape], tf.float32)]
            )
        return self.functions[shape](images)

    def build(self, shape):
        """Builds the encoder if necessary, and checks that it takes images of a shape."""
        if self.learner is None:
            adapt.build(self.encoder, shape)
        elif self.learner.built:
            adapt.check_input(self.learner.encoder, shape)
        else:
            self.learner.build(shape)

    def traced(self, images):
        if self.learner is not None:
            h, called = self.learner.encode(images, training=False), self.learner.encoder
        else:
            scaled = adapt.scaled(images, self.input_range)
            h, called = adapt.pooled(self.encoder(scaled, training=False)), self.encoder
        compat.clear_losses(called)  # they are tensors of this graph
        return tf.cast(h, tf.float32)


class Splits:
    """Training and test images, read once and encoded repeatedly. See `evaluate`."""

    def __init__(self, train, test, **options):
        self.train = inputs.read(train, "train", labelled=True, **options)
        self.test = inputs.read(test, "test", labelled=True, scored=True, **options)
        inputs.check_pair(self.train, self.test)
        self.warned = self.told = False

    def check(self, encode, protocols=()):
        """Encodes one batch of each split, so that unsuitable images raise an error early.

        Also checks the k of `KNN` if the number of training images is known.
        """
        for batches in (self.train, self.test):
            for batch in batches:
                encode(batch["image"])
                break
            else:
                raise no_images(batches)
        labelled = self.train.source and self.train.source.num_labelled
        for protocol in protocols:
            if labelled and isinstance(protocol, KNN):
                check_k((protocol.k,), labelled)

    def accuracies(self, encode, protocols):
        """The result of `evaluate` for an `Encode` and a tuple of protocols."""
        train_h, train_labels = representations(encode, self.train)
        test_h, test_labels = representations(encode, self.test)
        self.warn_if_collapsed(train_h)
        self.warn_of_new_labels(train_labels, test_labels)
        classes = inputs.num_classes(self.train, self.test, train_labels, test_labels)
        return {
            protocol.name: accuracies(
                scores_of(protocol, train_h, train_labels, test_h, classes), test_labels
            )
            for protocol in protocols
        }

    def warn_of_new_labels(self, train, test):
        """Says once which labels of test images no training image has."""
        new = np.setdiff1d(test, train)
        if len(new) and not self.told:
            self.told = True
            say(
                f"{np.isin(test, new).sum():,} of {len(test):,} images of `test` have labels that "
                f"no image of `train` has, such as {new[0]}: they count as wrong"
            )

    def warn_if_collapsed(self, h):
        """Warns once if the representations h, float32 [N, D], are nearly equal."""
        unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        deviation = float(unit.std(axis=0).mean() * np.sqrt(h.shape[1]))
        if deviation < COLLAPSED and len(h) > 1 and not self.warned:
            self.warned = True
            say(
                f"the representations of all images are nearly equal (spread {deviation:.1g} of "
                "1): the training has collapsed, or the moving averages of batch normalization, "
                "which are used here, have not settled yet: more steps, or a lower momentum"
            )


def representations(encode, batches):
    """Returns representations float32 [N, D] and labels int64 [N] of `inputs.Batches`."""
    hs, labels = [], []
    for batch in batches:
        hs.append(finite(encode(batch["image"]).numpy(), batches.name))
        labels.append(batch["label"].numpy())
    if not hs:
        raise no_images(batches)
    return np.concatenate(hs), np.concatenate(labels)


def scores_of(protocol, train_h, train_labels, test_h, classes):
    """The scores of a protocol, float [N, C]; raises ValueError if they are something else."""
    scores = np.asarray(protocol.scores(train_h, train_labels, test_h, classes))
    scores = scores if np.issubdtype(scores.dtype, np.number) else np.float64(np.nan)
    if scores.shape != (len(test_h), classes) or np.isnan(scores).any():
        raise ValueError(
            f"`protocols` must return scores of shape {(len(test_h), classes)} without NaN. "
            f"Received: of {protocol.name}, shape {scores.shape}"
            + (" with NaN" if np.isnan(scores).any() else "")
        )
    return scores


def no_images(batches):
    """The error for empty `inputs.Batches`."""
    return ValueError(
        f"`{batches.name}` must hold images, with labels where accuracies are measured. "
        "Received: none"
    )


def finite(h, name):
    """Returns the representations; raises NotFinite if a number is not finite."""
    bad = ~np.isfinite(h).all(axis=1)
    if bad.any():
        raise NotFinite(
            f"`encoder` must return finite representations. Received: {bad.sum()} of {len(h)} "
            f"images of `{name}` with values that are not"
        )
    return h
