"""CPC: predict the patches in lower rows of an image from those above them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfssl.distribute import replicas
from tfssl.encoders import adapt
from tfssl.losses import info_nce
from tfssl.methods import checks
from tfssl.methods.coupled import Tensors
from tfssl.methods.hints import Encoder, Layers, Scalars, Shape, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import direction_std, parted
from tfssl.methods.simclr import Contrastive

PATCHES = 4  # stream of random numbers, next to those of `tfssl.data`
SMALL_PATCH = 16  # pixels; smaller patches show too little, unless the view is smaller than two


@keras.saving.register_keras_serializable(package="tfssl")
class CPC(Contrastive):
    """van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", 3.2.

    A view is cut into overlapping patches, a grid of R rows and C columns. Encoder and projector
    map each patch to z. A GRU runs down every column and turns the z of rows 1 to t into a context
    c_t, which predicts the patch k rows below by z^T W_k c_t (equation 3), for every k. InfoNCE
    (equation 4) identifies it among the patches in row t + k of all images of the batch. The loss
    is the mean over t and k, summed over the two views, which are treated as two separate batches.
    The probe is trained on the mean of h over the patches of a view.

    Colour changes, flip and blur are drawn for every patch separately: if the patches of a view
    shared their colours, predicting these would solve the task (Hénaff et al. 2020,
    arXiv:1905.09272, augment patches too). So the input pipeline only crops the views, and the
    training step does the rest.

    On whole images, as in evaluation, an encoder that ends in a mean over positions, such as a
    ResNet, averages over overlapping fields of view.

    Differs from the paper: a GRU reads columns, where the paper's PixelCNN reads rows.

    Args:
        encoder, projector, normalize, probe, num_classes, **options: see `SimCLR`; `normalize`
            has no effect.
        context: a `keras.Layer`, z of a column [B, R, P] -> c [B, R, Q]; None: a GRU.
        predictions: a `keras.Layer`, c [B, R, Q] -> list of R - 1 predictions W_k c, [B, R, P];
            None: linear layers.
        patch: integer, side of a patch in pixels; None: a quarter of the shorter side of the views,
            but at least 16; for views below 32 pixels, half of the side.
        stride: integer, pixels between patches; None: half of a patch.
        pixels: sequence of two random functions, one per view, that augment patches:
            (patches float32 [N, p, p, C], seed int32 [2]) -> patches. Empty: no augmentation. A
            model with such functions cannot be saved.

    Raises:
        ValueError: the views are too small for two rows of patches.

    Example:

    ```python
    encoder = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D()])
    model = tfssl.CPC(encoder, patch=8)
    images = np.random.default_rng(0).random((4, 16, 16, 3), "float32")
    model.compile("adam", run_eagerly=True)
    model.fit(tf.data.Dataset.from_tensors((images, images)), verbose=0).epoch  # [0]
    model.stride, model.rows  # (4, 3)
    model(images).shape  # (4, 4)
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "z_std")

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        context: keras.Layer | None = None,
        predictions: keras.Layer | None = None,
        patch: int | None = None,
        stride: int | None = None,
        pixels: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = (),
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        for name, value in (("patch", patch), ("stride", stride)):
            if value is not None:
                checks.integer(name, value, least=1)
        self.hidden.grid = patch, stride
        self.hidden.heads |= {"context": context, "predictions": predictions}
        self.hidden.pixels = tuple(pixels)

    def build_if_known(self) -> None:
        pass  # the number of rows depends on the size of the views

    def encoder_shape(self, input_shape: Shape) -> Shape:
        _, height, width, channels = input_shape
        if height is None or width is None:
            raise ValueError(
                f"CPC needs views of a known size. Received: images {adapt.shape_text(input_shape)}"
            )
        self.patch, self.stride, self.rows, self.columns = grid((height, width), *self.hidden.grid)
        if self.rows < 2 or not self.columns:
            raise ValueError(
                "`patch` and `stride` must leave two rows of patches in the views. Received: "
                f"{self.patch} and {self.stride} for views of {height}x{width}"
            )
        return None, self.patch, self.patch, channels

    def make_heads(
        self,
        projector: keras.Layer | None,
        context: keras.Layer | None,
        predictions: keras.Layer | None,
    ) -> Layers:
        parts = super().make_heads(projector)
        dim = self.dims["projector"]
        parts["context"] = context or gru(dim, self.seed + 200)
        width = parts["context"](keras.KerasTensor((None, self.rows, dim))).shape[-1]
        parts["predictions"] = predictions or products(width, dim, self.rows - 1, self.seed + 300)
        return parts

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        """h, and for each view z and the predictions, flattened to one row for each image."""
        patches = tf.concat(
            [self.patches_of(i, view, training) for i, view in enumerate(views)], axis=0
        )
        rows, columns = patches.shape[1:3]
        h = self.encode(tf.reshape(patches, [-1, *patches.shape[3:]]), training)
        z = self.projector(h, training=training)
        z = tf.transpose(tf.reshape(z, [-1, rows, columns, z.shape[-1]]), [0, 2, 1, 3])
        c = self.context(tf.reshape(z, [-1, rows, z.shape[-1]]), training=training)
        predicted = [
            tf.reshape(p, [-1, columns, rows, z.shape[-1]])[:, :, : rows - k]
            for k, p in enumerate(self.predictions(c, training=training), start=1)
        ]
        both = tf.concat([tf.cast(values, tf.float32) for values in (z, *predicted)], axis=2)
        self.laid_out = (rows, columns, z.shape[-1])
        h = tf.reduce_mean(tf.reshape(h, [-1, rows * columns, h.shape[-1]]), axis=1)
        flat = tf.reshape(both, [-1, columns * both.shape[2] * z.shape[-1]])
        return parted(h, len(views)), parted(flat, len(views))

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        means = tuple(tf.reduce_mean(self.columns_of(view)[0], axis=[1, 2]) for view in z)
        return super().outputs(loss, scalars, h, means, companions)

    def patches_of(self, number: int, view: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The patches of view 0 or 1, augmented while training."""
        patches = cut(view, self.patch, self.stride)
        if not (self.hidden.pixels and training):
            return patches
        seed = self.step_seed(PATCHES)
        for part in (replicas.index(), number):
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(part, tf.int32))
        flat = tf.reshape(patches, [-1, *patches.shape[3:]])
        return tf.reshape(self.hidden.pixels[number](flat, seed), tf.shape(patches))

    def candidates(self, batch_size: int) -> int:
        return batch_size * self.columns

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        losses, hits = zip(*(self.info_nce_of_view(z) for z in (z1, z2)))
        z = tf.concat([self.columns_of(z1)[0], self.columns_of(z2)[0]], axis=0)
        loss = losses[0] + losses[1]
        return loss, {
            "contrast_loss": loss,
            "contrast_acc": (hits[0] + hits[1]) / 2,
            "z_std": direction_std(tf.reshape(z, [-1, self.laid_out[-1]])),
        }

    def columns_of(self, z: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Undoes the flattening of `project`: z [B, C, R, P], and for each k the predictions."""
        rows, columns, dimension = self.laid_out
        pieces = [rows, *range(rows - 1, 0, -1)]
        z = tf.reshape(z, [-1, columns, sum(pieces), dimension])
        z, *predicted = tf.split(z, pieces, axis=2)
        return z, predicted

    def info_nce_of_view(self, flat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """InfoNCE of one view, and the fraction of correct predictions."""
        z, predicted = self.columns_of(flat)
        losses, hits = [], []
        for k, of_k in enumerate(predicted, start=1):
            for t in range(of_k.shape[2]):
                p, target = (
                    tf.reshape(values, [-1, values.shape[-1]])
                    for values in (of_k[:, :, t], z[:, :, t + k])
                )
                scores = tf.matmul(p, target, transpose_b=True)
                losses.append(info_nce(scores))
                best = tf.argmax(scores, axis=1, output_type=tf.int32)
                hits.append(
                    tf.reduce_mean(
                        tf.cast(tf.equal(best, tf.range(tf.shape(scores)[0])), tf.float32)
                    )
                )
        return tf.reduce_mean(tf.stack(losses)), tf.reduce_mean(tf.stack(hits))


def cut(images, patch, stride):
    """Cuts images [B, H, W, 3] into overlapping patches [B, R, C, patch, patch, 3]."""
    tops, lefts = (range(0, side - patch + 1, stride) for side in images.shape[1:3])
    return tf.stack(
        [
            tf.stack([images[:, top : top + patch, left : left + patch] for left in lefts], axis=1)
            for top in tops
        ],
        axis=1,
    )


def grid(size, patch=None, stride=None):
    """The grid of patches: (patch, stride, rows, columns).

    Args:
        size: (height, width) of the views in pixels.
        patch, stride: as for `CPC`.
    """
    patch = patch or max(min(size) // 4, min(SMALL_PATCH, min(size) // 2))
    stride = stride or max(1, patch // 2)
    return patch, stride, *(max(0, (side - patch) // stride + 1) for side in size)


def gru(in_dim, seed=0, name="context"):
    """A GRU over the rows of a column: [B, R, P] -> [B, R, P]."""
    inputs = keras.Input((None, in_dim), name="column")
    outputs = keras.layers.GRU(
        in_dim,
        return_sequences=True,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 1),
    )(inputs)
    return keras.Model(inputs, outputs, name=name)


def products(in_dim, out_dim, count, seed=0, name="predictions"):
    """The W_k of equation 3, k = 1 to `count`: [B, R, Q] -> `count` outputs [B, R, P]."""
    inputs = keras.Input((None, in_dim), name="context")
    outputs = [
        keras.layers.Dense(
            out_dim,
            use_bias=False,
            name=f"w_{k}",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + k),
        )(inputs)
        for k in range(1, count + 1)
    ]
    return keras.Model(inputs, outputs, name=name)
