"""SimMIM: predict masked patches by one layer, with any encoder that has a feature map."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.encoders import adapt
from tfssl.encoders.sections import find
from tfssl.losses import simmim
from tfssl.methods import checks
from tfssl.methods.hints import Encoder, Layers
from tfssl.methods.masked import Masked, Prediction


@keras.saving.register_keras_serializable(package="tfssl")
class SimMIM(Masked):
    """Xie et al. 2022, "SimMIM: A Simple Framework for Masked Image Modeling", arXiv:2111.09886.

    Squares of an image are masked: a learned vector takes the place of their patches. The whole
    image passes through the encoder, and one linear layer predicts the values of the masked pixels
    from the features at their place (section 3). The loss is the mean absolute error (Eq. 1).

    In a Vision Transformer of `tfssl.encoders` the vector replaces embedded patches, as in the
    paper. In any other functional encoder it replaces pixels, and the features are those of its
    last feature map; what comes after that map is not trained.

    Differs from the paper: values are predicted as they are, in [0, 1].

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The encoder must be a Vision
            Transformer, or have a feature map whose sides divide those of the views.
        mask_token: a layer as `tfssl.layers.Replacement`; None: a new one.
        pixels: a `keras.Layer`, features at a place, D -> values of a patch; None: a linear layer.
        mask_ratio: float in (0, 1), share of the squares that are masked.
        mask_size: integer, side of the squares in pixels, a multiple of that of the patches; None:
            two patches (32 pixels for 16, as in the paper), or one where two would be more than a
            quarter of the view.

    Raises:
        ValueError: the encoder has no such features, or an argument is out of its range.

    Example:

    ```python
    model = tfssl.SimMIM(tfssl.encoders.resnet(18, width_multiplier=0.0625, stem="cifar"))
    model.compile("adam", run_eagerly=True)
    images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
    views = tf.data.Dataset.from_tensors((images,))  # or tfssl.views(images, ..., num_views=1)
    len(model.fit(views, verbose=0).history["reconstruction_loss"])  # 1
    model.patch_size  # (8, 8)
    ```
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_token: keras.Layer | None = None,
        pixels: keras.Layer | None = None,
        mask_ratio: float = 0.6,
        mask_size: int | None = None,
        **options: Any,
    ) -> None:
        heads = {"mask_token": mask_token, "pixels": pixels}
        super().__init__(encoder, mask_ratio=mask_ratio, heads=heads, **options)
        if mask_size is not None:
            checks.integer("mask_size", mask_size, least=1)
        self.mask_size = mask_size

    def make_heads(self, mask_token: keras.Layer | None, pixels: keras.Layer | None) -> Layers:
        # In a namespace, as Keras would count its layers a second time.
        parts = self.hidden.sections = find(self.encoder)
        size, channels = self.views_shape[1:3], self.views_shape[-1]
        if parts:
            self.hidden.patch, dim = parts.patch_size, parts.dim
        else:
            self.hidden.mapped, (rows, columns, dim) = adapt.with_last_map(
                self.encoder, self.views_shape
            )
            self.hidden.patch = size[0] // rows, size[1] // columns
        self.hidden.times = self.patches_of_a_square()
        mask_token = mask_token or layers.Replacement(seed=self.seed + 1, name="mask_token")
        if not mask_token.built:
            mask_token.build((None, None, None, dim if parts else channels))
        pixels = pixels or keras.layers.Dense(
            math.prod(self.patch_size) * channels,
            kernel_initializer=keras.initializers.GlorotUniform(seed=self.seed + 2),
            name="pixels",
        )
        return {"mask_token": mask_token, "pixels": self.head(pixels, dim, "pixels")}

    def patches_of_a_square(self) -> tuple[int, int]:
        """Rows and columns of the patches in what is masked as a whole."""
        patch, size = self.patch_size, self.views_shape[1:3]
        if self.mask_size is None:
            large = all(4 * 2 * of > side for of, side in zip(patch, size))
            return (1, 1) if large else (2, 2)
        if any(self.mask_size % of for of in patch):
            raise ValueError(
                f"`mask_size` must be a multiple of the patches, {patch[0]}x{patch[1]} pixels. "
                f"Received: {self.mask_size}"
            )
        return tuple(self.mask_size // of for of in patch)

    @property
    def patch_size(self) -> tuple[int, int]:
        return self.hidden.patch

    def squares(self) -> tuple[int, int]:
        return tuple(-(-count // of) for count, of in zip(self.patches, self.hidden.times))

    def mask_of(self, noise: tf.Tensor) -> tf.Tensor:
        """Which patches are masked, float32 [B, rows, columns] of 0 and 1."""
        (rows, columns), (down, across) = self.squares(), self.hidden.times
        ranks = tf.argsort(tf.argsort(noise, axis=1), axis=1)
        mask = tf.cast(ranks >= noise.shape[1] - self.num_masked, tf.float32)
        mask = tf.reshape(mask, [-1, rows, 1, columns, 1]) * tf.ones([1, 1, down, 1, across])
        mask = tf.reshape(mask, [-1, rows * down, columns * across])
        return mask[:, : self.patches[0], : self.patches[1]]

    def masked_pass(
        self, images: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """h [B, D]; the predictions [B, n, P]; and the mask [B, n]."""
        parts, mask = self.hidden.sections, self.mask_of(noise)
        x = adapt.scaled(images, self.input_range)
        self.keep_losses(self.encoder)
        if parts:
            x = parts.tokens(self.mask_token(parts.patches(x), masked=mask))
            x = parts.transformed(x, training)
            h = parts.head(x)
            features = parts.normalized(x)[:, parts.tokens.first :]
        else:
            down, across = self.patch_size
            of_pixels = tf.repeat(tf.repeat(mask, down, axis=1), across, axis=2)
            features, h = self.hidden.mapped(
                self.mask_token(x, masked=of_pixels), training=training
            )
            features = tf.reshape(features, [-1, math.prod(self.patches), features.shape[-1]])
        self.keep_losses(self.pixels)
        predicted = self.pixels(features, training=training)
        return adapt.pooled(h), predicted, tf.reshape(mask, [-1, math.prod(self.patches)])

    def loss_of(
        self, images: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        h, predicted, mask = self.masked_pass(images, noise, training)
        return h, simmim(predicted, self.patched(images), mask)

    def predict_patches(self, images: tf.Tensor, noise: tf.Tensor) -> Prediction:
        return Prediction(*self.masked_pass(images, noise, training=False))
