"""Elements of pages: tables, thumbnails, and the document around them."""

import base64
import html
import importlib.resources
import io
import math

import numpy as np
from PIL import Image


def document(name, title, parts, images=None):
    """The whole page of parts (id, heading, content), of which empty ones are left out."""
    parts = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{place}">{heading}</a>' for place, heading, _ in parts if heading)
    sections = "".join(
        content if not heading else f'<section id="{place}"><h2>{heading}</h2>{content}</section>'
        for place, heading, content in parts
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(name)}</title>\n<style>\n{resource('page.css')}{sprite_css(images)}</style>\n"
        f"</head>\n<body>\n{title}\n<nav>{links}</nav>\n{sections}\n"
        f'<div id="tip"></div>\n<script>\n{resource("page.js")}</script>\n</body>\n</html>\n'
    )


def text(value):
    return html.escape(str(value), quote=True)


def table(header, rows, numbers=()):
    """A table of cells, which are HTML; columns in `numbers` are aligned to the right."""
    if not rows:
        return ""

    def line(cells, tag):
        return "".join(
            f"<{tag}{' class=n' if place in numbers else ''}>{cell}</{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="tablebox"><table><tr>{line(header, "th")}</tr>{body}</table></div>'


def thumbnail(images, number, mark="", more=""):
    """An image of the sample, with its name and class where the pointer rests."""
    told = " · ".join(
        filter(None, (images.names[number], images.class_name(int(images.labels[number])), more))
    )
    return (
        f'<i class="t {mark}" role="img" aria-label="{text(told)}" title="{text(told)}" '
        f'style="{position(images, number)}"></i>'
    )


def grid_of(images):
    """The columns and rows of the sprite."""
    columns = math.ceil(len(images) ** 0.5)
    return columns, math.ceil(len(images) / columns)


def position(images, number):
    """The CSS that shows an image of the sprite."""
    columns, rows = grid_of(images)
    row, column = divmod(number, columns)
    across, down = (
        100 * place / max(count - 1, 1) for place, count in ((column, columns), (row, rows))
    )
    return f"background-position: {across:.4g}% {down:.4g}%"


def sprite_css(images):
    """The rule by which elements show parts of one picture; "" without images."""
    if images is None:
        return ""
    columns, rows = grid_of(images)
    height, width = images.pictures.shape[1:3]
    sprite = np.zeros((rows, columns, height, width, 3), np.uint8)
    sprite.reshape(-1, height, width, 3)[: len(images)] = images.pictures
    whole = sprite.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    content = io.BytesIO()
    Image.fromarray(whole).save(content, "JPEG", quality=85, subsampling=0)
    code = base64.b64encode(content.getvalue()).decode()
    return (
        f".t {{ background-image: url(data:image/jpeg;base64,{code}); "
        f"background-size: {100 * columns}% {100 * rows}%; }}\n"
    )


def resource(name):
    return importlib.resources.files("tfssl.report").joinpath(name).read_text("utf-8")
