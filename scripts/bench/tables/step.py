"""The training step alone: SimCLR, ResNet-18 with the cifar stem, 32 px, batch 128"""

from tables import network

BATCH = 128
UNIT = "images"
OURS = {
    f"{norm}, {precision}": (norm == "fused", precision)
    for precision in ("mixed_bfloat16", "float32")
    for norm in ("Keras's batch normalization", "fused")
}
MATMUL = {"4096 x 4096 matmul, bfloat16": "bfloat16", "4096 x 4096 matmul, float32": "float32"}
LIGHTLY = {
    "lightly, channels_last, bfloat16": ("bfloat16", False),
    "lightly, channels_last, float32": ("float32", False),
    "lightly, channels_last, bfloat16, torch.compile": ("bfloat16", True),
}
VARIANTS = {**dict.fromkeys(OURS), **dict.fromkeys(MATMUL), **dict.fromkeys(LIGHTLY, "lightly")}


def build(name, settings):
    if name in MATMUL:
        import tensorflow as tf

        a = tf.cast(tf.random.stateless_uniform([4096, 4096], [0, 0]), MATMUL[name])
        product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
        return lambda: float(product()), 0, 2 * 4096**3
    if name in LIGHTLY:
        import torch

        step = network.torch_model(*LIGHTLY[name])
        views = [
            torch.rand(BATCH, 3, 32, 32).to(memory_format=torch.channels_last) for _ in range(2)
        ]
        return lambda: step(*views), BATCH, step_flops()
    fused, precision = OURS[name]
    job, model = network.model_of(fused_batch_norm=fused, precision=precision)
    return network.step_of(model, BATCH), BATCH, step_flops()


def step_flops():
    from tfssl import encoders

    return 2 * BATCH * network.flops(encoders.resnet(18, stem="cifar"))


def finish(rows):
    """The share of what this machine's matmul of the same type does."""
    peak = {MATMUL[row["variant"]]: row["GFLOP/s"] for row in rows if row["variant"] in MATMUL}
    for row in rows:
        kind = "bfloat16" if "bfloat16" in row["variant"] else "float32"
        if kind in peak and "GFLOP/s" in row:
            row["of matmul"] = row["GFLOP/s"] / peak[kind]
    return rows


def targets(rows):
    fast, plain = rows["fused, mixed_bfloat16"], rows["Keras's batch normalization, mixed_bfloat16"]
    ratio = fast["images/s"] / plain["images/s"]
    single = rows["fused, float32"]
    return [
        (
            f"bfloat16 step at least 1.7 times that with Keras's batch normalization: {ratio:.2f}",
            ratio >= 1.7,
        ),
        (
            f"bfloat16 step at least 60 % of the bfloat16 matmul: {100 * fast['of matmul']:.0f} %",
            fast["of matmul"] >= 0.6,
        ),
        (
            f"float32 step at least 80 % of the float32 matmul: {100 * single['of matmul']:.0f} %",
            single["of matmul"] >= 0.8,
        ),
    ]
