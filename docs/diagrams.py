"""Draws the pictures of docs/methods, and docs/views.png: python docs/diagrams.py"""

import dataclasses
import html
import pathlib

HERE = pathlib.Path(__file__).parent / "methods"
BOX, GAP, HEIGHT, ROWS = 92, 26, 36, (28, 128)  # pixels
FILL = {
    "image": "#cfd8dc",
    "view": "#b2dfdb",
    "net": "#bbdefb",
    "own": "#ffe0b2",
    "loss": "#f8bbd0",
}
INK, LINE = "#1c2529", "#7a8a92"
STYLE = f"font: 13px system-ui, sans-serif; fill: {INK}; text-anchor: middle"


@dataclasses.dataclass(frozen=True)
class Diagram:
    """What happens to two of the views of an image.

    Attributes:
        first, second: names of what follows the encoder in each row; those that start with * are
            of the method alone.
        loss: its name.
        views: what is drawn from the image, for each row.
        target: whether the encoder of the second row is another network: "" or a text for the
            arrow from the first one.
        stopped: whether no gradient flows into the second row.
        beside: what the loss takes besides, "" for nothing.
        one_network: whether what the second row draws goes into the loss as it is.
    """

    first: tuple
    loss: str
    second: tuple = ()
    views: tuple = ("view 1", "view 2")
    target: str = ""
    stopped: bool = False
    beside: str = ""
    one_network: bool = False


SIAMESE = ("projector", "*predictor")
DIAGRAMS = {
    "simclr": Diagram(("projector",), "NT-Xent"),
    "byol": Diagram(SIAMESE, "cosine", ("projector",), target="moving average", stopped=True),
    "npair": Diagram(("projector",), "N-pair"),
    "triplet": Diagram(("projector",), "hinge", beside="semi-hard negative"),
    "cpc": Diagram(("*GRU",), "InfoNCE", ("projector",), views=("rows above", "a row below")),
    "simsiam": Diagram(SIAMESE, "cosine", ("projector",), stopped=True),
    "fastsiam": Diagram(
        SIAMESE, "cosine", ("projector", "*mean"), views=("a view", "the others"), stopped=True
    ),
    "barlow_twins": Diagram(("projector",), "correlation", beside="identity matrix"),
    "vicreg": Diagram(("projector",), "distance", beside="variance, covariance"),
    "sigreg": Diagram(("projector",), "distance", beside="Gaussian"),
    "mocov2": Diagram(
        ("projector",), "InfoNCE", target="moving average", stopped=True, beside="queue of keys"
    ),
    "mocov3": Diagram(SIAMESE, "InfoNCE", ("projector",), target="moving average", stopped=True),
    "nnclr": Diagram(SIAMESE, "InfoNCE", ("projector", "*neighbour"), stopped=True, beside="queue"),
    "dcl": Diagram(("projector",), "decoupled"),
    "dclw": Diagram(("projector",), "weighted"),
    "swav": Diagram(
        ("projector", "*prototypes"),
        "cross-entropy",
        ("projector", "*prototypes", "*Sinkhorn"),
        views=("any view", "large view"),
        stopped=True,
    ),
    "dino": Diagram(
        ("projector", "*softmax"),
        "cross-entropy",
        ("projector", "*centre", "*sharpen"),
        views=("any view", "large view"),
        target="moving average",
        stopped=True,
    ),
    "emp_ssl": Diagram(
        ("projector",), "cosine", views=("patch 1", "patch n"), beside="coding rate"
    ),
    "dim": Diagram(("*critic",), "information", ("*inner map",), views=("view", "same, other")),
    "mae": Diagram(
        ("*decoder",), "squared error", views=("visible part", "masked part"), one_network=True
    ),
    "simmim": Diagram(
        ("*linear",), "distance", views=("masked image", "masked pixels"), one_network=True
    ),
    "supcon": Diagram(("projector",), "SupCon", views=("view 1", "same class"), beside="labels"),
}


