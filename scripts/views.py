"""What the flags do to images: python scripts/views.py [--output=views.png] [flags of run.py]

A picture: some images, each operation by itself as when it happens, and the views that the encoder
sees, with everything at its probability. The images are of --dataset, of the embedded one where
none is given. Under the images and views is the share of values that are black or white, 0 or 1:
where it is much larger in the views, an operation is too strong for these images. Needs the `dev`
extra.

    python scripts/views.py --color_jitter_strength=1 --use_blur
    python scripts/views.py --dataset=./tiles --views=satellite
    python scripts/views.py --flagfile=flags/byol_imagenette.flags --images=4
"""

import argparse
import sys

import runs  # noqa: F401  (which finds `flags`)

import flags
from tfssl.errors import UsageError
from tfssl.runner import sources

DRAWS = 2  # of each view
SAMPLE = 64  # images whose values are counted
SIZE = "96"  # of the embedded dataset, where --image_size is not given: large enough to look at
INK, PALE = "#222222", "#777777"


def settings(words):
    """run.py's flags as a Config, on the embedded dataset where none is named.

    Raises:
        UsageError: run.py would refuse them.
    """
    parsed = flags.parse(["views.py", *words])
    if parsed is None:
        raise UsageError("--help of run.py: python run.py --help")
    config, given = parsed
    if "dataset" not in given:
        config = config.replace(dataset="shapes")
        for name, value in (("image_size", SIZE), ("train_split", "train[:100]")):
            if name not in given:
                config = config.replace(**{name: value})
    return config


def images(config, count):
    """The first images of as many classes, as decoded, and the (height, width) of the views."""

    source = sources.load(config, config.train_split)
    chosen, spare = {}, []
    for example in source.records().take(1000):
        image, label = (part.numpy() for part in source.decode(example))
        if len(chosen) == count:
            break
        if label in chosen or label < 0:
            spare.append(image)
        else:
            chosen[label] = image
    return [*chosen.values(), *spare][:count], sources.image_size(config, source)


def operations(config, size):
    """Every operation in use: [(name, what is set, tfssl.augment.Op)], in their order.

    Where the second view's settings differ, it has a line of its own.
    """
    first, second = (of_view(config, size, view) for view in (1, 2))
    found = []
    for name in dict.fromkeys([*first, *second]):
        lines = [views[name] for views in (first, second) if name in views]
        if len(lines) == 2 and lines[0][0] == lines[1][0]:
            found.append((name, *lines[0]))
            continue
        found += [
            (f"{name}, view {view}", *views[name])
            for view, views in ((1, first), (2, second))
            if name in views
        ]
    return found


def of_view(config, size, view):
    """{name: (what is set, op)} of a view."""
    from tfssl.augment import ops

    def of(name):
        return config.of_view(name, view)

    area = (of("crop_area_min"), of("crop_area_max"))
    strength, p = of("color_jitter_strength"), of("color_jitter_p")
    parts = {
        name: strength * of(f"jitter_{name}")
        for name in ("brightness", "contrast", "saturation", "hue")
    }
    mode = config.brightness_mode

    def alone(part):
        return ops.color_jitter(*(value * (name == part) for name, value in parts.items()), mode)

    aspect = (config.crop_aspect_min, config.crop_aspect_max)
    sigma = (of("blur_sigma_min"), of("blur_sigma_max"))
    found = [
        (
            "crop",
            1,
            f"area {area[0]:g} to {area[1]:g}",
            ops.random_resized_crop(size, area, aspect),
        ),
        ("flip", of("flip_p"), "", ops.flip_left_right(1.0)),
        *((name, p * (value > 0), f"±{value:.3g}", alone(name)) for name, value in parts.items()),
        (
            "colour jitter",
            p * any(parts.values()),
            "all of them",
            ops.color_jitter(*parts.values(), mode),
        ),
        ("grayscale", of("grayscale_p"), "", ops.grayscale()),
        (
            "blur",
            of("blur_p") * config.use_blur,
            f"σ {sigma[0]:g} to {sigma[1]:g}",
            ops.blur(sigma, padding=config.blur_padding),
        ),
        (
            "solarize",
            of("solarize_p"),
            f"from {of('solarize_threshold'):g}",
            ops.solarize(of("solarize_threshold")),
        ),
    ]
    found += others(config)
    return {
        name: ((f"p = {p:g}" if p < 1 else "always") + f"\n{told}", op)
        for name, p, told, op in found
        if p > 0
    }


def others(config):
    """[(name, probability, what is set, op)] of the operations that both views share."""
    import math

    from tfssl.augment import ops

    c, angle = config, math.radians(config.rotate_degrees)
    return [
        ("upside down", c.flip_up_down_p, "", ops.flip_up_down(1.0)),
        ("quarter turns", c.quarter_turns_p, "", ops.quarter_turns()),
        ("rotation", c.rotate_p, f"±{c.rotate_degrees:g}°", ops.rotate((-angle, angle))),
        (
            "elastic",
            c.elastic_p,
            f"up to {c.elastic_displacement:g}",
            ops.elastic((0.0, c.elastic_displacement)),
        ),
        (
            "gamma",
            c.gamma_p,
            f"{c.gamma_min:g} to {c.gamma_max:g}",
            ops.gamma((c.gamma_min, c.gamma_max)),
        ),
        (
            "levels",
            c.levels_p,
            f"±{c.levels_brightness:g}, ±{c.levels_contrast:g}",
            ops.levels(c.levels_brightness, c.levels_contrast),
        ),
        ("noise", c.noise_p, f"σ to {c.noise_deviation:g}", ops.noise((0, c.noise_deviation))),
        (
            "speckle",
            c.speckle_p,
            f"σ to {c.speckle_deviation:g}",
            ops.speckle((0, c.speckle_deviation)),
        ),
        (
            "channel drop",
            c.channel_dropout_p,
            f"each {c.channel_dropout_share:g}",
            ops.channel_dropout(c.channel_dropout_share),
        ),
        (
            "erasing",
            c.erase_p,
            f"area {c.erase_area_min:g} to {c.erase_area_max:g}",
            ops.erase((c.erase_area_min, c.erase_area_max)),
        ),
        ("cutout", c.cutout_p, f"side {c.cutout_side:g}", ops.cutout(c.cutout_side)),
    ]


