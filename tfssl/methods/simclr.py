"""SimCLR: contrast two views of an image with the views of all others."""

import tensorflow as tf

from tfssl import nets
from tfssl.losses import nt_xent_with_scalars
from tfssl.methods.base import SelfSupervised, spread

# The objective is the sum of the two directions, view 1 to 2 and view 2 to 1, as in
# google-research/simclr, whose recipes (learning rate, weight decay) and charts are on that scale.
# It is twice the mean over 2N terms of the paper (Algorithm 1), which is what `nt_xent` returns.
DIRECTIONS = 2.0


class SimCLR(SelfSupervised):
    """Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    Both views go through the network as one batch of 2B images, so batch normalization sees both.

    Args:
        encoder: `keras.Model`, images -> h [B, D].
        projector: `keras.Model`, h -> z [B, P].
        probe: `keras.Model`, h -> logits, or None.
        temperature: of NT-Xent, above 0.
        normalize: whether z is L2-normalized before it is compared.
        in_blocks: whether the loss is computed in blocks, for large batches.
    """

    SCALARS = ("contrast_loss", "contrast_acc", "contrast_entropy", "z_std")

    def __init__(self, encoder, projector, probe=None, *, temperature, normalize=True,
                 in_blocks=False):
        super().__init__(encoder, probe, projector=projector)
        self.temperature, self.normalize = temperature, normalize
        self.in_blocks = in_blocks

    def loss_on_views(self, view1, view2):
        h = self.encoder(tf.concat([view1, view2], axis=0), training=True)
        z = self.projector(h, training=True)
        z1, z2 = tf.split(z, 2)
        loss, scalars = nt_xent_with_scalars(
            z1, z2, self.temperature, normalize=self.normalize, in_blocks=self.in_blocks)
        loss *= DIRECTIONS
        return loss, {"contrast_loss": loss, **scalars, "z_std": spread(z)}, h


def build_projector(config, normalization, in_dim):
    """The projector that a `tfssl.Config` describes."""
    return nets.projector(
        in_dim, mode=config.proj_head_mode, out_dim=config.proj_out_dim,
        hidden_dim=config.proj_hidden_dim, num_layers=config.num_proj_layers,
        bn_momentum=config.batch_norm_decay, normalization=normalization, seed=config.seed + 1)


def build(config, kit):
    """SimCLR from a `tfssl.Config` and a `Kit`."""
    encoder = kit.encoder(config.seed, "encoder")
    projector = build_projector(config, kit.normalization, encoder.output_shape[-1])
    return SimCLR(encoder, projector, kit.probe(encoder.output_shape[-1]),
                  temperature=config.temperature, normalize=config.hidden_norm,
                  in_blocks=0 < config.blockwise_loss_from <= config.train_batch_size)
