"""The notebooks of docs/notebooks run, at toy sizes."""

import re

import keras
import pytest

from tests.helpers import ROOT

NOTEBOOKS = {  # {name: its sizes, smaller}
    "own_encoder": dict(IMAGES=80, EPOCHS=1, BATCH=20),
    "few_labels": dict(IMAGES=200, EPOCHS=0.5, COUNT=20, STEPS=2),
    "multispectral": dict(TILES=60, EPOCHS=1, SIDE=32, BANDS=6),
    "reading_a_report": dict(IMAGES=160, EPOCHS=1.0),
    "own_method": dict(IMAGES=128, EPOCHS=1),
}
FOLDER = ROOT / "docs" / "notebooks"
SIZES = re.compile(r"^((?:[A-Z]+, )+[A-Z]+) = (.+)$", re.M)


def smaller(text, sizes):
    """The code of a notebook with other numbers in the line that gives its sizes."""
    names, _ = SIZES.search(text).groups()
    assert names.split(", ") == list(sizes)
    values = ", ".join(map(str, sizes.values()))
    return SIZES.sub(f"{names} = {values}", text.replace("batch_size=100", "batch_size=20"), 1)


def test_the_notebooks_are_these_and_in_the_contents():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NOTEBOOKS)
    index = (ROOT / "docs" / "index.md").read_text()
    assert all(f"notebooks/{name}" in index for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_cells_of_text_and_code(name):
    text = (FOLDER / f"{name}.py").read_text()
    cells = re.split(r"^# %%", text, flags=re.M)[1:]
    assert cells[0].startswith(" [markdown]\n# # ")
    of_text = [cell for cell in cells if cell.startswith(" [markdown]")]
    assert all(line.startswith("#") for cell in of_text for line in cell.split("\n")[1:] if line)
    assert 2 <= len(of_text) <= len(cells) - 2
    assert "import tfssl" in text.split("# %%")[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    path = FOLDER / f"{name}.py"
    code = smaller(path.read_text(), NOTEBOOKS[name])
    exec(compile(code, str(path), "exec"), {"__name__": "__main__"})
