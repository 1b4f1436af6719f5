"""Callbacks that measure the representation at the end of epochs."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfssl import evaluation
from tfssl.data.inputs import Images
from tfssl.evaluation.measure import Encode, NotFinite, Splits
from tfssl.evaluation.protocols import Protocol
from tfssl.information import representation
from tfssl.methods import Learner, SelfSupervised, batches, checks
from tfssl.methods.hints import Batch, Scalars, Views

OF_ONE_VIEW = ("effective_rank", "spectrum_decay", "uniformity", "neighbours_kept")
OF_TWO_VIEWS = ("alignment", "lidar", "view_retrieval", "view_rank")
LOSS = "loss_of_views"
NEIGHBOURS = 10


class Measure(keras.callbacks.Callback):
    """Base class of callbacks that add measurements to the logs of `fit`.

    Subclasses implement `measure`. It is called at the end of the first epoch and of every
    `every`-th one. At the end of the other epochs the last values are logged again. Callbacks
    further back in the list see the values.

    Args:
        every: epochs between measurements.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be an integer of 1 or more. Received: every={every!r}")
        self.every, self.newest = every, {}

    def measure(self) -> dict[str, float]:
        """Returns {name: float}; must not change the state of the model."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.newest = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.newest or (epoch + 1) % self.every == 0:
            self.newest = self.measure()
        if logs is not None:
            logs.update(self.newest)


class Accuracy(Measure):
    """Logs the top-1 accuracy of a protocol on the representations of fixed images.

    Args:
        protocol, train, test: as for `tfssl.evaluate`.
        every: epochs between measurements.
        name: name of the log; None: that of the protocol.
        **options: batch_size, size and value_range, as for `tfssl.evaluate`.
    """

    def __init__(
        self,
        protocol: Protocol,
        train: Images,
        test: Images,
        every: int,
        name: str | None,
        **options: Any,
    ) -> None:
        super().__init__(every)
        self.protocol, self.name = protocol, name or protocol.name
        self.splits, self.encode = Splits(train, test, **options), None

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if self.encode is None or self.encode.encoder is not model:
            self.encode = Encode(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.splits.check(self.encode, (self.protocol,))

    def measure(self) -> dict[str, float]:
        try:
            (found,) = self.splits.accuracies(self.encode, (self.protocol,)).values()
        except NotFinite:
            return {self.name: math.nan}
        return {self.name: found["top_1"]}


class KNN(Accuracy):
    """Logs the top-1 accuracy of k nearest neighbours as "knn_<k>" at the end of epochs.

    It is measured at the end of the first epoch and of every `every`-th one; in between the last
    value is logged again. `History`, the progress bar, and callbacks further back in the list see
    the value. It is NaN if representations are not finite. See `tfssl.evaluation.knn_scores`.

    Args:
        train, test: labelled images that vote, and that are scored, as for `tfssl.evaluate`.
        k: integer of 1 or more, the number of neighbours that vote.
        every: epochs between measurements.
        temperature: float > 0, as for `tfssl.evaluation.KNN`.
        batch_size, size, value_range: as for `tfssl.evaluate`.
        name: name of the log; None: "knn_<k>".

    Raises:
        ValueError: an argument has another form or value than described here.

    Example:

    ```python
    labels = np.arange(40) % 2  # red and green images
    images = np.tile(np.eye(3)[labels][:, None, None], (1, 8, 8, 1))
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))
    knn = tfssl.callbacks.KNN((images, labels), (images, labels))
    stop = keras.callbacks.EarlyStopping(monitor="knn_20", mode="max", patience=5)
    model.fit(views, epochs=2, callbacks=[knn, stop], verbose=0).history["knn_20"]  # [1.0, 1.0]
    ```
    """

    def __init__(
        self,
        train: Images,
        test: Images,
        k: int = 20,
        every: int = 1,
        *,
        temperature: float = 0.07,
        batch_size: int = 256,
        size: int | tuple[int, int] | None = None,
        value_range: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            evaluation.KNN(k, temperature),
            train,
            test,
            every,
            name,
            batch_size=batch_size,
            size=size,
            value_range=value_range,
        )


class Probe(Accuracy):
    """Logs the top-1 accuracy of a linear classifier as "linear" at the end of epochs.

    A new classifier is fitted for each measurement; see `tfssl.evaluation.linear_probe`. It is
    measured and logged at the same times as `KNN`.

    Args:
        train, test: labelled images to fit, and to score, as for `tfssl.evaluate`.
        every: epochs between measurements.
        l2: float > 0, as for `tfssl.evaluation.Linear`.
        batch_size, size, value_range: as for `tfssl.evaluate`.
        name: name of the log; None: "linear".

    Raises:
        ValueError: an argument has another form or value than described here.

    Example:

    ```python
    labels = np.arange(40) % 2  # red and green images
    images = np.tile(np.eye(3)[labels][:, None, None], (1, 8, 8, 1))
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))
    probe = tfssl.callbacks.Probe((images, labels), (images, labels), every=10)
    model.fit(views, callbacks=[probe], verbose=0).history["linear"]  # [1.0]
    ```
    """

    def __init__(
        self,
        train: Images,
        test: Images,
        every: int = 1,
        *,
        l2: float = 1e-3,
        batch_size: int = 256,
        size: int | tuple[int, int] | None = None,
        value_range: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            evaluation.Linear(l2),
            train,
            test,
            every,
            name,
            batch_size=batch_size,
            size=size,
            value_range=value_range,
        )


class Information(Measure):
    """Logs properties of the representations of fixed views at the end of epochs, without labels.

    Of the first view: "effective_rank" (RankMe), "spectrum_decay" (alpha-ReQ), "uniformity", and
    "neighbours_kept", the share of the 10 nearest neighbours of an image that are the same as at
    the last measurement; it rises as a training settles. Of all views of its size: "lidar". Of the
    first two: "alignment", "view_retrieval", how often the first view retrieves the second among
    those of all images, and "view_rank", how far down it is found. Of the loss: "loss_of_views",
    which of held-out images is not that of the training; and, for methods with an InfoNCE loss,
    "infonce_bound": a lower bound in nats on the mutual information of two views, log(candidates)
    minus the loss. The bound cannot exceed log(candidates), which grows with the batch size. The
    network runs in inference mode: before the moving averages of batch normalization have
    converged, the bound is far below that of the training loss. Definitions and sources are in
    `tfssl.information.representation`. All values are NaN if representations are not finite.

    Args:
        views: a dataset of views, of which the first batches are used, or one batch of views in any
            form that `fit` takes; at least 2 images. Held-out images say more than training images.
            Of a method of one view, such as MAE, give two: the loss takes the first.
        every: epochs between measurements; the first is at the end of the first epoch.
        num_batches: integer, how many batches of a dataset are used. The losses are means over the
            batches; all else is computed on their images together.

    Raises:
        ValueError: an argument has another form or value than described here, or the model does not
            take such views.

    Example:

    ```python
    images = np.tile(np.eye(3)[np.arange(40) % 2][:, None, None], (1, 8, 8, 1))
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # two colours, two equal views
    information = tfssl.callbacks.Information(views)
    history = model.fit(views, callbacks=[information], verbose=0).history
    round(history["effective_rank"][0], 3), history["alignment"][0]  # (2.0, 0.0)
    ```
    """

    def __init__(
        self,
        views: tf.data.Dataset | tf.Tensor | np.ndarray | tuple | list | dict[str, Any],
        every: int = 1,
        num_batches: int = 1,
    ) -> None:
        super().__init__(every)
        checks.integer("num_batches", num_batches, least=1)
        self.batches = batches_of(views, num_batches)
        self.measured = self.before = None

    def set_model(self, model: Learner) -> None:
        before = self.model
        super().set_model(model)
        if not isinstance(model, Learner):
            raise ValueError(
                f"Information needs a tfssl.methods.Learner. Received: {type(model).__name__}"
            )
        if self.measured is None or before is not model:
            self.measured = tf.function(self.outputs_on)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        for batch in self.batches:
            batches.check_values(batch, list(self.model.input_range))
            checks.views(self.model, self.of_loss(batch["views"]))
            self.check_sides(batch)
        # Raises an error here if the method does not take the views.
        self.before = neighbours_of(self.represented()[0][0])

    def check_sides(self, batch: Batch) -> None:
        """Raises ValueError for views of another size or number of channels than the model's."""
        expected, sides = self.model.views_shape[1:], batch["views"][0].shape[1:]
        if any(one not in (None, other) for one, other in zip(expected, sides)):
            raise ValueError(
                f"`views` must have images of shape {tuple(expected)}, as the model. "
                f"Received: images {tuple(sides)}"
            )

    def of_loss(self, views: Views) -> Views:
        """The views that the loss takes: of a method that takes one, the first."""
        return views[:1] if self.model.NUM_VIEWS == 1 else views

    def outputs_on(self, batch: Batch) -> tuple[Views, Scalars]:
        """Returns h, a tuple of float32 [B, D], and the loss and scalars of the method."""
        h, scalars = (), {}
        if isinstance(self.model, SelfSupervised):
            views = self.of_loss(batch["views"])
            made = self.model.loss_on_views(views, batch.get("label"), training=False)
            scalars = {**made.scalars, LOSS: made.loss}
            h = made.h if self.model.NUM_VIEWS != 1 else ()
        h = h or tuple(self.model.encode(view, training=False) for view in batch["views"])
        self.model.clear_losses()  # they are tensors of this graph
        return tuple(tf.cast(view, tf.float32) for view in h), scalars

    def represented(self) -> tuple[list[np.ndarray], dict[str, float]]:
        """Returns h of all images, a list of [N, D], and the means of the loss and scalars."""
        made = [tf.nest.map_structure(np.asarray, self.measured(one)) for one in self.batches]
        h = [np.concatenate(view) for view in zip(*(h for h, _ in made))]
        return h, {name: float(np.mean([one[name] for _, one in made])) for name in made[0][1]}

    def measure(self) -> dict[str, float]:
        h, scalars = self.represented()
        views = self.batches[0]["views"]
        alike = [one for one, view in zip(h, views) if view.shape == views[0].shape]
        finite = all(np.isfinite(view).all() for view in h)
        found = scores_of(alike) if finite else {}
        before, self.before = self.before, neighbours_of(h[0])
        if before is not None and self.before is not None:
            found["neighbours_kept"] = representation.shared(before, self.before)
        names = OF_ONE_VIEW + (OF_TWO_VIEWS if len(alike) > 1 else ())
        found = {name: found.get(name, math.nan) for name in names}
        found |= {LOSS: scalars[LOSS]} if LOSS in scalars else {}
        return found | self.bound(scalars)

    def bound(self, scalars: dict[str, float]) -> dict[str, float]:
        """Returns {"infonce_bound": nats}; {} if the method has no InfoNCE loss."""
        if not isinstance(self.model, SelfSupervised):
            return {}
        views = self.batches[0]["views"]
        ceiling = self.model.ceiling(len(views[0]), len(views))
        if ceiling is None:
            return {}
        return {"infonce_bound": ceiling - scalars["contrast_loss"] / self.model.DIRECTIONS}


