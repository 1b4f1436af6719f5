"""CPC: predict the patches of later rows of an image from those above them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfssl.distribute import replicas
from tfssl.encoders import adapt
from tfssl.losses import info_nce
from tfssl.methods.hints import Encoder, Layers, Scalars, Shape, Views
from tfssl.methods.learner import Outputs
from tfssl.methods.selfsupervised import direction_std
from tfssl.methods.simclr import Contrastive

PATCHES = 4  # what a seed is for, beside the uses that `tfssl.data` has
SMALL_PATCH = 16  # pixels: smaller ones show too little, unless the view is smaller than two


@keras.saving.register_keras_serializable(package="tfssl")
class CPC(Contrastive):
    """van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", 3.2.

    A view is cut into overlapping patches, a grid of R rows and C columns. Each goes through the
    encoder and the projector: z. A GRU goes down every column and makes of the z down to row t the
    context c_t. It predicts row t + k of its column by z^T W_k c_t (equation 3), for every k, and
    InfoNCE (equation 4) asks which of the patches in row t + k, of all images of the batch, it is.
    The loss is the mean over t and k, the sum over the two views, which are two batches here: what
    they share is not used. The probe learns from the mean of h over the patches of a view.

    Every patch has colours, flip and blur of its own: with those of the whole view in common, what
    is predicted is the colours, and little else is learned (Hénaff et al. 2020, arXiv:1905.09272,
    augment patches too). So views come cropped, and the rest is done to the patches in the step.

    A ResNet ends in a mean over places: on a whole image, which it is evaluated on like that of any
    other method, it is the mean over overlapping fields of view.

    Differs from the paper: it reads columns by a GRU, where the paper reads rows by a PixelCNN.

    Args:
        encoder, projector, probe, num_classes, **options: as for `Contrastive`.
        context: a `keras.Layer`, z of a column [B, R, P] -> c [B, R, Q]; None: a GRU.
        predictions: a `keras.Layer`, c [B, R, Q] -> list of R - 1 predictions [B, R, P], the W_k c;
            None: linear ones.
        patch, stride: side of a patch and pixels from one to the next; None: what `grid` says.
        pixels: two random functions, (patches float32 [N, p, p, C], seed int32 [2]) -> patches, for
            those of the two views; none: patches stay as they are. A model with them is not saved.

    Raises:
        ValueError: views that do not hold two rows of patches.
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
        self.hidden.grid = patch, stride
        self.hidden.heads |= {"context": context, "predictions": predictions}
        self.hidden.pixels = tuple(pixels)

    def build_if_known(self) -> None:
        pass  # how many rows of patches there are is known of the views alone

    def encoder_shape(self, input_shape: Shape) -> Shape:
        _, height, width, channels = input_shape
        if height is None or width is None:
            raise ValueError(
                f"CPC needs views of a known size. Received: images {adapt.shape_text(input_shape)}"
            )
        self.patch, self.stride, self.rows, columns = grid((height, width), *self.hidden.grid)
        if self.rows < 2 or not columns:
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

    def project(self, views: Views, training: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
        """h [2B, D], and of each view all that the loss compares, [2B, (predictions and z) * P].

        Flat, so that a batch can be computed in parts as SimCLR's is.
        """
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
        return h, tf.reshape(both, [-1, columns * both.shape[2] * z.shape[-1]])

    def outputs(self, loss: tf.Tensor, scalars: Scalars, h: tf.Tensor, z: tf.Tensor) -> Outputs:
        return super().outputs(loss, scalars, h, tf.reduce_mean(self.columns_of(z)[0], axis=[1, 2]))

    def patches_of(self, number: int, view: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The patches of the view of a number, 0 or 1, as the encoder sees them."""
        patches = cut(view, self.patch, self.stride)
        if not (self.hidden.pixels and training):
            return patches
        seed = tf.constant([self.seed, PATCHES], tf.int32)
        for part in (self.optimizer.iterations, replicas.index(), number):
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(part, tf.int32))
        flat = tf.reshape(patches, [-1, *patches.shape[3:]])
        return tf.reshape(self.hidden.pixels[number](flat, seed), tf.shape(patches))

    def candidates(self, batch_size: int) -> int:
        return batch_size * self.laid_out[1]

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
        """What `project` laid flat: z [B, C, R, P], and for each k the predictions."""
        rows, columns, dimension = self.laid_out
        pieces = [rows, *range(rows - 1, 0, -1)]
        z = tf.reshape(z, [-1, columns, sum(pieces), dimension])
        z, *predicted = tf.split(z, pieces, axis=2)
        return z, predicted

    def info_nce_of_view(self, flat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """InfoNCE of one view, and the fraction of predictions that are right."""
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
    """Overlapping patches of images [B, H, W, 3], row by row: [B, R, C, patch, patch, 3]."""
    tops, lefts = (range(0, side - patch + 1, stride) for side in images.shape[1:3])
    return tf.stack(
        [
            tf.stack([images[:, top : top + patch, left : left + patch] for left in lefts], axis=1)
            for top in tops
        ],
        axis=1,
    )


def grid(size, patch=None, stride=None):
    """The patches of views: (patch, stride, rows, columns).

    Args:
        size: (height, width) of the views in pixels.
        patch: side of a patch; None: a quarter of the shorter side of the views; where that is
            below 16, 16 or half of the side.
        stride: pixels from one to the next; None: half of a patch.
    """
    patch = patch or max(min(size) // 4, min(SMALL_PATCH, min(size) // 2))
    stride = stride or max(1, patch // 2)
    return patch, stride, *(max(0, (side - patch) // stride + 1) for side in size)


def gru(in_dim, seed=0, name="context"):
    """A GRU down a column: [B, R, P] -> [B, R, P]."""
    inputs = keras.Input((None, in_dim), name="column")
    outputs = keras.layers.GRU(
        in_dim,
        return_sequences=True,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 1),
    )(inputs)
    return keras.Model(inputs, outputs, name=name)


def products(in_dim, out_dim, count, seed=0, name="predictions"):
    """The W_k of equation 3, k = 1 to `count`: [B, R, Q] -> count times [B, R, P]."""
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
