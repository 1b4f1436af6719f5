"""Pages: of one run, and of several side by side."""

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfssl.report import charts, sample
from tfssl.report.elements import document, position, table, text, thumbnail
from tfssl.report.sample import Sample
from tfssl.verdict import BROKEN, Verdict

ROWS, COLUMNS = 24, 8  # of the nearest neighbours
STRIP = 16  # images of a strip
PAIRS = 12
MOST_CLASSES = 20  # of the confusion table
MOST_COLOURS = 10

# {title of a chart: {name of a line: scalar}}; a line without points is left out.
CHARTS = {
    "loss": {"training": "train/total_loss", "fixed views": "information/loss_of_views"},
    "accuracy of the online head": {"training views": "train/supervised_acc"},
    "contrastive accuracy": {"training": "train/contrast_acc"},
    "other view of an image found first": {"share": "information/view_retrieval"},
    "rank at which it is found (0 is first)": {"mean rank": "information/view_rank"},
    "neighbours kept since the point before": {"share": "information/neighbours_kept"},
    "InfoNCE bound, nats": {
        "bound": "information/infonce_bound",
        "ceiling": "information/infonce_ceiling",
    },
    "dimensions in use": {
        "effective rank": "information/effective_rank",
        "LiDAR": "information/lidar",
    },
    "alignment and uniformity": {
        "alignment": "information/alignment",
        "uniformity": "information/uniformity",
    },
    "spread of projections": {"z": "train/z_std", "target": "train/target_z_std"},
    "learning rate": {"rate": "learning_rate"},
    "images per second": {"images/s": "train/images_per_second"},
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What a page tells of a run.

    Attributes:
        name: its directory.
        about: one line: method, network, images, steps.
        verdict: the `Verdict`, or None.
        accuracies: {"untrained" and the like: {protocol: {"top_1", "examples", ...}}}.
        scalars: {tag: [(step, value), ...]} of TensorBoard.
        settings: {flag: value} that differ from the defaults.
        facts: {name: text}, such as versions and times.
        command: the command that repeats the run.
        views: PNG of some views, bytes; None: there is none.
        reconstructions: likewise of completed images.
        attention: likewise of where a transformer looks.
    """

    name: str
    about: str
    verdict: Verdict | None = None
    accuracies: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(
        default_factory=dict
    )
    scalars: Mapping[str, Sequence[tuple[float, float]]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    command: str = ""
    views: bytes | None = None
    reconstructions: bytes | None = None
    attention: bytes | None = None


def page_of(run: Run, images: Sample | None = None, seed: int = 0) -> str:
    """The page of a run.

    Args:
        run: a `Run`.
        images: a `Sample` of images; None: none are shown.
        seed: integer, of the map and of the images that are shown.
    """
    parts = [
        ("verdict", "", verdict_of(run)),
        ("accuracy", "Accuracy", accuracy_of(run)),
        ("curves", "Curves", curves_of(run.scalars)),
        ("views", "Views", views_of(run)),
        ("reconstructions", "Masked images, completed", reconstructions_of(run)),
        ("attention", "Attention", attention_of(run)),
        *(images_of(images, seed) if images is not None and len(images) > 2 else []),
        ("settings", "Settings", settings_of(run)),
    ]
    title = f"<h1>{text(run.name)}</h1><p class='soft'>{text(run.about)}</p>"
    return document(run.name, title, parts, images)


def compare(runs: Sequence[Run]) -> str:
    """The page of several runs side by side."""
    verdicts = [
        [text(run.name), badge(run.verdict), text(run.verdict.why if run.verdict else "")]
        for run in runs
    ]
    rows = []
    for run in runs:
        for weights, protocols in run.accuracies.items():
            rows += [
                [text(run.name), text(weights), text(protocol), percent(scores)]
                for protocol, scores in protocols.items()
            ]
    tags = {tag: None for run in runs for tag in run.scalars}
    wanted = {tag: title for title, of in CHARTS.items() for tag in of.values()}
    drawn = "".join(
        charts.lines(title, {run.name: run.scalars.get(tag, []) for run in runs})
        for tag, title in wanted.items()
        if tag in tags
    )
    names = sorted({name for run in runs for name in run.settings})
    settings = [
        [f"--{text(name)}", *(text(run.settings.get(name, "default")) for run in runs)]
        for name in names
        if len({str(run.settings.get(name)) for run in runs}) > 1
    ]
    parts = [
        ("verdict", "Verdicts", table(["run", "verdict", "why"], verdicts)),
        ("accuracy", "Accuracy", table(["run", "weights", "protocol", "top-1, %"], rows, {3})),
        ("curves", "Curves", f'<div class="charts">{drawn}</div>' if drawn else ""),
        (
            "settings",
            "Settings that differ",
            table(["flag", *(text(run.name) for run in runs)], settings),
        ),
    ]
    title = f"<h1>{len(runs)} runs</h1>"
    return document(f"{len(runs)} runs", title, parts)


# Parts -------------------------------------------------------------------------------------------


def verdict_of(run):
    if run.verdict is None:
        return ""
    kind = run.verdict.kind
    advice = f"<p><b>{text(run.verdict.advice)}</b></p>" if run.verdict.advice else ""
    return (
        f'<section id="verdict" class="verdict {grade(kind)}"><h2>{text(kind.replace("_", " "))}'
        f"</h2><p>{text(run.verdict.why)}</p>{advice}</section>"
    )


def grade(kind):
    """The class of colours of a verdict."""
    return "bad" if kind in BROKEN else "warn" if kind in ("starved", "improving") else "good"


def badge(verdict):
    return text(verdict.kind.replace("_", " ")) if verdict else ""


def accuracy_of(run):
    protocols = list(dict.fromkeys(name for scores in run.accuracies.values() for name in scores))
    if not protocols:
        return ""
    rows = []
    for protocol in protocols:
        row = [text(protocol)]
        for scores in run.accuracies.values():
            row.append(percent(scores.get(protocol)))
        counts = [of[protocol] for of in run.accuracies.values() if protocol in of]
        row.append(counted(counts[-1]))
        rows.append(row)
    header = ["top-1, %", *map(text, run.accuracies), "right of all"]
    return table(header, rows, set(range(1, len(header))))


def percent(scores):
    return f"{100 * scores['top_1']:.2f}" if scores else ""


def counted(scores):
    if "correct_top_1" not in scores:
        return ""
    return f"{scores['correct_top_1']:,} of {scores['examples']:,}"


def curves_of(scalars):
    drawn = [
        charts.lines(title, {name: scalars.get(tag, []) for name, tag in of.items()})
        for title, of in CHARTS.items()
    ]
    return f'<div class="charts">{"".join(drawn)}</div>' if any(drawn) else ""


def views_of(run):
    return picture(
        run.views,
        "What the network saw: a column per image, a row per view.",
        "views of some images",
    )


def reconstructions_of(run):
    return picture(
        run.reconstructions,
        "Held-out images, what the network sees of them, and how it completes them.",
        "masked images and their completions",
    )


def attention_of(run):
    return picture(
        run.attention,
        "What the class token takes from every patch in the last block: a row per head.",
        "attention of the heads",
    )


def picture(png, what, alt):
    if png is None:
        return ""
    code = base64.b64encode(png).decode()
    return (
        f"<p class='soft'>{what}</p>"
        f'<img class="views" alt="{alt}" src="data:image/png;base64,{code}">'
    )


def images_of(images, seed):
    """The parts that show images."""
    cosines = images.cosines()
    known = images.labels >= 0
    return [
        ("neighbours", "Nearest neighbours", neighbours_of(images, cosines, seed)),
        ("map", "Map", map_of(images, seed)),
        (
            "confusion",
            "Classes by neighbours",
            confusion_of(images, cosines) if known.sum() > 2 else "",
        ),
        ("special", "Typical, isolated and alike", special_of(images, cosines)),
        ("spectrum", "Spectrum", spectrum_of(images)),
    ]


def neighbours_of(images, cosines, seed):
    chosen = np.random.default_rng(seed).permutation(len(images))[:ROWS]
    nearest = sample.neighbours(cosines, min(COLUMNS, len(images) - 1))
    strips = []
    for one in chosen.tolist():
        cells = [thumbnail(images, one)]
        for other in nearest[one].tolist():
            mark = ""
            if images.labels[one] >= 0 and images.labels[other] >= 0:
                mark = "yes" if images.labels[one] == images.labels[other] else "no"
            cells.append(thumbnail(images, other, mark, f"cosine {cosines[one, other]:.3f}"))
        strips.append(f'<div class="strip">{"".join(cells)}</div>')
    marks = " Green: of the same class; red: of another." if (images.labels >= 0).any() else ""
    return (
        f"<p class='soft'>Each row: an image, and those of {len(images):,} whose representations "
        f"are the most similar, the nearest first.{marks}</p>"
        f'<div class="rows">{"".join(strips)}</div>'
    )


def map_of(images, seed):
    points, how = sample.places(images.h, seed)
    shown = [label for label in np.unique(images.labels).tolist() if label >= 0]
    circles = []
    for number, (x, y) in enumerate(points.tolist()):
        label = int(images.labels[number])
        name = " · ".join(filter(None, (images.names[number], images.class_name(label))))
        circles.append(
            f'<circle class="{colour(label)}" cx="{10 + 980 * x:.0f}" cy="{10 + 580 * y:.0f}" '
            f'r="4.5" data-class="{label}" data-name="{text(name)}" '
            f'data-place="{position(images, number)}"/>'
        )
    buttons = "".join(
        f'<button type="button" class="{colour(label)}" data-class="{label}" '
        f'aria-pressed="false">{text(images.class_name(label))}</button>'
        for label in shown[:MOST_CLASSES]
    )
    return (
        f"<p class='soft'>{how} of {len(images):,} representations; images that lie close to each "
        "other are alike to the network. Point at one to see it"
        f"{', press a class to see it alone' if buttons else ''}.</p>"
        f'<div class="map"><svg viewBox="0 0 1000 600" role="img" aria-label="map of images">'
        f'{"".join(circles)}</svg></div><div class="classes">{buttons}</div>'
    )


def colour(label):
    return f"c{label % MOST_COLOURS}" if label >= 0 else "c7"


def confusion_of(images, cosines):
    classes, shares = sample.predicted(cosines, images.labels)
    known = images.labels >= 0
    right = classes[known] == images.labels[known]
    count = int(max(images.labels.max(), classes.max())) + 1
    parts = [
        f"<p class='soft'>Each of {int(known.sum()):,} labelled images is classified by the "
        f"{sample.NEIGHBOURS} nearest others of them: {int(right.sum()):,} are right, "
        f"{100 * right.mean():.1f} %. That is not one of the protocols above, which have more "
        "images to vote.</p>"
    ]
    if count <= MOST_CLASSES:
        found = sample.confusion(images.labels, classes, count)
        header = ["class \\ taken for", *(text(images.class_name(c)) for c in range(count))]
        rows = []
        for label, row in enumerate(found.tolist()):
            cells = [f"<th>{text(images.class_name(label))}</th>"]
            most = max(sum(row), 1)
            for other, value in enumerate(row):
                tone = "good" if other == label else "bad"
                tint = round(70 * value / most)
                cells.append(
                    f'<td style="background: color-mix(in srgb, var(--{tone}) {tint}%, '
                    f'transparent)">{value or ""}</td>'
                )
            rows.append(f"<tr>{''.join(cells)}</tr>")
        head = "".join(f"<th>{name}</th>" for name in header)
        parts.append(
            f'<div class="tablebox"><table class="heat"><tr>{head}</tr>{"".join(rows)}</table>'
            "</div>"
        )
    wrong = np.flatnonzero(known & (classes != images.labels))
    worst = wrong[np.argsort(-shares[wrong], kind="stable")][:STRIP]
    if len(worst):
        cells = [
            thumbnail(
                images,
                one,
                "no",
                f"taken for {images.class_name(int(classes[one]))}, {shares[one]:.0%} of the votes",
            )
            for one in worst.tolist()
        ]
        parts.append(
            "<h3>Errors of which the neighbours are surest</h3>"
            f'<div class="strip">{"".join(cells)}</div>'
        )
    return "".join(parts)


def special_of(images, cosines):
    scores = sample.typicality(cosines)
    order = np.argsort(-scores, kind="stable")
    strips = [
        ("Most typical: many others are like them", order[:STRIP]),
        ("Most isolated: nothing is like them", order[::-1][:STRIP]),
    ]
    parts = []
    for heading, chosen in strips:
        cells = [thumbnail(images, one, "", f"{scores[one]:.3f}") for one in chosen.tolist()]
        parts.append(f'<h3>{heading}</h3><div class="strip">{"".join(cells)}</div>')
    pairs = "".join(
        f'<div class="pair">{thumbnail(images, i)} {thumbnail(images, j)}<br>{cosine:.4f}</div>'
        for i, j, cosine in sample.closest_pairs(cosines, PAIRS)
    )
    parts.append(
        "<h3>Most alike: duplicates, if there are any (cosine of the representations)</h3>"
        f'<div class="pairs">{pairs}</div>'
    )
    return "".join(parts)


def spectrum_of(images):
    h = images.h.astype(np.float64)
    values = np.linalg.svd(h - h.mean(axis=0), compute_uv=False) ** 2
    values = values[values > 1e-12 * values[0]] if values[0] > 0 else values[:0]
    if len(values) < 2:
        return ""
    points = [(n, math.log10(value / values[0])) for n, value in enumerate(values, start=1)]
    drawn = charts.lines(
        "log10 of the variance, relative to the first direction", {"h": points}, "direction"
    )
    return (
        "<p class='soft'>The variance of the representations along their principal directions: a "
        "cliff means that the directions behind it are not used.</p>"
        f'<div class="charts">{drawn}</div>'
    )


def settings_of(run):
    rows = [[f"--{text(name)}", text(value)] for name, value in run.settings.items()]
    facts = [[text(name), text(value)] for name, value in run.facts.items()]
    return (
        (f"<pre>{text(run.command)}</pre>" if run.command else "")
        + '<div class="two"><div>'
        + (table(["setting", "value"], rows) if rows else "")
        + "</div><div>"
        + (table(["", ""], facts) if facts else "")
        + "</div></div>"
    )
