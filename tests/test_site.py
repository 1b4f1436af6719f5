"""The site of the documentation: its navigation, pictures, pages of methods, and its hooks."""

import importlib.util
import json
import re
import types

import pytest

import tfssl
from tests.helpers import ROOT
from tfssl.config import METHODS
from tfssl.config.methods import BUILT_IN

DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text()
OUTSIDE = {"start.md", "CHANGELOG.md", "CONTRIBUTING.md"}  # pages that are made of other files


def script(name):
    """A Python file of docs as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    return script("site_hooks")


def page(name):
    """What mkdocs gives to the hooks of a page of the repository."""
    uri = "start.md" if name == "README.md" else name.removeprefix("docs/")
    return types.SimpleNamespace(
        file=types.SimpleNamespace(src_uri=uri, abs_src_path=str(ROOT / name))
    )


def test_the_navigation_has_every_page_and_no_other():
    navigation = CONFIG.partition("\nnav:\n")[2].partition("\nnot_in_nav")[0]
    named = re.findall(r"[\w/]+\.md", navigation)
    assert len(named) == len(set(named))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    there |= {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.py")}
    of_docs = {name for name in named if not name.startswith("results/")} - OUTSIDE
    assert of_docs == there
    assert all((ROOT / name).is_file() for name in named if name.startswith("results/"))


def test_every_method_has_a_page_with_its_picture_options_and_reference():
    for name in BUILT_IN:
        text = (DOCS / "methods" / f"{name}.md").read_text()
        title = METHODS[name].path.partition(":")[2]
        assert f"]({name}.svg)" in text and (DOCS / "methods" / f"{name}.svg").is_file()
        assert f"<!-- options: {name} -->" in text
        assert f"<!-- reference: tfssl.{title} -->" in text
        assert f"--method={name}`" in text
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} == set(BUILT_IN)


def test_the_pictures_are_those_that_the_script_draws():
    diagrams = script("diagrams")
    assert set(diagrams.DIAGRAMS) == set(BUILT_IN)
    for name, diagram in diagrams.DIAGRAMS.items():
        assert (DOCS / "methods" / f"{name}.svg").read_text() == diagrams.svg(diagram), name
        moving = diagram.target == "moving average"
        assert moving == METHODS[name].has_target, name
        assert ("*predictor" in diagram.first) == (METHODS[name].predictor or name == "byol"), name


def test_scalars_that_a_page_of_a_method_names_are_logged():
    for name in BUILT_IN:
        text = (DOCS / "methods" / f"{name}.md").read_text()
        watched = text.partition("**What to watch.**")[2].partition("## Call")[0]
        cls = getattr(tfssl, METHODS[name].path.partition(":")[2])
        known = {*cls.SCALARS, "z_std", "target_z_std", "base_target_decay", "num_prototypes"}
        names = {word for word in re.findall(r"`(\w+)`", watched) if not word.startswith("-")}
        assert names and names <= known, (name, names - known)


def test_the_reference_names_what_is_exported():
    named = re.findall(
        r"<!-- reference: (\S+) -->", "".join(p.read_text() for p in DOCS.rglob("*.md"))
    )
    assert len(named) == len(set(named))
    known = {name.removeprefix("tfssl.") for name in named} - {"information"}
    assert known == set(tfssl.__all__)


def test_links_lead_to_the_places_of_the_site(hooks):
    def moved(name, text):
        return hooks.on_page_markdown(text, page(name), None, None)

    assert moved("docs/library.md", "[a](images.md#b)") == "[a](images.md#b)"
    assert moved("docs/library.md", "[a](../results/README.md#b)") == "[a](results/README.md#b)"
    assert moved("docs/methods/byol.md", "[a](../../CHANGELOG.md)") == "[a](../CHANGELOG.md)"
    assert moved("docs/index.md", "[a](../README.md)") == "[a](start.md)"
    assert moved("docs/index.md", "[a](notebooks/few_labels.py)") == "[a](notebooks/few_labels.md)"
    assert moved("README.md", "![a](docs/report.png)") == "![a](report.png)"
    assert moved("README.md", "[a](docs/index.md)") == "[a](index.md)"
    assert moved("results/kinds/README.md", "[a](../../tfssl/domains.py)") == (
        "[a](../../tfssl/domains.py)"
    )
    assert moved("docs/experiments.md", "[a](../results/kinds/)") == "[a](results/kinds/README.md)"
    assert moved("docs/index.md", "[a](https://arxiv.org/x.md)") == "[a](https://arxiv.org/x.md)"
    kept = "```\n[a](../README.md)\n```\n"
    assert moved("docs/index.md", kept) == kept


def test_options_of_a_method_are_a_table(hooks):
    text = hooks.on_page_markdown("<!-- options: sigreg -->", page("docs/index.md"), None, None)
    assert "| `--weight` | 0.05 | Share of the regularization in the loss. |" in text
    assert "| `--optimizer` | adam |" in text
    assert len({line.count("|") - line.count(r"\|") for line in text.splitlines()}) == 1
    for name in BUILT_IN:
        assert "`--" in hooks.options(name)


def test_equations_become_mathml(hooks):
    content = '<p>a <span class="arithmatex">\\(x &lt; \\frac12\\)</span> b</p>'
    made = hooks.on_page_content(content, None, None, None)
    assert made.startswith("<p>a <math") and "<mfrac>" in made and "arithmatex" not in made
    content = '<div class="arithmatex">\\[\n\\sum_i x_i\n\\]</div>'
    assert 'display="block"' in hooks.on_page_content(content, None, None, None)


def test_a_notebook_becomes_a_page_and_a_file_of_jupyter(hooks):
    text = (DOCS / "notebooks" / "own_method.py").read_text()
    cells = hooks.cells_of(text)
    assert cells[0] == (True, cells[0][1]) and cells[0][1].startswith("# A method of your own")
    made = hooks.as_page("own_method", cells)
    assert made.count("```python") == sum(not is_text for is_text, _ in cells)
    assert "[As a notebook](own_method.ipynb)" in made
    content = json.loads(hooks.as_ipynb(cells))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    code = [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]
    assert code[0].startswith("import tfssl")
    compile("\n".join(code), "notebook", "exec")
    assert len({cell["id"] for cell in content["cells"]}) == len(cells)
