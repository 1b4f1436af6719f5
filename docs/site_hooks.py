"""Hooks of mkdocs: pages outside of docs/, links, options of methods, the reference, equations.

A page links to a file of the repository, such as `../results/README.md` or
`../flags/shapes.flags`, as it does where the repository itself is shown. Here such files become
part of the site: Markdown as pages, others as they are. Two comments stand for what is made here:
`<!-- options: simsiam -->`, a table of the flags of a method, and `<!-- reference: tfssl.LARS -->`,
what its docstring says. A notebook, which is a script of cells, becomes a page and an .ipynb file.
"""

import dataclasses
import html
import json
import pathlib
import posixpath
import re
import sys

from latex2mathml import converter
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tfssl.config import METHODS, STANDARD, Config  # noqa: E402, neither needs TensorFlow
from tfssl.text import first_sentence  # noqa: E402

DOCS = "docs/"
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "results/**/*.md")
START = "start.md"  # the place of README
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCED = re.compile(r"(^```.*?^```)", re.M | re.S)
OPTIONS = re.compile(r"<!-- options: (\w+) -->")
REFERENCE = re.compile(r"<!-- reference: ([\w.]+) -->")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([([])(.*?)\\[)\]]</\1>', re.S)


def on_files(files, config):
    """Adds the pages outside of docs/, and every file of the repository that a page links to."""
    pages = [path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))]
    there = {DOCS + file.src_uri for file in files}
    for page in pages:
        add(files, config, page.relative_to(ROOT).as_posix(), there)
    for notebook in sorted((ROOT / DOCS / "notebooks").glob("*.py")):
        cells = cells_of(notebook.read_text())
        for ending, text in ((".md", as_page(notebook.stem, cells)), (".ipynb", as_ipynb(cells))):
            name = f"notebooks/{notebook.stem}{ending}"
            files.append(File.generated(config, name, content=text))
    for name in [name for name in there if name.endswith(".md")]:
        for target in targets(name, (ROOT / name).read_text()):
            if (ROOT / target).is_file():
                add(files, config, target, there)
    return files


def cells_of(text):
    """The cells of a notebook: [(whether it is text, its lines as one text)]."""
    found = []
    for cell in re.split(r"^# %%", text, flags=re.M)[1:]:
        kind, _, lines = cell.partition("\n")
        is_text = kind.strip() == "[markdown]"
        if is_text:
            lines = re.sub(r"^# ?", "", lines, flags=re.M)
        found.append((is_text, lines.strip()))
    return found


def as_page(name, cells):
    """A notebook as Markdown."""
    parts = [text if is_text else f"```python\n{text}\n```" for is_text, text in cells]
    parts.insert(1, f"[As a notebook]({name}.ipynb), or as a script: `docs/notebooks/{name}.py`.")
    return "\n\n".join(parts)


def as_ipynb(cells):
    """A notebook in the format of Jupyter, without outputs."""
    content = [
        {"cell_type": "markdown", "metadata": {}, "source": text}
        if is_text
        else {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": text,
        }
        for is_text, text in cells
    ]
    for number, cell in enumerate(content):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": content, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    return json.dumps({**whole, "nbformat_minor": 5}, indent=1)


def add(files, config, name, there):
    """Adds a file of the repository by its name, unless it is there."""
    if name not in there:
        there.add(name)
        files.append(File.generated(config, place(name), abs_src_path=str(ROOT / name)))


def place(name):
    """The place in the site of a file of the repository."""
    if name.startswith(f"{DOCS}notebooks/"):
        name = name.removesuffix(".py") + ".md"
    return START if name == "README.md" else name.removeprefix(DOCS)


def name_of(page):
    """The name in the repository of a page of the site."""
    if page.file.abs_src_path is None:  # made of a notebook
        return DOCS + page.file.src_uri
    return pathlib.Path(page.file.abs_src_path).relative_to(ROOT).as_posix()


def targets(name, text):
    """The files of the repository that a page links to."""
    for match in LINK.finditer(FENCED.sub("", text)):
        if "://" not in match[2]:
            yield resolved(name, match[2])


def resolved(name, link):
    """The file of the repository that a link of a page leads to; a folder's is its README."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    return f"{target}/README.md" if (ROOT / target / "README.md").is_file() else target


def on_page_markdown(markdown, page, config, files):
    """Replaces the two comments, and turns links to places in the repository to the site's."""
    name, here = name_of(page), posixpath.dirname(page.file.src_uri) or "."

    def moved(match):
        if "://" in match[2]:
            return match[0]
        target = posixpath.relpath(place(resolved(name, match[2])), here)
        return match[1] + target + (match[3] or "") + match[4]

    markdown = OPTIONS.sub(lambda match: options(match[1]), markdown)
    markdown = REFERENCE.sub(lambda match: reference(match[1]), markdown)
    parts = FENCED.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def reference(name):
    """The directive of mkdocstrings for a name; that of a package has no heading of its own."""
    is_package = (ROOT / name.replace(".", "/")).is_dir()
    more = "\n    options:\n      show_root_heading: false" if is_package else ""
    return f"::: {name}{more}"


def options(method):
    """A table of the flags of a method, and of the defaults that are its own."""
    facts, settings = METHODS[method], Config.__dataclass_fields__
    own = dataclasses.fields(facts.options) if facts.options else ()
    rows = [(field.name, field.default, field.metadata.get("help", "")) for field in own]
    rows += [
        (name, default, first_sentence(settings[name].metadata["help"]) + ".")
        for name, default in facts.defaults.items()
    ]
    if not rows:
        return f"Its defaults are those of `--help`, as those of {STANDARD}."
    lines = ["| flag | default | |", "| --- | --- | --- |"]
    lines += [f"| `--{name}` | {shown(default)} | {shown(text)} |" for name, default, text in rows]
    return "\n".join(lines)


def shown(value):
    """A value or a text in a cell of a table; "" for None."""
    return "" if value is None else str(value).replace("|", r"\|")


def on_page_content(content, page, config, files):
    """Turns equations into MathML, which browsers show without a script."""

    def equation(match):
        display = "block" if match[2] == "[" else "inline"
        return converter.convert(html.unescape(match[3]), display=display)

    return EQUATION.sub(equation, content)
