"""Protocols, which compute class scores from frozen representations and labels.

A protocol is any object with a `name`, the key of its results, and a method
`scores(train_h, train_labels, test_h, num_classes)`.
"""

import dataclasses
import typing

import numpy as np

from tfssl.evaluation.knn import knn_scores
from tfssl.evaluation.linear import linear_probe


@typing.runtime_checkable
class Protocol(typing.Protocol):
    """The interface of a protocol; subclassing is not required.

    `train_h` is float32 [M, D]; of a run whose representations do not fit in memory it is a
    `np.memmap` of float16 or float32.
    """

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
    """Weighted k-nearest-neighbour classification; see `knn_scores`.

    Args:
        k: integer of 1 or more, the number of neighbours that vote.
        temperature: float > 0, of the weights exp(cosine similarity / temperature).

    Raises:
        ValueError: an argument is out of its range.

    Example:

    ```python
    protocol = tfssl.evaluation.KNN(200)
    protocol.name  # knn_200
    h, labels = np.eye(2).repeat(100, axis=0), np.arange(2).repeat(100)
    protocol.scores(h, labels, h, num_classes=2).shape  # (200, 2)
    ```
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
        """Returns votes float64 [N, C]; see `knn_scores`."""
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
    """Multinomial logistic regression; see `linear_probe`.

    Args:
        l2: float > 0, the weight penalty.

    Raises:
        ValueError: `l2` is not positive.

    Example:

    ```python
    protocol = tfssl.evaluation.Linear(l2=1e-2)
    protocol.name  # linear
    h, labels = np.eye(2).repeat(5, axis=0), np.arange(2).repeat(5)
    protocol.scores(h, labels, h, num_classes=2).shape  # (10, 2)
    ```
    """

    l2: float = 1e-3
    name: typing.ClassVar[str] = "linear"

    def __post_init__(self):
        if not self.l2 > 0:
            raise ValueError(f"`l2` must be positive. Received: l2={self.l2!r}")

    def scores(
        self, train_h: np.ndarray, train_labels: np.ndarray, test_h: np.ndarray, num_classes: int
    ) -> np.ndarray:
        """Returns logits float32 [N, C]; see `linear_probe`."""
        return linear_probe(train_h, train_labels, test_h, num_classes=num_classes, l2=self.l2)
