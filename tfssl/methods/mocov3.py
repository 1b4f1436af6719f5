"""MoCo v3: find the momentum key of the other view among those of the batch."""

from typing import Any

import keras
import tensorflow as tf

from tfssl.losses import info_nce
from tfssl.methods import checks, heads, targets
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.crossview import comparable, cross_view_scalars
from tfssl.methods.hints import Encoder, Layers, Scalars, Views


@keras.saving.register_keras_serializable(package="tfssl")
class MoCoV3(Coupled):
    """Chen et al. 2021, "An Empirical Study of Training Self-Supervised Vision Transformers".

    A predictor maps the projection of each view to a query, which is classified among the keys of
    the other view of all images of the batch, made by a moving-average network (arXiv:2104.02057,
    Algorithm 1). There is no queue. The loss is the sum of both directions, each multiplied by
    2 * temperature. Each view passes through each network as a batch of its own.

    Differs from the paper: the default heads have 2048 hidden units; the paper has 4096.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: two layers, of 2048 and 256 units,
            each with batch normalization.
        predictor: a `keras.Layer`, z -> q [B, P]; None: two layers, of 2048 and P units.
        temperature: float > 0.
        target_encoder, target_projector: networks with the structure of the online ones; None:
            clones.
        base_target_decay: float in [0, 1], decay of the moving average at the first step; it rises
            to 1 along a cosine.
        total_steps: see `BYOL`.

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.MoCoV3(encoder, temperature=0.2)
    model.compile("sgd", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images, images))  # or tfssl.views(images, ...)
    len(model.fit(views, verbose=0).history["contrast_acc"])  # 1
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "target_decay")
    SCHEDULED = True
    num_companions = 2

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        *,
        temperature: float = 1.0,
        target_encoder: keras.Layer | None = None,
        target_projector: keras.Layer | None = None,
        base_target_decay: float = 0.99,
        total_steps: int | None = None,
        **options: Any,
    ) -> None:
        given = {"projector": projector, "predictor": predictor}
        super().__init__(encoder, heads=given, **options)
        checks.positive("temperature", temperature)
        checks.share("base_target_decay", base_target_decay)
        self.temperature, self.base_target_decay = temperature, base_target_decay
        self.total_steps = total_steps
        self.hidden.targets = {"encoder": target_encoder, "projector": target_projector}

    def make_heads(self, projector: keras.Layer | None, predictor: keras.Layer | None) -> Layers:
        return heads.with_predictor(self, projector, predictor, out_dim=256, hidden_dim=2048)

    def make_followers(self, parts: Layers) -> Layers:
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        networks, self.hidden.pairs = targets.networks(self, online, self.hidden.targets, "target")
        return networks

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        h = self.encode_views(views, training, apart=True)
        z = self.through(self.projector, h, training, apart=True)
        return h, self.through(self.predictor, z, training, apart=True)

    def companions(self, views: Views, training: bool = True) -> Tensors:
        """The keys of both views, [B, P] each."""
        h = self.encode_views(views, training, self.target_encoder, apart=True)
        return self.through(self.target_projector, h, training, apart=True)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        (q1, q2), (k1, k2) = (
            tuple(comparable(view) * self.temperature**-0.5 for view in views)
            for views in (z, companions)
        )
        entropies = [info_nce(tf.matmul(q, k, transpose_b=True)) for q, k in ((q1, k2), (q2, k1))]
        contrast = tf.add_n(entropies)
        return 2.0 * self.temperature * contrast, {
            "contrast_loss": contrast,
            **cross_view_scalars(q1, k2),
            "target_decay": self.decay(self.step),
        }

    def candidates(self, batch_size: int) -> int:
        return batch_size

    def decay(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """Decay of the target at a step, float32 scalar."""
        return targets.decay(step, self.planned_steps, self.base_target_decay)

    def after_step(self, step: tf.Tensor) -> None:
        targets.update(self.hidden.pairs, self.decay(step))
