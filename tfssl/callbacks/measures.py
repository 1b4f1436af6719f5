"""Callbacks that log, at the end of epochs, how good the representation is."""

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


class Measure(keras.callbacks.Callback):
    """Adds what it measures to the logs of `fit`, for the callbacks behind it to see.

    Subclasses implement `measure`. It is called at the end of every so many epochs, and of the
    first one, so that there is a value from the beginning. At the end of the other epochs the last
    values are logged again.

    Args:
        every: epochs between measurements.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be an integer of 1 or more. Received: every={every!r}")
        self.every, self.newest = every, {}

    def measure(self) -> dict[str, float]:
        """{name: float} of the model as it is; the model's state stays as it is."""
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
        protocol: as for `tfssl.evaluate`.
        train, test: likewise.
        every: epochs between measurements.
        name: of the log; None: that of the protocol.
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
        self.splits.check(self.encode)

    def measure(self) -> dict[str, float]:
        try:
            (found,) = self.splits.accuracies(self.encode, (self.protocol,)).values()
        except NotFinite:
            return {self.name: math.nan}
        return {self.name: found["top_1"]}


class KNN(Accuracy):
    """Logs the accuracy of the k nearest neighbours as "knn_<k>" at the end of epochs.

    What stands behind it in the list of callbacks sees the value, as do `History` and the progress
    bar. It is measured at the end of every `every`-th epoch, and of the first one; in between the
    last value is logged again. It is NaN where representations are not finite.

    Args:
        train, test: images with labels that vote, and to score, as for `tfssl.evaluate`.
        k: integer of 1 or more, the number of neighbours that vote.
        every: epochs between measurements.
        temperature: float > 0, as for `tfssl.evaluation.KNN`.
        batch_size, size, value_range: as for `tfssl.evaluate`.
        name: of the log; None: "knn_<k>".

    Raises:
        ValueError: an argument is not what is described there.

    Example:

    >>> knn = tfssl.callbacks.KNN((x_train, y_train), (x_test, y_test))
    >>> stop = keras.callbacks.EarlyStopping(monitor="knn_20", mode="max", patience=5)
    >>> model.fit(views, epochs=100, callbacks=[knn, stop])
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
    """Logs the accuracy of a linear classifier, fitted anew, as "linear" at the end of epochs.

    When it is measured and what sees it is as of `KNN`.

    Args:
        train, test: images with labels to fit to, and to score, as for `tfssl.evaluate`.
        every: epochs between measurements.
        l2: float > 0, as for `tfssl.evaluation.Linear`.
        batch_size, size, value_range: as for `tfssl.evaluate`.
        name: of the log; None: "linear".

    Raises:
        ValueError: an argument is not what is described there.

    Example:

    >>> probe = tfssl.callbacks.Probe((x_train, y_train), (x_test, y_test), every=10)
    >>> model.fit(views, epochs=100, callbacks=[probe, keras.callbacks.CSVLogger("log.csv")])
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
    """Logs what the representation of one fixed batch of views holds, at the end of epochs.

    "effective_rank" (RankMe) and "uniformity" of the first view; "alignment" of the first two,
    where there are as many; "infonce_bound", a lower bound in nats on what two views have in
    common, where the method has an InfoNCE loss: log(candidates) minus that loss on the batch. A
    bound cannot exceed log(candidates), so it grows with the batch. The network is as in inference:
    until the moving averages of its batch normalizations have settled, the bound is far below that
    of the training loss. Definitions and sources are in `tfssl.information.representation`. All
    are NaN where representations are not finite.

    Args:
        views: a dataset of views, of which the first batch is kept, or one batch of views, in any
            form that `fit` takes; at least 2 images.
        every: epochs between measurements; the first is at the end of the first epoch.

    Raises:
        ValueError: an argument is not what is described here, or the model takes no such views.

    Example:

    >>> information = tfssl.callbacks.Information(views)
    >>> history = model.fit(views, epochs=10, callbacks=[information])
    >>> history.history["effective_rank"]
    """

    def __init__(
        self,
        views: tf.data.Dataset | tf.Tensor | np.ndarray | tuple | list | dict[str, Any],
        every: int = 1,
    ) -> None:
        super().__init__(every)
        self.batch = batch_of(views)
        self.measured = None

    def set_model(self, model: Learner) -> None:
        before = self.model
        super().set_model(model)
        if not isinstance(model, Learner):
            raise ValueError(
                f"Information needs a tfssl.methods.Learner. Received: {type(model).__name__}"
            )
        if self.measured is None or before is not model:
            self.measured = tf.function(self.represented)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        batches.check_values(self.batch, list(self.model.input_range))
        checks.views(self.model, self.batch["views"])
        self.check_sides()
        self.measured(self.batch)  # what the method does not take is refused here

    def check_sides(self) -> None:
        """Raises ValueError for views of another size, or other channels, than the model is for."""
        expected, sides = self.model.views_shape[1:], self.batch["views"][0].shape[1:]
        if any(one not in (None, other) for one, other in zip(expected, sides)):
            raise ValueError(
                f"`views` must be of images {tuple(expected)}, as the model is. "
                f"Received: images {tuple(sides)}"
            )

    def represented(self, batch: Batch) -> tuple[Views, Scalars]:
        """h, a tuple of float32 [B, D], and the method's scalars."""
        h, scalars = (), {}
        if isinstance(self.model, SelfSupervised):
            made = self.model.loss_on_views(batch["views"], batch.get("label"), training=False)
            h, scalars = made.h, made.scalars
        h = h or tuple(self.model.encode(view, training=False) for view in batch["views"])
        self.model.clear_losses()  # which would be tensors of this graph
        return tuple(tf.cast(view, tf.float32) for view in h), scalars

    def measure(self) -> dict[str, float]:
        h, scalars = tf.nest.map_structure(np.asarray, self.measured(self.batch))
        found = scores_of(h) if all(np.isfinite(view).all() for view in h) else {}
        bound = self.bound(scalars)
        names = ("effective_rank", "uniformity", *(("alignment",) if len(h) > 1 else ()))
        return {name: found.get(name, math.nan) for name in names} | bound

    def bound(self, scalars: dict[str, Any]) -> dict[str, float]:
        """{"infonce_bound": number of nats}; {} where the method has no such loss."""
        if not isinstance(self.model, SelfSupervised):
            return {}
        candidates = self.model.candidates(len(self.batch["views"][0]))
        if not candidates:
            return {}
        # `contrast_loss` is the sum over two directions.
        return {"infonce_bound": math.log(candidates) - float(scalars["contrast_loss"]) / 2}


def scores_of(h):
    """{name: number} of the representations of one view, or of two, float32 [B, D] each."""
    found = {
        "effective_rank": representation.effective_rank(representation.singular_values(h[0])),
        "uniformity": representation.uniformity(h[0]),
    }
    return found | ({"alignment": representation.alignment(*h[:2])} if len(h) > 1 else {})


def batch_of(views):
    """One batch of views as `batches.unpack` returns it, of the first of a dataset."""
    if isinstance(views, tf.data.Dataset):
        views = next(iter(views.take(1)), None)
        if views is None:
            raise ValueError("`views` must hold a batch. Received: an empty dataset")
    try:
        batch = batches.unpack(views)
    except ValueError as error:
        raise ValueError(str(error).replace("`x`", "`views`")) from None
    if len(batch["views"][0]) < 2:
        raise ValueError("`views` must be of at least 2 images. Received: 1")
    return tf.nest.map_structure(tf.convert_to_tensor, batch)
