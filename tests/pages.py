"""A checker of HTML pages, and images to show on them."""

import html.parser

import numpy as np

from tfssl.report import Sample

VOID = {"meta", "img", "br"}
RNG = np.random.default_rng(0)


def made(count=40, dim=8, labels=None, classes=("a", "b", "c")):
    h = RNG.normal(size=(count, dim))
    labels = np.arange(count) % 3 if labels is None else labels
    pictures = RNG.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Sample([f"image {n}" for n in range(count)], pictures, h, labels, list(classes))


class Checker(html.parser.HTMLParser):
    """Notes the tags, and checks that they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.found, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found.append((tag, attributes))
        assert not {"src", "href"} & attributes.keys() or (
            attributes.get("src") or attributes["href"]
        ).startswith(("data:", "#"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def checked(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open and "http" not in page
    links = {one["href"].lstrip("#") for one in checker.of("a")}
    assert {one["id"] for one in checker.of("section")} - links <= {"verdict"}
    return checker
