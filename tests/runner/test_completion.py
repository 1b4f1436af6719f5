"""`--completion`: what shells complete by the scripts, asked of those that are installed."""

import shutil
import subprocess

import pytest

from tfssl import UsageError
from tfssl.config import MODES
from tfssl.domains import DOMAINS
from tfssl.runner import completion, parser

FISH = pytest.param(
    "fish", marks=pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
)
BASH = pytest.param(
    "bash", marks=pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
)


def script(shell):
    assert parser.parse(["tfssl", f"--completion={shell}"]) is None
    return parser.help_text(["tfssl", f"--completion={shell}"])


def said(shell, text, cwd):
    done = subprocess.run(
        [shell, "-c", text], capture_output=True, text=True, timeout=60, cwd=cwd, check=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def by_bash(line, cwd):
    """The completions of a line by bash, which splits words at "=" and completes the last."""
    words = line.replace("=", " = ").split(" ")
    words = [word for word in words[:-1] if word] + words[-1:]
    if len(words) > 1 and words[-2:] == ["=", ""]:
        del words[-1]
    given = " ".join(f"'{word}'" for word in words)
    call = f"COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _tfssl\n"
    return said("bash", f"{script('bash')}\n{call}printf '%s\\n' ${{COMPREPLY[@]}}\n", cwd)


def by_fish(line, cwd):
    text = f"{script('fish')}\ncomplete -C '{line}'"
    last = line.rpartition(" ")[2].rpartition("=")
    found = [entry.partition("\t")[0] for entry in said("fish", text, cwd)]
    return [word.removeprefix("".join(last[:2])) for word in found]


ASKED = {"bash": by_bash, "fish": by_fish}


@pytest.mark.parametrize("shell", [BASH, FISH])
@pytest.mark.parametrize(
    "line,expected",
    [
        ("tfssl fine", ["finetune"]),
        ("tfssl --method=by", ["byol"]),
        ("tfssl knn --format=", ["keras", "saved_model", "onnx", "npz"]),
        ("tfssl --use_blur=", ["true", "false"]),
        ("tfssl --views=grey_", ["grey_medical"]),
        ("tfssl --checkpoint=enc", ["encoder.keras"]),
        ("tfssl --flagfile=enc", ["encoder.keras"]),
        ("tfssl --nouse_bl", ["--nouse_blur"]),
    ],
)
def test_a_shell_completes(shell, line, expected, tmp_path):
    (tmp_path / "encoder.keras").touch()
    assert sorted(ASKED[shell](line, tmp_path)) == sorted(expected)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_leaves_the_word_together_where_it_is_not_split(tmp_path):
    call = "COMP_WORDS=(tfssl --method=by); COMP_CWORD=1; _tfssl\n"
    text = f"{script('bash')}\n{call}printf '%s\\n' ${{COMPREPLY[@]}}\n"
    assert said("bash", text, tmp_path) == ["--method=byol"]


@pytest.mark.parametrize("shell", sorted(completion.SHELLS))
def test_a_script_has_every_mode_and_flag(shell):
    text = script(shell)
    for name in [*MODES, *DOMAINS, *(field.name for field in completion.settings())]:
        assert name in text
    assert "--model_dir" in text or "-l model_dir" in text


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_reads_its_script(tmp_path):
    (tmp_path / "script").write_text(script("zsh"))
    assert said("zsh", "zsh -n script && echo read", tmp_path) == ["read"]


def test_other_shells_are_refused():
    with pytest.raises(UsageError) as refusal:
        parser.parse(["tfssl", "--completion=csh"])
    assert str(refusal.value) == "--completion must be one of bash, zsh, fish. Received: csh"


def test_options_of_plug_ins_are_completed(tmp_path):
    more = [completion.Flag("margin", "How far apart")]
    assert "--margin=" in completion.script("bash", more)
