"""Estimators of mutual information: Keras models that maximise a lower bound.

A batch is a pair (x [N, A], z [N, B]) whose rows are drawn jointly. If batches are never repeated,
the value logged at each step is the bound on data that the model has not been trained on.
"""

import math

import keras
import tensorflow as tf

from tfssl.information import bounds
from tfssl.information.critics import mlp

BOUNDS = {
    "infonce": bounds.infonce_bound,
    "nwj": bounds.nwj_bound,
    "dv": bounds.dv_bound,
    "mine": bounds.dv_bound,
}


class Estimator(keras.Model):
    """Base class of models that maximise a lower bound on I(x, z) and log it as `bound`, in nats.

    Subclasses implement `loss_and_bound(x, z)` and `bound(x, z)`; the latter must not change state.
    """

    def __init__(self, name):
        super().__init__(name=name)
        self.tracker = keras.metrics.Mean("bound")

    def learn(self, x, z):
        """Takes one step, and returns the bound on the batch before it, a float32 scalar."""
        with tf.GradientTape() as tape:
            loss, bound = self.loss_and_bound(x, z)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return bound

    def train_step(self, batch):
        self.tracker.update_state(self.learn(*batch))
        return {"bound": self.tracker.result()}

    def test_step(self, batch):
        self.tracker.update_state(self.bound(*batch))
        return {"bound": self.tracker.result()}

    @property
    def metrics(self):
        return [self.tracker]


class CriticEstimator(Estimator):
    """A bound that is a function of a critic's scores.

    Args:
        critic: `keras.Model`, (x [N, A], z [N, B]) -> scores [N, N]; see `critics`.
        bound: "infonce" (van den Oord et al. 2018), "nwj" (Nguyen et al. 2010), "dv" (Donsker and
            Varadhan, its plain and biased gradient) or "mine" (the same bound; the gradient of
            Belghazi et al. 2018, section 3.2, corrected by a moving average of the partition).
        rate: weight of the new batch in the moving average of MINE, in (0, 1].

    Raises:
        ValueError: an unknown bound, or a rate outside its range.
    """

    def __init__(self, critic, bound, rate=0.01):
        if bound not in BOUNDS:
            raise ValueError(
                f"`bound` must be one of {', '.join(BOUNDS)}. Received: bound={bound!r}"
            )
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Received: rate={rate}")
        super().__init__(name=bound)
        self.critic, self.kind, self.rate = critic, bound, rate
        # -inf: no batch yet. The average starts with the value of the first batch.
        self.log_average = self.add_weight(
            shape=(),
            name="log_average",
            trainable=False,
            dtype="float32",
            initializer=keras.initializers.Constant(-math.inf),
        )

    def call(self, inputs):
        return self.critic(inputs)

    def bound(self, x, z):
        return BOUNDS[self.kind](self.critic((x, z)))

    def loss_and_bound(self, x, z):
        scores = self.critic((x, z))
        if self.kind != "mine":
            bound = BOUNDS[self.kind](scores)
            return -bound, bound
        before = tf.convert_to_tensor(self.log_average)
        before = tf.where(
            tf.math.is_inf(before), tf.stop_gradient(bounds.log_mean_exp_of_others(scores)), before
        )
        loss, after = bounds.mine_loss(scores, before, self.rate)
        self.log_average.assign(after)
        return loss, -loss


class VariationalEstimator(Estimator):
    """The variational bound H(z) + E[log q(z | x)] with a Gaussian q.

    Barber and Agakov 2003; Proposition 5. The mean of q is a network of x; the variances are
    parameters, one per coordinate. The entropy of z must be known. If the conditional density does
    not have this form, the bound stays below the information.

    Args:
        x_dim, z_dim: dimensions A and B.
        entropy: H(z), in nats.
        hidden: widths of the hidden layers of the mean, each followed by ReLU.
        seed: seed of the initial weights.
    """

    def __init__(self, x_dim, z_dim, entropy, hidden=(256, 256), seed=0):
        super().__init__(name="barber_agakov")
        self.mean, self.entropy = mlp(x_dim, (*hidden, z_dim), seed, "mean"), entropy
        self.log_variance = self.add_weight(
            shape=(z_dim,), initializer="zeros", dtype="float32", name="log_variance"
        )

    def call(self, inputs):
        """log q(z_i | x_i), float32 [N]."""
        x, z = inputs
        log_variance = tf.convert_to_tensor(self.log_variance)
        square = (z - self.mean(x)) ** 2 * tf.exp(-log_variance)
        return -0.5 * tf.reduce_sum(square + log_variance + math.log(2 * math.pi), axis=1)

    def bound(self, x, z):
        return bounds.barber_agakov_bound(self((x, z)), self.entropy)

    def loss_and_bound(self, x, z):
        bound = self.bound(x, z)
        return -bound, bound