def svg(diagram):
    """The picture as text."""
    rows = [diagram.first, diagram.second or diagram.first]
    columns = 3 + max(map(len, rows))
    width = (columns + 1) * (BOX + GAP) + (90 if diagram.beside else 40)
    middle = sum(ROWS) // 2
    parts = [box(10, middle, "image", "image")]
    ends = []
    for row, (y, heads) in enumerate(zip(ROWS, rows)):
        names = [diagram.views[row], "encoder", *(name.strip("*") for name in heads)]
        kinds = ["view", "net", *("own" if name[0] == "*" else "net" for name in heads)]
        if diagram.one_network and row:
            names, kinds = names[:1], kinds[:1]
        parts.append(line(10 + BOX, middle + HEIGHT // 2, place(1), y + HEIGHT // 2))
        for column, (name, kind) in enumerate(zip(names, kinds), start=1):
            parts.append(box(place(column), y, name, kind))
            if column > 1:
                parts.append(
                    line(place(column) - GAP, y + HEIGHT // 2, place(column), y + HEIGHT // 2)
                )
        ends.append((place(len(names)) + BOX, y + HEIGHT // 2))
    last = place(columns) + GAP
    for (x, y), stop in zip(ends, (False, diagram.stopped)):
        parts.append(line(x, y, last - GAP, y))
        parts.append(line(last - GAP, y, last, middle + HEIGHT // 2))
        if stop:
            parts.append(mark(last - GAP - 16, y))
    parts.append(box(last, middle, diagram.loss, "loss"))
    parts += [] if diagram.one_network else shared(diagram, middle)
    if diagram.beside:
        parts.append(words(last + 6, middle + HEIGHT + 18, diagram.beside, "start"))
    height = ROWS[1] + HEIGHT + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'width="{width}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def place(column):
    return 10 + column * (BOX + GAP)


def box(x, y, name, kind):
    return (
        f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6" fill="{FILL[kind]}"/>'
        f'<text x="{x + BOX // 2}" y="{y + HEIGHT // 2 + 5}" style="{STYLE}">'
        f"{html.escape(name)}</text>"
    )


def line(x1, y1, x2, y2, more=""):
    return f'<path d="M{x1} {y1} L{x2} {y2}" stroke="{LINE}" stroke-width="1.5" fill="none"{more}/>'


def words(x, y, text, anchor="middle"):
    style = f"{STYLE}; fill: {LINE}; text-anchor: {anchor}"
    return f'<text x="{x}" y="{y}" style="{style}">{html.escape(text)}</text>'


def mark(x, y):
    """Two strokes across a line that no gradient passes."""
    return line(x, y + 8, x + 5, y - 8) + line(x + 6, y + 8, x + 11, y - 8)


def shared(diagram, middle):
    """How the networks of the two rows belong together."""
    x, top, bottom = place(2) + BOX // 2, ROWS[0] + HEIGHT, ROWS[1]
    dashed = ' stroke-dasharray="4 3"'
    return [
        line(x, top, x, middle + 4, dashed),
        line(x, middle + 26, x, bottom, dashed),
        words(x, middle + 20, diagram.target or "same weights"),
    ]


def two_views(count=8, side=96, gap=6):
    """Figures of `shapes` above two views of each, as an uint8 array [height, width, 3]."""
    import tfssl

    # isort: split
    import numpy as np

    from tfssl.data import shapes

    images = shapes.generate("train", count, side, seed=4)[0].astype(np.float32) / 255
    recipe = tfssl.augment.simclr(side, crop_area=(0.2, 1.0), jitter_strength=0.6)
    rows = [images, *(recipe(images, seed=[0, view]).numpy() for view in (1, 2))]
    below = (3 * gap, gap, 0)
    tiles = [
        np.pad(row, ((0, 0), (0, space), (0, gap), (0, 0)), constant_values=1.0)
        for row, space in zip(rows, below)
    ]
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in tiles])
    return np.round(255 * np.clip(picture[:, :-gap], 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    for name, diagram in DIAGRAMS.items():
        (HERE / f"{name}.svg").write_text(svg(diagram))
    from PIL import Image

    Image.fromarray(two_views()).save(HERE.parent / "views.png", optimize=True)
