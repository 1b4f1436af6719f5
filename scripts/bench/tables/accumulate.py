"""A batch of 256 in parts, --accumulate_steps: SimCLR's step, ResNet-18, 32 px, bfloat16"""

from tables import network

BATCH = 256
UNIT = "images"
ALIVE = False  # their memory would add up
VARIANTS = {f"{count} part{'s' * (count > 1)}": None for count in (1, 2, 4, 8)}


def build(name, settings):
    job, model = network.model_of(
        precision="mixed_bfloat16", train_batch_size=BATCH, accumulate_steps=int(name.split()[0])
    )
    return network.step_of(model, BATCH), BATCH, 0


def targets(rows):
    whole, parts = rows["1 part"], rows["8 parts"]
    share = parts["peak, MB"] / whole["peak, MB"]
    return [(f"8 parts take at most a third of the memory of one: {share:.2f}", share <= 1 / 3)]
