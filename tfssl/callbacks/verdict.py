"""The verdict on a training, as a callback."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfssl import verdict
from tfssl.callbacks.measures import Information
from tfssl.methods import Learner


class Verdict(Information):
    """Judges a training at the end of epochs, without labels, and says what to change.

    It measures and logs what `Information` does, prints the verdict when its kind changes and at
    the end, and keeps it in `newest`. See `tfssl.verdict`.

    Args:
        views, every, num_batches: as for `Information`.
        verbose: bool, whether to print.
        held_out: bool, whether the views are of images that the training does not see; for the
            words of the verdict.

    Attributes:
        history: `tfssl.verdict.History`; its first point is before training.
        now: the newest `tfssl.verdict.Verdict`; None before training.

    Raises:
        ValueError: an argument has another form or value than described here, or the model does not
            take such views.

    Example:

    ```python
    images = np.tile(np.eye(3)[np.arange(40) % 3][:, None, None], (1, 8, 8, 1))
    model = tfssl.SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))
    judged = tfssl.callbacks.Verdict(views, verbose=False)
    model.fit(views, callbacks=[judged], verbose=0)
    judged.now.kind  # unusable
    ```
    """

    def __init__(
        self,
        views: tf.data.Dataset | tf.Tensor | np.ndarray | tuple | list | dict[str, Any],
        every: int = 1,
        num_batches: int = 1,
        *,
        verbose: bool = True,
        held_out: bool = True,
    ) -> None:
        super().__init__(views, every, num_batches)
        self.verbose, self.held_out = verbose, held_out
        self.history, self.now, self.said, self.averages = verdict.History(), None, None, None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.begin(getattr(self.model, "fitted_steps", None))
        if not self.history.points:
            self.before = None
            self.add(int(self.model.optimizer.iterations), self.measure())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        before = self.newest
        super().on_epoch_end(epoch, logs)
        if self.newest is not before:
            self.add(int(self.model.optimizer.iterations), {**(logs or {}), **self.newest})
            self.say()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.say(at_end=True)

    def begin(self, total_steps: int | None) -> None:
        """Looks at the views and the network before the first step of a process."""
        self.averages = moving_averages(self.model)
        facts = facts_of(self.model, self.batches, total_steps)
        self.history.facts = dataclasses.replace(facts, held_out=self.held_out)

    def add(self, step: int, measured: dict[str, float]) -> None:
        """Adds a point of what was logged and measured, and judges."""
        if step:
            moving = have_moved(self.averages, moving_averages(self.model))
            self.history.facts = dataclasses.replace(self.history.facts, moving=moving)
        self.history.add(verdict.Point.of(step, measured))
        self.now = verdict.judge(self.history.points, self.history.facts)

    def say(self, at_end: bool = False) -> None:
        """Prints the verdict if its kind is new, or at the end."""
        if self.verbose and self.now and (at_end or self.now.kind != self.said):
            print(f"\nverdict at step {self.now.step:,}: {self.now}", flush=True)
        self.said = self.now.kind if self.now else None


def facts_of(
    model: Learner, batches: list[dict[str, Any]], total_steps: int | None
) -> verdict.Facts:
    """What is known before the first step."""
    views = [np.concatenate(view) for view in zip(*(one["views"] for one in batches))]
    labels = [np.asarray(one["label"]) for one in batches if "label" in one]
    known = np.unique(np.concatenate(labels)) if labels else np.array([])
    known = known[known >= 0]
    one = batches[0]["views"]
    ceiling = getattr(model, "ceiling", lambda *_: None)(len(one[0]), len(one))
    return verdict.Facts(
        **verdict.facts_of_views(tuple(views)),
        total_steps=total_steps,
        ceiling=ceiling,
        trainable=bool(model.encoder.trainable_variables),
        classes=len(known) or None,
        of_classes=max(int(known[-1]) + 1, getattr(model, "num_classes", None) or 0)
        if len(known)
        else None,
        temperature=getattr(model, "temperature", None),
        method=type(model).__name__,
        compared=getattr(model, "COMPARES_VIEWS", True),
    )


def moving_averages(model: Learner) -> list[np.ndarray]:
    """The moving averages of the encoder's normalizations."""
    found = [v for v in model.encoder.non_trainable_variables if v.name.startswith("moving_")]
    return [np.array(v) for v in found]


def have_moved(before: list[np.ndarray], after: list[np.ndarray]) -> bool | None:
    """Whether any of them changed; None without any."""
    if not after:
        return None
    return any(not np.array_equal(a, b) for a, b in zip(before, after))
