"""The scalars under information/: what they add to ten SimCLR steps, ResNet-18, 32 px, batch 128"""

from tables import network

BATCH, EVERY = 128, 10
UNIT = None
ADDED = "keeping h and z of ten batches, one TensorBoard point of them"
HELD_OUT = "one point of 512 held-out images, two views each"
STEPS = "ten training steps"
VARIANTS = {ADDED: None, HELD_OUT: None, STEPS: None}
IMAGES, POINTS, EPOCHS = 512, 20, 10 * 50_000  # points in ten epochs of CIFAR-10


def build(name, settings):
    import tempfile

    import tensorflow as tf

    from tfssl.callbacks.board import Board
    from tfssl.callbacks.tensorboard import InformationScalars
    from tfssl.methods import Outputs

    _, model = network.model_of(train_batch_size=BATCH, information_scalars=name == ADDED)
    if name == HELD_OUT:
        return held_out(model), 0, 0
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


def held_out(model):
    """Measures random views, in batches of the training."""
    import tensorflow as tf

    from tfssl.callbacks import Information

    views = tf.random.stateless_uniform([2, IMAGES, 32, 32, 3], [0, 0])
    batches = tf.data.Dataset.from_tensor_slices(tuple(views)).batch(BATCH)
    information = Information(batches, num_batches=IMAGES // BATCH)
    information.set_model(model)
    return information.measure


def targets(rows):
    step = rows[STEPS]["ms"] / EVERY
    share = rows[ADDED]["ms"] / EVERY / step
    of_training = POINTS * rows[HELD_OUT]["ms"] / (EPOCHS / BATCH * step)
    return [
        (f"information scalars at most 2 % of a step: {100 * share:.2f} %", share <= 0.02),
        (
            f"{POINTS} points of held-out images at most 2 % of ten epochs of CIFAR-10: "
            f"{100 * of_training:.2f} %",
            of_training <= 0.02,
        ),
    ]
