"""The precision for narrow networks: SimCLR's step, ResNet-18 by width, 20 px, batch 256"""

from tables import network

BATCH, SIZE = 256, 20
UNIT = "images"
WIDTHS = (0.125, 0.1875, 0.25, 0.375, 0.5, 1.0)
PRECISIONS = ("mixed_bfloat16", "float32")
OURS = {
    f"width {width:g}, {precision}": (width, precision)
    for width in WIDTHS
    for precision in PRECISIONS
}
VARIANTS = dict.fromkeys(OURS)


def build(name, settings):
    width, precision = OURS[name]
    _, model = network.model_of(
        precision=precision, width_multiplier=width, image_size=SIZE, train_batch_size=BATCH
    )
    return network.step_of(model, BATCH, SIZE), BATCH, 0


def targets(rows):
    from tfssl.runner import device

    lines = []
    for width in WIDTHS:
        speed = {
            precision: rows[f"width {width:g}, {precision}"]["images/s"] for precision in PRECISIONS
        }
        chosen = device.resolve_precision("auto", width)
        (other,) = set(PRECISIONS) - {chosen}
        ratio = speed[chosen] / speed[other]
        lines.append(
            (
                f"--precision=auto takes the faster at width {width:g}, {chosen}: "
                f"{ratio:.2f} times the other",
                ratio >= 1,
            )
        )
    return lines