def made(op, image, seed):
    """An image after an operation, float32 [h, w, C] in [0, 1]."""
    import tensorflow as tf

    return tf.clip_by_value(op(image[tf.newaxis], tf.constant(seed, tf.int32))[0], 0, 1).numpy()


def saturated(images):
    """The share of values that are 0 or 1, as a text."""
    import numpy as np

    share = np.mean([np.mean((image <= 1 / 512) | (image >= 1 - 1 / 512)) for image in images])
    return f"{100 * share:.2g} % at 0 or 1"


def columns(config, originals, size, count=None):
    """[(group, name, what is set, one picture for each of the first `count` images)]."""
    import tensorflow as tf

    from tfssl.augment import ops
    from tfssl.runner import recipes

    originals = [tf.image.convert_image_dtype(image, tf.float32) for image in originals]
    plain = [
        tf.clip_by_value(ops.center_crop(image[tf.newaxis], size, 1.0)[0], 0, 1).numpy()
        for image in originals
    ]
    told = f"{config.dataset}, {size[0]} x {size[1]}\n{saturated(plain)}"
    found = [("", "image", told, plain[:count])]
    for place, (name, told, op) in enumerate(operations(config, size)):
        sources = (originals if name.startswith("crop") else [*map(tf.constant, plain)])[:count]
        found.append(
            (
                "each operation by itself",
                name,
                told,
                [
                    made(op, image, [config.seed, 100 * place + i])
                    for i, image in enumerate(sources)
                ],
            )
        )
    for view, recipe in enumerate(recipes.views(config, size), start=1):
        for draw in range(DRAWS):
            views = [
                made(recipe, image, [config.seed, 10_000 * view + 100 * draw + i])
                for i, image in enumerate(originals)
            ]
            told = saturated(views)
            found.append(("what the encoder sees", f"view {view}", told, views[:count]))
    return found


def draw(found, path):
    """The columns as a picture, the groups under headings of their own."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from tfssl.data.channels import shown

    groups = [group for group, *_ in found]
    gaps = [0.22 * (i > 0 and groups[i] != groups[i - 1]) for i in range(len(found))]
    rows = len(found[0][3])
    height, width = found[0][3][0].shape[:2]
    tile, cell, head, gap = 1.0, height / width, 0.86, 0.05  # inches; of a tile's width
    total = (len(found) * tile + sum(gaps) + 0.1, rows * cell + head + 0.05)
    figure = plt.figure(figsize=total, facecolor="white")
    left, starts = 0.05, {}
    for (group, name, told, pictures), before in zip(found, gaps):
        left += before
        starts.setdefault(group, []).append(left)
        middle = (left + tile / 2) / total[0]
        base = 1 - head / total[1]
        figure.text(
            middle, base + 0.31 / total[1], name, ha="center", va="bottom", fontsize=9, color=INK
        )
        figure.text(
            middle,
            base + 0.285 / total[1],
            told,
            ha="center",
            va="top",
            fontsize=6.8,
            color=PALE,
            linespacing=1.15,
        )
        for row, picture in enumerate(pictures):
            bottom = total[1] - head - (row + 1) * cell + gap / 2
            axis = figure.add_axes(
                [
                    (left + gap / 2) / total[0],
                    bottom / total[1],
                    (tile - gap) / total[0],
                    (cell - gap) / total[1],
                ]
            )
            axis.imshow(shown(picture), interpolation="nearest", aspect="auto")
            axis.set_axis_off()
        left += tile
    for group, places in starts.items():
        if group:
            low, high = places[0] + gap / 2, places[-1] + tile - gap / 2
            line = 1 - 0.36 / total[1]
            figure.add_artist(
                plt.Line2D(
                    [low / total[0], high / total[0]], [line, line], color="#BBBBBB", linewidth=0.8
                )
            )
            figure.text(
                low / total[0], line + 0.05 / total[1], group, fontsize=9, color=PALE, va="bottom"
            )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--output", default="views.png", help="PNG or PDF (default: views.png)")
    parser.add_argument("--images", type=int, default=5, help="how many (default: 5)")
    options, words = parser.parse_known_args()
    try:
        if options.images < 1:
            raise UsageError(f"--images must be 1 or more. Received: {options.images}")
        config = settings(words)
        originals, size = images(config, max(options.images, SAMPLE))
        found = columns(config, originals, size, options.images)
        draw(found, options.output)
        views = [told.strip() for group, _, told, _ in found if group == "what the encoder sees"]
        print(f"values: images {found[0][2].splitlines()[-1]}; views {', '.join(views)}")
        print(options.output)
    except (UsageError, OSError) as error:
        print(f"views.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
