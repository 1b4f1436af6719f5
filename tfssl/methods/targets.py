"""Moving-average networks, such as BYOL's target, MoCo's momentum encoder and DINO's teacher."""

import tensorflow as tf

from tfssl.encoders import adapt
from tfssl.optim.schedules import target_decay

INITS = ("copy", "fresh")


def check_init(target_init):
    """Raises ValueError for an unknown `target_init`."""
    if target_init not in INITS:
        raise ValueError(f"`target_init` must be one of {INITS}. Received: {target_init!r}")


def networks(model, online, given, prefix, init="copy"):
    """Creates a moving-average network for each online network.

    Args:
        model: the `SelfSupervised` that they belong to.
        online: {name: built layer}: "encoder", which takes images, and heads on h.
        given: {name: the `keras.Layer` to use, or None for a clone}.
        prefix: prefix of the names of the networks and of the arguments for them.
        init: "copy": they start from the online weights; "fresh": from their own.

    Returns:
        A pair: {prefix_name: built layer}, and a list of (online variable, target variable).

    Raises:
        ValueError: a layer cannot be cloned, or a given one has another structure.
    """
    followers, pairs = {}, []
    for name, layer in online.items():
        argument = f"{prefix}_{name}"
        follower = follower_of(model, name, layer, given[name], argument)
        initialize(follower, layer, init, argument)
        pairs += zip(layer.trainable_variables, follower.trainable_variables, strict=True)
        followers[argument] = follower
    return followers, pairs


def follower_of(model, name, layer, given, argument):
    """The given network, or a clone of the layer; built."""
    if name != "encoder":
        follower = given or adapt.clone(layer, argument)
        return model.head(follower, model.hidden.in_dims[name], argument)
    if given is None:
        given = model.builder() if model.builder else adapt.clone(layer, argument)
    adapt.build(given, model.views_shape, argument)
    return given


def initialize(follower, layer, init, argument):
    """Checks the structure of a moving-average network and sets its initial weights."""
    shapes = [
        [tuple(v.shape) for v in network.trainable_variables] for network in (follower, layer)
    ]
    if shapes[0] != shapes[1] or len(follower.weights) != len(layer.weights):
        raise ValueError(
            f"`{argument}` must have the form of the network that it follows. "
            f"Received: {len(shapes[0])} parameters for {len(shapes[1])}, or other shapes"
        )
    if init == "copy":
        follower.set_weights(layer.get_weights())


def decay(step, total_steps, base):
    """The decay at a step, float32: `optim.target_decay`, or constant without `total_steps`."""
    return target_decay(step, total_steps, base) if total_steps else tf.constant(base, tf.float32)


def update(pairs, decay):
    """Sets the second variable of each pair to decay * itself + (1 - decay) * the first."""
    for leader, follower in pairs:
        follower.assign(decay * follower + (1.0 - decay) * leader)
