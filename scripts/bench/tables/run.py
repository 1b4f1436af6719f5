"""The whole training, data and augmentation and callbacks: SimCLR, ResNet-18, 32 px, batch 128

"whole" is what run.py does between its first step and its last; "step alone" the same model on one
batch that never changes. lightly: its transform, loss and head, two workers, the same network.
Without --data_dir the images are those of `shapes`.
"""

import time

from tables import input as augmentation
from tables import network

BATCH, STEPS = 128, 6
UNIT = "images"
OURS = {f"whole, {precision}": precision for precision in ("mixed_bfloat16", "float32")}
ALONE = {f"step alone, {precision}": precision for precision in ("mixed_bfloat16", "float32")}
LIGHTLY = {
    f"lightly, channels_last, {precision}": precision for precision in ("bfloat16", "float32")
}
VARIANTS = {**dict.fromkeys(OURS), **dict.fromkeys(ALONE), **dict.fromkeys(LIGHTLY, "lightly")}


def serve(name, settings, protocol):
    if name in OURS:
        whole_run(OURS[name], settings, protocol)
    elif name in ALONE:
        _, model = network.model_of(precision=ALONE[name])
        protocol.calls(network.step_of(model, BATCH), BATCH, 0, STEPS)
    else:
        protocol.calls(lightly_step(LIGHTLY[name]), BATCH, 0, STEPS)


def whole_run(precision, settings, protocol):
    """Trains as run.py does, holding its breath between the turns."""
    import tempfile

    import keras

    import tfssl
    from tfssl.runner import pretrain

    class Turns(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4:
                protocol.ready(BATCH, 0, STEPS)
            elif batch > 4 and (batch - 4) % STEPS == 0:
                protocol.done(time.perf_counter() - self.began)
            else:
                return
            protocol.wait()
            self.began = time.perf_counter()

    data = {"dataset": "cifar10", "data_dir": settings["data_dir"], "train_split": "train"}
    pretrain.WarnOfCollapse = lambda *_: Turns()
    with tempfile.TemporaryDirectory() as directory:
        tfssl.run(
            network.config(
                precision=precision,
                mode="train",
                train_mode="pretrain",
                model_dir=directory,
                use_blur=True,
                checkpoint_steps=10**5,
                **(data if settings["data_dir"] else {}),
            )
        )


def lightly_step(precision):
    step = network.torch_model(precision)
    augmentation.BATCH = BATCH
    batches = iter(augmentation.lightly(False, None))

    def call():
        import torch

        view1, view2 = (view.to(memory_format=torch.channels_last) for view in next(batches))
        return step(view1, view2)

    return call


def targets(rows):
    made = []
    whole, alone = rows["whole, mixed_bfloat16"], rows["step alone, mixed_bfloat16"]
    cost = 1 - whole["images/s"] / alone["images/s"]
    made.append(
        (f"pipeline and callbacks at most 5 % of the step: {100 * cost:.1f} %", cost <= 0.05)
    )
    peer = rows.get("lightly, channels_last, bfloat16")
    if peer:
        ratio = whole["images/s"] / peer["images/s"]
        made.append(
            (f"whole run at least 1.25 times lightly in bfloat16: {ratio:.2f}", ratio >= 1.25)
        )
    return made
