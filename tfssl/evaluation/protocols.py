"""Protocols: what turns frozen representations and labels into class scores.

A protocol is any object with a `name`, which its results go by, and a method
`scores(train_h, train_labels, test_h, num_classes)`.
"""

import dataclasses
import typing

import numpy as np

from tfssl.evaluation.knn import knn_scores
from tfssl.evaluation.linear import linear_probe


@typing.runtime_checkable
class Protocol(typing.Protocol):
    """What a protocol has; none need derive from it."""

    @property
    def name(self) -> str: ...

    def scores(
        self,
        train_h: np.ndarray,
        train_labels: np.ndarray,
        test_h: np.ndarray,
        num_classes: int,
    ) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class KNN:
    """Weighted nearest-neighbour classification, as `knn_scores` describes it.

    Args:
        k: integer of 1 or more, the number of neighbours that vote.
        temperature: float > 0, of the weights exp(cosine similarity / temperature).

    Example:

    >>> tfssl.evaluate(encoder, train, test, protocols=[tfssl.evaluation.KNN(200)])
    """

    k: int = 20
    temperature: float = 0.07

    def __post_init__(self):
        if not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"`k` must be an integer of 1 or more. Received: k={self.k!r}")
        if not self.temperature > 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={self.temperature!r}"
            )

    @property
    def name(self) -> str:
        return f"knn_{self.k}"

    def scores(
        self, train_h: np.ndarray, train_labels: np.ndarray, test_h: np.ndarray, num_classes: int
    ) -> np.ndarray:
        """Votes float64 [N, C]; arguments and errors as of `knn_scores`."""
        return knn_scores(
            train_h,
            train_labels,
            test_h,
            k=self.k,
            num_classes=num_classes,
            temperature=self.temperature,
        )


@dataclasses.dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression, as `linear_probe` describes it.

    Args:
        l2: float > 0, weight penalty per mean cross-entropy.

    Example:

    >>> tfssl.evaluate(encoder, train, test, protocols=[tfssl.evaluation.Linear(l2=1e-2)])
    """

    l2: float = 1e-3
    name: typing.ClassVar[str] = "linear"

    def __post_init__(self):
        if not self.l2 > 0:
            raise ValueError(f"`l2` must be positive. Received: l2={self.l2!r}")

    def scores(
        self, train_h: np.ndarray, train_labels: np.ndarray, test_h: np.ndarray, num_classes: int
    ) -> np.ndarray:
        """Logits float32 [N, C]; arguments and errors as of `linear_probe`."""
        return linear_probe(train_h, train_labels, test_h, num_classes=num_classes, l2=self.l2)
