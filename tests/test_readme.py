"""The commands, flags and links of README, CONTRIBUTING and docs, as they are printed there."""

import importlib
import json
import pathlib
import re
import shlex

import numpy as np
import pytest

import flags
import run as program
from tests.helpers import write_image

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
ALL = "\n".join(TEXTS.values())
COMMANDS = list(
    dict.fromkeys(
        line.split("#")[0].strip()
        for block in re.findall(r"```bash\n(.*?)```", ALL, re.S)
        for line in block.splitlines()
        if line.startswith("python run.py")
    )
)
FENCED = re.compile(r"```.*?```", re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_the_first_run_is_the_command_of_ci():
    first, tests = re.findall(r"^python3 -m venv.*$", TEXTS["README.md"], re.M)
    assert first.endswith("pip install . && python run.py --flagfile=flags/shapes.flags")
    assert tests.endswith("pip install '.[test]' && pytest -n 2")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    assert words[:2] == ["python", "run.py"]
    assert flags.parse(words[1:])


def test_every_flag_exists(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    sweeps = importlib.import_module("sweep").parser().format_help()
    # The scripts, the tools and SLURM have flags of their own.
    others = (
        r"`python scripts/[^`]*`|^python scripts/figures.py.*|#SBATCH.*|^(?:pytest|ruff|srun) .*"
    )
    ours = re.sub(others, "", ALL, flags=re.M)
    names = set(re.findall(r"--([a-z][a-z0-9_]+)\b", ours)) - {"logdir", "flagfile", "view2_"}
    known = set(flags.define()) | {f"no{name}" for name in flags.define()}
    known |= set(re.findall(r"--(\w+)", sweeps))
    assert names - known == set()


def test_every_script_is_named():
    scripts = [path.name for path in (ROOT / "scripts").glob("*.py")]
    assert [name for name in scripts if name not in ALL] == []


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def links(page):
    """The links of a page to files of the repository: (path, anchor or "")."""
    for link in LINK.findall(FENCED.sub("", TEXTS[page])):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            here = ROOT / page
            yield (here.parent / target).resolve() if target else here, anchor


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_resolves(page):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target.read_text()), (target, anchor)


def test_every_page_is_linked_from_readme_and_from_the_contents():
    pages = set(PAGES) - {ROOT / "README.md"}
    of_readme = {target for target, _ in links("README.md")}
    of_contents = {target for target, _ in links("docs/index.md")}
    assert {page for page in pages if page.parent.name in ("docs", ROOT.name)} - of_readme == set()
    made = set((ROOT / "docs" / "reference").iterdir())  # of the site, from docstrings
    assert pages - of_contents - made - {ROOT / "docs" / "index.md"} == set()


def test_every_file_named_in_contributing_exists():
    """Paths in backticks; what is to be written is in capitals, such as `tests/test_YOURS.py`."""
    named = re.findall(r"`((?:tfssl|tests|docs|flags|scripts)/[\w./*]*)`", TEXTS["CONTRIBUTING.md"])
    there = [path for path in named if not re.search("[A-Z]{4}", path)]
    assert len(there) > 20
    assert [path for path in there if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.slow
@pytest.mark.ci
def test_pretrain_at_32_px_then_finetune_on_photos_of_any_shape(tmp_path, monkeypatch, capsys):
    """The two commands under "Finetuning", on a folder of mixed sizes, none of them square."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 8)):
        for label in range(3):
            for i in range(count):
                height, width = rng.integers(30, 90), rng.integers(91, 140)
                write_image(
                    tmp_path / "photos" / split / f"class{label}" / f"{i}.png",
                    seed=1000 * label + i + 500 * (split == "test"),
                    height=int(height),
                    width=int(width),
                )
    (pretrain,) = (c for c in COMMANDS if "--model_dir=runs/first" in c and "shapes.flags" in c)
    (finetune,) = (c for c in COMMANDS if "--mode=finetune --checkpoint=runs/first" in c)
    assert "--image_size=48x64" in finetune

    monkeypatch.chdir(tmp_path)

    def carry_out(command, *more):
        words = [w.replace("--flagfile=", f"--flagfile={ROOT}/") for w in shlex.split(command)[1:]]
        assert program.main([*words, *more]) == 0
        return capsys.readouterr().out

    carry_out(
        pretrain,
        "--image_size=32",
        "--train_steps=10",
        "--train_split=train[:400]",
        "--eval_split=test[:100]",
        "--knn_k=5",
        "--noeval_baseline",
    )
    said = carry_out(finetune, "--train_batch_size=20", "--train_steps=6", "--model_dir=tuned")
    assert "60 labels, crops of 48x64 px" in said and "the whole network" in said
    result = json.loads((tmp_path / "tuned" / "result.json").read_text())
    assert result["finetuned"]["network"]["examples"] == 24 and result["labels"] == 60
    assert result["pretrained_weights"]["image_size"] == [32, 32]
