"""N-pair: contrast view 1 of an image with view 2 of all others."""

import tensorflow as tf

from tfssl.losses import n_pair_loss
from tfssl.methods import simclr
from tfssl.methods.base import spread


class NPair(simclr.SimCLR):
    """Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", two views.

    Everything is SimCLR's but the candidates: N for each projection, all of the other view, where
    NT-Xent has 2N - 1. The objective is the sum of the two directions, as there.

    Differs from Sohn: by default the projections are normalized and divided by a temperature, as
    SimCLR's are, so that the two differ in their loss alone; there they are bare inner products,
    with a penalty on their length (`normalize=False, temperature=1` without the penalty).
    """

    def candidates(self, batch_size):
        return batch_size

    def contrast(self, z1, z2):
        # The temperature in two halves: the loss of the paper then takes z as it is.
        a, b = (comparable(z, self.normalize) * self.temperature ** -0.5 for z in (z1, z2))
        loss = n_pair_loss(a, b) + n_pair_loss(b, a)
        return loss, {"contrast_loss": loss, **cross_view_scalars(a, b),
                      "z_std": spread(tf.concat([z1, z2], axis=0))}


def comparable(z, normalize):
    """Projections in float32, of length 1 if they are to be normalized."""
    z = tf.cast(z, tf.float32)
    return tf.math.l2_normalize(z, axis=1) if normalize else z


def cross_view_scalars(a, b):
    """SimCLR's scalars of the logits a b^T, whose diagonal is the positive pairs."""
    log_p = tf.nn.log_softmax(tf.matmul(a, b, transpose_b=True))
    hit = tf.equal(tf.argmax(log_p, axis=1, output_type=tf.int32), tf.range(tf.shape(a)[0]))
    return {"contrast_acc": tf.reduce_mean(tf.cast(hit, tf.float32)),
            "contrast_entropy": -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, axis=1))}


def build(config, kit):
    """N-pair from a `tfssl.Config` and a `Kit`."""
    encoder = kit.encoder(config.seed, "encoder")
    projector = simclr.build_projector(config, kit.normalization, encoder.output_shape[-1])
    return NPair(encoder, projector, kit.probe(encoder.output_shape[-1]),
                 temperature=config.temperature, normalize=config.hidden_norm)
