"""DINO: predict the centred and sharpened outputs of a moving-average teacher."""

from typing import Any

import keras
import tensorflow as tf

from tfssl import layers
from tfssl.losses import dino
from tfssl.methods import checks, frozen, targets
from tfssl.methods.coupled import Coupled, Tensors
from tfssl.methods.hints import Encoder, Layers, Scalars, Views
from tfssl.methods.learner import Outputs

LARGE = 2  # the first views are large, and the teacher sees these alone


@keras.saving.register_keras_serializable(package="tfssl")
class DINO(Coupled):
    """Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers".

    The student sees all views, and predicts the output of the teacher for each of the first two,
    unless it sees the same view (arXiv:2104.14294, Eq. 3). The outputs are distributions over
    `num_prototypes` dimensions, those of the teacher centred by a running mean over batches and
    sharpened by a low temperature, which prevents collapse without a predictor or negatives. The
    parameters of the teacher are a moving average of the student's. Further views may be smaller
    (multi-crop): views of one size in a row pass as one batch.

    Differs from the paper: the default has 4096 outputs, which suits small datasets; the paper has
    65536 on ImageNet. The weight decay is constant, and gradients are clipped if the optimizer is
    told to.

    Args:
        encoder, probe, num_classes, **options: see `SelfSupervised`. The probe is trained on the
            first two views.
        projector: a `keras.Layer`, h [B, D] -> [B, P]; None: three layers, of 2048, 2048 and 256
            units, with GELU. Its output is L2-normalized before the last layer.
        num_prototypes: integer > 1, the dimension of the output.
        temperature: float > 0, of the student.
        teacher_temperature: float > 0, of the teacher.
        first_teacher_temperature: float > 0, of the teacher at the start, from which it changes
            linearly to `teacher_temperature` over the first `teacher_temperature_share` of the
            training; None: `teacher_temperature` throughout.
        teacher_temperature_share: float in [0, 1].
        center_momentum: float in [0, 1], of the running mean.
        target_encoder, target_projector, target_prototypes: the teacher's networks, with the
            structure of the student's; None: clones.
        base_target_decay: float in [0, 1], decay of the teacher at the first step; it rises to 1
            along a cosine.
        frozen_share: float in [0, 1], share of the training, at its start, in which the last layer
            does not change: an epoch of a hundred. If `fit` does not know the length of the
            training, it is not frozen.
        total_steps: see `BYOL`.

    Attributes:
        center: variable [num_prototypes].

    Example:

    ```python
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    model = tfssl.DINO(keras.layers.GlobalAveragePooling2D(), num_prototypes=32)
    large, small = tfssl.augment.simclr(16), tfssl.augment.simclr(8, crop_area=(0.05, 0.4))
    recipes = [large, large, small]
    views = tfssl.views(images, recipes, batch_size=8, compiled=False)
    model.compile("sgd", run_eagerly=True)
    len(model.fit(views, verbose=0).history["dino_loss"])  # 1
    ```
    """

    SCALARS = ("dino_loss", "target_decay", "teacher_entropy", "teacher_temperature")
    NUM_VIEWS = None
    LEAST_VIEWS = 2
    PROBE_VIEWS = 2
    SCHEDULED = True
    least_batch = 1
    num_companions = LARGE

    def __init__(
        self,
        encoder: Encoder,
        projector: keras.Layer | None = None,
        *,
        num_prototypes: int = 4096,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        first_teacher_temperature: float | None = None,
        teacher_temperature_share: float = 0.1,
        center_momentum: float = 0.9,
        target_encoder: keras.Layer | None = None,
        target_projector: keras.Layer | None = None,
        target_prototypes: keras.Layer | None = None,
        base_target_decay: float = 0.996,
        frozen_share: float = 0.01,
        total_steps: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, heads={"projector": projector}, **options)
        checks.integer("num_prototypes", num_prototypes, least=2)
        first = (
            teacher_temperature
            if first_teacher_temperature is None
            else (first_teacher_temperature)
        )
        for name, value in {
            "temperature": temperature,
            "teacher_temperature": teacher_temperature,
            "first_teacher_temperature": first,
        }.items():
            checks.positive(name, value)
        for name, value in {
            "teacher_temperature_share": teacher_temperature_share,
            "center_momentum": center_momentum,
            "base_target_decay": base_target_decay,
            "frozen_share": frozen_share,
        }.items():
            checks.share(name, value)
        self.num_prototypes, self.temperature = num_prototypes, temperature
        self.teacher_temperatures = (first, teacher_temperature)
        self.teacher_temperature_share = teacher_temperature_share
        self.center_momentum, self.base_target_decay = center_momentum, base_target_decay
        self.frozen_share, self.total_steps = frozen_share, total_steps
        self.hidden.targets = {
            "encoder": target_encoder,
            "projector": target_projector,
            "prototypes": target_prototypes,
        }

    def make_heads(self, projector: keras.Layer | None) -> Layers:
        projector = projector or layers.mlp(
            self.dim,
            out_dim=256,
            num_layers=3,
            activation="gelu",
            normalization=None,
            seed=self.seed + 1,
        )
        projector = self.head(projector, self.dim, "projector")
        width = self.dims["projector"]
        prototypes = layers.prototypes(width, self.num_prototypes, seed=self.seed + 101)
        self.center = keras.Variable(
            tf.zeros([self.num_prototypes]), trainable=False, autocast=False, name="center"
        )
        return {"projector": projector, "prototypes": self.head(prototypes, width, "prototypes")}

    def make_followers(self, parts: Layers) -> Layers:
        online = {"encoder": self.encoder, **parts}
        networks, self.hidden.pairs = targets.networks(self, online, self.hidden.targets, "target")
        return networks

    def project(self, views: Views, training: bool = True) -> tuple[Tensors, Tensors]:
        return self.network(views, training, self.encoder, self.projector, self.prototypes)

    def companions(self, views: Views, training: bool = True) -> Tensors:
        """The outputs of the teacher for the first views, [B, num_prototypes] each."""
        teacher = self.target_encoder, self.target_projector, self.target_prototypes
        return self.network(views[:LARGE], training, *teacher)[1]

    def network(
        self,
        views: Views,
        training: bool,
        encoder: keras.Layer,
        projector: keras.Layer,
        prototypes: keras.Layer,
    ) -> tuple[Tensors, Tensors]:
        """h and the outputs of student or teacher, for each view."""
        h = self.encode_views(views, training, encoder)
        z = self.through(projector, h, training)
        unit = tuple(tf.math.l2_normalize(view, axis=1, epsilon=1e-6) for view in z)
        return h, self.through(prototypes, unit, training)

    def compare(
        self, z: Tensors, companions: Tensors, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Scalars]:
        temperature = self.temperature_at(self.step)
        loss, _ = self.loss_and_center(z, companions, temperature)
        targets_of = [tf.nn.log_softmax((view - self.center) / temperature) for view in companions]
        entropy = -tf.reduce_mean(
            tf.stack([tf.reduce_sum(tf.exp(log_p) * log_p, axis=1) for log_p in targets_of])
        )
        return loss, {
            "dino_loss": loss,
            "target_decay": self.decay(self.step),
            "teacher_entropy": entropy,
            "teacher_temperature": temperature,
        }

    def loss_and_center(
        self, z: Tensors, companions: Tensors, temperature: tf.Tensor | float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The result of `losses.dino`."""
        return dino(
            list(z),
            list(companions),
            tf.convert_to_tensor(self.center),
            student_temperature=self.temperature,
            teacher_temperature=temperature,
            center_momentum=self.center_momentum,
        )

    def remember(self, z: Tensors, companions: Tensors) -> None:
        _, center = self.loss_and_center(z, companions, self.teacher_temperatures[1])
        self.center.assign(center)

    def temperature_at(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """Temperature of the teacher at a step, float32 scalar."""
        first, last = self.teacher_temperatures
        done = self.progress(step) if self.planned_steps else tf.constant(1.0)
        risen = tf.math.divide_no_nan(done, self.teacher_temperature_share)
        risen = tf.where(done >= self.teacher_temperature_share, 1.0, risen)
        return first + (last - first) * risen

    def decay(self, step: tf.Tensor | keras.Variable) -> tf.Tensor:
        """Decay of the teacher at a step, float32 scalar."""
        return targets.decay(step, self.planned_steps, self.base_target_decay)

    @property
    def projection_dim(self) -> int:
        return self.num_prototypes

    def outputs(
        self, loss: tf.Tensor, scalars: Scalars, h: Tensors, z: Tensors, companions: Tensors
    ) -> Outputs:
        return Outputs(loss, scalars, h, z)

    def apply(self, gradients: list[tf.Tensor | None], step: tf.Tensor) -> None:
        gradients = frozen.masked(self, gradients, self.prototypes, step, self.frozen_share)
        super().apply(gradients, step)

    def after_step(self, step: tf.Tensor) -> None:
        targets.update(self.hidden.pairs, self.decay(step))

    def state(self) -> dict[str, Any]:
        return super().state() | {"center": self.center}
