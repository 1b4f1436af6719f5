"""MAE: see a quarter of an image's patches, predict the others."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.encoders import adapt
from tfssl.encoders.sections import sections
from tfssl.losses import mae, normalized_patches
from tfssl.methods import checks
from tfssl.methods.hints import Encoder, Layers
from tfssl.methods.masked import Masked, Prediction, rows_at

DIM, IN_HEAD = 512, 32  # of the decoder


@keras.saving.register_keras_serializable(package="tfssl")
class MAE(Masked):
    """He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377.

    Three quarters of the patches of an image are masked. The encoder, a Vision Transformer, sees
    the others alone, at about a quarter of the cost of a whole image. A smaller transformer, the
    decoder, predicts the values of the masked patches, each normalized by its own mean and standard
    deviation; the loss is the mean squared error (section 3). Only crops and flips augment the
    images (section 4.1).

    With small encoders the decoder is no wider than they are.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The encoder must be a Vision
            Transformer of `tfssl.encoders`.
        decoder: a layer as `tfssl.layers.MaskedDecoder`; None: one of the next two arguments.
        decoder_dim: its dimension, a multiple of 32; None: 512, or that of the encoder if it is
            smaller.
        decoder_depth: integer, its number of blocks.
        mask_ratio: float in (0, 1), share of the patches that are masked.
        normalize_patches: whether patches are normalized before they are predicted.

    Raises:
        ValueError: the encoder is no such transformer, or an argument is out of its range.

    Example:

    ```python
    model = tfssl.MAE(tfssl.encoders.vit("tiny", patch_size=4, depth=1), decoder_depth=1)
    model.compile("adam", run_eagerly=True)
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    views = tf.data.Dataset.from_tensors((images,))  # or tfssl.views(images, ..., num_views=1)
    len(model.fit(views, verbose=0).history["reconstruction_loss"])  # 1
    masked, completed = model.reconstruct(images)
    ```
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: keras.Layer | None = None,
        *,
        decoder_dim: int | None = None,
        decoder_depth: int = 8,
        mask_ratio: float = 0.75,
        normalize_patches: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(encoder, mask_ratio=mask_ratio, heads={"decoder": decoder}, **options)
        checks.integer("decoder_depth", decoder_depth, least=1)
        if decoder_dim is not None:
            checks.integer("decoder_dim", decoder_dim, least=IN_HEAD)
            if decoder_dim % IN_HEAD:
                raise ValueError(
                    f"`decoder_dim` must be a multiple of {IN_HEAD}. Received: {decoder_dim}"
                )
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.normalize_patches = normalize_patches

    def make_heads(self, decoder: keras.Layer | None) -> Layers:
        # In a namespace, as Keras would count its layers a second time.
        self.hidden.sections = sections(self.encoder, "MAE")
        if decoder is None:
            tokens, width = self.hidden.sections.tokens, self.hidden.sections.dim
            dim = self.decoder_dim or min(DIM, max(IN_HEAD, width // IN_HEAD * IN_HEAD))
            decoder = layers.MaskedDecoder(
                tokens.grid,
                math.prod(self.patch_size) * self.views_shape[-1],
                dim=dim,
                depth=self.decoder_depth,
                heads=dim // IN_HEAD,
                first=tokens.first,
                seed=self.seed + 1,
                name="decoder",
            )
        if not decoder.built:
            decoder.build((None, None, self.hidden.sections.dim))
        return {"decoder": decoder}

    @property
    def patch_size(self) -> tuple[int, int]:
        return self.hidden.sections.patch_size

    def masked_pass(
        self, images: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """h [B, D]; the predictions [B, m, P]; and the places of the masked patches, [B, m]."""
        parts = self.hidden.sections
        order = tf.argsort(noise, axis=1)
        visible = noise.shape[1] - self.num_masked
        self.keep_losses(self.encoder)
        tokens = parts.tokens.of_patches(parts.patches(adapt.scaled(images, self.input_range)))
        x = parts.tokens.with_first(rows_at(tokens, order[:, :visible]))
        x = parts.transformed(x, training)
        h = adapt.pooled(parts.head(x))
        self.keep_losses(self.decoder)
        predicted = self.decoder(
            parts.normalized(x), order=order, size=self.patches, training=training
        )
        return h, predicted, order[:, visible:]

    def loss_of(
        self, images: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        h, predicted, masked = self.masked_pass(images, noise, training)
        targets = rows_at(self.patched(images), masked)
        return h, mae(predicted, targets, normalized=self.normalize_patches)

    def predict_patches(self, images: tf.Tensor, noise: tf.Tensor) -> Prediction:
        h, predicted, masked = self.masked_pass(images, noise, training=False)
        predicted, patches = tf.cast(predicted, tf.float32), self.patched(images)
        if self.normalize_patches:  # mean and deviation are not predicted: those of the image
            _, mean, deviation = normalized_patches(rows_at(patches, masked))
            predicted = mean + deviation * predicted
        count = noise.shape[1]
        places = tf.one_hot(masked, count)
        return Prediction(
            h, tf.einsum("bmp,bmn->bnp", predicted, places), tf.reduce_sum(places, axis=1)
        )
