"""NT-Xent alone, forward and backward, float32 projections of 128 dimensions"""

UNIT = None
CASES = {
    "plain, 8,192 embeddings": (4096, False),
    "blocks, 8,192 embeddings": (4096, True),
    "plain, 2,048 embeddings": (1024, False),
    "blocks, 2,048 embeddings": (1024, True),
    "blocks, 65,536 embeddings": (32768, True),
}
LIGHTLY = {"lightly, 8,192 embeddings": 4096}
VARIANTS = {**dict.fromkeys(CASES), **dict.fromkeys(LIGHTLY, "lightly")}


def build(name, settings):
    if name in LIGHTLY:
        return build_lightly(LIGHTLY[name]), 0, 0
    import tensorflow as tf

    from tfssl.losses import nt_xent_with_scalars

    images, in_blocks = CASES[name]
    z1, z2 = (tf.random.stateless_normal([images, 128], [0, i]) for i in (1, 2))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss, scalars = nt_xent_with_scalars(z1, z2, 0.25, in_blocks=in_blocks)
        return loss, scalars, tape.gradient(loss, [z1, z2])

    # Three matrix products of [2N, D] and [2N, D], without what the softmax costs.
    return lambda: step()[2][0].numpy(), 0, 3 * 2 * 128 * (2 * images) ** 2


def build_lightly(images):
    import torch
    from lightly.loss import NTXentLoss

    criterion = NTXentLoss(0.25)
    z1, z2 = (torch.randn(images, 128, requires_grad=True) for _ in range(2))

    def call():
        z1.grad = z2.grad = None
        criterion(z1, z2).backward()
        return z1.grad.sum().item()

    return call


def targets(rows):
    plain, blocks = rows["plain, 8,192 embeddings"], rows["blocks, 8,192 embeddings"]
    large = rows["blocks, 65,536 embeddings"]
    return [
        (
            "8,192 embeddings in at most 200 MB, not slower than the plain form: "
            f"{blocks['peak, MB']:.0f} MB, {blocks['ms'] / plain['ms']:.2f} of its time",
            blocks["peak, MB"] <= 200 and blocks["ms"] <= plain["ms"],
        ),
        (
            f"65,536 embeddings in less than 2.5 GB: {large['peak, MB']:.0f} MB",
            large["peak, MB"] < 2500,
        ),
    ]
