"""The scalars under information/: what they add to ten SimCLR steps, ResNet-18, 32 px, batch 128"""

from tables import network

BATCH, EVERY = 128, 10
UNIT = None
ADDED = "keeping h and z of ten batches, one TensorBoard point of them"
STEPS = "ten training steps"
VARIANTS = {ADDED: None, STEPS: None}


def build(name, settings):
    import tempfile

    import tensorflow as tf

    from tfssl.callbacks.board import Board
    from tfssl.callbacks.tensorboard import InformationScalars
    from tfssl.methods import Outputs

    _, model = network.model_of(train_batch_size=BATCH, information_scalars=name == ADDED)
    if name == STEPS:
        step = network.step_of(model, BATCH)
        return lambda: [step() for _ in range(EVERY)], 0, 0
    made = {
        kept: tf.random.stateless_normal([BATCH, *variable.shape[1:]], [0, i])
        for i, (kept, variable) in enumerate(model.watched.items())
    }
    h, z = (tuple(made[f"{kind}{view}"] for view in "12") for kind in "hz")
    keep = tf.function(lambda: model.note(Outputs(0.0, {}, h, z)))
    callback = InformationScalars(
        0, STEPS, Board(tempfile.mkdtemp()), EVERY, BATCH, temperature=0.25
    )
    callback.set_model(model)

    def call():
        for _ in range(EVERY):
            keep()
        callback.write(EVERY, {"contrast_loss": 1.0})

    return call, 0, 0


def targets(rows):
    share = rows[ADDED]["ms"] / rows[STEPS]["ms"]
    return [(f"information scalars at most 2 % of a step: {100 * share:.2f} %", share <= 0.02)]
