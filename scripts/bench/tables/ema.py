"""BYOL's target following the online network, ResNet-50, and the training step it belongs to"""

from tables import network

UNIT = None
VARIANTS = {"moving average alone": None, "BYOL training step, batch 64": None}


def build(name, settings):
    import tensorflow as tf

    _, model = network.model_of(method="byol", resnet_depth=50, train_batch_size=64)
    if name != "moving average alone":
        return network.step_of(model, 64), 0, 0
    update = tf.function(lambda: model.after_step(tf.constant(1, tf.int64)))
    return update, 0, 0


def targets(rows):
    share = rows["moving average alone"]["ms"] / rows["BYOL training step, batch 64"]["ms"]
    return [(f"moving average at most 1 % of the step: {100 * share:.2f} %", share <= 0.01)]
