"""What the flags do to images: python scripts/views.py [--output=views.png] [flags of run.py]

A picture: some images, each operation by itself as when it happens, and the views that the encoder
sees, with everything at its probability. The images are of --dataset, of the embedded one where
none is given. Under the images and views is the share of values that are black or white, 0 or 1:
where it is much larger in the views, an operation is too strong for these images. A picture that is
there already is not overwritten, unless this script drew it. Needs the `dev` extra.

    python scripts/views.py --color_jitter_strength=1 --use_blur
    python scripts/views.py --dataset=./tiles --views=satellite
    python scripts/views.py --flagfile=flags/byol_imagenette.flags --images=4
"""

import argparse
import functools
import os
import sys

import runs  # noqa: F401  (which finds `flags`)
from PIL import Image

import flags
from tfssl.errors import UsageError
from tfssl.runner import predict, recipes, sources

DRAWS = 2  # of each view
SAMPLE = 64  # images whose values are counted
SIZE = "96"  # of the embedded dataset, where --image_size is not given: large enough to look at
JITTER = ("brightness", "contrast", "saturation", "hue")
NAMES = {
    "jitter": "colour jitter",
    "flip_up_down": "upside down",
    "rotate": "rotation",
    "channel_dropout": "channel drop",
}  # of operations, where the setting is called otherwise
TITLE = "views.py of tfssl"  # by which it knows its own pictures
INK, PALE = "#222222", "#777777"


