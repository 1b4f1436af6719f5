"""Blocks computed again for the gradient, --remat: SimCLR's step, ResNet-50, 32 px, bfloat16"""

from tables import network

BATCH = 64
UNIT = "images"
ALIVE = False  # their memory would add up
VARIANTS = dict.fromkeys(("plain", "remat"))


def build(name, settings):
    _, model = network.model_of(
        precision="mixed_bfloat16", resnet_depth=50, train_batch_size=BATCH, remat=name == "remat"
    )
    return network.step_of(model, BATCH), BATCH, 0


def targets(rows):
    memory, time = (rows["remat"][name] / rows["plain"][name] for name in ("peak, MB", "ms"))
    return [
        (f"at most half of the memory: {memory:.2f}", memory <= 0.5),
        (f"at most 1.4 times the time: {time:.2f}", time <= 1.4),
    ]