def neighbours_of(h):
    """The nearest neighbours of each image, int [N, k]; None if representations are not finite."""
    k = min(NEIGHBOURS, len(h) - 1)
    return representation.nearest(h, k) if np.isfinite(h).all() else None


def scores_of(h):
    """Returns {name: number} for the representations of one or more views, float32 [N, D]."""
    found = {
        "effective_rank": representation.effective_rank(representation.singular_values(h[0])),
        "spectrum_decay": representation.spectrum_decay(h[0]),
        "uniformity": representation.uniformity(h[0]),
    }
    if len(h) > 1:
        found["alignment"] = representation.alignment(*h[:2])
        found["lidar"] = representation.lidar(np.stack(h))
        retrieval, rank = representation.views_found(*h[:2])
        found |= {"view_retrieval": retrieval, "view_rank": rank}
    return found


def batches_of(views, count):
    """A list of batches of views in the form of `batches.unpack`; the first ones of a dataset."""
    given = list(views.take(count)) if isinstance(views, tf.data.Dataset) else [views]
    if not given:
        raise ValueError("`views` must hold a batch. Received: an empty dataset")
    try:
        made = [batches.unpack(one) for one in given]
    except ValueError as error:
        raise ValueError(str(error).replace("`x`", "`views`")) from None
    if any(len(batch["views"][0]) < 2 for batch in made):
        raise ValueError("`views` must be of at least 2 images. Received: 1")
    return [tf.nest.map_structure(tf.convert_to_tensor, batch) for batch in made]
