"""The images that may still be selected."""

from collections.abc import Sequence

import numpy as np


class Pool:
    """Images without a label, of groups of which each gives one before any gives two.

    Args:
        size: integer, number of images, N.
        count: integer, how many are to be selected.
        labelled: indices of images that have a label already; they count for their groups, and are
            not selected.
        groups: int [N], equal for images that belong together, such as those of one patient; None:
            each image is a group of its own.

    Attributes:
        labelled: int [L], those that have a label, in ascending order.
        free: bool [N], images that are neither labelled nor selected.

    Raises:
        ValueError: there are fewer images without a label than `count`, or an argument has another
            form than described here.
    """

    def __init__(
        self,
        size: int,
        count: int,
        labelled: Sequence[int] = (),
        groups: Sequence[int] | None = None,
    ) -> None:
        self.labelled = labelled = np.unique(np.asarray(labelled, int))
        if len(labelled) and not (0 <= labelled.min() and labelled.max() < size):
            raise ValueError(
                f"`labelled` must be indices from 0 to {size - 1}. "
                f"Received: {labelled.min()} to {labelled.max()}"
            )
        self.free = np.ones(size, bool)
        self.free[labelled] = False
        if not (isinstance(count, (int, np.integer)) and 1 <= count <= self.free.sum()):
            raise ValueError(
                f"`count` must be from 1 to {self.free.sum():,}, the images without a label. "
                f"Received: {count}"
            )
        if groups is None:
            groups = np.arange(size)
        if np.shape(groups) != (size,):
            raise ValueError(
                f"`groups` must give a group for each of the {size:,} images. "
                f"Received: shape {np.shape(groups)}"
            )
        self.groups = np.unique(groups, return_inverse=True)[1].ravel()
        self.taken = np.bincount(self.groups[labelled], minlength=self.groups.max() + 1)
        self.left = np.bincount(self.groups[self.free], minlength=len(self.taken))

    def open(self) -> np.ndarray:
        """Which images may come next, bool [N]: those of the groups that have given the fewest."""
        fewest = self.taken[self.left > 0].min()
        return self.free & (self.taken[self.groups] == fewest)

    def take(self, index: int) -> int:
        """Selects an image; returns its index."""
        self.free[index] = False
        self.taken[self.groups[index]] += 1
        self.left[self.groups[index]] -= 1
        return int(index)
