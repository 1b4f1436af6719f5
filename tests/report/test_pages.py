"""Pages: complete, whole, escaped, and without anything from elsewhere."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.pages import checked, made
from tfssl.report import CHARTS, Run, Sample, compare, page_of
from tfssl.verdict import Verdict

LEARNS = Verdict("learning", 8, "It does.", "")
SCORES = {"knn_20": {"top_1": 0.5, "examples": 40, "correct_top_1": 20}, "linear": {"top_1": 0.25}}


def run(**changes):
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")
    told = dict(
        name="runs/<a>",
        about='simclr on "photos"',
        verdict=LEARNS,
        accuracies={"untrained": SCORES, "pretrained": SCORES},
        scalars={tag: [(1, 0.5), (2, 0.25)] for of in CHARTS.values() for tag in of.values()},
        settings={"temperature": 0.2},
        facts={"device": "a <processor>"},
        command="python run.py --flagfile='x y'",
        views=content.getvalue(),
    )
    return Run(**{**told, **changes})


def test_a_whole_page():
    page = page_of(run(), made())
    checker = checked(page)
    assert [one["id"] for one in checker.of("section")] == [
        *("verdict", "accuracy", "curves", "views", "neighbours", "map", "confusion"),
        *("special", "spectrum", "settings"),
    ]
    assert "<a>" not in page and "runs/&lt;a&gt;" in page and "a &lt;processor&gt;" in page
    assert len(checker.of("circle")) > 40 and len(checker.of("svg")) == len(CHARTS) + 2
    assert "20 of 40" in page and "50.00" in page and "learning" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": None},
        {"accuracies": {}},
        {"scalars": {}},
        {"views": None},
        {"settings": {}, "facts": {}, "command": ""},
    ],
)
def test_what_is_missing_is_left_out(changes):
    whole, part = (checked(page_of(one)).of("section") for one in (run(), run(**changes)))
    assert {one["id"] for one in part} <= {one["id"] for one in whole}
    assert len(part) == len(whole) - (changes.keys() != {"settings", "facts", "command"})


def test_images_without_labels_and_few_of_them():
    images = made(labels=np.full(40, -1), classes=())
    checker = checked(page_of(run(), images))
    assert "confusion" not in {one["id"] for one in checker.of("section")}
    assert not checker.of("button")
    checked(page_of(run(), made(count=3)))
    two = checked(page_of(run(), made(count=2)))
    assert "neighbours" not in {one["id"] for one in two.of("section")}


def test_many_classes_have_no_table():
    images = made(count=90, labels=np.arange(90) % 30, classes=[f"c{n}" for n in range(30)])
    page = page_of(run(), images)
    assert "taken for</th>" not in page and "are right" in page


def test_each_thumbnail_shows_its_image():
    """The part of the sprite at the position of each element is the picture."""
    pictures = np.zeros((7, 4, 4, 3), np.uint8)
    pictures[:] = (np.arange(7) * 30)[:, None, None, None]
    images = Sample([str(n) for n in range(7)], pictures, np.eye(7), np.full(7, -1), [])
    from tfssl.report.elements import grid_of, position, sprite_css

    columns, rows = grid_of(images)
    assert (columns, rows) == (3, 3) and f"{100 * columns}% {100 * rows}%" in sprite_css(images)
    for number in range(7):
        across, down = (
            float(part.strip("%")) for part in position(images, number).split(": ")[1].split()
        )
        # CSS: the share of the picture's width beyond the element's that lies to the left.
        place = round(down / 100 * (rows - 1)) * columns + round(across / 100 * (columns - 1))
        assert place == number


@pytest.mark.parametrize(
    "kind,colour", [("learning", "good"), ("improving", "warn"), ("collapsing", "bad")]
)
def test_a_verdict_has_the_colour_of_its_kind(kind, colour):
    page = page_of(run(verdict=Verdict(kind, 3, "So.", "Do <this>.")))
    assert f'class="verdict {colour}"' in page and "Do &lt;this&gt;." in page


def test_runs_side_by_side():
    other = run(name="runs/b", settings={"temperature": 0.5, "seed": 1}, verdict=None)
    page = compare([run(), other])
    checker = checked(page)
    assert len(checker.of("polyline")) == 2 * len(
        {tag for of in CHARTS.values() for tag in of.values()}
    )
    assert "--temperature" in page and "--seed" in page and "runs/b" in page
    same = compare([run(), run(name="runs/c")])
    assert "--temperature" not in same