def settings(words):
    """run.py's flags as a Config of a pretraining, on the embedded dataset where none is named.

    Raises:
        UsageError: run.py would refuse them, or they are of no pretraining.
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
    if config.task != "pretrain" or not config.trains:
        raise UsageError(f"--mode must be pretrain, whose views are drawn. Received: {config.mode}")
    if config.own_views:
        recipes.function_of(config.views)  # refuses what is no function
    return config


def drawn_before(path):
    """Whether a file is a picture that this script drew."""
    try:
        with Image.open(path) as picture:
            return picture.info.get("Title") == TITLE
    except OSError:
        return False


def writable(output):
    """The path to write to, in a directory that is there.

    Raises:
        UsageError: it exists and is no picture of this script, cannot be written, or is of no kind
            that can be drawn.
    """
    usual = "views.png"
    path = output or usual
    if not drawn_before(path):
        predict.target(output, usual)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise UsageError("a picture needs the dev extra: pip install '.[dev]'") from None
    kinds = FigureCanvasBase.get_supported_filetypes()
    if os.path.splitext(path)[1].lstrip(".").lower() not in kinds:
        raise UsageError(
            f"--output must end in one of .{', .'.join(sorted(kinds))}. Received: {path}"
        )
    predict.check_place(path)
    return path


def images(config, count):
    """The first images of as many classes, as decoded, and what they are augmented by.

    Returns:
        (images, Config for their number of channels, (height, width) of the views).

    Raises:
        UsageError: run.py would refuse them.
    """
    source = sources.load(config, config.train_split)
    config = sources.with_channels(config, source)
    chosen, spare = {}, []
    for example in source.records().take(1000):
        image, label = (part.numpy() for part in source.decode(example))
        if len(chosen) == count:
            break
        if label in chosen or label < 0:
            spare.append(image)
        else:
            chosen[label] = image
    size = sources.image_size(config, source)
    return [*chosen.values(), *spare][:count], config, size


def operations(config, size):
    """Every operation in use: [(name, what is set, tfssl.augment.Op)], in their order.

    Where the second view's settings differ, it has a line of its own. Of views of the user's own
    the operations are not known.
    """
    if config.own_views:
        return []
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
    """{name: (what is set, op)} of a view.

    An operation is what the recipe does where one of its probabilities is 1 and the others are 0.
    """
    from tfssl.augment import simclr_view
    from tfssl.runner.recipes import options_of
    from tfssl.storage.networks import channels

    options, count = options_of(config, view), channels(config)
    never = {name: 0.0 for name in options if name.endswith("_p")}
    plain = {**options, **never}

    def alone(**settings):
        return simclr_view(size, count, **{**plain, **settings}).pixels

    found = {}

    def add(name, p, settings, op):
        if p > 0:
            about = (f"p = {p:g}" if p < 1 else "always") + f"\n{told(settings)}"
            found[name] = (about, op())

    area = {"area": options["crop_area"]}
    add("crop", 1.0, area, lambda: simclr_view(size, count, **plain).crop)
    for chance in never:
        own, p = chance.removesuffix("_p"), options[chance]
        settings = {
            name.removeprefix(own).strip("_"): value
            for name, value in options.items()
            if name.startswith(own) and not name.endswith(("_p", "_padding"))
        }
        if own == "jitter":
            parts = {name: options["jitter_strength"] * options[name] for name in JITTER}
            p, settings = p * any(parts.values()), {"all of them": ""}
            for name, value in parts.items():
                others = dict.fromkeys(set(JITTER) - {name}, 0.0)
                op = functools.partial(alone, jitter_p=1.0, **others)
                add(name, p * (value > 0), {f"±{value:.3g}": ""}, op)
        name = NAMES.get(own, own.replace("_", " "))
        add(name, p, settings, functools.partial(alone, **{chance: 1.0}))
    return found


def told(settings):
    """{name: a number, a pair of them or ""} as lines."""

    def text(value):
        if isinstance(value, tuple):
            return " to ".join(map(text, value))
        return value if value == "" else f"{value:g}"

    return "\n".join(f"{name} {text(value)}".strip() for name, value in settings.items())


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

    originals = [tf.image.convert_image_dtype(image, tf.float32) for image in originals]
    plain = [
        tf.clip_by_value(ops.center_crop(image[tf.newaxis], size, 1.0)[0], 0, 1).numpy()
        for image in originals
    ]
    heading = f"{config.dataset}, {size[0]} x {size[1]}\n{saturated(plain)}"
    found = [("", "image", heading, plain[:count])]
    for place, (name, heading, op) in enumerate(operations(config, size)):
        sources = (originals if name.startswith("crop") else [*map(tf.constant, plain)])[:count]
        found.append(
            (
                "each operation by itself",
                name,
                heading,
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
            heading = saturated(views)
            found.append(("what the encoder sees", f"view {view}", heading, views[:count]))
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
    tile, cell, head, gap = 1.0, height / width, 0.97, 0.05  # inches; of a tile's width
    total = (len(found) * tile + sum(gaps) + 0.1, rows * cell + head + 0.05)
    figure = plt.figure(figsize=total, facecolor="white")
    left, starts = 0.05, {}
    for (group, name, told, pictures), before in zip(found, gaps):
        left += before
        starts.setdefault(group, []).append(left)
        middle = (left + tile / 2) / total[0]
        base = 1 - head / total[1]
        figure.text(
            middle, base + 0.42 / total[1], name, ha="center", va="bottom", fontsize=9, color=INK
        )
        figure.text(
            middle,
            base + 0.395 / total[1],
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
    metadata = {"Title": TITLE} if path.lower().endswith(".png") else None
    figure.savefig(path, dpi=150, metadata=metadata)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--output", help="a new file, or an older picture (default: views.png)")
    parser.add_argument("--images", type=int, default=5, help="how many (default: 5)")
    options, words = parser.parse_known_args()
    try:
        if options.images < 1:
            raise UsageError(f"--images must be 1 or more. Received: {options.images}")
        config, path = settings(words), writable(options.output)
        originals, config, size = images(config, max(options.images, SAMPLE))
        found = columns(config, originals, size, options.images)
        draw(found, path)
        views = [text.strip() for group, _, text, _ in found if group == "what the encoder sees"]
        print(f"values: images {found[0][2].splitlines()[-1]}; views {', '.join(views)}")
        print(path)
    except (UsageError, OSError) as error:
        print(f"views.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
