"""CPC: predict the patches of later rows of an image from those above them."""

import keras
import tensorflow as tf

from tfssl.distribute import replicas
from tfssl.losses import info_nce
from tfssl.methods import simclr
from tfssl.methods.base import SelfSupervised, spread

PATCHES = 4  # what a seed is for, beside the uses that `tfssl.data` has
SMALL_PATCH = 16  # pixels: smaller ones show too little, unless the view is smaller than two


class CPC(simclr.SimCLR):
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
        encoder: `keras.Model`, images -> h [B, D].
        projector: `keras.Model`, h -> z [B, P].
        context: `keras.Model`, z of a column [B, R, P] -> c [B, R, Q].
        predictions: `keras.Model`, c [B, R, Q] -> list of R - 1 predictions [B, R, P], the W_k c.
        probe: `keras.Model`, h -> logits, or None.
        patch, stride: side of a patch and pixels from one to the next.
        pixels: two random functions, (patches float32 [N, p, p, 3], seed int32 [2]) -> patches, for
            those of the two views; none: patches stay as they are.
        seed: integer; with the step it decides what they draw.
    """

    SCALARS = ("contrast_loss", "contrast_acc", "z_std")

    def __init__(
        self,
        encoder,
        projector,
        context,
        predictions,
        probe=None,
        *,
        patch,
        stride,
        pixels=(),
        seed=0,
    ):
        # Not SimCLR's own, which has neither of the parts in the middle.
        SelfSupervised.__init__(
            self, encoder, probe, projector=projector, context=context, predictions=predictions
        )
        self.patch, self.stride, self.pixels, self.seed = patch, stride, pixels, seed

    def project(self, view1, view2):
        """h [2B, D], and of each view all that the loss compares, [2B, (predictions and z) * P].

        Flat, so that a batch can be computed in parts as SimCLR's is.
        """
        patches = tf.concat(
            [self.patches_of(i, view) for i, view in enumerate((view1, view2))], axis=0
        )
        rows, columns = patches.shape[1:3]
        h = self.encoder(tf.reshape(patches, [-1, *patches.shape[3:]]), training=True)
        z = self.projector(h, training=True)
        z = tf.transpose(tf.reshape(z, [-1, rows, columns, z.shape[-1]]), [0, 2, 1, 3])
        c = self.context(tf.reshape(z, [-1, rows, z.shape[-1]]), training=True)
        predicted = [
            tf.reshape(p, [-1, columns, rows, z.shape[-1]])[:, :, : rows - k]
            for k, p in enumerate(self.predictions(c, training=True), start=1)
        ]
        both = tf.concat([tf.cast(values, tf.float32) for values in (z, *predicted)], axis=2)
        self.grid = (rows, columns, z.shape[-1])
        h = tf.reduce_mean(tf.reshape(h, [-1, rows * columns, h.shape[-1]]), axis=1)
        (h1, h2), (z1, z2) = tf.split(h, 2), tf.split(tf.reduce_mean(z, axis=[1, 2]), 2)
        self.note(h1=h1, h2=h2, z1=z1, z2=z2)
        return h, tf.reshape(both, [-1, columns * both.shape[2] * z.shape[-1]])

    def patches_of(self, number, view):
        """The patches of the view of a number, 0 or 1, as the encoder sees them."""
        patches = cut(view, self.patch, self.stride)
        if not self.pixels:
            return patches
        seed = tf.constant([self.seed, PATCHES], tf.int32)
        for part in (self.optimizer.iterations, replicas.index(), number):
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(part, tf.int32))
        flat = tf.reshape(patches, [-1, *patches.shape[3:]])
        return tf.reshape(self.pixels[number](flat, seed), tf.shape(patches))

    def candidates(self, batch_size):
        return batch_size * self.grid[1]

    def contrast(self, z1, z2, labels=None):
        losses, hits = zip(*(self.predict(z) for z in (z1, z2)))
        z = tf.concat([self.columns_of(z1)[0], self.columns_of(z2)[0]], axis=0)
        loss = losses[0] + losses[1]
        return loss, {
            "contrast_loss": loss,
            "contrast_acc": (hits[0] + hits[1]) / 2,
            "z_std": spread(tf.reshape(z, [-1, self.grid[-1]])),
        }

    def columns_of(self, z):
        """What `project` laid flat: z [B, C, R, P], and for each k the predictions."""
        rows, columns, dimension = self.grid
        pieces = [rows, *range(rows - 1, 0, -1)]
        z = tf.reshape(z, [-1, columns, sum(pieces), dimension])
        z, *predicted = tf.split(z, pieces, axis=2)
        return z, predicted

    def predict(self, flat):
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


def grid(config, size):
    """(patch, stride, rows, columns) of views of a size (height, width), by a `tfssl.Config`."""
    patch = config.cpc_patch or max(min(size) // 4, min(SMALL_PATCH, min(size) // 2))
    stride = config.cpc_stride or max(1, patch // 2)
    return patch, stride, *(max(0, (side - patch) // stride + 1) for side in size)


def context(in_dim, seed=0, name="context"):
    """A GRU down a column: [B, R, P] -> [B, R, P]."""
    inputs = keras.Input((None, in_dim), name="column")
    outputs = keras.layers.GRU(
        in_dim,
        return_sequences=True,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 1),
    )(inputs)
    return keras.Model(inputs, outputs, name=name)


def predictions(in_dim, out_dim, count, seed=0, name="predictions"):
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


def build(config, kit):
    """CPC from a `tfssl.Config` and a `Kit`."""
    patch, stride, rows, _ = grid(config, kit.size)
    encoder = kit.encoder(config.seed, "encoder")
    projector = simclr.build_projector(config, kit.normalization, encoder.output_shape[-1])
    dimension = projector.output_shape[-1]
    return CPC(
        encoder,
        projector,
        context(dimension, config.seed + 200),
        predictions(dimension, dimension, rows - 1, config.seed + 300),
        kit.probe(encoder.output_shape[-1]),
        patch=patch,
        stride=stride,
        pixels=kit.pixels,
        seed=config.seed,
    )
