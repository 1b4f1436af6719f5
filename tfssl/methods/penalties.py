"""Weight decay of kernels; biases and normalizations are excluded."""

import tensorflow as tf

from tfssl import optim


def leave_out(model, optimizer):
    """Excludes biases and normalizations from weight decay, and from LARS's adaptation.

    LARS adds weight decay to the gradients of the kernels that it adapts. google-research/simclr's
    form does not adapt the linear classifier: its weight decay is part of the loss, as that of all
    kernels is with other optimizers.
    """
    parts, decay = list(model.parts.values()), model.weight_decay
    if not isinstance(optimizer, optim.LARS):
        own = optim.decay_of(optimizer)
        refuse_two(decay, own)
        if own:
            optimizer.exclude_from_weight_decay(
                var_list=[v for part in parts for v in optim.excluded(part)]
            )
        decayed = [v for part in parts for v in optim.decayed(part)]
        return model.penalize(decayed, 0.0 if own else decay or 0.0)
    refuse_two(decay, optimizer.coupled_weight_decay)
    if decay is not None:
        optimizer.coupled_weight_decay = decay
    not_adapted = (
        [model.classifier] if model.classifier and optimizer.momentum_form == "classic" else []
    )
    adapted = [part for part in parts if part not in not_adapted]
    optimizer.exclude_from_adaptation(
        [v for part in not_adapted for v in part.trainable_variables]
        + [v for part in adapted for v in optim.excluded(part)]
    )
    decayed = [v for part in not_adapted for v in optim.decayed(part)]
    return model.penalize(decayed, optimizer.coupled_weight_decay)


def refuse_two(decay, own):
    """Raises ValueError if weight decay is given both to `compile` and to the optimizer."""
    if decay and own and decay != own:
        raise ValueError(
            f"`weight_decay` must be given once. Received: {decay} in compile, and {own} that the "
            "optimizer has or takes by default; Adam has none"
        )


def l2(variables, weight_decay):
    """0.5 * weight_decay * sum of squares, a float32 scalar."""
    squares = [tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in variables]
    return weight_decay * tf.add_n(squares) if squares else tf.constant(0.0)
