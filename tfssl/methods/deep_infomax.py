"""Deep InfoMax: maximize the information between an image's representation and its parts."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.encoders import adapt
from tfssl.information import bounds
from tfssl.methods import checks
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.hints import Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs

ESTIMATORS = {"jsd": bounds.jsd_bound, "infonce": bounds.infonce_bound}


@keras.saving.register_keras_serializable(package="tfssl")
class DeepInfoMax(Coupled):
    """Hjelm et al. 2019, "Learning Deep Representations by Mutual Information Estimation and
    Maximization", arXiv:1808.06670: DIM, section 3.

    There is one view of each image. The encoder turns it into a feature map, and further into h.
    Two critics score pairs of h and a map, as inner products of embeddings of both
    ("encode-and-dot-product", Appendix A): the local one compares h with the features at every
    position of the map, the global one with the whole map (sections 3.2 and 3.1). Pairs of one
    image are told from pairs of different images of the batch, by an estimator of
    `tfssl.information.bounds`; the loss is minus the weighted sum of the estimates.

    Differs from the paper: h is not matched to a prior distribution (section 3.3), so gamma = 0;
    and with InfoNCE the candidates are the same position of all images of the batch.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The encoder must be a
            functional or sequential `keras.Model` with feature maps.
        projector: a `keras.Layer`, h [B, D] -> [B, P]; None: two layers of 512 units.
        local_projector: a `keras.Layer` for the features at a position, [N, C] -> [N, P]; None: two
            layers, of 512 and P units.
        global_projector: a `keras.Layer` for the whole map, [B, h * w * C] -> [B, P]; None: two
            layers, of 512 and P units.
        local_weight: float >= 0, the paper's beta; 0: there is no local critic.
        global_weight: float >= 0, the paper's alpha; 0: there is no global critic.
        estimator: "jsd" (Jensen-Shannon, Eq. 4) or "infonce" (Eq. 5).
        local_layer: name of the layer of the encoder whose output is the map; None: the last one
            before the map of the final resolution.

    Raises:
        ValueError: the encoder has no such map, or both weights are 0.

    Example:

    ```python
    layers = [keras.layers.Conv2D(width, 3, strides=2, activation="relu") for width in (8, 16)]
    encoder = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    model = tfssl.DeepInfoMax(encoder)
    model.map_shape  # (7, 7, 8)
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    model.compile("adam", run_eagerly=True)
    views = tf.data.Dataset.from_tensors((images,))  # or tfssl.views(images, ..., num_views=1)
    len(model.fit(views, verbose=0).history["information_local"])  # 1
    ```
    """

    SCALARS = ("information_local", "information_global")
    NUM_VIEWS = 1
    KNOWN_SIZE = True

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        local_projector: keras.Layer | None = None,
        global_projector: keras.Layer | None = None,
        local_weight: float = 1.0,
        global_weight: float = 0.0,
        estimator: str = "jsd",
        local_layer: str | None = None,
        **options: Any,
    ) -> None:
        heads = {
            "projector": projector,
            "local_projector": local_projector,
            "global_projector": global_projector,
        }
        super().__init__(encoder, heads=heads, **options)
        adapt.check_readable(self.encoder)
        checks.weight("local_weight", local_weight)
        checks.weight("global_weight", global_weight)
        if not local_weight and not global_weight:
            raise ValueError(
                "`local_weight` or `global_weight` must be above 0. Received: 0 for both"
            )
        if estimator not in ESTIMATORS:
            raise ValueError(
                f"`estimator` must be one of {', '.join(ESTIMATORS)}. "
                f"Received: estimator={estimator!r}"
            )
        self.local_weight, self.global_weight = local_weight, global_weight
        self.estimator, self.local_layer = estimator, local_layer

    def make_heads(
        self,
        projector: keras.Layer | None,
        local_projector: keras.Layer | None,
        global_projector: keras.Layer | None,
    ) -> Layers:
        # In a namespace, as Keras would count its layers a second time.
        self.hidden.mapped, self.map_shape = adapt.with_map(
            self.encoder, self.views_shape, self.local_layer
        )
        height, width, channels = self.map_shape
        wanted = {"projector": (projector, self.dim)}
        if self.local_weight:
            wanted["local_projector"] = local_projector, channels
        if self.global_weight:
            wanted["global_projector"] = global_projector, height * width * channels
        parts = {}
        for number, (name, (given, in_dim)) in enumerate(wanted.items()):
            layer = given or layers.mlp(
                in_dim,
                hidden_dim=512,
                out_dim=self.dims.get("projector", 512),
                normalization=layers.synchronized,
                seed=self.seed + 1 + 100 * number,
                name=name,
            )
            parts[name] = self.head(layer, in_dim, name, out_dim=self.dims.get("projector"))
        return parts

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        """h, and the embeddings of h, of every position of the map, and of the whole map."""
        self.keep_losses(self.encoder)
        scaled = adapt.scaled(views[0], self.input_range)
        features, h = self.hidden.mapped(scaled, training=training)
        h = adapt.pooled(h)
        made = [self.projector(h, training=training)]
        if self.local_weight:
            positions = tf.reshape(features, [-1, features.shape[-1]])
            local = self.local_projector(positions, training=training)
            made.append(tf.reshape(local, [tf.shape(h)[0], -1]))
        if self.global_weight:
            whole = tf.reshape(features, [-1, features.shape[1:].num_elements()])
            made.append(self.global_projector(whole, training=training))
        return (h,), tuple(made)

    def num_projections(self, num_views: int) -> int:
        return 1 + bool(self.local_weight) + bool(self.global_weight)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        (summary, *parts), bound = z, ESTIMATORS[self.estimator]
        local = whole = tf.constant(0.0)
        if self.local_weight:
            height, width, _ = self.map_shape
            positions = tf.reshape(parts.pop(0), [-1, height * width, summary.shape[-1]])
            scores = tf.einsum("ik,jpk->pij", summary, positions)
            local = tf.reduce_mean(tf.vectorized_map(bound, scores))
        if self.global_weight:
            whole = bound(tf.matmul(summary, parts[0], transpose_b=True))
        loss = -self.local_weight * local - self.global_weight * whole
        return loss, {"information_local": local, "information_global": whole}

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        return Outputs(loss, scalars, h, z[:1])
