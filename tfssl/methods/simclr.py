"""SimCLR: contrast two views of an image with the views of all others, or also with a queue."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import multi_view_nt_xent_with_scalars, nt_xent_with_scalars
from tfssl.methods import checks, queues, targets
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.hints import Dataset, Encoder, Layers, Scalars, Views
from tfssl.methods.selfsupervised import direction_std

# The loss is the sum of the two directions, view 1 to 2 and view 2 to 1, as in
# google-research/simclr, whose learning rates, weight decay and charts refer to that scale. It is
# twice the mean over 2N terms of the paper (Algorithm 1), which `nt_xent` returns.
DIRECTIONS = 2.0


class Contrastive(Coupled):
    """Base class of SimCLR and others: the loss compares the projections of two views.

    Both views pass through the network as one batch of 2B images, so batch normalization sees both;
    with `APART`, each as a batch of its own. Subclasses implement `contrast`.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: SimCLR's, `layers.projector`.
        normalize: bool, whether z is L2-normalized before it is compared.

    Attributes:
        by_class: bool, whether `contrast` uses the labels.
    """

    SAME_SIZE = True
    APART = False
    DIRECTIONS = 2

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        normalize: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        self.normalize = normalize

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.projector(
            self.dim, seed=self.seed + 1, normalization=layers.synchronized
        )
        return {"projector": self.head(projector, self.dim, "projector")}

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        h = self.encode_views(views, training, apart=self.APART)
        return h, self.through(self.projector, h, training, apart=self.APART)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        return self.contrast(*z, labels)

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        """Returns the loss, and {name: scalar} for every name in SCALARS.

        Args:
            z1, z2: float32 [B, P], projections of the two views.
            labels: numbers [B], if the method is `by_class`.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="tfssl")
class SimCLR(Contrastive):
    """Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    With `memory_size`, each projection is also contrasted with a queue of earlier ones: Chen et al.
    2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners", section 2, following He
    et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning", section 3. The
    parameters of a second network are a moving average of the online ones, from equal initial
    weights. Its projections of the first two views replace the oldest entries of the queue after
    the loss of the step is computed. As in BYOL, its batch normalizations use batch statistics.

    `fit` takes two views of each image or more: Shidani et al. 2024, "Poly-View Contrastive
    Learning", `losses.multi_view_nt_xent`. Their number is that of `tfssl.views(..., num_views=4)`.

    Differs from MoCo: the positive is the other view's projection by the online network, and the
    batch also provides negatives, as in SimCLR.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`.
        projector: a `keras.Layer`, h [B, D] -> z [B, P]; None: the paper's, `layers.projector`.
        normalize: bool, whether z is L2-normalized before it is compared.
        temperature: float > 0, of NT-Xent.
        in_blocks: bool, whether to compute the loss in blocks, which saves memory for large
            batches; with two views only.
        memory_size: integer, number of projections in the queue; 0: no queue.
        memory_decay: float in [0, 1], decay of the moving average.
        memory_encoder, memory_projector: networks with the structure of the online ones; None:
            clones.

    Attributes:
        queue: variable [memory_size, P], the oldest entry first.

    Raises:
        ValueError: an argument is out of its range, or a memory network has another structure.

    Example:

    ```python
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SimCLR(encoder, temperature=0.2)
    model.compile("adam", run_eagerly=True)
    views = tfssl.views(images, tfssl.augment.simclr(8), batch_size=4, compiled=False)
    len(model.fit(views, epochs=2, verbose=0).history["contrast_acc"])  # 2
    model.predict(images, verbose=0).shape  # (8, 192)
    ```
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "z_std")
    NUM_VIEWS = None
    LEAST_VIEWS = 2

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        temperature: float = 0.1,
        in_blocks: bool = False,
        memory_size: int = 0,
        memory_decay: float = 0.999,
        memory_encoder: keras.Layer | None = None,
        memory_projector: keras.Layer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, projector, **options)
        checks.positive("temperature", temperature)
        checks.integer("memory_size", memory_size, least=0)
        checks.share("memory_decay", memory_decay)
        self.temperature, self.in_blocks = temperature, in_blocks
        self.memory_size, self.memory_decay = memory_size, memory_decay
        self.hidden.memory = {"encoder": memory_encoder, "projector": memory_projector}

    def make_followers(self, parts: Layers) -> Layers:
        if not self.memory_size:
            return {}
        online = {"encoder": self.encoder, "projector": parts["projector"]}
        networks, self.hidden.pairs = targets.networks(self, online, self.hidden.memory, "memory")
        self.queue = queues.make(self.memory_size, self.dims["projector"], self.seed)
        return networks

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        return self.contrast(*z, labels=labels)

    def contrast(
        self, z1: tf.Tensor, z2: tf.Tensor, *more: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        """As for `Contrastive`, of two projections or more."""
        settings = {
            "normalize": self.normalize,
            "negatives": tf.convert_to_tensor(self.queue) if self.memory_size else None,
        }
        if more and self.in_blocks:
            raise ValueError(
                "`in_blocks` takes two views of each image. Received: "
                f"in_blocks=True and {2 + len(more)} views"
            )
        if more:
            loss, scalars = multi_view_nt_xent_with_scalars(
                [z1, z2, *more], self.temperature, **settings
            )
        else:
            settings["in_blocks"] = self.in_blocks
            loss, scalars = nt_xent_with_scalars(z1, z2, self.temperature, **settings)
        loss *= DIRECTIONS
        z_std = direction_std(tf.concat([z1, z2, *more], axis=0))
        return loss, {"contrast_loss": loss, **scalars, "z_std": z_std}

    @property
    def least_batch(self) -> int:
        return 1 if self.memory_size else 2

    def check_dataset(self, x: Dataset, y: None = None, name: str = "fit") -> None:
        super().check_dataset(x, y, name)
        queues.check(self, x, per_image=2)

    def candidates(self, batch_size: int, num_views: int = 2) -> int:
        return num_views * (batch_size - 1) + 1 + self.memory_size

    @property
    def num_companions(self) -> int:
        return 2 if self.memory_size else 0

    def companions(self, views: Views, training: bool = True) -> Tensors:
        """Projections of the first two views by the moving-average network, [B, P] each."""
        if not (self.memory_size and training):
            return ()
        h = self.encode_views(views[:2], training, self.memory_encoder)
        z = self.through(self.memory_projector, h, training)
        z = tuple(tf.cast(view, tf.float32) for view in z)
        return tuple(tf.math.l2_normalize(view, axis=1) for view in z) if self.normalize else z

    def remember(self, z: Tensors, companions: Tensors) -> None:
        if self.memory_size:
            queues.push(self.queue, *companions)

    def after_step(self, step: tf.Tensor) -> None:
        if self.memory_size:
            targets.update(self.hidden.pairs, self.memory_decay)

    def state(self) -> dict[str, Any]:
        queue = {"queue": self.queue} if self.memory_size else {}
        return super().state() | queue
