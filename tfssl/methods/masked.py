"""Base class of masked image modelling: one view of each image, of which patches are masked."""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfssl.distribute import replicas
from tfssl.methods import checks
from tfssl.methods.hints import Batch, Encoder, Layers, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import SelfSupervised

NOISE = 7  # stream of random numbers
FEWEST = 9  # squares of an image
GREY = 0.5  # of masked patches in pictures


class Prediction(NamedTuple):
    """What a network predicts of masked images.

    Attributes:
        h: [B, D], the representation of the masked images.
        patches: float [B, n, P], predicted values of all patches; those of visible ones are free.
        mask: float32 [B, n], 1 for masked patches.
    """

    h: tf.Tensor
    patches: tf.Tensor
    mask: tf.Tensor


class Masked(SelfSupervised):
    """Base class of the methods that predict masked patches.

    Which patches are masked is drawn in every step, by `seed`: for a batch on several replicas or
    in parts as for the whole one. In evaluation every batch has the masks of the same draw.
    Projections z, for monitoring, are the representations h of the masked images; the probe learns
    from these too.

    Subclasses implement `make_heads`, `patch_size`, `loss_of` and `predict_patches`.

    Args:
        encoder: see `Learner`.
        mask_ratio: float in (0, 1), share of the patches that are masked.
        **options: see `SelfSupervised`.
    """

    SCALARS = ("reconstruction_loss",)
    NUM_VIEWS = 1
    KNOWN_SIZE = True
    COMPARES_VIEWS = False
    SPREAD = False  # what all images have in common dominates h
    least_batch = 1

    def __init__(self, encoder: Encoder, *, mask_ratio: float, **options: Any) -> None:
        super().__init__(encoder, **options)
        if not checks.is_number(mask_ratio) or not 0 < mask_ratio < 1:
            raise ValueError(f"`mask_ratio` must be in (0, 1). Received: mask_ratio={mask_ratio!r}")
        self.mask_ratio = mask_ratio

    def make_parts(self) -> tuple[Layers, Layers]:
        parts = super().make_parts()
        (rows, columns), (height, width) = self.squares(), self.patch_size
        if rows * columns < FEWEST:
            raise ValueError(
                f"{type(self).__name__} masks some of many squares of an image, of which it needs "
                f"{FEWEST} or more: give the encoder smaller patches (`patch_size`), or larger "
                f"views. Received: {rows}x{columns}, with patches of {height}x{width} pixels"
            )
        return parts

    # What a subclass says

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of the patches that are predicted, in pixels."""
        raise NotImplementedError

    def squares(self) -> tuple[int, int]:
        """Rows and columns of what is masked as a whole in a view: by default, the patches."""
        return self.patches

    def loss_of(
        self, images: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns h [B, D] of the masked images, and the loss.

        Args:
            images: float32 [B, H, W, C] in [0, 1].
            noise: float32 [B, squares]: those with the highest are masked.
            training: whether the network runs in training mode.
        """
        raise NotImplementedError

    def predict_patches(self, images: tf.Tensor, noise: tf.Tensor) -> Prediction:
        """What the network predicts in inference; args as for `loss_of`."""
        raise NotImplementedError

    # The same for all

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of the patches of a view."""
        return tuple(-(-side // of) for side, of in zip(self.views_shape[1:3], self.patch_size))

    @property
    def num_masked(self) -> int:
        """Number of squares of an image that are masked: one at least, and not all."""
        count = math.prod(self.squares())
        return min(max(1, count - int(count * (1 - self.mask_ratio))), count - 1)

    @property
    def projection_dim(self) -> int:
        return self.dim

    def batch_of(self, data: Any) -> Batch:
        batch = super().batch_of(data)
        seed = self.step_seed(NOISE)
        return batch | {"noise": self.noise(tf.shape(batch["views"][0])[0], seed)}

    def noise(self, count: tf.Tensor | int, seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers for the images of this replica, float32 [count, squares].

        Args:
            count: number of its images.
            seed: integers [2].
        """
        squares = math.prod(self.squares())
        drawn = tf.random.stateless_uniform([replicas.count() * count, squares], seed, alg="philox")
        start = replicas.index() * count
        noise = drawn[start : start + count]
        noise.set_shape([None, squares])
        return noise

    def outputs_of(self, batch: Batch, training: bool) -> Outputs:
        noise = batch.get("noise") if training else None
        return self.loss_on_views(batch["views"], training=training, noise=noise)

    def loss_on_views(
        self,
        views: Views,
        labels: tf.Tensor | None = None,
        training: bool = True,
        noise: tf.Tensor | None = None,
    ) -> Outputs:
        """The loss of a batch, as `Outputs`.

        Args:
            views, labels, training: see `SelfSupervised.loss_on_views`.
            noise: float32 [B, squares], by which the masks are drawn; None: by the seed and, in
                training, the step.
        """
        (images,) = views
        if noise is None:
            seed = self.step_seed(NOISE) if training else tf.constant([self.seed, NOISE])
            noise = self.noise(tf.shape(images)[0], seed)
        h, loss = self.loss_of(images, noise, training)
        return Outputs(loss, {"reconstruction_loss": loss}, (h,), (h,))

    def patched(self, images: tf.Tensor) -> tf.Tensor:
        """The patches of views: [B, H, W, C] -> [B, n, patch height * patch width * C].

        Images are padded with black, evenly at opposite sides, to whole patches.
        """
        height, width = self.patch_size
        rows, columns = self.patches
        channels = images.shape[-1]
        pads = [(0, 0), *self.padding(images), (0, 0)]
        x = tf.reshape(tf.pad(images, pads), [-1, rows, height, columns, width, channels])
        x = tf.transpose(x, [0, 1, 3, 2, 4, 5])
        return tf.reshape(x, [-1, rows * columns, height * width * channels])

    def padding(self, images: tf.Tensor) -> list[tuple[int, int]]:
        """Rows above and below, and columns left and right, that make whole patches."""
        pairs = []
        for side, of in zip(images.shape[1:3], self.patch_size):
            missing = -side % of
            pairs.append((missing // 2, missing - missing // 2))
        return pairs

    def assembled(self, patches: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """The images of `patched`, of the size of `images`."""
        height, width = self.patch_size
        rows, columns = self.patches
        channels = images.shape[-1]
        x = tf.reshape(patches, [-1, rows, columns, height, width, channels])
        x = tf.reshape(
            tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, rows * height, columns * width, channels]
        )
        (top, _), (left, _) = self.padding(images)
        return x[:, top : top + images.shape[1], left : left + images.shape[2]]

    def reconstruct(self, images: tf.Tensor, seed: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
        """Masks images and completes them.

        Args:
            images: float [B, H, W, C] in [0, 1], of the size of the views.
            seed: integer, of the masks.

        Returns:
            A pair of float32 [B, H, W, C] in [0, 1]: the images with masked patches in grey, and
            with the predictions in their places.
        """
        images = tf.cast(images, tf.float32)
        noise = self.noise(images.shape[0], tf.constant([seed, NOISE]))
        patches = self.patched(images)
        prediction = self.predict_patches(images, noise)
        mask = prediction.mask[..., tf.newaxis]
        grey = tf.where(mask > 0, GREY, patches)
        completed = tf.where(mask > 0, tf.cast(prediction.patches, tf.float32), patches)
        return tuple(
            tf.clip_by_value(self.assembled(values, images), 0.0, 1.0)
            for values in (grey, completed)
        )


def rows_at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """For each image the rows at its places: [B, n, D] and [B, k] -> [B, k, D]."""
    return tf.gather(values, places, batch_dims=1)
