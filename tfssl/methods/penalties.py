"""Weight decay of kernels alone: biases and normalizations are left out."""

import tensorflow as tf

from tfssl import optim


def leave_out(model, optimizer):
    """Leaves biases and normalizations without weight decay, and under LARS without adaptation.

    LARS adds weight decay to the gradient of what it adapts: every kernel, but in
    google-research/simclr's form not the linear classifier's, which has it in the loss. So has
    everything under the other optimizers.
    """
    parts, decay = list(model.parts.values()), model.weight_decay
    if not isinstance(optimizer, optim.LARS):
        own = getattr(optimizer, "weight_decay", None)
        refuse_two(decay, own)
        if own:
            optimizer.exclude_from_weight_decay(
                var_list=[v for part in parts for v in optim.excluded(part)]
            )
        decayed = [v for part in parts for v in optim.decayed(part)]
        return model.penalize(decayed, decay or 0.0)
    refuse_two(decay, optimizer.coupled_weight_decay)
    if decay is not None:
        optimizer.coupled_weight_decay = decay
    alone = [model.classifier] if model.classifier and optimizer.momentum_form == "classic" else []
    adapted = [part for part in parts if part not in alone]
    optimizer.exclude_from_adaptation(
        [v for part in alone for v in part.trainable_variables]
        + [v for part in adapted for v in optim.excluded(part)]
    )
    decayed = [v for part in alone for v in optim.decayed(part)]
    return model.penalize(decayed, optimizer.coupled_weight_decay)


def refuse_two(decay, own):
    """Raises ValueError where weight decay is given to `compile` and to the optimizer."""
    if decay and own and decay != own:
        raise ValueError(
            f"`weight_decay` must be given once. Received: {decay} in compile, and {own} that the "
            "optimizer has or takes by default; Adam has none"
        )


def l2(variables, weight_decay):
    """0.5 * weight_decay * the sum of all squares, a float32 scalar."""
    squares = [tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in variables]
    return weight_decay * tf.add_n(squares) if squares else tf.constant(0.0)
