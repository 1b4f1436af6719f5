"""README's commands, as they are printed there."""

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
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("python run.py")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    assert words[:2] == ["python", "run.py"]
    assert flags.parse(words[1:])


def test_every_flag_in_readme_exists(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    sweeps = importlib.import_module("sweep").parser().format_help()
    # The scripts, and SLURM, have flags of their own.
    others = r"`python scripts/[^`]*`|^python scripts/figures.py.*|#SBATCH.*"
    ours = re.sub(others, "", README, flags=re.M)
    names = set(re.findall(r"--([a-z][a-z0-9_]+)\b", ours)) - {"logdir", "flagfile", "view2_"}
    known = set(flags.define()) | {f"no{name}" for name in flags.define()}
    known |= set(re.findall(r"--(\w+)", sweeps))
    assert names - known == set()


def test_every_script_is_named():
    scripts = [path.name for path in (ROOT / "scripts").glob("*.py")]
    assert [name for name in scripts if name not in README] == []


@pytest.mark.slow
@pytest.mark.ci
def test_pretrain_at_32_px_then_finetune_on_photos_of_any_shape(tmp_path, monkeypatch, capsys):
    """The two commands under "Finetune", on a folder of mixed sizes, none of them square."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 8)):
        for label in range(3):
            for i in range(count):
                height, width = rng.integers(30, 90), rng.integers(91, 140)
                write_image(
                    tmp_path / "photos" / split / f"class{label}" / f"{i}.png",
                    seed=1000 * label + i,
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
