"""Networks that follow others by a moving average: BYOL's target, SimCLR's momentum encoder."""

from tfssl.encoders import adapt

INITS = ("copy", "fresh")


def check_init(target_init):
    """Raises ValueError for an unknown start of a target network."""
    if target_init not in INITS:
        raise ValueError(f"`target_init` must be one of {INITS}. Received: {target_init!r}")


def networks(model, online, given, prefix, init="copy"):
    """Networks of the form of others, which are to follow them.

    Args:
        model: the `SelfSupervised` that they belong to.
        online: {name: built layer}; of the "encoder", which takes images, and of heads on h.
        given: {name: a `keras.Layer` to take for it, or None for a clone}.
        prefix: of the names of the networks that follow, and of the arguments they are given by.
        init: "copy", from the weights of the online ones; "fresh", from their own.

    Returns:
        A pair: {prefix_name: built layer}; and the pairs (variable, variable that follows it).

    Raises:
        ValueError: a layer cannot be cloned, or differs from the one that it is to follow.
    """
    made, pairs = {}, []
    for name, layer in online.items():
        argument = f"{prefix}_{name}"
        follower = second(model, name, layer, given[name], argument)
        start(follower, layer, init, argument)
        pairs += zip(layer.trainable_variables, follower.trainable_variables, strict=True)
        made[argument] = follower
    return made, pairs


def second(model, name, layer, given, argument):
    """The network that follows a layer: the given one, or a clone; built."""
    if name != "encoder":
        return model.head(given or adapt.clone(layer, argument), model.dim, argument)
    if given is None:
        given = model.builder() if model.builder else adapt.clone(layer, argument)
    adapt.build(given, model.views_shape, argument)
    return given


def start(follower, layer, init, argument):
    """Gives a network that follows its initial weights, once it is found to fit."""
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


def follow(pairs, decay):
    """Moves the second variable of each pair: to decay * itself + (1 - decay) * the first."""
    for leader, follower in pairs:
        follower.assign(decay * follower + (1.0 - decay) * leader)
